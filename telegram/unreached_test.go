package telegram_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/routing"
	"github.com/tgtrunk/tgtrunk/telegram"
	"github.com/tgtrunk/tgtrunk/telegram/chat"
	"github.com/tgtrunk/tgtrunk/telegram/cloud"
	"github.com/tgtrunk/tgtrunk/telegram/guard"
)

// unguarded lets the account call anybody at once, again and again.
func unguarded(o *telegram.Options) {
	limits := guard.Defaults()
	limits.Gap, limits.WarmUp, limits.Private = 0, 0, 0
	o.Guard = &limits
}

// byAnna is a call of extension 201 to somebody.
func byAnna(name string, offline routing.Offline) routing.Target {
	return routing.Target{Trunk: "office", Number: byName(name), Caller: routing.Party{Number: "201", Name: "Anna"}, Offline: offline}
}

// becomesKnown lets somebody write to the account, who is no stranger from then on.
func (w *world) becomesKnown(o *office, id int64, name string) {
	w.t.Helper()
	w.writes(id, "hello")
	eventually(w.t, func() error {
		if !o.Knows(byName(name)) {
			return errors.New("the person is a stranger")
		}
		return nil
	})
}

// settled waits until the desk has done what it had to: it answers carol after everything else.
func (w *world) settled(times int) {
	w.t.Helper()
	w.writes(carol, "hello")
	eventually(w.t, func() error {
		if n := len(w.answers(carol)); n != times {
			return fmt.Errorf("carol has %d answers", n)
		}
		return nil
	})
}

// Whose privacy settings refuse our calls is told so: once, and neither a stranger nor somebody who has blocked us.
func TestPrivacyIsToldToWhomItConcerns(t *testing.T) {
	const told = "We tried to call you: Anna, ext 201. Your privacy settings do not allow it: please add this account to your contacts, or allow its calls."
	w, o := open(t, unguarded, answering(t, chat.Options{
		Missed: time.Hour, Unmatched: chat.Unmatched{AutoAnswer: time.Nanosecond},
		Unreached: chat.Unreached{Private: chat.Private{Every: time.Hour}},
		Texts:     chat.Texts{chat.TextAutoAnswer: {"en": "Hello."}},
	}))
	w.listening()
	w.control.SetPrivacy(bob, cloud.Privacy{Calls: cloud.Nobody})
	ends := func(want bridge.Reason) {
		t.Helper()
		wantEnd(t, o.Dial(context.Background(), byAnna("bob_b", "")), want)
	}
	ends(bridge.Privacy) // of a stranger's
	w.settled(1)
	w.wantAnswers(bob)
	w.becomesKnown(o, bob, "bob_b")
	w.wantAnswers(bob, "Hello.")
	w.control.BlockUser(bob, trunk, true)
	ends(bridge.Blocked)
	w.settled(2)
	w.wantAnswers(bob, "Hello.")
	w.control.BlockUser(bob, trunk, false)
	for range 2 {
		ends(bridge.Privacy)
	}
	w.settled(3)
	w.wantAnswers(bob, "Hello.", told)
}

// Strangers are told where the account says so, once Telegram has refused a call that the budget has paid for.
func TestPrivacyIsToldToStrangers(t *testing.T) {
	limits := guard.Defaults()
	limits.Gap, limits.WarmUp, limits.PerDay = 0, 0, 1
	w, o := open(t, func(o *telegram.Options) { o.Guard = &limits }, answering(t, chat.Options{
		Unmatched: chat.Unmatched{AutoAnswer: time.Nanosecond},
		Unreached: chat.Unreached{Private: chat.Private{Every: time.Nanosecond, Strangers: true}},
		Texts:     chat.Texts{chat.TextPrivate: {"en": "Please let us call."}},
	}))
	w.listening()
	for _, id := range []int64{alice, bob} {
		w.control.SetPrivacy(id, cloud.Privacy{Calls: cloud.Nobody})
	}
	wantEnd(t, o.Dial(context.Background(), byAnna("bob_b", "")), bridge.Privacy)
	w.wantAnswers(bob, "Please let us call.")
	wantEnd(t, o.Dial(context.Background(), byAnna("bob_b", "")), bridge.Privacy)  // as the guard remembers
	wantEnd(t, o.Dial(context.Background(), byAnna("alice_a", "")), bridge.Budget) // which is spent
	w.settled(1)
	w.wantAnswers(bob, "Please let us call.")
	w.wantAnswers(alice)
}

