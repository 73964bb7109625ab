package telegram_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/routing"
	"github.com/tgtrunk/tgtrunk/telegram"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/phone"
)

func TestOutgoing(t *testing.T) {
	w, o := open(t)
	p := w.phone(alice, phone.Behaviour{Voice: voice(t, 1000), After: 300 * time.Millisecond})
	leg := o.dial(byName("alice_a"))
	next[bridge.Reached](t, leg)
	next[bridge.Ringing](t, leg)
	next[bridge.Answered](t, leg)
	flow := next[bridge.Media](t, leg).Flow
	heard := newEar(t)
	flow.Attach(heard)
	hum(t, flow, 440)
	call := incoming(t, p, 0)
	heard.hears(t, 1000)
	phoneHears(t, call, 440)
	leg.Hangup(bridge.CauseOf(bridge.Normal))
	wantEnd(t, leg, bridge.Normal)
	w.noCalls()
	if last := w.lastCall(); last.Reason != "hangup" || last.Version != "13.0.0" || last.Caller != trunk || last.Callee != alice {
		t.Errorf("telegram saw %+v", last)
	}
}

// TestReferenceEngines: a phone has nothing but a reference engine.
func TestReferenceEngines(t *testing.T) {
	w, o := open(t, func(o *telegram.Options) { o.Calls.Reference = true })
	p := w.phone(alice, phone.Behaviour{Voice: voice(t, 1000)}, func(o *phone.Options) { o.Versions = []string{"11.0.0", "10.0.0"} })
	leg := o.dial(byName("alice_a"))
	next[bridge.Reached](t, leg)
	next[bridge.Ringing](t, leg)
	next[bridge.Answered](t, leg)
	flow := next[bridge.Media](t, leg).Flow
	heard := newEar(t)
	flow.Attach(heard)
	hum(t, flow, 440)
	call := incoming(t, p, 0)
	heard.hears(t, 1000)
	phoneHears(t, call, 440)
	leg.Hangup(bridge.CauseOf(bridge.Normal))
	wantEnd(t, leg, bridge.Normal)
	w.noCalls()
	if last := w.lastCall(); last.Version != "11.0.0" {
		t.Errorf("telegram chose %q", last.Version)
	}
}

func TestIncoming(t *testing.T) {
	for _, mode := range []telegram.CallMode{telegram.Multi, telegram.Single} {
		t.Run(string(mode), func(t *testing.T) {
			w, o := open(t, func(o *telegram.Options) { o.Calls.Mode = mode })
			p := w.phone(alice, phone.Behaviour{})
			ctx, cancel := context.WithTimeout(context.Background(), soon)
			defer cancel()
			call, err := p.CallUsername(ctx, "office", phone.Behaviour{Voice: voice(t, 1000)})
			if err != nil {
				t.Fatal(err)
			}
			offer := o.offer()
			want := routing.Party{UserID: alice, Username: "alice_a", Name: "Alice Liddell", First: "Alice", Last: "Liddell"}
			if offer.Caller != want || offer.Trunk != "office" || offer.Variables["TGTRUNK_USERID"] != "5001" ||
				offer.Variables["TGTRUNK_FIRST"] != "Alice" || offer.Variables["TGTRUNK_ACCOUNT"] != "office" {
				t.Errorf("offer %+v", offer.Request)
			}
			if rings := call.Reaches(shortly(t), func(t phone.Times) time.Time { return t.Received }); rings != (mode == telegram.Single) {
				t.Errorf("the caller hears ringing: %v", rings)
			}
			offer.Leg.Ring()
			offer.Leg.Answer()
			flow := next[bridge.Media](t, offer.Leg).Flow
			heard := newEar(t)
			flow.Attach(heard)
			hum(t, flow, 440)
			heard.hears(t, 1000)
			phoneHears(t, call, 440)
			call.Hangup()
			wantEnd(t, offer.Leg, bridge.Normal)
			w.noCalls()
		})
	}
}

// shortly is a context for what should not happen.
func shortly(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// TestManyIncoming: an account in the mode multi takes calls at once, in the mode single one.
func TestManyIncoming(t *testing.T) {
	for _, mode := range []telegram.CallMode{telegram.Multi, telegram.Single} {
		t.Run(string(mode), func(t *testing.T) {
			w, o := open(t, func(o *telegram.Options) { o.Calls.Mode = mode })
			ctx, cancel := context.WithTimeout(context.Background(), soon)
			defer cancel()
			var calls []*phone.Call
			for _, id := range []int64{alice, bob} {
				c, err := w.phone(id, phone.Behaviour{}).CallUsername(ctx, "office", phone.Behaviour{})
				if err != nil {
					t.Fatal(err)
				}
				calls = append(calls, c)
				if mode == telegram.Single && id == bob {
					break
				}
				leg := o.offer().Leg
				leg.Answer()
				next[bridge.Media](t, leg)
			}
			if mode == telegram.Single {
				e, err := calls[1].Wait(ctx)
				if err != nil || e.Reason.String() != "busy" || len(o.offers) != 0 {
					t.Errorf("the second call ended %+v, %v", e, err)
				}
			}
			for _, c := range calls {
				c.Hangup()
			}
			w.noCalls()
		})
	}
}

// TestHold: the PBX's party puts the call on hold, which the user sees.
func TestHold(t *testing.T) {
	w, o := open(t)
	user := w.phone(alice, phone.Behaviour{})
	leg := o.dial(byName("alice_a"))
	next[bridge.Reached](t, leg)
	next[bridge.Ringing](t, leg)
	next[bridge.Answered](t, leg)
	next[bridge.Media](t, leg)
	call := incoming(t, user, 0)
	for _, on := range []bool{true, false, true} {
		leg.(bridge.Holder).Hold(on)
		eventually(t, func() error {
			if call.Silent() != on {
				return fmt.Errorf("user sees muted %v", call.Silent())
			}
			return nil
		})
	}
	leg.Hangup(bridge.CauseOf(bridge.Normal))
	end(t, leg)
}
