package telegram_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gotd/td/tg"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/routing"
	"github.com/tgtrunk/tgtrunk/store"
	"github.com/tgtrunk/tgtrunk/telegram"
	"github.com/tgtrunk/tgtrunk/telegram/cloud"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/phone"
	"github.com/tgtrunk/tgtrunk/telegram/guard"
)

var unlimited = guard.Limits{Retry: 5 * time.Second, PerDay: -1}

// TestPresence: what Telegram shows of somebody is told before the call is placed.
func TestPresence(t *testing.T) {
	g := withLimits(t, guard.Limits{PerDay: 100})
	now := func() int { return int(time.Now().Unix()) }
	for i, c := range []struct {
		name   string
		status tg.UserStatusClass
		want   string
		away   int // seconds, about
	}{
		{"recently", &tg.UserStatusRecently{}, "recently", -1},
		{"online", &tg.UserStatusOnline{Expires: now() + 300}, "online", -1},
		{"was online", &tg.UserStatusOnline{Expires: now() - 60}, "offline", 60},
		{"offline", &tg.UserStatusOffline{WasOnline: now() - 3600}, "offline", 3600},
		{"a week ago", &tg.UserStatusLastWeek{}, "week", -1},
		{"a month ago", &tg.UserStatusLastMonth{}, "month", -1},
		{"hidden", &tg.UserStatusEmpty{}, "hidden", -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			id := int64(6000 + i) // somebody new each time, so that nothing is remembered
			name := "someone_" + strconv.Itoa(i)
			if err := g.control.AddUser(cloud.User{ID: id, Phone: fmt.Sprintf("+999661600%02d", i), Username: name}); err != nil {
				t.Fatal(err)
			}
			g.control.SetStatus(id, c.status)
			leg := g.Dial(t.Context(), routing.Target{Number: byName(name), ReachedIn: 300 * time.Millisecond})
			facts := next[bridge.Facts](t, leg).Variables
			if facts["TGTRUNK_PRESENCE"] != c.want || facts["TGTRUNK_BUDGET_LEFT"] != strconv.Itoa(99-i) {
				t.Errorf("facts are %v", facts)
			}
			if age, err := strconv.Atoi(facts["TGTRUNK_PRESENCE_AGE"]); c.away < 0 && err == nil || c.away >= 0 && (age < c.away || age > c.away+60) {
				t.Errorf("away for %q, want %d", facts["TGTRUNK_PRESENCE_AGE"], c.away)
			}
			wantEnd(t, leg, bridge.Unreachable)
		})
	}
}

// TestPresenceUpdates: a change that Telegram tells of counts for the next call.
func TestPresenceUpdates(t *testing.T) {
	g := withLimits(t, unlimited)
	g.phone(alice, phone.Behaviour{})
	if err := g.control.SendMessage(alice, trunk, "hello"); err != nil {
		t.Fatal(err)
	}
	g.met(alice, "alice")
	g.control.SetStatus(alice, &tg.UserStatusOnline{Expires: int(time.Now().Add(time.Hour).Unix())})
	asked := g.control.Queries(trunk, "users.getUsers")
	eventually(t, func() error {
		leg := g.dial(byID(alice))
		facts := next[bridge.Facts](t, leg).Variables
		leg.Hangup(bridge.CauseOf(bridge.Cancelled))
		wantEnd(t, leg, bridge.Cancelled)
		if facts["TGTRUNK_PRESENCE"] != "online" {
			return fmt.Errorf("facts are %v", facts)
		}
		return nil
	})
	if n := g.control.Queries(trunk, "users.getUsers"); n > asked {
		t.Errorf("telegram was asked %d times for what it had said", n-asked)
	}
}

// TestUsernameMoves: a remembered username whose owner has given it up, or that somebody else has now.
func TestUsernameMoves(t *testing.T) {
	g := withLimits(t, unlimited)
	g.phone(alice, phone.Behaviour{})
	bobs := g.phone(bob, phone.Behaviour{})
	g.rings(byName("Alice_A"))
	rename := func(id int64, name string) {
		t.Helper()
		if err := g.control.Rename(id, name); err != nil {
			t.Fatal(err)
		}
	}
	rename(alice, "alice_away")
	rename(bob, "alice_a")
	g.restart() // what was seen a moment ago is believed
	g.rings(byName("alice_a"))
	if bobs.Received() != 1 {
		t.Errorf("the new owner was called %d times", bobs.Received())
	}
	rename(bob, "")
	g.restart()
	g.fails(byName("alice_a"), bridge.NotFound, 0, 0)
	asked := g.control.Queries(trunk, "contacts.resolveUsername")
	rename(bob, "alice_a")
	g.fails(byName("ALICE_A"), bridge.NotFound, 0, 0) // remembered for a while
	if n := g.control.Queries(trunk, "contacts.resolveUsername"); n != asked {
		t.Errorf("telegram was asked %d times for nobody", n-asked)
	}
	g.rings(byName("alice_away"))
}

// TestPhoneMoves: a phone number on file that is another person's by now reaches that person.
func TestPhoneMoves(t *testing.T) {
	g := withLimits(t, unlimited)
	alices, bobs := g.phone(alice, phone.Behaviour{}), g.phone(bob, phone.Behaviour{})
	g.rings(byName("alice_a"))
	g.stop()
	key := fmt.Sprintf("telegram/office/%d/peer/%d", trunk, alice)
	e, err := g.opts.Store.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	var p telegram.Peer
	if err := json.Unmarshal(e.Value, &p); err != nil {
		t.Fatal(err)
	}
	p.Phone = "+99966150002" // as Alice's was, before it was Bob's
	raw, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.opts.Store.Put(t.Context(), key, raw, store.Put{}); err != nil {
		t.Fatal(err)
	}
	g.restart()
	g.rings(byPhone("+99966150002"))
	if alices.Received() != 1 || bobs.Received() != 1 {
		t.Errorf("alice was called %d times, bob %d times", alices.Received(), bobs.Received())
	}
}

