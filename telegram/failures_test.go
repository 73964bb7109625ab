package telegram_test

import (
	"errors"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/routing"
	"github.com/tgtrunk/tgtrunk/telegram"
	"github.com/tgtrunk/tgtrunk/telegram/cloud"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/phone"
)

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
		{name: "cannot be alerted", number: byName("bob_b"), want: bridge.Congestion, before: rpc("phone.requestCall", 400, "PARTICIPANT_CALL_FAILED")},
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
