package telegram_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/routing"
	"github.com/tgtrunk/tgtrunk/telegram"
	"github.com/tgtrunk/tgtrunk/telegram/cloud"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/phone"
	"github.com/tgtrunk/tgtrunk/telegram/guard"
)

// guarded is a logged-in account with limits, which can be restarted on its store.
type guarded struct {
	*world
	*office
	t    testing.TB
	opts telegram.Options
	file interface{ Close() error }
	path string
	said *notes
}

// notes is a log to look at.
type notes struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (n *notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.Write(p)
}

func (n *notes) count(text string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Count(n.text.String(), text)
}

func withLimits(t testing.TB, l guard.Limits, edit ...func(*telegram.Options)) *guarded {
	t.Helper()
	w, opts := loginOnce(t)
	g := &guarded{world: w, t: t, path: filepath.Join(t.TempDir(), "guarded.db"), said: new(notes)}
	file := openStore(t, g.path)
	if err := copySession(t, opts.Store, file); err != nil {
		t.Fatal(err)
	}
	opts.Store, opts.Guard, g.file = file, &l, file
	opts.Log = slog.New(slog.NewTextHandler(g.said, nil))
	for _, e := range edit {
		e(&opts)
	}
	g.opts = opts
	g.office = w.run(newAccount(t, opts))
	return g
}

// restart ends the account and its store, and starts both again.
func (g *guarded) restart() {
	g.t.Helper()
	g.stop()
	if err := g.file.Close(); err != nil {
		g.t.Fatal(err)
	}
	file := openStore(g.t, g.path)
	g.opts.Store, g.file = file, file
	g.office = g.run(newAccount(g.t, g.opts))
}

// rings calls somebody, whose phone must get the call, and hangs up.
func (g *guarded) rings(n routing.Number) {
	g.t.Helper()
	leg := g.dial(n)
	next[bridge.Reached](g.t, leg)
	leg.Hangup(bridge.CauseOf(bridge.Cancelled))
	wantEnd(g.t, leg, bridge.Cancelled)
	g.noCalls()
}

func (g *guarded) fails(n routing.Number, want bridge.Reason, least, most time.Duration) {
	g.t.Helper()
	e := wantEnd(g.t, g.dial(n), want)
	if after := e.Cause.RetryAfter; after < least || after > most {
		g.t.Errorf("retry after %v, want %v to %v", after, least, most)
	}
}

// A flood is remembered for its method, over a restart; what needs another method goes on.
func TestFloodIsRemembered(t *testing.T) {
	g := withLimits(t, guard.Limits{Retry: time.Second, PerDay: -1})
	g.phone(alice, phone.Behaviour{})
	g.rings(byName("alice_a"))
	for _, kind := range []string{"FLOOD_WAIT_300", "FLOOD_PREMIUM_WAIT_300", "SLOWMODE_WAIT_300"} {
		method := map[string]string{"FLOOD_WAIT_300": "contacts.resolveUsername", "FLOOD_PREMIUM_WAIT_300": "contacts.resolvePhone",
			"SLOWMODE_WAIT_300": "contacts.getContacts"}[kind]
		n := map[string]routing.Number{"contacts.resolveUsername": byName("bob_b"), "contacts.resolvePhone": byPhone("+99966150002"),
			"contacts.getContacts": byID(bob)}[method]
		g.control.FailNext(trunk, method, 420, kind)
		g.fails(n, bridge.Flood, 295*time.Second, 300*time.Second)
		asked := g.control.Queries(trunk, method)
		g.fails(n, bridge.Flood, 290*time.Second, 300*time.Second)
		if g.control.Queries(trunk, method) != asked {
			t.Errorf("%s was asked again", method)
		}
	}
	g.rings(byName("alice_a"))
	g.rings(byID(alice))
	g.restart()
	asked := g.control.Queries(trunk, "contacts.resolveUsername")
	g.fails(byName("bob_b"), bridge.Flood, 200*time.Second, 300*time.Second)
	if g.control.Queries(trunk, "contacts.resolveUsername") != asked {
		t.Error("telegram was asked after the restart")
	}
	g.rings(byName("alice_a"))
	if bans := g.Guard().Bans; len(bans) != 3 {
		t.Errorf("bans are %+v", bans)
	}
	if g.said.count("telegram wants this account to wait") != 3 {
		t.Error("the administrator is not told once for each")
	}
}

