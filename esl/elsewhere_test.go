package esl_test

import (
	"strings"
	"testing"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/esl"
	"github.com/tgtrunk/tgtrunk/lab"
	"github.com/tgtrunk/tgtrunk/routing"
)

// TestTakenElsewhere: a phone that still rings when the call was answered on the account's own phone is told so, by
// whichever way it was called, and shows no missed call; of a caller who gave up it is not told so.
func TestTakenElsewhere(t *testing.T) {
	const elsewhere = `SIP;cause=200;text="Call completed elsewhere"`
	extension := func(p *lab.Phone) routing.Target { return routing.Target{Extension: extensionOf(p)} }
	for name, way := range map[string]struct {
		target func(*lab.Phone) routing.Target
		change func(*esl.Options)
	}{
		"endpoint": {target: func(p *lab.Phone) routing.Target {
			return routing.Target{Endpoint: "sofia/internal/alice@" + p.Addr()}
		}},
		"extension":               {target: extension},
		"extension over loopback": {target: extension, change: func(o *esl.Options) { o.Verto.DialExtension = "missing" }},
	} {
		t.Run(name, func(t *testing.T) {
			var change []func(*esl.Options)
			if way.change != nil {
				change = append(change, way.change)
			}
			r, phone := newPhoneRig(t, lab.PhoneOptions{Answer: lab.RingForever()}, change...)
			for reason, told := range map[bridge.Reason]bool{bridge.Elsewhere: true, bridge.Cancelled: false} {
				leg := r.link.Dial(t.Context(), way.target(phone))
				next[bridge.Ringing](t, leg)
				c, err := phone.NextCall(soon(t))
				if err != nil {
					t.Fatal(err)
				}
				eventually(t, "the phone is listed", func() bool { return strings.Contains(r.fsChannels(), "sofia/internal/") })
				leg.Hangup(bridge.CauseOf(reason))
				ended(t, leg, reason)
				o, err := c.WaitOver(soon(t))
				if err != nil || o.Status != 487 || (o.Reason == elsewhere) != told {
					t.Errorf("%s: phone sees %d, Reason %q (%v)", reason, o.Status, o.Reason, err)
				}
			}
		})
	}
}
