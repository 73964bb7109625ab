package calls

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gotd/td/tg"
	"github.com/gotd/td/tgerr"
)

func late(o *Options) { o.Received = ReceivedLate }

// receivedAfter is how long the caller waits for ringing; the call must not end before.
func receivedAfter(t *testing.T, out *Call) time.Duration {
	t.Helper()
	began := time.Now()
	for {
		switch e := next(t, out).(type) {
		case Received:
			return time.Since(began)
		case Ended:
			t.Fatalf("ended %+v without ringing", e)
		}
	}
}

// TestSilence: how long a caller who hears no ringing is left waiting.
func TestSilence(t *testing.T) {
	for _, c := range []struct {
		name     string
		limits   Limits
		timeouts Timeouts
		age      time.Duration
		want     time.Duration
	}{
		{name: "by default", want: 18 * time.Second},
		{name: "own limit", limits: Limits{Silent: 5 * time.Second}, want: 5 * time.Second},
		{name: "own limit is longer than the caller's", limits: Limits{Silent: time.Minute}, want: 18 * time.Second},
		{name: "telegram's limit is shorter", timeouts: Timeouts{Receive: 10 * time.Second}, want: 9 * time.Second},
		{name: "telegram's limit is longer", timeouts: Timeouts{Receive: time.Minute}, want: 18 * time.Second},
		{name: "call comes late", age: 10 * time.Second, want: 8 * time.Second},
		{name: "call comes too late", age: 40 * time.Second, want: time.Second},
		{name: "call comes from the future", age: -40 * time.Second, want: 18 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, x *exchange) {
				b := x.join(bob, func(o *Options) { o.Limits, o.Timeouts = c.limits, c.timeouts })
				began := time.Now()
				_ = b.HandleCall(t.Context(), &tg.UpdatePhoneCall{PhoneCall: &tg.PhoneCallRequested{
					ID: 5, Date: int(began.Add(-c.age).Unix()), AdminID: alice, ParticipantID: bob,
				}})
				e := ended(t, b.next(t))
				if e.Err == nil || e.Err.Kind != NotAnswered || e.Reason != Missed || e.Remote {
					t.Errorf("ended %+v", e)
				}
				if got := time.Since(began); got != c.want {
					t.Errorf("ended after %v, want %v", got, c.want)
				}
				synctest.Wait()
				if got := x.said(bob, ""); len(got) != 1 || got[0] != "discardCall missed 0" {
					t.Errorf("said %q", got)
				}
			})
		})
	}
}

