package bridge

import (
	"context"

	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/routing"
)

// Trunk is a system that calls come from and go to: one PBX link, or one Telegram account.
type Trunk interface {
	// Name is the trunk's name in the configuration.
	Name() string
	// Run keeps the trunk up until ctx ends and hands every incoming call to accept, which does not block.
	// It returns nil after ctx ended and every leg has ended, or the error that makes the trunk useless for good.
	Run(ctx context.Context, accept func(Offer)) error
	// Dial places a call and returns at once; progress and failure come as the leg's events. The leg outlives ctx's
	// end only as long as it takes to hang it up.
	Dial(ctx context.Context, t routing.Target) Leg
}

// Offer is an incoming call that nobody has answered.
type Offer struct {
	routing.Request
	Leg Leg
}

// Leg is our half of a call on one trunk: orders in, events out. No method blocks, and orders that come too late
// are ignored.
type Leg interface {
	// ID identifies the leg in logs and records, unique in its trunk.
	ID() string
	// Events delivers what happens. Ended comes once and last, then the channel is closed. The owner of the call
	// must keep reading until then.
	Events() <-chan Event
	// Ring tells an offering caller that the far end rings.
	Ring()
	// Answer answers an offering caller; Media follows when audio can flow.
	Answer()
	// Hangup ends the leg, whatever its state. The first cause wins; Ended follows.
	Hangup(Cause)
}

// Event is what a Leg tells its call: one of Reached, Ringing, Answered, Media, Digit, Held, Facts, Identified,
// Ended.
type Event interface{ event() }

// Reached says that the called device has been found (Telegram: receive_date) and begins to ring. The caller is rung back.
type Reached struct{}

// Ringing says that the called party is being alerted.
type Ringing struct{}

// Answered says that the called party has accepted; audio may take a moment longer.
type Answered struct{}

// Media carries the leg's audio at the moment it becomes usable. The flow stays the leg's, which closes it when it ends;
// its Stats stay readable after that. A second Media replaces the first.
type Media struct{ Flow media.Flow }

// Digit is a DTMF digit from this leg's party: 0-9, A-D, * or #.
type Digit struct{ Digit byte }

// Held says that this leg's party put the call on hold (On) or took it back.
type Held struct{ On bool }

// Facts says what the trunk has found out about this leg's party, or about itself, while it dials: channel variables for
// the other side (Annotator), and for the record.
type Facts struct{ Variables map[string]string }

// Identified says who is at the leg's end, once the trunk has learnt it: who has taken the call, and again whoever comes
// in their place. Fields that are not known are empty.
type Identified struct{ Party routing.Party }

// Ended is the last event of a leg. Err says why where there was an error; it is nil for an ordinary hang-up. A leg that
// was ordered to hang up ends with the cause of that order, unless its party was faster.
type Ended struct {
	Cause  Cause
	Err    error
	Report Report
}

// Report is what a leg knows of itself at its end, for the record. Empty fields say nothing.
type Report struct {
	Kind    Kind          // of the trunk
	Party   routing.Party // who is at this end, where the trunk has learnt it
	Channel string        // the PBX channel's name
	CallID  string        // Telegram's id of the call, or a SIP Call-ID
	Path    Path
	Said    string // the trunk's own words for the end, as "hangup by them" or "cause 16"
	Note    string // an explanation for people, where the end needs one
}

// Kind is what a leg's trunk is made of.
type Kind string

// The kinds.
const (
	Telegram   Kind = "telegram" // the trunk is an account
	Asterisk   Kind = "asterisk"
	FreeSWITCH Kind = "freeswitch"
)

// Path is how the audio of a leg has travelled.
type Path struct {
	Relay   string `json:"relay,omitempty"`   // direct, turn, reflector-udp or reflector-tcp
	Local   string `json:"local,omitempty"`   // type of our ICE candidate: host, srflx, prflx, relay
	Remote  string `json:"remote,omitempty"`  // the same of the far end's
	Library string `json:"library,omitempty"` // version of Telegram's call library that was agreed upon
	SRTP    string `json:"srtp,omitempty"`    // protection profile, RFC 5764
}

func (Reached) event()    {}
func (Ringing) event()    {}
func (Answered) event()   {}
func (Media) event()      {}
func (Digit) event()      {}
func (Held) event()       {}
func (Facts) event()      {}
func (Identified) event() {}
func (Ended) event()      {}

// Taker is the Leg of an offer that behaves otherwise once its call has a route; before, it may be none of our business.
type Taker interface{ Taken() }

// ToneSender is a Leg that can send DTMF digits to its party. Like every order it does not block.
type ToneSender interface{ SendDigit(digit byte) }

// Searcher is a Leg that can tell an offering caller, before the far end rings, that it is being looked for.
type Searcher interface{ Search() }

// Annotator is a Leg whose channel takes variables while the call is set up. Those of one call come before any later
// order.
type Annotator interface {
	Annotate(variables map[string]string)
}

// Introducer is a Leg that wants to know who is at the other one's end, as far as that is told (Identified).
type Introducer interface{ Introduce(routing.Party) }

// Holder is a Leg that can tell its party that the other one has put the call on hold, or has taken it back.
type Holder interface{ Hold(on bool) }