// A second short flood in a row is not sat through, and becomes the call's end.
func TestShortFloodTwice(t *testing.T) {
	g := withLimits(t, guard.Limits{Retry: 2 * time.Second, PerDay: -1})
	g.control.FloodTimes(trunk, "contacts.resolveUsername", 1, 2)
	g.fails(byName("bob_b"), bridge.Flood, time.Second, time.Second)
	if n := g.control.Queries(trunk, "contacts.resolveUsername"); n != 2 {
		t.Errorf("telegram was asked %d times", n)
	}
	if n := g.Guard().Retries["contacts.resolveUsername"]; n != 1 {
		t.Errorf("%d retries are counted", n)
	}
}

// The caller has gone while a flood on phone.requestCall was sat through: nobody's phone rings.
func TestNobodyRingsAfterTheCallerHasGone(t *testing.T) {
	g := withLimits(t, guard.Limits{Retry: 2 * time.Second, PerDay: 5})
	g.phone(alice, phone.Behaviour{})
	g.control.FloodNext(trunk, "phone.requestCall", 2)
	leg := g.dial(byName("alice_a"))
	eventually(t, func() error {
		if g.control.Queries(trunk, "phone.requestCall") == 0 {
			return errors.New("not asked yet")
		}
		return nil
	})
	leg.Hangup(bridge.CauseOf(bridge.Cancelled))
	wantEnd(t, leg, bridge.Cancelled)
	g.stop() // waits for what is on its way
	if n := g.control.Queries(trunk, "phone.requestCall"); n != 1 || len(g.control.Calls()) != 0 {
		t.Errorf("%d requests, calls %+v", n, g.control.Calls())
	}
	if st := g.Guard(); st.Left != 5 {
		t.Errorf("%d of 5 strangers are left after a call that was not made", st.Left)
	}
}

// The caller gives up while phone.requestCall is on its way: Telegram has been asked, somebody's phone may have rung, and the
// call counts.
func TestCallGivenUpOnItsWayCounts(t *testing.T) {
	g := withLimits(t, guard.Limits{PerDay: 5})
	g.phone(alice, phone.Behaviour{})
	release := g.control.HoldAnswer(trunk, "phone.requestCall")
	leg := g.dial(byName("alice_a"))
	eventually(t, func() error {
		if len(g.control.Calls()) == 0 {
			return errors.New("no call yet")
		}
		return nil
	})
	leg.Hangup(bridge.CauseOf(bridge.Cancelled))
	wantEnd(t, leg, bridge.Cancelled)
	release()
	g.noCalls()
	g.stop()
	if st := g.Guard(); st.Left != 4 {
		t.Errorf("%d of 5 strangers are left after a call that has rung", st.Left)
	}
}

// PEER_FLOOD pauses strangers, over a restart; those who have written, called or answered are called as before.
func TestPeerFlood(t *testing.T) {
	g := withLimits(t, guard.Limits{PerDay: -1, PeerFlood: 24 * time.Hour})
	g.phone(alice, phone.Behaviour{})
	g.phone(bob, phone.Behaviour{})
	if err := g.control.SendMessage(alice, trunk, "hello"); err != nil {
		t.Fatal(err)
	}
	g.control.LimitStrangers(trunk, true)
	g.met(alice, "alice_a")
	g.fails(byName("bob_b"), bridge.PeerFlood, 23*time.Hour, 24*time.Hour)
	asked := g.control.Queries(trunk, "phone.requestCall")
	g.fails(byName("bob_b"), bridge.PeerFlood, 23*time.Hour, 24*time.Hour)
	g.rings(byName("alice_a"))
	g.restart()
	g.fails(byName("bob_b"), bridge.PeerFlood, 23*time.Hour, 24*time.Hour)
	g.rings(byID(alice))
	if n := g.control.Queries(trunk, "phone.requestCall"); n != asked+2 {
		t.Errorf("%d calls were requested besides alice's", n-asked-2)
	}
	if g.said.count("@SpamBot") != 1 {
		t.Error("the administrator is not told once what to do")
	}
}

