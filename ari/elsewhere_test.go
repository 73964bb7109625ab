package ari_test

import (
	"strings"
	"testing"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/lab"
	"github.com/tgtrunk/tgtrunk/routing"
)

// TestTakenElsewhere: a phone that still rings when the call was answered on the account's own phone is told so, whether
// we call it or the dialplan does, and shows no missed call; of a caller who gave up it is not told so.
func TestTakenElsewhere(t *testing.T) {
	const elsewhere = `SIP;cause=200;text="Call completed elsewhere"`
	r, phone := newPhoneRig(t, "in", lab.PhoneOptions{Answer: lab.RingForever()})
	for name, target := range map[string]routing.Target{
		"endpoint": {Endpoint: "PJSIP/alice"}, "extension": {Context: "desk", Extension: "100"},
	} {
		for reason, told := range map[bridge.Reason]bool{bridge.Elsewhere: true, bridge.Cancelled: false} {
			leg := r.link.Dial(t.Context(), target)
			next[bridge.Ringing](t, leg)
			c, err := phone.NextCall(soon(t))
			if err != nil {
				t.Fatal(err)
			}
			leg.Hangup(bridge.CauseOf(reason))
			ended(t, leg, reason)
			o, err := c.WaitOver(soon(t))
			if err != nil || o.Status != 487 || strings.Contains(o.Reason, elsewhere) != told || (o.Q850() == 26) != told {
				t.Errorf("%s, %s: phone sees %d, Reason %q (%v)", name, reason, o.Status, o.Reason, err)
			}
		}
	}
}
