package telegram_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/routing"
	"github.com/tgtrunk/tgtrunk/telegram/cloud"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/phone"
)

// TestResolving: the ways to a user, and that what was found out is remembered, also over a restart.
func TestResolving(t *testing.T) {
	w := newWorld(t)
	path := filepath.Join(t.TempDir(), "tgtrunk.db")
	opts := w.options()
	file := openStore(t, path)
	opts.Store = file
	a := newAccount(t, opts)
	w.login(a)
	o := w.run(a)
	w.phone(alice, phone.Behaviour{})
	bobs := w.phone(bob, phone.Behaviour{})
	reached := func(o *office, n routing.Number) {
		t.Helper()
		leg := o.dial(n)
		next[bridge.Reached](t, leg)
		leg.Hangup(bridge.CauseOf(bridge.Cancelled))
		wantEnd(t, leg, bridge.Cancelled)
	}
	wantEnd(t, o.dial(byID(alice)), bridge.NoDialog)
	reached(o, byName("Alice_A"))
	reached(o, byID(alice))
	reached(o, byPhone("+99966150001"))
	wantEnd(t, o.dial(byID(bob)), bridge.NoDialog)

	// Somebody who has called can be called back by id.
	w.control.SetPrivacy(carol, cloud.Privacy{Lookup: cloud.Nobody})
	wantEnd(t, o.dial(byID(carol)), bridge.NoDialog)
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	call, err := w.phone(carol, phone.Behaviour{}).CallUsername(ctx, "office", phone.Behaviour{})
	if err != nil {
		t.Fatal(err)
	}
	offer := o.offer()
	call.Hangup()
	wantEnd(t, offer.Leg, bridge.Cancelled)
	reached(o, byID(carol))

	// Somebody who hides from a search by number is found through the address book, and does not stay there.
	w.control.FailNext(trunk, "contacts.resolvePhone", 400, "PHONE_NOT_OCCUPIED")
	reached(o, byPhone("+99966150002"))
	if call, err = bobs.CallUsername(ctx, "office", phone.Behaviour{}); err != nil {
		t.Fatal(err)
	}
	offer = o.offer()
	if offer.Caller.Name != "Bob" || offer.Variables["TGTRUNK_CONTACT"] != "" {
		t.Errorf("the imported contact is still there: %+v", offer.Request)
	}
	call.Hangup()
	wantEnd(t, offer.Leg, bridge.Cancelled)

	o.stop()
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	opts.Store = openStore(t, path)
	o = w.run(newAccount(t, opts))
	for _, method := range []string{"contacts.resolveUsername", "contacts.resolvePhone", "contacts.getContacts", "users.getUsers"} {
		w.control.FailNext(trunk, method, 400, "MUST_NOT_BE_ASKED")
	}
	for _, n := range []routing.Number{byID(alice), byID(bob), byID(carol), byName("alice_a"), byPhone("+99966150002")} {
		reached(o, n)
	}
	if bobs.Received() != 3 {
		t.Errorf("bob was called %d times", bobs.Received())
	}
}
