package telegram_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/routing"
	"github.com/tgtrunk/tgtrunk/telegram"
	"github.com/tgtrunk/tgtrunk/telegram/chat"
	"github.com/tgtrunk/tgtrunk/telegram/cloud"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/phone"
)

// answering makes an account answer messages.
func answering(t testing.TB, o chat.Options) func(*telegram.Options) {
	t.Helper()
	desk, err := chat.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return func(options *telegram.Options) { options.Chat = desk }
}

// writes sends the account a message.
func (w *world) writes(from int64, text string) {
	w.t.Helper()
	if err := w.control.SendMessage(from, trunk, text); err != nil {
		w.t.Fatal(err)
	}
}

// listening waits until the account has asked where its updates stand.
func (w *world) listening() {
	w.t.Helper()
	eventually(w.t, func() error {
		if w.control.Queries(trunk, "updates.getState")+w.control.Queries(trunk, "updates.getDifference") == 0 {
			return errors.New("the account does not listen")
		}
		return nil
	})
}

// answers are what the account has written to somebody.
func (w *world) answers(to int64) (texts []string) {
	for _, m := range w.control.History(trunk, to) {
		if m.Out {
			texts = append(texts, m.Text)
		}
	}
	return texts
}

func (w *world) wantAnswers(to int64, want ...string) {
	w.t.Helper()
	eventually(w.t, func() error {
		if got := w.answers(to); !slices.Equal(got, want) {
			return fmt.Errorf("the account has written %q, want %q", got, want)
		}
		return nil
	})
}

// Only people are answered, in private chats, and only once in a while.
func TestWhoIsAnswered(t *testing.T) {
	w, options := loginOnce(t)
	answering(t, chat.Options{Unmatched: chat.Unmatched{AutoAnswer: time.Hour}, Menu: chat.Menu{Words: chat.Words{"en": {"menu"}}},
		Departments: []chat.Department{{Name: map[string]string{"en": "Sales"}, Place: chat.Place{Extension: "600"}}}})(&options)
	o := w.run(newAccount(t, options))
	w.listening() // an account that has never been here begins with what comes now
	const answer = "Nobody reads messages here. Please call this account."
	w.writes(robot, "hello from a bot")
	w.writes(alice, "")
	for _, m := range []cloud.Message{{Text: "by a bot", ViaBot: robot}, {Text: "I am away", Away: true}} {
		if err := w.control.Send(bob, trunk, m); err != nil {
			t.Fatal(err)
		}
	}
	w.writes(777000, "Login code: 12345")
	w.writes(trunk, "a note to oneself")
	w.writes(alice, "hello again")
	w.writes(carol, "hello")
	w.wantAnswers(carol, answer)
	w.wantAnswers(alice, answer)
	w.writes(bob, "menu")
	w.wantAnswers(bob, "Answer with a number, and we call you and connect you:\n1. Sales")
	for _, id := range []int64{robot, 777000} {
		if got := w.answers(id); len(got) != 0 {
			t.Errorf("%d was answered: %q", id, got)
		}
	}
	if got := w.answers(trunk); !slices.Equal(got, []string{"a note to oneself"}) {
		t.Errorf("the account talks to itself: %q", got)
	}
	// What was said is remembered by the next run.
	o.stop()
	again := w.run(newAccount(t, options))
	w.writes(carol, "still there?")
	w.writes(carol, "menu")
	w.wantAnswers(carol, answer, "Answer with a number, and we call you and connect you:\n1. Sales")
	again.stop()
}

