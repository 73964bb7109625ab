package calls

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestLeave: a call that is left is over for us, and Telegram hears nothing of that; its other devices can take it. A call
// that somebody wants rings from then on.
func TestLeave(t *testing.T) {
	for _, mode := range []ReceivedMode{ReceivedNever, ReceivedOnceTaken, ReceivedLate} {
		bubble(t, func(t *testing.T, x *exchange) {
			a, b := x.join(alice, atOnce), x.join(bob, func(o *Options) { o.Received = mode })
			out := a.Place(to(bob))
			in := b.next(t)
			synctest.Wait()
			in.Leave()
			if e := ended(t, in); e.Remote || e.Err != nil || e.Duration != 0 {
				t.Errorf("mode %d: ended %+v", mode, e)
			}
			time.Sleep(10 * time.Second)
			if got := x.said(bob, ""); len(got) != 0 || x.open() != 1 {
				t.Errorf("mode %d: said %q, %d calls are open", mode, got, x.open())
			}
			in.Taken() // too late
			in.Discard(Ordinary)
			out.Discard(Ordinary)
			ended(t, out)
		})
	}
	bubble(t, func(t *testing.T, x *exchange) {
		a, b := x.join(alice, atOnce), x.join(bob, func(o *Options) { o.Received = ReceivedOnceTaken })
		out := a.Place(to(bob))
		in := b.next(t)
		synctest.Wait()
		if got := x.said(bob, ""); len(got) != 0 {
			t.Errorf("before anybody wants the call it said %q", got)
		}
		in.Taken()
		in.Taken()
		synctest.Wait()
		if got := x.said(bob, ""); !slices.Equal(got, []string{"receivedCall"}) {
			t.Errorf("said %q", got)
		}
		time.Sleep(time.Minute)
		in.Leave()
		ended(t, in)
		out.Discard(Ordinary)
		ended(t, out)
		if got := x.said(bob, "discardCall"); len(got) != 0 {
			t.Errorf("said %q", got)
		}
	})
	bubble(t, func(t *testing.T, x *exchange) { // one that is up is hung up
		a, b := x.join(alice, atOnce), x.join(bob, atOnce)
		out, in := talk(t, a, b)
		in.Leave()
		ended(t, in)
		if e := ended(t, out); e.Reason != Hangup || !e.Remote {
			t.Errorf("the other side was told %+v", e)
		}
	})
}
