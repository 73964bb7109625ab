package telegram_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/routing"
	"github.com/tgtrunk/tgtrunk/telegram"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/phone"
)

// TestUnroutedCallRingsOn: a call to an account that has no route for it goes on ringing on the owner's phone, which
// answers it, whatever the account's mode; one that has a route and is refused is refused for all devices.
func TestUnroutedCallRingsOn(t *testing.T) {
	for _, mode := range []telegram.CallMode{telegram.Multi, telegram.Single, telegram.Auto} {
		t.Run(string(mode), func(t *testing.T) {
			w, o := open(t, func(o *telegram.Options) { o.Calls.Mode = mode })
			alices := w.quick(alice)
			o.unwanted.Store(true)

			// Nobody else is there yet: nothing may have said that the call was received.
			lonely := w.calls(alices, phone.Behaviour{})
			leg := o.offer().Leg
			leg.Hangup(bridge.CauseOf(bridge.NoRoute))
			wantEnd(t, leg, bridge.NoRoute)
			silent(t, lonely, 2500*time.Millisecond) // longer than Auto waits before it lets a call ring
			if n := w.receptions(); n != 0 {
				t.Errorf("%d calls without a route were reported as received", n)
			}
			lonely.Hangup()
			over(t, lonely)
			w.noCalls()

			owners := w.quick(trunk)
			owners.Behave(phone.Behaviour{Action: phone.Ignore})
			call := w.calls(alices, phone.Behaviour{})
			leg = o.offer().Leg
			leg.Hangup(bridge.CauseOf(bridge.NoRoute))
			wantEnd(t, leg, bridge.NoRoute)
			reaches(t, call, "received", received) // by the owner's phone
			incoming(t, owners, 0).Accept()
			reaches(t, call, "established", established)
			call.Hangup()
			over(t, call)
			w.noCalls()

			o.unwanted.Store(false)
			call = w.calls(alices, phone.Behaviour{})
			leg = o.offer().Leg
			leg.Hangup(bridge.CauseOf(bridge.NoRoute)) // the PBX's own word for an extension that does not exist
			wantEnd(t, leg, bridge.NoRoute)
			over(t, call)
			w.noCalls()
		})
	}
}

// TestUnroutedThroughTheExchange: what the exchange says of a call without a route reaches Telegram as nothing.
func TestUnroutedThroughTheExchange(t *testing.T) {
	w, o := loginOnce(t)
	table, err := routing.NewTable(routing.Config{Trunks: map[string]routing.TrunkKind{"office": routing.Account}})
	if err != nil {
		t.Fatal(err)
	}
	refused := make(chan bridge.Record, 1)
	x, err := bridge.New(table, bridge.Options{
		Connect: func(*slog.Logger, media.Flow, media.Flow) (func(), error) { return func() {}, nil },
		Records: func(r bridge.Record) { refused <- r },
	})
	if err != nil {
		t.Fatal(err)
	}
	a := newAccount(t, o)
	w.background("exchange", func(ctx context.Context) error { return x.Run(ctx, a) })
	(&office{Account: a, t: t}).waitUp()
	owners := w.quick(trunk)
	owners.Behave(phone.Behaviour{Action: phone.Ignore})
	call := w.calls(w.quick(alice), phone.Behaviour{})
	select {
	case r := <-refused:
		if r.Reason != bridge.NoRoute {
			t.Errorf("the call ended for %s", r.Reason)
		}
	case <-time.After(soon):
		t.Fatal("the call without a route does not end")
	}
	incoming(t, owners, 0).Accept()
	reaches(t, call, "established", established)
	call.Hangup()
	over(t, call)
	w.noCalls()
}
