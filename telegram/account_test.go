package telegram_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/routing"
	"github.com/tgtrunk/tgtrunk/telegram"
	"github.com/tgtrunk/tgtrunk/telegram/cloud"
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

// TestFailures is the table of what can go wrong with an outgoing call.
func TestFailures(t *testing.T) {
	w, o := open(t, func(o *telegram.Options) {
		o.Calls.Limits.ReachedIn, o.Calls.Limits.AnsweredIn = 700*time.Millisecond, 700*time.Millisecond
	})
	p := w.phone(alice, phone.Behaviour{Action: phone.Ignore})
	w.phone(carol, phone.Behaviour{Action: phone.Decline})
	rpc := func(method string, code int, text string) func() {
		return func() { w.control.FailNext(trunk, method, code, text) }
	}
	for _, c := range []struct {
		name   string
		number routing.Number
		before func()
		after  func()
		want   bridge.Reason
		retry  time.Duration
	}{
		{name: "nobody answers", number: byName("alice_a"), want: bridge.NoAnswer},
		{name: "no device", number: byName("bob_b"), want: bridge.Unreachable},
		{name: "declines", number: byName("carol_c"), want: bridge.Busy},
		{name: "hangs up while it rings", number: byName("alice_a"), want: bridge.Declined, before: func() {
			p.Behave(phone.Behaviour{Action: phone.Ignore})
		}, after: func() {
			eventually(t, func() error {
				for _, live := range w.control.ActiveCalls() {
					if live.State == cloud.CallReceived && w.control.EndCall(live.ID, "hangup") {
						return nil
					}
				}
				return errors.New("no call rings")
			})
		}},
		{name: "privacy", number: byName("bob_b"), want: bridge.Privacy,
			before: func() { w.control.SetPrivacy(bob, cloud.Privacy{Calls: cloud.Nobody}) },
			after:  func() { w.control.SetPrivacy(bob, cloud.Privacy{}) }},
		{name: "blocked", number: byName("bob_b"), want: bridge.Blocked,
			before: func() { w.control.BlockUser(bob, trunk, true) }, after: func() { w.control.BlockUser(bob, trunk, false) }},
		{name: "ancient app", number: byName("bob_b"), want: bridge.OldClient,
			before: func() { w.control.RefuseVersion(bob, true) }, after: func() { w.control.RefuseVersion(bob, false) }},
		{name: "no layer in common", number: byName("bob_b"), want: bridge.OldClient, before: rpc("phone.requestCall", 406, "CALL_PROTOCOL_COMPAT_LAYER_INVALID")},
		{name: "peer flood", number: byName("bob_b"), want: bridge.PeerFlood, before: rpc("phone.requestCall", 400, "PEER_FLOOD")},
		{name: "cannot be alerted", number: byName("bob_b"), want: bridge.Unreachable, before: rpc("phone.requestCall", 400, "PARTICIPANT_CALL_FAILED")},
		{name: "something new", number: byName("bob_b"), want: bridge.Failure, before: rpc("phone.requestCall", 400, "SOMETHING_NEW")},
		{name: "deactivated", number: byName("bob_b"), want: bridge.NotFound, before: rpc("phone.requestCall", 400, "INPUT_USER_DEACTIVATED")},
		{name: "no such username", number: byName("nobody_here"), want: bridge.NotFound},
		{name: "no such username, remembered", number: byName("Nobody_Here"), want: bridge.NotFound,
			before: rpc("contacts.resolveUsername", 400, "MUST_NOT_BE_ASKED"),
			after:  func() { wantEnd(t, o.dial(byName("nobody_else")), bridge.Failure) }}, // this one was asked for
		{name: "bot", number: byName("robot_bot"), want: bridge.NotFound},
		{name: "no such phone", number: byPhone("+99966150999"), want: bridge.NotFound},
		{name: "unknown id", number: byID(424242), want: bridge.NoDialog},
		{name: "no form", number: routing.Number{}, want: bridge.BadNumber},
		{name: "oneself by id", number: byID(trunk), want: bridge.Self},
		{name: "oneself by name", number: byName("office"), want: bridge.Self},
		{name: "oneself by phone", number: byPhone("+99966150000"), want: bridge.Self},
		// The last ones: Telegram is left alone after them.
		{name: "flood while resolving", number: byName("nobody_new"), want: bridge.Flood, retry: 50 * time.Second,
			before: func() { w.control.FloodNext(trunk, "contacts.resolveUsername", 50) }},
		{name: "flood", number: byName("carol_c"), want: bridge.Flood, retry: 40 * time.Second,
			before: func() { w.control.FloodNext(trunk, "phone.requestCall", 40) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.before != nil {
				c.before()
			}
			leg := o.dial(c.number)
			if c.after != nil && c.want == bridge.Declined {
				c.after()
			}
			e := wantEnd(t, leg, c.want)
			if e.Cause.RetryAfter != c.retry {
				t.Errorf("retry after %v, want %v", e.Cause.RetryAfter, c.retry)
			}
			if c.after != nil && c.want != bridge.Declined {
				c.after()
			}
			w.noCalls()
		})
	}
}

