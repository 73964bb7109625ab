package telegram_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/bridge/trunktest"
	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/routing"
	"github.com/tgtrunk/tgtrunk/store"
	"github.com/tgtrunk/tgtrunk/telegram/chat"
	"github.com/tgtrunk/tgtrunk/telegram/cloud"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/phone"
	"github.com/tgtrunk/tgtrunk/telegram/guard"
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

// forgetful is a store that does not answer from some moment on, but for leases.
type forgetful struct {
	store.Store
	away atomic.Bool
}

func (f *forgetful) fails(what, key string) error {
	if !f.away.Load() {
		return nil
	}
	return fmt.Errorf("%s %q: %w", what, key, store.ErrAway)
}

func (f *forgetful) Get(ctx context.Context, key string) (store.Entry, error) {
	if err := f.fails("get", key); err != nil {
		return store.Entry{}, err
	}
	return f.Store.Get(ctx, key)
}

func (f *forgetful) Put(ctx context.Context, key string, value []byte, how store.Put) (uint64, error) {
	if err := f.fails("put", key); err != nil {
		return 0, err
	}
	return f.Store.Put(ctx, key, value, how)
}

func (f *forgetful) Update(ctx context.Context, changes []store.Change) ([]uint64, error) {
	if err := f.fails("update", changes[0].Key); err != nil {
		return nil, err
	}
	return f.Store.Update(ctx, changes)
}

// TestLogMasksPeopleWhileTheStoreFails: nor do errors of the store name people, whose keys hold them whole.
func TestLogMasksPeopleWhileTheStoreFails(t *testing.T) {
	zoe := cloud.User{ID: 5_700_123_456, Phone: "+99966150077", Username: "zoe_zimmer", FirstName: "Zoe", Code: "10077"}
	nobody := "+99966159988"
	w, options := loginOnce(t, func(o *cloud.Options) { o.Users = append(o.Users, zoe) })
	answering(t, chat.Options{Missed: time.Hour})(&options)
	keep, said := &forgetful{Store: options.Store}, new(lines)
	options.Store, options.Log = keep, slog.New(slog.NewTextHandler(said, nil))
	options.Guard = &guard.Limits{PerDay: -1, Private: time.Hour}
	o := w.run(newAccount(t, options))
	zoes := w.phone(alice, phone.Behaviour{}, func(o *phone.Options) { o.User, o.Control = zoe, w.control })
	w.listening()
	w.becomesKnown(o, zoe.ID, zoe.Username)

	keep.away.Store(true)
	leg := o.dial(byID(zoe.ID))
	incoming(t, zoes, 0).Hangup()
	end(t, leg)
	end(t, o.dial(byPhone(nobody)))
	w.writes(zoe.ID, "hello again")
	for _, part := range []string{
		"whether somebody takes no calls is not known", "number memory failed", "could not be counted", "keeping what is known failed",
	} {
		eventually(t, func() error { return said.has(part) })
	}
	o.stop()
	for line := range strings.Lines(said.text.String()) {
		for _, secret := range []string{"5700123456", "99966150077", strings.TrimPrefix(nobody, "+"), zoe.Username} {
			if strings.Contains(line, secret) {
				t.Errorf("the log says %s: %s", secret, line)
			}
		}
	}
}
