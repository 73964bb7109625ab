package telegram

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/tg"

	"github.com/tgtrunk/tgtrunk/telegram/calls"
	"github.com/tgtrunk/tgtrunk/telegram/chat"
)

// invoker is told of requests, and refuses them.
type invoker func()

func (f invoker) Invoke(context.Context, bin.Encoder, bin.Decoder) error {
	f()
	return errors.New("refused")
}

// Nobody is told that they are called when the call is over by then; what is to be said of a call that was missed waits
// for the next session.
func TestCardsOfCallsThatAreOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, turn, _ := deskOf(t, chat.Options{Card: true, Missed: time.Hour})
		said := 0
		turn.api = tg.NewClient(invoker(func() { said++ }))
		l := newLeg(d.account, "x")
		l.outgoing, l.with, l.caller = true, Peer{ID: 5000, AccessHash: 1, Person: true, Met: true}, &chat.Caller{Agent: chat.Agent{Extension: "201"}}
		limit := time.NewTimer(time.Hour)
		defer limit.Stop()
		d.join(l)
		l.tell(calls.Requested{}, limit)
		if n := len(d.jobs); n != 0 {
			t.Errorf("%d cards while nothing rings", n)
		}
		l.tell(calls.Received{}, limit)
		if n := len(d.jobs); n != 1 {
			t.Fatalf("%d cards while it rings", n)
		}
		d.close(context.Background(), nil) // the session drops, and the call with it
		if n := len(d.jobs); n != 0 {
			t.Errorf("%d cards are left for the next session", n)
		}
		l.tell(calls.Received{}, limit)
		d.leave(l)
		d.ended(l, calls.Ended{Reason: calls.Missed})
		if n := len(d.jobs); n != 2 {
			t.Fatalf("%d jobs", n)
		}
		if d.work(t.Context(), turn, <-d.jobs); said != 0 {
			t.Error("who calls was said when the call was over")
		}
		d.close(context.Background(), nil)
		if n := len(d.jobs); n != 1 {
			t.Errorf("%d notices are left for the next session, want 1", n)
		}
	})
}