// met waits until the account knows that it has corresponded with somebody.
func (g *guarded) met(id int64, name string) {
	g.t.Helper()
	eventually(g.t, func() error {
		if !g.Knows(routing.Number{Kind: routing.UserID, UserID: id}) {
			return fmt.Errorf("%s is a stranger", name)
		}
		return nil
	})
}

func TestStrangerBudget(t *testing.T) {
	g := withLimits(t, guard.Limits{PerDay: 2})
	g.phone(alice, phone.Behaviour{})
	p := g.phone(bob, phone.Behaviour{})
	g.rings(byName("bob_b"))
	g.rings(byName("bob_b")) // who was called and did not answer is still a stranger
	asked := g.control.Queries(trunk, "phone.requestCall")
	g.fails(byName("alice_a"), bridge.Budget, 23*time.Hour, 24*time.Hour)
	g.restart()
	g.fails(byName("bob_b"), bridge.Budget, 23*time.Hour, 24*time.Hour)
	if n := g.control.Queries(trunk, "phone.requestCall"); n != asked {
		t.Errorf("%d calls too many were requested", n-asked)
	}
	// Whoever calls the account is none.
	call, err := p.CallUsername(t.Context(), "office", phone.Behaviour{})
	if err != nil {
		t.Fatal(err)
	}
	leg := g.offer().Leg
	call.Hangup()
	end(t, leg)
	g.rings(byName("bob_b"))
	g.fails(byName("alice_a"), bridge.Budget, 23*time.Hour, 24*time.Hour)
	if g.said.count("budget for calls to strangers is spent") != 1 {
		t.Error("the administrator is not told once")
	}
}

// One extension cannot burn the account's budget: others still call strangers, and it still calls people it knows.
func TestQuotaOfAnExtension(t *testing.T) {
	g := withLimits(t, guard.Limits{PerDay: 10, PerCaller: 1})
	g.phone(alice, phone.Behaviour{})
	g.phone(bob, phone.Behaviour{})
	from := func(extension, name string) routing.Target {
		return routing.Target{Trunk: "office", Number: byName(name), Caller: routing.Party{Number: extension}}
	}
	ring := func(target routing.Target, left string) {
		t.Helper()
		leg := g.Dial(t.Context(), target)
		if got := next[bridge.Facts](t, leg).Variables["TGTRUNK_BUDGET_LEFT"]; got != left {
			t.Errorf("%s of the budget is left, want %s", got, left)
		}
		next[bridge.Reached](t, leg)
		leg.Hangup(bridge.CauseOf(bridge.Cancelled))
		wantEnd(t, leg, bridge.Cancelled)
		g.noCalls()
	}
	ring(from("201", "bob_b"), "0")
	e := wantEnd(t, g.Dial(t.Context(), from("201", "alice_a")), bridge.Budget)
	if e.Cause.RetryAfter < 23*time.Hour || g.said.count("an extension has called as many strangers as it may") != 1 {
		t.Errorf("%+v", e)
	}
	if apt := g.Appraise(from("201", "alice_a")); apt.Spare != 0 || !apt.Limited {
		t.Errorf("a pool is told %+v", apt)
	}
	if apt := g.Appraise(from("202", "alice_a")); apt.Spare != 1 || apt.Limited {
		t.Errorf("a pool is told %+v", apt)
	}
	ring(from("202", "alice_a"), "0")
	g.listening()
	g.writes(bob, "hello")
	g.met(bob, "Bob")
	ring(from("201", "bob_b"), "0")
}

