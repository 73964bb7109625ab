package bridge

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/routing"
)

// RecordSchema is the version of the records' JSON (docs/records.md). It grows when a field changes its meaning or goes,
// not when one is added.
const RecordSchema = 1

// Record is what remains of a call (the CDR). It marshals to one line of JSON; numbers in it are whole, not masked.
type Record struct {
	Schema  int    `json:"schema"`
	Call    string `json:"call"`              // unique id
	Dialled string `json:"dialled,omitempty"` // what was dialled, as received
	Account string `json:"account,omitempty"` // the Telegram account that carried the call, or was tried last; at first, that is tried first
	Rule    string `json:"rule,omitempty"`    // the route's rule; "" where there was no route
	// Matched says what gave the dialled text its meaning: alias, caller_id, memory, phone or username; "" where it was
	// not read as a number.
	Matched  routing.Matched `json:"matched,omitempty"`
	Offering LegRecord       `json:"offering"`           // the leg that came with the offer
	Attempts []LegRecord     `json:"attempts,omitempty"` // the targets tried, in order; a call that was answered was by the last
	Times    Times           `json:"times"`
	Reason   Reason          `json:"reason"` // why the call ended
	Q850     Q850            `json:"q850"`
	Error    string          `json:"error,omitempty"` // why there was no route, or what failed
}

// LegRecord is what remains of one leg.
type LegRecord struct {
	Kind    Kind              `json:"kind,omitempty"` // what the trunk is; "" where it does not say
	Trunk   string            `json:"trunk"`
	Leg     string            `json:"leg"`
	Party   Party             `json:"party"`             // who calls, on the offering leg; who is called, on the others
	Target  string            `json:"target,omitempty"`  // where it went: context/extension, endpoint or number
	Shown   *Shown            `json:"shown,omitempty"`   // how the caller was shown to a PBX; nil on other legs
	Channel string            `json:"channel,omitempty"` // the PBX channel's name
	CallID  string            `json:"call_id,omitempty"` // Telegram's id of the call, or a SIP Call-ID
	Reason  Reason            `json:"reason,omitempty"`  // why it ended
	Q850    Q850              `json:"q850,omitempty"`
	RetryS  int64             `json:"retry_after_s,omitempty"`
	HungUp  bool              `json:"hung_up,omitempty"` // we ended it, not its party
	Said    string            `json:"said,omitempty"`    // the trunk's own words for the end
	Note    string            `json:"note,omitempty"`    // an explanation for people
	Error   string            `json:"error,omitempty"`
	Path    *Path             `json:"path,omitempty"`  // how audio travelled; nil where there was none, and towards a PBX
	Facts   map[string]string `json:"facts,omitempty"` // what the trunk found out while it dialled: TGTRUNK_PRESENCE, …
	Media   *MediaRecord      `json:"media,omitempty"` // nil where audio was never connected
	EndedMS int64             `json:"ended_ms"`        // from Offered of the call to the end of this leg
	DialMS  int64             `json:"dialled_ms"`      // from Offered of the call to the dialling of this leg; 0 on the offering leg
}

// Party is a person at one end of a recorded call; empty fields are unknown.
type Party struct {
	UserID   int64  `json:"user_id,omitempty"`
	Username string `json:"username,omitempty"`
	Phone    string `json:"phone,omitempty"`
	Number   string `json:"number,omitempty"`
	Name     string `json:"name,omitempty"` // sanitised
}

// MediaRecord is what one flow had counted when the call ended.
type MediaRecord struct {
	Codec          string  `json:"codec"`
	Rate           int     `json:"rate"` // Hz
	Received       uint64  `json:"received"`
	Sent           uint64  `json:"sent"`
	Lost           uint64  `json:"lost"`
	Late           uint64  `json:"late"`
	Strangers      uint64  `json:"strangers"`
	JitterMS       float64 `json:"jitter_ms"`
	RoundTripMS    float64 `json:"round_trip_ms"`
	RemoteLoss     float64 `json:"remote_loss"` // 0..1, at the end
	RemoteLost     uint64  `json:"remote_lost"` // packets of ours that did not arrive
	RemoteJitterMS float64 `json:"remote_jitter_ms"`
}

// Shown is how a caller was shown to a PBX.
type Shown struct {
	Number string `json:"number,omitempty"`
	Name   string `json:"name,omitempty"`
	Rule   string `json:"rule,omitempty"` // the caller-ID rule that wrote the number; "" where it went through as it came
}

