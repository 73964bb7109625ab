package esl_test

import (
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/lab"
)

// TestPhoneSeesRetryAfterOfTheLastAttempt: a dialplan tries twice; the phone is told of the second.
func TestPhoneSeesRetryAfterOfTheLastAttempt(t *testing.T) {
	r, phone := newPhoneRig(t, lab.PhoneOptions{})
	flood := bridge.CauseOf(bridge.Flood).WithRetryAfter(30 * time.Second)
	for _, last := range []struct {
		cause  bridge.Cause
		status int
		header string
	}{{flood, 503, "30"}, {bridge.CauseOf(bridge.Busy), 486, ""}} {
		c := call(t, phone, "3001")
		for _, cause := range []bridge.Cause{flood, last.cause} {
			o := r.offer()
			o.Leg.Hangup(cause)
			ended(t, o.Leg, cause.Reason)
		}
		if o, err := c.WaitOver(soon(t)); err != nil || o.Status != last.status || o.RetryAfter != last.header {
			t.Errorf("phone sees %d with Retry-After %q (%v), want %d with %q", o.Status, o.RetryAfter, err, last.status, last.header)
		}
	}
}

// TestPhoneSeesReasonOfTheLastAttempt: a caller whose first call was taken elsewhere, and whose second one met somebody who
// is busy, is told the latter.
func TestPhoneSeesReasonOfTheLastAttempt(t *testing.T) {
	r, phone := newPhoneRig(t, lab.PhoneOptions{})
	c := call(t, phone, "3001")
	for _, reason := range []bridge.Reason{bridge.Elsewhere, bridge.Busy} {
		o := r.offer()
		o.Leg.Hangup(bridge.CauseOf(reason))
		ended(t, o.Leg, reason)
	}
	if o, err := c.WaitOver(soon(t)); err != nil || o.Status != 486 || o.Q850() != 17 {
		t.Errorf("phone sees %d, Reason %q (%v), want 486 and 17", o.Status, o.Reason, err)
	}
}