// TestShortFlood: a short wait is sat through and the caller hears nothing of it.
func TestShortFlood(t *testing.T) {
	w, o := open(t)
	w.phone(alice, phone.Behaviour{})
	w.control.FloodNext(trunk, "contacts.resolveUsername", 1)
	w.control.FloodNext(trunk, "phone.requestCall", 1)
	began := time.Now()
	leg := o.dial(byName("alice_a"))
	next[bridge.Reached](t, leg)
	if took := time.Since(began); took < 2*time.Second {
		t.Errorf("reached after %v", took)
	}
	leg.Hangup(bridge.CauseOf(bridge.Cancelled))
	wantEnd(t, leg, bridge.Cancelled)

	w.control.FloodNext(trunk, "phone.requestCall", 5)
	began = time.Now()
	leg = o.dial(byName("alice_a"))
	eventually(t, func() error { // until it waits
		if time.Since(began) < 200*time.Millisecond {
			return errors.New("not yet")
		}
		return nil
	})
	leg.Hangup(bridge.CauseOf(bridge.Cancelled))
	wantEnd(t, leg, bridge.Cancelled)
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("hung up after %v", took)
	}
	w.noCalls()
}

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

// TestNoServer: nobody answers at the server's address; that is waited for, and given up at once.
func TestNoServer(t *testing.T) {
	w, opts := loginOnce(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	opts.Server.Addr = l.Addr().String()
	for _, name := range []string{"silent", "closed"} {
		if name == "closed" {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
		o := w.start(newAccount(t, opts))
		wantEnd(t, o.dial(byName("alice_a")), bridge.AccountDown)
		began := time.Now()
		o.stop()
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s: the account ended after %v", name, took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		if err := newAccount(t, opts).Login(ctx, &person{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: login: %v", name, err)
		}
		cancel()
	}
}

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

// TestConnectionLost: a call lives on while the connection to Telegram is made anew, and its end arrives after that.
func TestConnectionLost(t *testing.T) {
	w, o := open(t)
	p := w.phone(alice, phone.Behaviour{Voice: voice(t, 1000), After: 300 * time.Millisecond})
	leg := o.dial(byName("alice_a"))
	next[bridge.Reached](t, leg)
	next[bridge.Ringing](t, leg)
	next[bridge.Answered](t, leg)
	flow := next[bridge.Media](t, leg).Flow
	heard := newEar(t)
	flow.Attach(heard)
	for range 3 {
		if n := w.control.DropConnections(trunk); n == 0 {
			t.Fatal("there was no connection")
		}
		heard.hears(t, 1000)
		eventually(t, func() error {
			if w.control.Online(trunk) == 0 {
				return errors.New("not connected")
			}
			return nil
		})
	}
	o.waitUp()
	// The end comes while nobody is connected: it is found in the difference.
	w.control.DropUpdates(trunk, true)
	incoming(t, p, 0).Hangup()
	w.noCalls()
	select {
	case e := <-leg.Events():
		t.Fatalf("event %T", e)
	case <-time.After(200 * time.Millisecond):
	}
	w.control.DropUpdates(trunk, false)
	w.control.DropConnections(trunk)
	wantEnd(t, leg, bridge.Normal)
}

// TestGap: a call that came while updates were lost is offered once they are found.
func TestGap(t *testing.T) {
	w, o := open(t)
	p := w.phone(alice, phone.Behaviour{})
	w.control.DropUpdates(trunk, true)
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	call, err := p.CallUsername(ctx, "office", phone.Behaviour{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.control.SendMessage(alice, trunk, "I am calling you"); err != nil {
		t.Fatal(err)
	}
	w.control.DropUpdates(trunk, false)
	if err := w.control.SendMessage(alice, trunk, "Hello?"); err != nil { // leaves a gap before it
		t.Fatal(err)
	}
	offer := o.offer()
	w.control.RedeliverLast(trunk)
	offer.Leg.Answer()
	next[bridge.Media](t, offer.Leg)
	if len(o.offers) != 0 {
		t.Error("the call was offered twice")
	}
	call.Hangup()
	wantEnd(t, offer.Leg, bridge.Normal)
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

// TestMediaFails: the call is to be carried in a way that cannot be read.
func TestMediaFails(t *testing.T) {
	w, o := open(t)
	w.phone(alice, phone.Behaviour{})
	w.control.SetCustomParameters(`["network_use_mtproto"]`)
	wantEnd(t, o.dial(byName("alice_a")), bridge.MediaFailed)
	w.noCalls()
	if last := w.lastCall(); last.Reason != "disconnect" {
		t.Errorf("telegram saw %+v", last)
	}
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
