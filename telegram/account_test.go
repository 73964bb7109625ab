package telegram_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/routing"
	"github.com/tgtrunk/tgtrunk/telegram"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/phone"
)

// TestAccountDown: the account is not logged in, or does not run.
func TestAccountDown(t *testing.T) {
	w := newWorld(t)
	a := newAccount(t, w.options())
	if err := a.Health(); err == nil {
		t.Error("an account that does not run is healthy")
	}
	wantEnd(t, a.Dial(t.Context(), routing.Target{Number: byName("alice_a")}), bridge.AccountDown)
	o := w.start(a)
	o.waitHealth(func(err error) bool { return errors.Is(err, telegram.ErrLoggedOut) })
	wantEnd(t, o.dial(byName("alice_a")), bridge.AccountDown)
	w.login(a) // Run goes on by itself
	o.waitUp()
	wantEnd(t, o.dial(byName("nobody_here")), bridge.NotFound)
	o.stop()
	wantEnd(t, o.dial(byName("alice_a")), bridge.AccountDown)
}

// TestRevoked: the session is ended from another device, in a call. The account says so, does not try again for ever,
// and comes back with a new login.
func TestRevoked(t *testing.T) {
	w, o := open(t)
	w.phone(alice, phone.Behaviour{})
	leg := o.dial(byName("alice_a"))
	for {
		if _, ok := (<-leg.Events()).(bridge.Media); ok {
			break
		}
	}
	if n := w.control.RevokeSessions(trunk); n != 1 {
		t.Fatalf("%d sessions were revoked", n)
	}
	wantEnd(t, leg, bridge.AccountDown)
	o.waitHealth(func(err error) bool { return errors.Is(err, telegram.ErrLoggedOut) })
	wantEnd(t, o.dial(byName("alice_a")), bridge.AccountDown)
	w.login(o.Account)
	o.waitUp()
	leg = o.dial(byName("alice_a"))
	next[bridge.Reached](t, leg)
	leg.Hangup(bridge.CauseOf(bridge.Cancelled))
	wantEnd(t, leg, bridge.Cancelled)
}

// TestLeaseIsHeld: the same account does not run twice on one store.
func TestLeaseIsHeld(t *testing.T) {
	w := newWorld(t)
	opts := w.options()
	a := newAccount(t, opts)
	w.login(a)
	o := w.run(a)
	second := w.start(newAccount(t, opts))
	second.waitHealth(func(err error) bool { return err != nil && strings.Contains(err.Error(), "lease") })
	if err := o.Health(); err != nil {
		t.Error(err)
	}
	o.stop()
	second.waitUp()
}

func TestOptions(t *testing.T) {
	good := telegram.Options{Name: "a", APIID: 1, APIHash: "h", Store: openStore(t, filepath.Join(t.TempDir(), "s.db"))}
	if _, err := telegram.New(good); err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(*telegram.Options){
		"name":       func(o *telegram.Options) { o.Name = "" },
		"api id":     func(o *telegram.Options) { o.APIID = 0 },
		"api hash":   func(o *telegram.Options) { o.APIHash = "" },
		"store":      func(o *telegram.Options) { o.Store = nil },
		"call mode":  func(o *telegram.Options) { o.Calls.Mode = "some" },
		"p2p mode":   func(o *telegram.Options) { o.Calls.P2P = "sometimes" },
		"limit":      func(o *telegram.Options) { o.Calls.Limits.AnswerWithin = 20 * time.Second },
		"address":    func(o *telegram.Options) { o.Server.Addr = "nowhere" },
		"port":       func(o *telegram.Options) { o.Server.Addr = "host:0" },
		"public key": func(o *telegram.Options) { o.Server.Addr = "host:443" },
	} {
		o := good
		edit(&o)
		if _, err := telegram.New(o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without a good %s: %v", name, err)
		}
	}
}