// Digits in the chat become DTMF of the call; those of the PBX are shown in one message.
func TestDigitsBothWays(t *testing.T) {
	w, o := open(t, answering(t, chat.Options{Digits: chat.Digits{ToPBX: true, ToUser: true}, Unmatched: chat.Unmatched{AutoAnswer: time.Hour}}))
	p := w.phone(alice, phone.Behaviour{})
	c := w.calls(p, phone.Behaviour{})
	l := o.offer().Leg
	l.Answer()
	up(t, l)
	w.writes(alice, "12 A*#")
	for _, want := range []byte("12A*#") {
		if got := next[bridge.Digit](t, l).Digit; got != want {
			t.Errorf("digit %q, want %q", got, want)
		}
	}
	for _, d := range []byte("123") {
		l.(bridge.ToneSender).SendDigit(d)
	}
	w.wantAnswers(alice, "☎ 123")
	l.(bridge.ToneSender).SendDigit('4')
	w.wantAnswers(alice, "☎ 1234")
	if all := w.control.History(alice, trunk); !all[len(all)-1].Edited {
		t.Errorf("the digits are no edited message: %+v", all)
	}
	c.Hangup()
	wantEnd(t, l, bridge.Normal)
	over(t, c)
	w.writes(alice, "12") // no call is up any more
	w.wantAnswers(alice, "☎ 1234", "Nobody reads messages here. Please call this account.")
}

// A message that is edited is the same message: its digits are not played again, and it asks for nothing.
func TestEditedMessagesAreNotReadAgain(t *testing.T) {
	w, o := open(t, answering(t, chat.Options{
		Digits: chat.Digits{ToPBX: true, ToUser: true}, Unmatched: chat.Unmatched{AutoAnswer: time.Hour}, CallBack: chat.CallBack{Words: chat.Words{"en": {"call me"}}},
	}))
	w.listening()
	p := w.phone(alice, phone.Behaviour{})
	c := w.calls(p, phone.Behaviour{})
	l := o.offer().Leg
	l.Answer()
	up(t, l)
	edits := func(text string) {
		t.Helper()
		all := w.control.History(alice, trunk)
		for i := len(all) - 1; i >= 0; i-- {
			if all[i].Out {
				if err := w.control.EditMessage(alice, all[i].ID, text); err != nil {
					t.Fatal(err)
				}
				return
			}
		}
	}
	plays := func(digits string) {
		t.Helper()
		for _, want := range []byte(digits) {
			if got := next[bridge.Digit](t, l).Digit; got != want {
				t.Errorf("digit %q, want %q of %s", got, want, digits)
			}
		}
	}
	w.writes(alice, "12")
	edits("123")
	w.writes(alice, "4")
	plays("124")
	// A message that was edited before the account has heard of it is read once, as it is then.
	w.control.DropUpdates(trunk, true)
	w.writes(alice, "5")
	edits("56")
	w.control.DropUpdates(trunk, false)
	w.writes(alice, "7") // leaves a gap before it
	plays("567")
	l.(bridge.ToneSender).SendDigit('1')
	w.wantAnswers(alice, "☎ 1")
	l.(bridge.ToneSender).SendDigit('2')
	w.wantAnswers(alice, "☎ 12") // its own edit has arrived at the person
	for _, m := range w.control.History(alice, trunk) {
		if !m.Out && (m.Text != "☎ 12" || !m.Edited) {
			t.Errorf("the person sees %+v", m)
		}
	}
	c.Hangup()
	wantEnd(t, l, bridge.Normal)
	over(t, c)

	const answer = "Nobody reads messages here. Please call this account."
	w.writes(alice, "hello")
	w.wantAnswers(alice, "☎ 12", answer)
	p.Behave(phone.Behaviour{Action: phone.Decline})
	edits("call me")
	w.writes(alice, "hello?")
	w.writes(alice, "call me")
	w.wantAnswers(alice, "☎ 12", answer, "We are calling you.")
	over(t, incoming(t, p, 0))
	w.noCalls()
	if n := len(w.control.Calls()); n != 2 {
		t.Errorf("%d calls, want 2", n)
	}
}

