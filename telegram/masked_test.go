package telegram_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/bridge/trunktest"
	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/routing"
	"github.com/tgtrunk/tgtrunk/telegram/chat"
	"github.com/tgtrunk/tgtrunk/telegram/cloud"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/phone"
)

// TestLogMasksPeople: at level info the log of messages and calls names nobody whole: not by user-id, phone number or
// username, and no extension of more than four digits.
func TestLogMasksPeople(t *testing.T) {
	zoe := cloud.User{ID: 5_700_123_456, Phone: "+99966150077", Username: "zoe_zimmer", FirstName: "Zoe", Code: "10077"}
	w, options := loginOnce(t, func(o *cloud.Options) { o.Users = append(o.Users, zoe) })
	answering(t, chat.Options{Extensions: chat.Extensions{Allow: []routing.Range{{First: "600000", Last: "600999"}}}})(&options)
	said := new(notes)
	log := slog.New(slog.NewTextHandler(said, nil))
	options.Log = log
	account, pbx := newAccount(t, options), trunktest.NewTrunk("pbx")
	table, err := routing.NewTable(routing.Config{
		Trunks: map[string]routing.TrunkKind{"office": routing.Account, "pbx": routing.PBX},
		Rules: []routing.Rule{
			{Name: "in", From: "office", Targets: []routing.RuleTarget{{Trunk: "pbx", Context: "in", Extension: "600123"}}},
			{Name: "out", From: "pbx", Targets: []routing.RuleTarget{{Trunk: "office"}}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	records := make(chan bridge.Record, 1)
	x, err := bridge.New(table, bridge.Options{
		Connect: func(*slog.Logger, media.Flow, media.Flow) (func(), error) { return func() {}, nil },
		Records: func(r bridge.Record) { records <- r }, Logger: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	stop := w.background("exchange", func(ctx context.Context) error { return x.Run(ctx, account, pbx) })
	zoes := w.phone(alice, phone.Behaviour{}, func(o *phone.Options) { o.User, o.Control = zoe, w.control })
	eventually(t, account.Health)
	w.listening()

	w.writes(zoe.ID, "600123") // by message
	called := incoming(t, zoes, 0)
	for range 2 { // what was asked for, then the route's own
		dialledLeg(t, pbx).Emit(bridge.Ended{Cause: bridge.CauseOf(bridge.Busy)})
	}
	over(t, called)
	<-records
	call := w.calls(zoes, phone.Behaviour{}) // from Telegram
	dialledLeg(t, pbx).Emit(bridge.Ended{Cause: bridge.CauseOf(bridge.Busy)})
	over(t, call)
	<-records
	for _, dialled := range []string{"*5700123456", zoe.Username, zoe.Phone} { // to Telegram
		before := zoes.Received()
		pbx.Offer(routing.Request{Dialled: dialled, Caller: routing.Party{Number: "600123"}})
		incoming(t, zoes, before).Hangup()
		<-records
	}
	stop()
	said.mu.Lock()
	text := said.text.String()
	said.mu.Unlock()
	if !strings.Contains(text, "call asked for by message") || strings.Count(text, "target dialled") != 6 {
		t.Fatalf("the log does not tell of the calls:\n%s", text)
	}
	for line := range strings.Lines(text) {
		for _, secret := range []string{"5700123456", "600123", "99966150077", zoe.Username} {
			if strings.Contains(line, secret) {
				t.Errorf("the log says %s: %s", secret, line)
			}
		}
	}
}
