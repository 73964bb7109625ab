package telegram_test

import (
	"fmt"
	"testing"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/routing"
	"github.com/tgtrunk/tgtrunk/telegram"
	"github.com/tgtrunk/tgtrunk/telegram/calls"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/phone"
)

// TestMostCalls: an account with as many calls as it may have takes and makes no more, asks Telegram nothing for them, and
// is the last of a pool, until one has ended.
func TestMostCalls(t *testing.T) {
	w, o := open(t, func(o *telegram.Options) { o.Calls.Most = 2 })
	alices, bobs, carols := w.quick(alice), w.quick(bob), w.quick(carol)
	w.calls(alices, phone.Behaviour{})
	in := o.offer().Leg
	in.Answer()
	up(t, in)
	if o.Appraise(routing.Target{Number: byName("bob_b")}).Limited {
		t.Error("an account with room is limited")
	}
	out := o.dial(byName("bob_b"))
	up(t, out)
	asked := w.control.Queries(trunk, "phone.requestCall") + w.questions()
	wantEnd(t, o.dial(byName("carol_c")), bridge.Congestion)
	if n := w.control.Queries(trunk, "phone.requestCall") + w.questions(); n != asked {
		t.Errorf("%d requests were made for a call that has no room", n-asked)
	}
	if !o.Appraise(routing.Target{Number: byName("bob_b")}).Limited {
		t.Error("a full account is not limited")
	}
	if live, most := o.Calls(); live != 2 || most != 2 {
		t.Errorf("%d calls of %d", live, most)
	}
	if e := over(t, w.calls(carols, phone.Behaviour{})); e.Reason != calls.Busy || !e.Remote {
		t.Errorf("a caller without room was told %+v", e)
	}
	if len(o.offers) != 0 {
		t.Error("a call without room was offered")
	}
	incoming(t, bobs, 0).Hangup()
	wantEnd(t, out, bridge.Normal)
	eventually(t, func() error {
		if live, _ := o.Calls(); live != 1 {
			return fmt.Errorf("%d calls live", live)
		}
		return nil
	})
	again := o.dial(byName("carol_c"))
	up(t, again)
	for _, leg := range []bridge.Leg{in, again} {
		leg.Hangup(bridge.CauseOf(bridge.Normal))
		wantEnd(t, leg, bridge.Normal)
	}
	w.noCalls()
}