// TestReceivedLate: an account that rings where it does no harm.
func TestReceivedLate(t *testing.T) {
	t.Run("accepted soon", func(t *testing.T) {
		bubble(t, func(t *testing.T, x *exchange) {
			a, b := x.join(alice), x.join(bob, late)
			for range 3 { // and so several at once
				out := a.Place(to(bob))
				in := b.next(t)
				time.Sleep(quiet - time.Millisecond)
				in.Accept()
				expect[Requested](t, out)
				expect[Accepted](t, out)
				expect[Established](t, out)
			}
			if got := x.said(bob, "receivedCall"); got != nil {
				t.Errorf("said %q", got)
			}
		})
	})
	t.Run("alone", func(t *testing.T) {
		bubble(t, func(t *testing.T, x *exchange) {
			a, b := x.join(alice), x.join(bob, late)
			out := a.Place(to(bob))
			in := b.next(t)
			if got := receivedAfter(t, out); got != quiet {
				t.Errorf("rings after %v", got)
			}
			time.Sleep(80 * time.Second)
			in.Accept()
			expect[Accepted](t, out)
			expect[Established](t, out)
		})
	})
	t.Run("beside a call that is up", func(t *testing.T) {
		bubble(t, func(t *testing.T, x *exchange) {
			a, b := x.join(alice), x.join(bob, late)
			talk(t, a, b)
			out := a.Place(to(bob))
			in := b.next(t)
			if got := receivedAfter(t, out); got != 18*time.Second {
				t.Errorf("rings after %v", got)
			}
			time.Sleep(60 * time.Second)
			in.Accept()
			expect[Accepted](t, out)
		})
	})
	t.Run("beside an outgoing call", func(t *testing.T) {
		bubble(t, func(t *testing.T, x *exchange) {
			a, b := x.join(alice), x.join(bob, late)
			b.Place(to(alice)) // it rings only: that is a call as well
			a.next(t)
			out := a.Place(to(bob))
			b.next(t)
			if got := receivedAfter(t, out); got != 18*time.Second {
				t.Errorf("rings after %v", got)
			}
		})
	})
	t.Run("the other call ends", func(t *testing.T) {
		bubble(t, func(t *testing.T, x *exchange) {
			a, b := x.join(alice), x.join(bob, late)
			up, _ := talk(t, a, b)
			out := a.Place(to(bob))
			b.next(t)
			time.AfterFunc(7*time.Second, func() { up.Discard(Ordinary) })
			if got := receivedAfter(t, out); got != 7*time.Second {
				t.Errorf("rings after %v", got)
			}
			if n := len(x.said(bob, "receivedCall")); n != 1 {
				t.Errorf("reported %d times", n)
			}
		})
	})
	t.Run("the other call ends at once", func(t *testing.T) {
		bubble(t, func(t *testing.T, x *exchange) {
			a, b := x.join(alice), x.join(bob, late)
			up, _ := talk(t, a, b)
			out := a.Place(to(bob))
			b.next(t)
			up.Discard(Ordinary)
			if got := receivedAfter(t, out); got != quiet {
				t.Errorf("rings after %v", got)
			}
		})
	})
	t.Run("two wait", func(t *testing.T) {
		bubble(t, func(t *testing.T, x *exchange) {
			a, c, b := x.join(alice), x.join(3003), x.join(bob, late)
			first := a.Place(to(bob))
			b.next(t)
			time.Sleep(time.Second)
			second := c.Place(to(bob))
			b.next(t)
			if got := receivedAfter(t, first); got != 17*time.Second {
				t.Errorf("first rings after %v", got)
			}
			if got := receivedAfter(t, second); got != time.Second {
				t.Errorf("second rings after %v", got)
			}
			if e := ended(t, first); e.Err == nil || e.Err.Kind != NotAnswered {
				t.Errorf("first ended %+v", e)
			}
		})
	})
	t.Run("nobody accepts and nobody gives up", func(t *testing.T) {
		bubble(t, func(t *testing.T, x *exchange) {
			b := x.join(bob, late)
			began := time.Now()
			_ = b.HandleCall(t.Context(), &tg.UpdatePhoneCall{PhoneCall: &tg.PhoneCallRequested{
				ID: 5, Date: int(began.Unix()), AdminID: alice, ParticipantID: bob,
			}})
			ended(t, b.next(t))
			if got := time.Since(began); got != quiet+90*time.Second+ringGrace {
				t.Errorf("ended after %v", got)
			}
		})
	})
}

