package bridge

import (
	"errors"
	"strconv"
	"time"
)

// Q850 is a cause value of ITU-T Q.850, as PBX channels carry it.
type Q850 uint8

// Reason says in one word why a call ended; it is the TGTRUNK_REASON channel variable, a metric label and log text.
type Reason string

// The reasons, with the cause that goes with each in Causes.
const (
	Normal      Reason = "NORMAL"          // ordinary clearing after the call was up
	Cancelled   Reason = "CANCELLED"       // the caller gave up before the answer
	Flood       Reason = "FLOOD"           // FLOOD_WAIT longer than a call can wait
	PeerFlood   Reason = "PEER_FLOOD"      // Telegram limits this account towards strangers
	Budget      Reason = "BUDGET"          // our own limit of calls to strangers
	Unreachable Reason = "UNREACHABLE"     // no device of the callee received the call in time
	NoAnswer    Reason = "NOANSWER"        // it rang and nobody answered
	Busy        Reason = "BUSY"            // the callee is in a call
	Declined    Reason = "DECLINED"        // the callee refused
	Privacy     Reason = "PRIVACY"         // USER_PRIVACY_RESTRICTED
	Blocked     Reason = "BLOCKED"         // USER_IS_BLOCKED
	NoDialog    Reason = "NO_DIALOG"       // the user-id is unknown to the account (no access hash)
	NotFound    Reason = "NOT_ON_TELEGRAM" // no such username or phone number on Telegram
	NoRoute     Reason = "NO_ROUTE"        // no route for the call, or no such extension
	BadNumber   Reason = "BAD_NUMBER"      // what was dialled is no number, user-id or username
	OldClient   Reason = "OLD_CLIENT"      // no common call library version
	MediaFailed Reason = "MEDIA"           // audio never came up, or broke down for good
	Elsewhere   Reason = "ELSEWHERE"       // answered or declined on another device of the account
	Occupied    Reason = "OCCUPIED"        // CALL_OCCUPY_FAILED: Telegram holds the account itself for busy
	Self        Reason = "SELF"            // the account would call itself
	AccountDown Reason = "ACCOUNT_DOWN"    // the trunk to dial is logged out or not connected
	Congestion  Reason = "CONGESTION"      // no room for another call, here, in the PBX or at Telegram, or shutting down
	Failure     Reason = "FAILURE"         // anything else: see the log
)

// Cause is why a leg or a call ended, as every side can be told.
type Cause struct {
	Q850       Q850
	Reason     Reason
	RetryAfter time.Duration // > 0 where trying again later makes sense
}

// q850 is the house table (docs/operations.md, "Failures"): what the PBX is told for each reason. Asterisk turns 41,
// and every value it does not know, into SIP 603; media failures therefore use 38 (500).
var q850 = map[Reason]Q850{
	Normal: 16, Cancelled: 16, Flood: 42, PeerFlood: 42, Budget: 42, Unreachable: 20, NoAnswer: 19, Busy: 17,
	Declined: 21, Privacy: 21, Blocked: 21, NoDialog: 1, NotFound: 1, NoRoute: 3, BadNumber: 28, OldClient: 58,
	MediaFailed: 38, Elsewhere: 26, Occupied: 17, Self: 21, AccountDown: 27, Congestion: 34, Failure: 38,
}

// CauseOf returns the cause that goes with a reason.
func CauseOf(r Reason) Cause {
	code, ok := q850[r]
	if !ok {
		code = q850[Failure]
	}
	return Cause{Q850: code, Reason: r}
}

// CauseFromQ850 returns the cause for what a PBX says of a channel that ended before it was answered. A code means the
// same whichever PBX says it, by number or by name.
func CauseFromQ850(code Q850) Cause {
	c := Cause{Q850: code, Reason: Failure}
	switch code {
	case 0, 16, 31:
		c = Cause{Q850: 16, Reason: Normal}
	case 1, 2, 3, 22, 23, 25, 66:
		c.Reason = NoRoute
	case 17:
		c.Reason = Busy
	case 18, 20, 27, 102:
		c.Reason = Unreachable
	case 19:
		c.Reason = NoAnswer
	case 21:
		c.Reason = Declined
	case 26:
		c.Reason = Elsewhere
	case 28:
		c.Reason = BadNumber
	case 34, 42, 44, 45:
		c.Reason = Congestion
	case 57, 58, 65, 88:
		c.Reason = MediaFailed
	}
	return c
}

// WithRetryAfter returns the cause with a time after which the call may be tried again.
func (c Cause) WithRetryAfter(d time.Duration) Cause {
	c.RetryAfter = d
	return c
}

// RetryAfterSeconds is RetryAfter in whole seconds, rounded up; "" where there is none.
func (c Cause) RetryAfterSeconds() string {
	if c.RetryAfter <= 0 {
		return ""
	}
	return strconv.FormatInt(int64((c.RetryAfter+time.Second-1)/time.Second), 10)
}

// String is what logs say of the cause.
func (c Cause) String() string {
	return string(c.Reason) + " (Q.850 " + strconv.Itoa(int(c.Q850)) + ")"
}

// CauseFromError returns the verdict that an error carries anywhere in its chain: a method Cause() Cause, or
// Reason() string of a package that does not know bridge (routing). It is the Failure cause for an error without one.
func CauseFromError(err error) Cause {
	var verdict interface{ Cause() Cause }
	if errors.As(err, &verdict) {
		return verdict.Cause()
	}
	var word interface{ Reason() string }
	if errors.As(err, &word) {
		return CauseOf(Reason(word.Reason()))
	}
	return CauseOf(Failure)
}