// Whoever could not be reached is written to as account and route say; a caller who gives up is another matter.
func TestOfflineWritesAMessage(t *testing.T) {
	const told = "We tried to reach you: Anna, ext 201."
	for _, test := range []struct {
		account, route routing.Offline
		missed         time.Duration
		cancel         bool
		want           []string
	}{
		{routing.OfflineAccount, routing.OfflineAccount, 0, false, nil},
		{routing.OfflineMessage, routing.OfflineAccount, 0, false, []string{told}},
		{routing.OfflineMessage, routing.OfflineAccount, 0, true, nil},
		{routing.OfflineMessage, routing.OfflineCall, time.Hour, false, nil},
		{routing.OfflineAccount, routing.OfflineMessage, 0, false, []string{told}},
		{routing.OfflineAccount, routing.OfflineCall, time.Hour, true, []string{told}}, // it was missed, not out of reach
	} {
		t.Run(fmt.Sprintf("account %q, route %q, missed %v, cancelled %v", test.account, test.route, test.missed, test.cancel), func(t *testing.T) {
			w, o := open(t, unguarded, func(o *telegram.Options) { o.Calls.Limits.ReachedIn = 500 * time.Millisecond }, answering(t, chat.Options{
				Missed: test.missed, Unreached: chat.Unreached{Offline: test.account},
				Unmatched: chat.Unmatched{AutoAnswer: time.Hour}, Texts: chat.Texts{chat.TextAutoAnswer: {"en": "Hello."}},
			}))
			w.listening()
			w.becomesKnown(o, bob, "bob_b") // who has no phone
			w.wantAnswers(bob, "Hello.")
			target := byAnna("bob_b", test.route)
			if test.cancel {
				target.ReachedIn = 15 * time.Second
			}
			l := o.Dial(context.Background(), target)
			if test.cancel {
				eventually(t, func() error {
					if len(w.control.ActiveCalls()) == 0 {
						return errors.New("no call is under way")
					}
					return nil
				})
				l.Hangup(bridge.CauseOf(bridge.Cancelled))
				wantEnd(t, l, bridge.Cancelled)
			} else {
				wantEnd(t, l, bridge.Unreachable)
			}
			w.settled(1)
			w.wantAnswers(bob, append([]string{"Hello."}, test.want...)...)
		})
	}
}

// A call that is given up while Telegram's answer to its request is on its way was missed like any other.
func TestGivenUpOnItsWayWasMissed(t *testing.T) {
	w, o := open(t, unguarded, answering(t, chat.Options{Missed: time.Hour}))
	w.listening()
	w.becomesKnown(o, bob, "bob_b")
	release := w.control.HoldAnswer(trunk, "phone.requestCall")
	leg := o.Dial(context.Background(), byAnna("bob_b", ""))
	eventually(t, func() error {
		if len(w.control.ActiveCalls()) == 0 {
			return errors.New("no call is under way")
		}
		return nil
	})
	leg.Hangup(bridge.CauseOf(bridge.Cancelled))
	wantEnd(t, leg, bridge.Cancelled)
	w.wantAnswers(bob)
	release()
	w.wantAnswers(bob, "We tried to reach you: Anna, ext 201.")
}

// What means nothing is handed on with who has written it, beside the answer; what means something is not.
func TestMessagesAreHandedOn(t *testing.T) {
	heard := make(chan telegram.Message, 10)
	w, o := open(t, answering(t, chat.Options{
		Language: "de", Unmatched: chat.Unmatched{AutoAnswer: time.Hour, Forward: true}, Menu: chat.Menu{Words: chat.Words{"de": {"menü"}}},
		Departments: []chat.Department{{Name: map[string]string{"de": "Vertrieb"}, Place: chat.Place{Extension: "600"}}},
		Limits:      chat.Limits{Told: chat.Bucket{Count: 2, Per: time.Hour}},
	}), func(o *telegram.Options) { o.Messages = func(m telegram.Message) { heard <- m } })
	w.listening()
	before := time.Now().Truncate(time.Second)
	w.writes(alice, "menü")
	for i := range 5 {
		w.writes(alice, fmt.Sprintf("Wo bleibt {name}? %d", i))
	}
	w.settled(1) // and carol's word is handed on, too
	var last int
	for i, want := range []struct {
		from           int64
		text, language string
	}{{alice, "Wo bleibt {name}? 0", "de"}, {alice, "Wo bleibt {name}? 1", "de"}, {carol, "hello", ""}} {
		select {
		case m := <-heard:
			if m.Account != o.Name() || m.From.UserID != want.from || m.From.Username == "" || m.Text != want.text || m.Language != want.language ||
				m.ID <= last || m.Sent.Before(before) || m.Sent.After(time.Now()) {
				t.Errorf("%d: %+v", i, m)
			}
			last = m.ID
		case <-time.After(soon):
			t.Fatalf("%d: nothing is handed on", i)
		}
	}
	select {
	case m := <-heard:
		t.Errorf("too much is handed on: %+v", m)
	default:
	}
	w.wantAnswers(bob)
}