// TestChangedTimeouts: Telegram's limits are others than usual, and our own hold where they are shorter.
func TestChangedTimeouts(t *testing.T) {
	short := Timeouts{Receive: 7 * time.Second, Ring: 31 * time.Second, Connect: 4 * time.Second}
	for _, c := range []struct {
		name    string
		own     Limits
		prepare func(x *exchange)
		accept  bool
		want    time.Duration
	}{
		{name: "ring", want: 31 * time.Second},
		{name: "receive", want: 7 * time.Second, prepare: func(x *exchange) { x.fails(bob, "receivedCall", tgerr.New(500, "NO")) }},
		{name: "reached", want: 3 * time.Second, own: Limits{Reached: 3 * time.Second}, prepare: func(x *exchange) { x.fails(bob, "receivedCall", tgerr.New(500, "NO")) }},
		{name: "reached later than telegram allows", want: 7 * time.Second, own: Limits{Reached: time.Minute}, prepare: func(x *exchange) { x.fails(bob, "receivedCall", tgerr.New(500, "NO")) }},
		{name: "connect", want: 4 * time.Second, accept: true, prepare: func(x *exchange) {
			x.engines[alice], x.engines[bob] = &fakeEngine{deaf: true}, &fakeEngine{deaf: true}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, x *exchange) {
				if c.prepare != nil {
					c.prepare(x)
				}
				a, b := x.join(alice, func(o *Options) { o.Limits = c.own }), x.join(bob, atOnce)
				a.SetTimeouts(short)
				began := time.Now()
				out := a.Place(to(bob))
				in := b.next(t)
				if c.accept {
					in.Accept()
				}
				ended(t, out)
				if got := time.Since(began); got != c.want {
					t.Errorf("ended after %v, want %v", got, c.want)
				}
				ended(t, in)
			})
		})
	}
	t.Run("callee waits for the confirmation", func(t *testing.T) {
		bubble(t, func(t *testing.T, x *exchange) {
			x.drop["phoneCall"] = true
			a, b := x.join(alice), x.join(bob)
			b.SetTimeouts(short)
			out := a.Place(to(bob))
			in := b.next(t)
			began := time.Now()
			in.Accept()
			if e := ended(t, in); e.Err == nil || e.Err.Kind != NoMedia || time.Since(began) != 7*time.Second {
				t.Errorf("ended %+v after %v", e, time.Since(began))
			}
			ended(t, out)
		})
	})
	t.Run("a call that rings keeps its limit", func(t *testing.T) {
		bubble(t, func(t *testing.T, x *exchange) {
			a, b := x.join(alice), x.join(bob, atOnce)
			began := time.Now()
			out := a.Place(to(bob))
			b.next(t)
			synctest.Wait()
			a.SetTimeouts(short)
			ended(t, out)
			if got := time.Since(began); got != 90*time.Second {
				t.Errorf("ended after %v", got)
			}
		})
	})
}

// TestRelayOnly: what Telegram and the engine are told, whatever Telegram allows.
func TestRelayOnly(t *testing.T) {
	bubble(t, func(t *testing.T, x *exchange) {
		a, b := x.join(alice, func(o *Options) { o.RelayOnly = true }), x.join(bob)
		for _, placed := range []*user{a, b} {
			peer := map[*user]int64{a: bob, b: alice}[placed]
			callee := map[*user]*user{a: b, b: a}[placed]
			out := placed.Place(to(peer))
			callee.next(t).Accept()
			for {
				if _, ok := next(t, out).(Established); ok {
					break
				}
			}
			if x.engine(alice).config.P2P || !x.engine(bob).config.P2P {
				t.Errorf("p2p of the engines: %v, %v", x.engine(alice).config.P2P, x.engine(bob).config.P2P)
			}
		}
		for user, want := range map[int64]bool{alice: false, bob: true} {
			p := newCall(x.lines[user], true).protocol()
			if p.UDPP2P != want || !p.UDPReflector {
				t.Errorf("user %d says %+v", user, p)
			}
		}
	})
}

// TestOutOfOrder: the end of a call comes before its beginning, as it does after a gap. Nobody is asked to answer it for
// long, and Telegram is told nothing.
func TestOutOfOrder(t *testing.T) {
	for _, mode := range []ReceivedMode{ReceivedNever, ReceivedAtOnce, ReceivedOnceTaken, ReceivedLate} {
		bubble(t, func(t *testing.T, x *exchange) {
			b := x.join(bob, func(o *Options) { o.Received = mode })
			gone := &tg.PhoneCallDiscarded{ID: 5}
			gone.SetReason(&tg.PhoneCallDiscardReasonMissed{})
			x.send(bob, gone)
			began := time.Now()
			x.send(bob, &tg.PhoneCallRequested{ID: 5, Date: int(began.Unix()), AdminID: alice, ParticipantID: bob})
			c := b.next(t)
			c.Accept()
			if e := ended(t, c); e.Reason != Missed || !e.Remote || e.Err != nil || time.Since(began) != 0 {
				t.Errorf("ended %+v after %v", e, time.Since(began))
			}
			synctest.Wait()
			if got := x.said(bob, "acceptCall"); got != nil {
				t.Errorf("said %q", got)
			}
			if got := x.said(bob, "discardCall"); got != nil {
				t.Errorf("said %q", got)
			}
		})
	}
}

