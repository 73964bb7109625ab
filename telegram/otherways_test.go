package telegram_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/routing"
	"github.com/tgtrunk/tgtrunk/telegram"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/phone"
)

// TestOtherWays: who is unknown by id is found by a name or a number that is on file, but only if that is the same person
// still; and what the account has learnt is found in its store.
func TestOtherWays(t *testing.T) {
	w := newWorld(t)
	opts := w.options()
	file := openStore(t, filepath.Join(t.TempDir(), "tgtrunk.db"))
	opts.Store = file
	a := newAccount(t, opts)
	w.login(a)
	o := w.run(a)
	w.phone(alice, phone.Behaviour{})
	dial := func(n routing.Number, others ...routing.Number) bridge.Leg {
		return o.Dial(context.Background(), routing.Target{Trunk: "office", Number: n, Others: others})
	}
	wantEnd(t, dial(byID(alice), byName("bob_b"), byName("nobody_here")), bridge.NoDialog)
	leg := dial(byID(alice), byName("nobody_here"), byPhone("+99966150001"))
	next[bridge.Reached](t, leg)
	leg.Hangup(bridge.CauseOf(bridge.Cancelled))
	wantEnd(t, leg, bridge.Cancelled)
	o.stop()

	for _, n := range []routing.Number{byID(alice), byName("ALICE_a")} {
		p, err := telegram.StoredPeer(t.Context(), file, "office", n)
		if err != nil || p.ID != alice || p.First != "Alice" || p.Party().Last != "Liddell" {
			t.Errorf("%+v is stored as %+v, %v", n, p, err)
		}
	}
	if _, err := telegram.StoredPeer(t.Context(), file, "office", byID(4242)); err == nil {
		t.Error("somebody is stored who was never met")
	}
	if _, err := telegram.StoredPeer(t.Context(), file, "offic", byID(alice)); err == nil {
		t.Error("another account knows her too")
	}
}
