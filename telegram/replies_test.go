package telegram_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/telegram"
	"github.com/tgtrunk/tgtrunk/telegram/chat"
)

// What somebody else answers to a message reaches the person, whichever process it is told to, also when the account was
// down at that moment; each answer once, and in order.
func TestReplies(t *testing.T) {
	w, options := loginOnce(t)
	answering(t, chat.Options{Unmatched: chat.Unmatched{Forward: true}})(&options)
	heard := make(chan telegram.Message, 8)
	options.Messages = func(m telegram.Message) { heard <- m }
	running := newAccount(t, options)
	o := w.run(running)
	w.listening()
	w.writes(alice, "Where is my order?")
	var m telegram.Message
	select {
	case m = <-heard:
	case <-time.After(soon):
		t.Fatal("the message is not handed on")
	}
	reply := func(a *telegram.Account, id, text string) {
		t.Helper()
		if err := a.Reply(t.Context(), id, m.From.UserID, text); err != nil {
			t.Error(err)
		}
	}
	for n := range 3 {
		reply(running, fmt.Sprint("9", 9-n), fmt.Sprint("first ", n))
	}
	w.wantAnswers(alice, "first 0", "first 1", "first 2")
	standby := newAccount(t, options) // it shares the store
	reply(standby, "b", " second\n")
	w.wantAnswers(alice, "first 0", "first 1", "first 2", "second")
	o.stop()
	reply(standby, "c", "third")
	reply(standby, "c", "the same, told again")
	again := w.run(standby)
	w.wantAnswers(alice, "first 0", "first 1", "first 2", "second", "third")
	if err := standby.Reply(t.Context(), "d", carol, "to somebody the account has never met"); err != nil {
		t.Error(err)
	}
	reply(standby, "e", "fourth")
	w.wantAnswers(alice, "first 0", "first 1", "first 2", "second", "third", "fourth")
	if got := w.answers(carol); len(got) != 0 {
		t.Errorf("carol is told %q", got)
	}
	again.stop()
}

func TestRepliesThatAreRefused(t *testing.T) {
	w := newWorld(t)
	options := w.options()
	silent := newAccount(t, options)
	answering(t, chat.Options{Unmatched: chat.Unmatched{Forward: true}})(&options)
	a := newAccount(t, options)
	for _, c := range []struct {
		account    *telegram.Account
		text, want string
	}{
		{silent, "text", "hands no messages on"},
		{a, " \n", "no text"},
		{a, strings.Repeat("😀", 2049), "4098 characters, a message may have 4096"},
		{a, strings.Repeat("😀", 2048), ""},
	} {
		err := c.account.Reply(t.Context(), "id", alice, c.text)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.10q: %v, want %q", c.text, err, c.want)
		}
	}
	if err := options.Store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := a.Reply(t.Context(), "id", alice, "text"); err == nil {
		t.Error("a reply that could not be kept is no error")
	} else if errors.Unwrap(err) == nil {
		t.Error(err)
	}
}
