package bridge

import (
	"time"

	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/routing"
)

// Record is what remains of a call (the CDR). It marshals to one line of JSON; numbers in it are whole, not masked.
type Record struct {
	Call    string `json:"call"`              // unique id
	Dialled string `json:"dialled,omitempty"` // what was dialled, as received
	Rule    string `json:"rule,omitempty"`    // the route's rule; "" where there was no route
	// Matched says what gave the dialled text its meaning: alias, caller_id, memory, phone or username; "" where it was
	// not read as a number.
	Matched  routing.Matched `json:"matched,omitempty"`
	Offering LegRecord       `json:"offering"`           // the leg that came with the offer
	Attempts []LegRecord     `json:"attempts,omitempty"` // the targets tried, in order; a call that was answered was by the last
	Times    Times           `json:"times"`
	Reason   Reason          `json:"reason"` // why the call ended
	Q850     Q850            `json:"q850"`
	Error    string          `json:"error,omitempty"` // why there was no route
}

// Times are the moments of a call; zero for those that never came. Reached and Ringing are of the last attempt that got
// so far.
type Times struct {
	Offered      time.Time `json:"offered"`
	Reached      time.Time `json:"reached,omitzero"`       // the called device was found
	Ringing      time.Time `json:"ringing,omitzero"`       // the called party was alerted
	Answered     time.Time `json:"answered,omitzero"`      // the called party accepted
	DialledMedia time.Time `json:"dialled_media,omitzero"` // its audio was usable; the offering leg was told to answer
	OfferedMedia time.Time `json:"offered_media,omitzero"` // the offering leg's audio was usable
	Connected    time.Time `json:"connected,omitzero"`     // audio flowed both ways
	Ended        time.Time `json:"ended"`                  // both legs had ended
	SetupMS      int64     `json:"setup_ms,omitempty"`     // from Offered to Connected
	TalkMS       int64     `json:"talk_ms,omitempty"`      // from Connected to the first end
}

// LegRecord is what remains of one leg.
type LegRecord struct {
	Trunk   string            `json:"trunk"`
	Leg     string            `json:"leg"`
	Party   Party             `json:"party"`            // who calls, on the offering leg; who is called, on the others
	Target  string            `json:"target,omitempty"` // where it went: context/extension, endpoint or number
	Reason  Reason            `json:"reason,omitempty"` // why it ended
	Q850    Q850              `json:"q850,omitempty"`
	RetryS  int64             `json:"retry_after_s,omitempty"`
	HungUp  bool              `json:"hung_up,omitempty"` // we ended it, not its party
	Error   string            `json:"error,omitempty"`
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
	Codec       string  `json:"codec"`
	Rate        int     `json:"rate"` // Hz
	Received    uint64  `json:"received"`
	Sent        uint64  `json:"sent"`
	Lost        uint64  `json:"lost"`
	Late        uint64  `json:"late"`
	Strangers   uint64  `json:"strangers"`
	JitterMS    float64 `json:"jitter_ms"`
	RoundTripMS float64 `json:"round_trip_ms"`
	RemoteLoss  float64 `json:"remote_loss"` // 0..1
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
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// attempt returns the record of the attempt being made.
func (r *Record) attempt() *LegRecord { return &r.Attempts[len(r.Attempts)-1] }

// leg returns the record of the offering leg or of the current attempt.
func (r *Record) leg(s side) *LegRecord {
	if s == offering {
		return &r.Offering
	}
	return r.attempt()
}