// Whoever asks for an extension is called, and the call is offered when the person is on the phone.
func TestCallByMessage(t *testing.T) {
	w, o := open(t, answering(t, chat.Options{Extensions: chat.Extensions{Context: "chat", Allow: []routing.Range{{First: "200", Last: "299"}}}, Missed: time.Hour}))
	p := w.phone(alice, phone.Behaviour{After: 50 * time.Millisecond})
	w.writes(alice, "+49900123456")
	w.writes(alice, "300")
	w.writes(alice, "201")
	w.wantAnswers(alice, "We are calling you to connect you with 201.")
	c := incoming(t, p, 0)
	offer := o.offer()
	if offer.Place != (routing.Place{Context: "chat", Extension: "201"}) || offer.Caller.UserID != alice || offer.Dialled != "" ||
		offer.Variables["TGTRUNK_CHAT"] != "extension" || offer.Variables["TGTRUNK_USERID"] != fmt.Sprint(alice) {
		t.Errorf("the offer is %+v", offer)
	}
	next[bridge.Media](t, offer.Leg)
	w.writes(alice, "202") // one call at a time
	w.wantAnswers(alice, "We are calling you to connect you with 201.", "We are calling you to connect you with 202.")
	offer.Leg.Hangup(bridge.CauseOf(bridge.NoAnswer))
	wantEnd(t, offer.Leg, bridge.NoAnswer)
	over(t, c)
	eventually(t, func() error {
		if got := w.answers(alice); len(got) != 3 || !strings.HasPrefix(got[2], "You called") {
			return fmt.Errorf("the account has written %q", got)
		}
		return nil
	})
	if n := len(w.control.Calls()); n != 1 {
		t.Errorf("%d calls, want 1", n)
	}
}

// A person who does not answer is never connected with anybody.
func TestCallByMessageThatIsDeclined(t *testing.T) {
	w, o := open(t, answering(t, chat.Options{CallBack: chat.CallBack{Words: chat.Words{"en": {"call me"}}}}))
	p := w.phone(alice, phone.Behaviour{Action: phone.Decline})
	if err := w.control.Send(alice, trunk, cloud.Message{Card: alice}); err != nil {
		t.Fatal(err)
	}
	over(t, incoming(t, p, 0))
	w.noCalls()
	select {
	case offer := <-o.offers:
		t.Errorf("a call is offered: %+v", offer)
	default:
	}
}

// The person sees who calls, whom a missed call was from, and gets the same agent back.
func TestCardAndCallBackToTheAgent(t *testing.T) {
	w, o := open(t, answering(t, chat.Options{
		Card: true, Missed: time.Hour, CallBack: chat.CallBack{Words: chat.Words{"en": {"call me"}}},
		Extensions: chat.Extensions{Allow: []routing.Range{{First: "201", Last: "201"}}},
		Texts:      chat.Texts{chat.TextCard: {"en": "Call from {name}[, {DEPARTMENT}][, {TEAM}], ext {number}"}},
	}))
	p := w.phone(alice, phone.Behaviour{Action: phone.Ignore})
	target := routing.Target{Trunk: "office", Number: byName("alice_a"), Caller: routing.Party{Number: "201", Name: "Anna"},
		Variables: map[string]string{"DEPARTMENT": "Sales"}}
	l := o.Dial(context.Background(), target) // to a stranger: nothing is written
	next[bridge.Reached](t, l)
	l.Hangup(bridge.CauseOf(bridge.NoAnswer))
	end(t, l)
	w.noCalls()
	w.listening()
	w.writes(alice, "hello")
	eventually(t, func() error {
		if !o.Knows(byName("alice_a")) {
			return fmt.Errorf("the person is a stranger")
		}
		return nil
	})
	const card, tried = "Call from Anna, Sales, ext 201", "We tried to reach you: Anna, ext 201."
	l = o.Dial(context.Background(), target)
	next[bridge.Reached](t, l)
	w.wantAnswers(alice, card) // while it rings
	l.Hangup(bridge.CauseOf(bridge.NoAnswer))
	end(t, l)
	w.wantAnswers(alice, card, tried)
	p.Behave(phone.Behaviour{Action: phone.Answer})
	l = o.Dial(context.Background(), target)
	up(t, l)
	w.wantAnswers(alice, card, tried, card)
	l.Hangup(bridge.CauseOf(bridge.Normal))
	end(t, l)
	w.noCalls()
	w.writes(alice, "Call me!")
	if offer := o.offer(); offer.Place.Extension != "201" || offer.Variables["TGTRUNK_CHAT"] != "callback" {
		t.Errorf("the offer is %+v", offer)
	} else {
		up(t, offer.Leg)
		offer.Leg.Hangup(bridge.CauseOf(bridge.Normal))
		end(t, offer.Leg)
	}
	w.wantAnswers(alice, card, tried, card, "We are calling you to connect you with Anna.")
}