// Who takes the account's call is no stranger afterwards.
func TestAnswerEndsStrangeness(t *testing.T) {
	g := withLimits(t, guard.Limits{PerDay: 1})
	g.phone(alice, phone.Behaviour{})
	for range 3 {
		leg := g.dial(byName("alice_a"))
		for {
			if e, ok := <-leg.Events(); !ok {
				t.Fatal("the call ended")
			} else if _, up := e.(bridge.Media); up {
				break
			}
		}
		leg.Hangup(bridge.CauseOf(bridge.Normal))
		wantEnd(t, leg, bridge.Normal)
	}
	if left := g.Guard().Left; left != 0 {
		t.Errorf("%d strangers are left", left)
	}
}

// It holds from the answer on, also where the service is stopped in the call.
func TestAnswerIsKeptAtOnce(t *testing.T) {
	g := withLimits(t, guard.Limits{PerDay: 1})
	g.phone(alice, phone.Behaviour{})
	leg := g.dial(byName("alice_a"))
	for answered := false; !answered; {
		e, ok := <-leg.Events()
		if !ok {
			t.Fatal("the call ended")
		}
		_, answered = e.(bridge.Answered)
	}
	if !g.Knows(byID(alice)) {
		t.Error("who has answered is a stranger while the call lasts")
	}
	g.restart()
	if !g.Knows(byID(alice)) {
		t.Error("who has answered is a stranger after a restart in the call")
	}
}

// Dialogues from before are learned at the start; one that is nothing but our own calls does not count.
func TestDialoguesAreKnownAtTheStart(t *testing.T) {
	w, opts := loginOnce(t)
	if err := w.control.SendMessage(alice, trunk, "hello"); err != nil {
		t.Fatal(err)
	}
	if err := w.control.SendMessage(trunk, carol, "hello"); err != nil {
		t.Fatal(err)
	}
	none := guard.Limits{}
	opts.Guard = &none
	g := &guarded{world: w, t: t, office: w.run(newAccount(t, opts))}
	w.phone(alice, phone.Behaviour{})
	g.met(alice, "alice")
	g.rings(byID(alice))
	if !g.Knows(byID(carol)) || g.Knows(byID(bob)) {
		t.Errorf("carol is known: %v, bob is known: %v", g.Knows(byID(carol)), g.Knows(byID(bob)))
	}
	g.fails(byName("bob_b"), bridge.Budget, 0, 0)
}

func TestDeclinesOfStrangers(t *testing.T) {
	g := withLimits(t, guard.Limits{PerDay: -1, Breaker: guard.Breaker{Declines: 2, Within: time.Hour, Pause: 6 * time.Hour}})
	g.phone(alice, phone.Behaviour{Action: phone.Decline})
	// One whose ringing was not heard of before its end may be busy, and does not count: updates can overtake each other.
	for n := 0; len(g.Guard().Bans) == 0 && n < 8; n++ {
		wantEnd(t, g.dial(byName("alice_a")), bridge.Busy)
	}
	g.fails(byName("bob_b"), bridge.Budget, 5*time.Hour, 6*time.Hour)
	if g.said.count("strangers decline") != 1 {
		t.Error("the administrator is not told once")
	}
}

func TestPrivacyIsRemembered(t *testing.T) {
	g := withLimits(t, guard.Limits{PerDay: -1, Private: time.Hour})
	g.phone(bob, phone.Behaviour{})
	g.control.SetPrivacy(bob, cloud.Privacy{Calls: cloud.Nobody})
	g.fails(byName("bob_b"), bridge.Privacy, 0, 0)
	g.fails(byName("bob_b"), bridge.Privacy, 59*time.Minute, time.Hour)
	if n := g.control.Queries(trunk, "phone.requestCall"); n != 1 {
		t.Errorf("%d calls were requested", n)
	}
}
