package telegram_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/telegram"
	"github.com/tgtrunk/tgtrunk/telegram/cloud"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/phone"
	"github.com/tgtrunk/tgtrunk/telegram/guard"
)

// TestTelegramDoesNotAnswer: Telegram carries phone.requestCall out and does not say so in time. The call has failed for the
// PBX, and the callee's phone does not go on ringing: of alice's Telegram tells that it rings, bob's is silent until the
// answer comes at last.
func TestTelegramDoesNotAnswer(t *testing.T) {
	w, o := openIn(t, func(o *cloud.Options) { o.Timeouts = cloud.Timeouts{Receive: time.Minute} },
		func(o *telegram.Options) { o.Guard = &guard.Limits{PerDay: 5} })
	w.control.FailNext(bob, "phone.receivedCall", 500, "NO")
	var legs []bridge.Leg
	var calls []*phone.Call
	var release []func()
	for id, name := range map[int64]string{alice: "alice_a", bob: "bob_b"} {
		p := w.phone(id, phone.Behaviour{Action: phone.Ignore})
		release = append(release, w.control.HoldAnswer(trunk, "phone.requestCall"))
		legs = append(legs, o.dial(byName(name)))
		calls = append(calls, incoming(t, p, 0))
	}
	release = append(release, w.control.HoldAnswer(trunk, "messages.getDhConfig"))
	legs = append(legs, o.dial(byName("carol_c"))) // who is never called
	for _, leg := range legs {
		wantEnd(t, leg, bridge.AccountDown)
	}
	eventually(t, func() error {
		if live := w.control.ActiveCalls(); len(live) != 1 || live[0].Callee != bob {
			return fmt.Errorf("live calls %+v", live)
		}
		return nil
	})
	for _, answer := range release {
		answer()
	}
	w.noCalls()
	for _, call := range calls {
		over(t, call)
	}
	for _, call := range w.control.Calls() {
		if want := []cloud.Discard{{User: trunk, Reason: "missed"}}; !slices.Equal(call.Discards, want) {
			t.Errorf("the account said %+v, want %+v", call.Discards, want)
		}
	}
	o.stop()
	if st := o.Guard(); st.Left != 3 {
		t.Errorf("%d of 5 strangers are left after two calls that have rung and one that has not", st.Left)
	}
}

// TestUnwantedIsNotSentAgain: the connection is lost with a phone.requestCall on its way, and its caller hangs up meanwhile.
func TestUnwantedIsNotSentAgain(t *testing.T) {
	w, o := open(t)
	w.phone(alice, phone.Behaviour{Action: phone.Ignore})
	w.control.HoldAnswer(trunk, "phone.requestCall")
	leg := o.dial(byName("alice_a"))
	asked := func() error {
		if n := w.control.Queries(trunk, "phone.requestCall"); n != 1 {
			return fmt.Errorf("asked %d times", n)
		}
		return nil
	}
	eventually(t, asked)
	leg.Hangup(bridge.CauseOf(bridge.Cancelled))
	wantEnd(t, leg, bridge.Cancelled)
	if n := w.control.DropConnections(trunk); n == 0 {
		t.Fatal("there was no connection")
	}
	w.noCalls() // which goes over the new connection, as would whatever waited for it
	if err := asked(); err != nil {
		t.Error(err)
	}
}

// TestRoomWhileNothingIsCertain: of a call that was given up it may long be unknown whether Telegram has taken it; the account
// has room for another one meanwhile, and may be called.
func TestRoomWhileNothingIsCertain(t *testing.T) {
	w, o := open(t, func(o *telegram.Options) { o.Calls.Most = 1 })
	answer := w.control.HoldAnswer(trunk, "phone.requestCall")
	leg := o.dial(byName("alice_a"))
	eventually(t, func() error {
		if n := w.control.Queries(trunk, "phone.requestCall"); n != 1 {
			return fmt.Errorf("asked %d times", n)
		}
		return nil
	})
	leg.Hangup(bridge.CauseOf(bridge.Cancelled))
	wantEnd(t, leg, bridge.Cancelled)
	eventually(t, func() error {
		if live, _ := o.Calls(); live != 0 {
			return fmt.Errorf("%d legs live", live)
		}
		return nil
	})
	answer()
	w.noCalls()
}
