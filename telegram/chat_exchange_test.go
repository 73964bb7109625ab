package telegram_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/bridge/trunktest"
	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/routing"
	"github.com/tgtrunk/tgtrunk/telegram/chat"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/phone"
)

// A whole call by message through the exchange: the extension that was written does not answer, the route stands in,
// audio and digits pass, and the record says where the call went.
func TestCallByMessageThroughTheExchange(t *testing.T) {
	w, options := loginOnce(t)
	answering(t, chat.Options{Digits: chat.Digits{ToPBX: true, ToUser: true}, Extensions: chat.Extensions{Allow: []routing.Range{{First: "200", Last: "299"}}}})(&options)
	account, pbx := newAccount(t, options), trunktest.NewTrunk("pbx")
	table, err := routing.NewTable(routing.Config{
		Trunks: map[string]routing.TrunkKind{"office": routing.Account, "pbx": routing.PBX},
		Rules:  []routing.Rule{{Name: "in", From: "office", Targets: []routing.RuleTarget{{Trunk: "pbx", Context: "in", Extension: "100"}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	wheel, records := media.NewWheel(), make(chan bridge.Record, 1)
	w.background("wheel", wheel.Run)
	exchange, err := bridge.New(table, bridge.Options{
		Connect: func(_ *slog.Logger, a, b media.Flow) (func(), error) {
			c, err := media.Connect(a, b, media.Options{Wheel: wheel})
			if err != nil {
				return nil, err
			}
			return c.Stop, nil
		},
		Records: func(r bridge.Record) { records <- r },
	})
	if err != nil {
		t.Fatal(err)
	}
	stop := w.background("exchange", func(ctx context.Context) error { return exchange.Run(ctx, account, pbx) })
	voice, err := phone.Tone(440)
	if err != nil {
		t.Fatal(err)
	}
	p := w.phone(alice, phone.Behaviour{Voice: voice})
	eventually(t, account.Health)
	w.listening()

	w.writes(alice, "201")
	c := incoming(t, p, 0)
	agent := dialledLeg(t, pbx)
	if agent.Target.Extension != "201" || agent.Target.Context != "in" || agent.Target.Variables["TGTRUNK_CHAT"] != "extension" ||
		agent.Target.Caller.UserID != alice {
		t.Errorf("the target is %+v", agent.Target)
	}
	if c.Times().Accepted.IsZero() { // our end of the audio is up a moment before or after theirs
		t.Error("the extension rings before the person has accepted")
	}
	agent.Emit(bridge.Ended{Cause: bridge.CauseOf(bridge.Busy)})
	desk := dialledLeg(t, pbx)
	if desk.Target.Extension != "100" {
		t.Errorf("the route does not stand in: %+v", desk.Target)
	}
	desk.Emit(bridge.Media{Flow: desk.Flow})
	eventually(t, func() error {
		if n := desk.Flow.Stats().PacketsSent; n < 10 {
			return fmt.Errorf("%d packets of the person's voice have reached the PBX", n)
		}
		return nil
	})
	w.writes(alice, "4#")
	for _, want := range []byte("4#") {
		select {
		case o := <-desk.Orders():
			if o.Verb != trunktest.Digit || o.Digit != want {
				t.Errorf("the order is %+v, want digit %q", o, want)
			}
		case <-time.After(soon):
			t.Fatalf("digit %q does not come", want)
		}
	}
	desk.Emit(bridge.Digit{Digit: '7'})
	w.wantAnswers(alice, "We are calling you to connect you with 201.", "☎ 7")
	desk.Emit(bridge.Ended{Cause: bridge.CauseOf(bridge.Normal)})
	over(t, c)
	select {
	case r := <-records:
		if r.Rule != "in" || r.Offering.Party.UserID != alice || len(r.Attempts) != 2 || r.Attempts[0].Target != "in/201" || r.Reason != bridge.Normal {
			t.Errorf("the record is %+v", r)
		}
	case <-time.After(soon):
		t.Fatal("the call has left no record")
	}
	stop()
}

func dialledLeg(t *testing.T, pbx *trunktest.Trunk) *trunktest.Leg {
	t.Helper()
	select {
	case l := <-pbx.Dialled():
		return l
	case <-time.After(soon):
		t.Fatal("the PBX is not dialled")
	}
	return nil
}
