package ari

import (
	"strconv"

	"github.com/tgtrunk/tgtrunk/bridge"
)

// causeVariables are what the dialplan is told of the end of a call.
func causeVariables(status string, c bridge.Cause) map[string]string {
	return map[string]string{
		"TGTRUNK_STATUS":      status,
		"TGTRUNK_REASON":      string(c.Reason),
		"TGTRUNK_CAUSE":       strconv.Itoa(int(c.Q850)),
		"TGTRUNK_RETRY_AFTER": c.RetryAfterSeconds(),
	}
}

// progress is what was seen of an outbound call before it ended.
type progress struct {
	dialled bool   // a Dial event came: there is somebody to ring
	status  string // the last Dial event's dialstatus
}

// failedDial says why an outbound call ended before it was answered, from the channel's cause, the SIP status of a PJSIP
// leg, and the Dial events. An extension that does not exist shows as cause 0 without a single Dial event.
func failedDial(cause, techCause int, p progress) bridge.Cause {
	if reason, ok := reasonOfSIP(techCause); ok {
		return bridge.CauseOf(reason)
	}
	switch cause {
	case 0, 16, 31:
	default:
		if cause < 0 || cause > 127 {
			cause = 127 // interworking: what it is nobody knows
		}
		return bridge.CauseFromQ850(bridge.Q850(cause))
	}
	switch {
	case p.status == "BUSY":
		return bridge.CauseOf(bridge.Busy)
	case p.status == "CONGESTION":
		return bridge.CauseOf(bridge.Congestion)
	case p.status == "NOANSWER" || p.status == "CANCEL":
		return bridge.CauseOf(bridge.NoAnswer)
	case p.status == "CHANUNAVAIL" || !p.dialled:
		return bridge.CauseOf(bridge.NoRoute)
	}
	// The dialplan came to its end without an answer and without a word why.
	return bridge.CauseOf(bridge.NoAnswer)
}

// reasonOfSIP returns the reason for a SIP status that says more than the Q.850 cause Asterisk makes of it.
func reasonOfSIP(status int) (bridge.Reason, bool) {
	switch status {
	case 486, 600:
		return bridge.Busy, true
	case 403, 603:
		return bridge.Declined, true
	case 404, 410, 604:
		return bridge.NoRoute, true
	case 484:
		return bridge.BadNumber, true
	case 408:
		return bridge.Unreachable, true
	case 415, 488, 606:
		return bridge.MediaFailed, true
	}
	return "", false
}

// clearing returns the cause of a call that was up. Whatever a party says when it hangs up is ordinary clearing, except
// causes that tell of a failure of the network or of Asterisk.
func clearing(cause int) bridge.Cause {
	switch cause {
	case 27, 34, 38, 41, 42, 44, 127:
		return bridge.Cause{Q850: bridge.Q850(cause), Reason: bridge.Failure}
	}
	return bridge.CauseOf(bridge.Normal)
}