// TestShuffledUpdates: news of a call overtake each other, and what is old comes again.
func TestShuffledUpdates(t *testing.T) {
	bubble(t, func(t *testing.T, x *exchange) {
		a, b := x.join(alice), x.join(bob, atOnce)
		out := a.Place(to(bob))
		in := b.next(t)
		synctest.Wait()
		in.Accept()
		for {
			if _, ok := next(t, out).(Established); ok {
				break
			}
		}
		old := *x.calls[out.ID()]
		for range 2 { // the callee's reception and acceptance, once more and late
			x.send(alice, old.waiting(true))
			x.send(alice, &tg.PhoneCallAccepted{ID: old.id, AccessHash: old.hash, AdminID: alice, ParticipantID: bob, GB: []byte{5}, Protocol: old.protocol})
			x.send(bob, old.final([]byte{7}, 9))
		}
		synctest.Wait()
		if len(out.Events()) != 0 {
			t.Errorf("the caller hears of %T", next(t, out))
		}
		if n := len(x.said(alice, "confirmCall")); n != 1 {
			t.Errorf("confirmed %d times", n)
		}
		out.Discard(Ordinary)
		if e := ended(t, in); e.Reason != Hangup || e.Err != nil {
			t.Errorf("ended %+v", e)
		}
	})
}

// TestVanishedCaller: the caller's phone dies and says nothing. The callee is free again after a while, and says so.
func TestVanishedCaller(t *testing.T) {
	for mode, want := range map[ReceivedMode]time.Duration{
		ReceivedNever: 18 * time.Second, ReceivedAtOnce: 90*time.Second + ringGrace, ReceivedLate: quiet + 90*time.Second + ringGrace,
	} {
		bubble(t, func(t *testing.T, x *exchange) {
			b := x.join(bob, func(o *Options) { o.Received = mode })
			ghost := port{x, alice}
			began := time.Now()
			if _, err := ghost.PhoneRequestCall(t.Context(), &tg.PhoneRequestCallRequest{UserID: to(bob), GAHash: make([]byte, 32)}); err != nil {
				t.Fatal(err)
			}
			if e := ended(t, b.next(t)); e.Err == nil || e.Err.Kind != NotAnswered || time.Since(began) != want {
				t.Errorf("mode %d: ended %+v after %v, want %v", mode, e, time.Since(began), want)
			}
			synctest.Wait()
			if got := x.said(bob, "discardCall"); !slices.Equal(got, []string{"discardCall missed 0"}) || x.open() != 0 {
				t.Errorf("said %q, %d calls are open", got, x.open())
			}
		})
	}
	bubble(t, func(t *testing.T, x *exchange) { // after the callee has accepted
		b := x.join(bob)
		ghost := port{x, alice}
		if _, err := ghost.PhoneRequestCall(t.Context(), &tg.PhoneRequestCallRequest{UserID: to(bob), GAHash: make([]byte, 32)}); err != nil {
			t.Fatal(err)
		}
		in := b.next(t)
		in.Accept()
		began := time.Now()
		if e := ended(t, in); e.Err == nil || e.Err.Kind != NoMedia || time.Since(began) != 20*time.Second {
			t.Errorf("ended %+v after %v", e, time.Since(began))
		}
		synctest.Wait()
		if got := x.said(bob, "discardCall"); !slices.Equal(got, []string{"discardCall disconnect 0"}) {
			t.Errorf("said %q", got)
		}
	})
}
