package guard

import (
	"errors"
	"fmt"
	"time"
)

// Why says what a Refusal is about.
type Why uint8

// The reasons to refuse.
const (
	Flood     Why = iota + 1 // Telegram wants the account to leave a method alone for a while (FLOOD_WAIT and its kin)
	PeerFlood                // Telegram limits the account towards strangers (PEER_FLOOD)
	Budget                   // the calls to strangers of 24 hours are spent
	Gap                      // the last call to a stranger was a moment ago
	Declines                 // strangers have declined the account's calls
	Quota                    // the calls of 24 hours that one extension may make to strangers are spent
	Hurry                    // the account calls faster than its Pace
	Private                  // this person takes no calls from the account (USER_PRIVACY_RESTRICTED)
)

// String returns the reason in a few lower-case words; it is a metric label as well.
func (w Why) String() string {
	switch w {
	case Flood:
		return "flood wait"
	case PeerFlood:
		return "peer flood"
	case Budget:
		return "stranger budget spent"
	case Gap:
		return "gap between strangers"
	case Declines:
		return "declined by strangers"
	case Quota:
		return "extension's stranger quota spent"
	case Hurry:
		return "calls too fast"
	case Private:
		return "callee's privacy settings"
	}
	return "unknown"
}

// Refusal is the error of what the account must not do now.
type Refusal struct {
	Why    Why
	Method string        // Flood: the TL method
	Wait   time.Duration // until it may be tried again; 0: it does not change with time
	Err    error         // Flood: what Telegram has just said; nil where it was known
}

// Error says what is refused, and for how long.
func (r *Refusal) Error() string {
	text := r.Why.String()
	if r.Method != "" {
		text += " on " + r.Method
	}
	if r.Wait > 0 {
		text += fmt.Sprintf(": try again in %v", r.Wait.Round(time.Second))
	}
	return text
}

// Unwrap returns Telegram's own error, if there is one.
func (r *Refusal) Unwrap() error { return r.Err }

// errBusy is the error of a book that others write all the time.
var errBusy = errors.New("too many others write it")