// TestHiddenPhone: what is said of a number that cannot be told from one that nobody has, and that it costs one look-up.
func TestHiddenPhone(t *testing.T) {
	for _, imports := range []bool{true, false} {
		t.Run(fmt.Sprint(imports), func(t *testing.T) {
			g := withLimits(t, unlimited, func(o *telegram.Options) { o.NoImport = !imports })
			g.control.SetPrivacy(bob, cloud.Privacy{Lookup: cloud.Nobody})
			for range 2 {
				e := wantEnd(t, g.dial(byPhone("+99966150002")), bridge.NotFound)
				if !errors.Is(e.Err, telegram.ErrNoNumber) || !strings.Contains(e.Err.Error(), "hides it") {
					t.Errorf("the error is %v", e.Err)
				}
			}
			want := 0
			if imports {
				want = 1
			}
			if a, b := g.control.Queries(trunk, "contacts.resolvePhone"), g.control.Queries(trunk, "contacts.importContacts"); a != 1 || b != want {
				t.Errorf("%d look-ups and %d imports", a, b)
			}
		})
	}
}

// TestImportedContactIsReturned: a contact that could not be removed is removed at the next start, and is no acquaintance
// meanwhile. One of the account's own stays.
func TestImportedContactIsReturned(t *testing.T) {
	g := withLimits(t, unlimited)
	g.phone(bob, phone.Behaviour{})
	g.control.FailNext(trunk, "contacts.resolvePhone", 400, "PHONE_NOT_OCCUPIED")
	g.control.FailNext(trunk, "contacts.deleteContacts", 500, "TEMPORARILY_BROKEN")
	g.rings(byPhone("+99966150002"))
	if g.Knows(byID(bob)) {
		t.Error("who was looked up is an acquaintance")
	}
	removed := g.control.Queries(trunk, "contacts.deleteContacts")
	g.restart()
	eventually(t, func() error {
		if n := g.control.Queries(trunk, "contacts.deleteContacts"); n != removed+1 {
			return fmt.Errorf("%d removals", n-removed)
		}
		return nil
	})
	g.restart()
	g.rings(byID(bob))
	if n := g.control.Queries(trunk, "contacts.deleteContacts"); n != removed+1 {
		t.Errorf("the contact was removed %d times", n-removed)
	}
}

// TestReachedIn: the limit of one call, shorter and longer than the account's.
func TestReachedIn(t *testing.T) {
	g := withLimits(t, unlimited, func(o *telegram.Options) { o.Calls.Limits.ReachedIn = time.Second })
	for _, limit := range []time.Duration{0, 300 * time.Millisecond, 2 * time.Second} {
		want := limit
		if limit == 0 {
			want = time.Second
		}
		began := time.Now()
		wantEnd(t, g.Dial(t.Context(), routing.Target{Number: byName("bob_b"), ReachedIn: limit}), bridge.Unreachable)
		if took := time.Since(began); took < want || took > want+900*time.Millisecond {
			t.Errorf("given up after %v, want %v", took, want)
		}
		g.noCalls()
		if last := g.lastCall(); last.Reason != "missed" {
			t.Errorf("telegram saw %+v", last)
		}
	}
}

// TestAppraise: what makes an account the right one of a pool.
func TestAppraise(t *testing.T) {
	g := withLimits(t, guard.Limits{PerDay: 1})
	g.phone(alice, phone.Behaviour{})
	to := func(n routing.Number) bridge.Aptitude { return g.Appraise(routing.Target{Number: n}) }
	if a := to(byName("alice_a")); a.Limited || a.Bond != bridge.Unknown || a.Spare != 1 || a.Load != 0 {
		t.Errorf("a stranger: %+v", a)
	}
	if a := to(byID(alice)); !a.Limited {
		t.Errorf("a user id that means nothing to the account: %+v", a)
	}
	g.control.FloodNext(trunk, "contacts.resolvePhone", 100)
	g.fails(byPhone("+99966150002"), bridge.Flood, 99*time.Second, 100*time.Second)
	if a, b := to(byPhone("+99966150003")), to(byName("bob_b")); !a.Limited || b.Limited {
		t.Errorf("flooded %+v, not flooded %+v", a, b)
	}
	leg := g.dial(byName("Alice_A"))
	next[bridge.Facts](t, leg)
	next[bridge.Reached](t, leg)
	if a := to(byName("alice_a")); !a.Limited || a.Bond != bridge.Addressable || a.Load != 1 {
		t.Errorf("a stranger with the budget spent: %+v", a)
	}
	next[bridge.Ringing](t, leg)
	next[bridge.Answered](t, leg)
	leg.Hangup(bridge.CauseOf(bridge.Normal))
	end(t, leg)
	eventually(t, func() error {
		if a := to(byName("alice_a")); a.Limited || a.Bond != bridge.Met || a.Load != 0 {
			return fmt.Errorf("somebody who has answered: %+v", a)
		}
		return nil
	})
	g.control.FloodNext(trunk, "phone.requestCall", 100)
	wantEnd(t, g.dial(byID(alice)), bridge.Flood)
	if a := to(byID(alice)); !a.Limited {
		t.Errorf("with a flood on calls: %+v", a)
	}
	g.stop()
	if a := to(byName("alice_a")); !a.Limited {
		t.Errorf("an account that does not run: %+v", a)
	}
}