func partyOf(p routing.Party) Party {
	return Party{UserID: p.UserID, Username: p.Username, Phone: p.Phone, Number: p.Number, Name: routing.SanitizeName(p.Name)}
}

// calledParty is what a target says of the person it reaches.
func calledParty(t routing.Target) Party {
	return Party{UserID: t.Number.UserID, Username: t.Number.Username, Phone: t.Number.Phone, Number: t.Extension}
}

// place is where a target goes, in one text.
func place(t routing.Target) string {
	switch {
	case t.Endpoint != "":
		return t.Endpoint
	case t.Context != "":
		return t.Context + "/" + t.Extension
	}
	return t.Number.Key()
}

func mediaRecord(f media.Flow) *MediaRecord {
	s, format := f.Stats(), f.Format()
	return &MediaRecord{
		Codec: format.Codec.String(), Rate: format.Rate,
		Received: s.PacketsReceived, Sent: s.PacketsSent, Lost: s.PacketsLost, Late: s.PacketsLate, Strangers: s.Strangers,
		JitterMS: milliseconds(s.Jitter), RoundTripMS: milliseconds(s.RoundTrip), RemoteLoss: s.RemoteLoss,
		RemoteLost: s.RemoteLost, RemoteJitterMS: milliseconds(s.RemoteJitter),
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// shownOf is how a PBX is shown the caller; nil where the target is no PBX's.
func shownOf(t routing.Target) *Shown {
	if t.Number.Kind != 0 {
		return nil
	}
	return &Shown{Number: t.Caller.Number, Name: t.Caller.Name, Rule: t.ShownBy}
}

// report takes what a leg knows of itself at its end.
func (r *LegRecord) report(said Report) {
	r.Kind = cmp.Or(said.Kind, r.Kind)
	r.Channel, r.CallID, r.Said, r.Note = said.Channel, said.CallID, said.Said, said.Note
	if said.Path != (Path{}) {
		r.Path = &said.Path
	}
	known := partyOf(said.Party)
	if known.UserID != 0 {
		r.Party.UserID = known.UserID
	}
	r.Party.Username = cmp.Or(known.Username, r.Party.Username)
	r.Party.Phone = cmp.Or(known.Phone, r.Party.Phone)
	r.Party.Number, r.Party.Name = cmp.Or(known.Number, r.Party.Number), cmp.Or(known.Name, r.Party.Name)
}

// complete fills in what follows from the rest.
func (r *Record) complete() {
	r.Times.complete()
	r.nameAccount()
}

// nameAccount says which account carries the call, or was tried last, by the legs that there were.
func (r *Record) nameAccount() {
	for _, leg := range append([]LegRecord{r.Offering}, r.Attempts...) {
		if leg.Kind == Telegram {
			r.Account = leg.Trunk
		}
	}
}

// Masked returns the record as logs would have it: without whole numbers, names and facts about people. It shares
// nothing with the original that can be changed.
func (r Record) Masked() Record {
	r.Dialled = Mask(r.Dialled)
	r.Offering = r.Offering.masked()
	r.Attempts = slices.Clone(r.Attempts)
	for i, leg := range r.Attempts {
		r.Attempts[i] = leg.masked()
	}
	if r.Error != "" { // it may quote what was dialled
		r.Error = string(r.Reason)
	}
	return r
}

func (r LegRecord) masked() LegRecord {
	id := r.Party.UserID
	r.Party = Party{Username: Mask(r.Party.Username), Phone: Mask(r.Party.Phone), Number: Mask(r.Party.Number), Name: Mask(r.Party.Name)}
	if id != 0 && r.Party.Username == "" && r.Party.Phone == "" && r.Party.Number == "" {
		r.Party.Number = Mask(strconv.FormatInt(id, 10))
	}
	r.Target, r.Channel, r.Facts = Mask(r.Target), Mask(r.Channel), nil
	if r.Shown != nil {
		r.Shown = &Shown{Number: Mask(r.Shown.Number), Name: Mask(r.Shown.Name), Rule: r.Shown.Rule}
	}
	if r.Error != "" {
		r.Error = string(r.Reason)
	}
	return r
}

// attempt returns the record of the attempt being made.
func (r *Record) attempt() *LegRecord { return &r.Attempts[len(r.Attempts)-1] }

// leg returns the record of the offering leg or of the current attempt.
func (r *Record) leg(s side) *LegRecord {
	if s == offering {
		return &r.Offering
	}
	return r.attempt()
}
