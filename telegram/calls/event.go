package calls

import (
	"time"

	"github.com/tgtrunk/tgtrunk/media"
)

// Event is what a Call tells its owner: one of Requested, Received, Accepted, Established, Reconnecting, Reconnected,
// MediaState, Ended.
type Event interface{ event() }

// Requested says that Telegram has taken our call; the callee's devices are being looked for. Outgoing calls only.
type Requested struct{}

// Received says that a device of the callee has the call (receive_date): it rings. Outgoing calls only. It is left out
// where the callee accepts without having said so.
type Received struct{}

// Accepted says that the callee has accepted, or that Telegram has taken our acceptance.
type Accepted struct{}

// Established carries the call's audio at the moment it can flow. It comes once.
type Established struct{ Flow media.Flow }

// Reconnecting says that nothing has been heard of the peer for a while; the engine is still trying.
type Reconnecting struct{}

// Reconnected says that the peer is heard again.
type Reconnected struct{}

// MediaState is what the peer says of its microphone.
type MediaState struct{ Muted bool }

// Ended is the last event of a call.
type Ended struct {
	Reason   Reason        // Telegram's word for it, the peer's where the peer ended the call
	Remote   bool          // the peer, another device of the account, or Telegram ended it
	Duration time.Duration // since Established; 0 for a call that never was
	Err      *Error        // why the call failed; nil for one that was hung up or refused in the ordinary way
}

func (Requested) event()    {}
func (Received) event()     {}
func (Accepted) event()     {}
func (Established) event()  {}
func (Reconnecting) event() {}
func (Reconnected) event()  {}
func (MediaState) event()   {}
func (Ended) event()        {}

// Reason is a phoneCallDiscardReason.
type Reason uint8

// The reasons. Ordinary is what phone.discardCall is told for an ordinary hang-up at the moment it happens: missed
// while our outgoing call has not been accepted, busy for an incoming call that we have not accepted, hangup after
// that. As the reason of an Ended event it says that Telegram gave none.
const (
	Ordinary   Reason = iota
	Missed            // phoneCallDiscardReasonMissed
	Busy              // phoneCallDiscardReasonBusy, also how official apps decline
	Hangup            // phoneCallDiscardReasonHangup
	Disconnect        // phoneCallDiscardReasonDisconnect
	Migrated          // phoneCallDiscardReasonMigrateConferenceCall: the peer went on to a group call
)

// String returns the reason in one lower-case word.
func (r Reason) String() string {
	switch r {
	case Ordinary:
		return "ordinary"
	case Missed:
		return "missed"
	case Busy:
		return "busy"
	case Hangup:
		return "hangup"
	case Disconnect:
		return "disconnect"
	case Migrated:
		return "migrated"
	}
	return "unknown"
}
