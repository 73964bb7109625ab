package calls

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gotd/td/tg"
	"github.com/gotd/td/tgerr"

	"github.com/tgtrunk/tgtrunk/telegram/voip"
)

// TestPlaced: a call that is given up while phone.requestCall is on its way was placed if Telegram takes it after all; what
// Telegram was never asked for, or has refused, was not.
func TestPlaced(t *testing.T) {
	const asked, answered = 2 * time.Second, 6 * time.Second
	for name, c := range map[string]struct {
		giveUp time.Duration
		err    error
		want   bool
		known  time.Duration
	}{
		"before it is asked for":         {time.Second, nil, false, time.Second},
		"on its way":                     {3 * time.Second, nil, true, answered},
		"on its way, and it is refused":  {3 * time.Second, tgerr.New(400, "USER_IS_BLOCKED"), false, answered},
		"when the callee has been found": {7 * time.Second, nil, true, 7 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, x *exchange) {
				a := x.join(alice, atOnce)
				x.join(bob, atOnce)
				x.on(alice, "getDhConfig", func(context.Context) error {
					time.Sleep(asked)
					return nil
				})
				x.on(alice, "requestCall", func(context.Context) error {
					time.Sleep(answered - asked)
					return c.err
				})
				began := time.Now()
				out := a.Place(to(bob))
				time.Sleep(c.giveUp)
				out.Discard(Ordinary)
				if e := ended(t, out); e.Err != nil || time.Since(began) != c.giveUp {
					t.Errorf("ended %+v after %v", e, time.Since(began))
				}
				if got := out.Placed(); got != c.want || time.Since(began) != c.known {
					t.Errorf("placed: %v after %v, want %v after %v", got, time.Since(began), c.want, c.known)
				}
			})
		})
	}
	bubble(t, func(t *testing.T, x *exchange) {
		a := x.join(alice)
		a.stop()
		out := a.Place(to(bob))
		ended(t, out)
		if out.Placed() {
			t.Error("a call was placed on a line that is down")
		}
	})
}

// TestHangUpAtEveryMoment: whoever hangs up, and in whatever moment, both sides end and no call stays open.
func TestHangUpAtEveryMoment(t *testing.T) {
	moments := []struct {
		user   int64
		method string
		late   bool
	}{
		{alice, "getDhConfig", false}, {alice, "requestCall", false}, {alice, "requestCall", true}, {bob, "receivedCall", false},
		{bob, "getDhConfig", false}, {bob, "acceptCall", false}, {bob, "acceptCall", true}, {alice, "confirmCall", false},
		{alice, "confirmCall", true}, {alice, "sendSignalingData", false}, {bob, "sendSignalingData", false},
	}
	for _, m := range moments {
		for _, who := range []string{"caller", "callee", "both", "caller's line", "callee's line"} {
			name := who + " hangs up at " + m.method
			if m.late {
				name += ", late"
			}
			t.Run(name, func(t *testing.T) {
				bubble(t, func(t *testing.T, x *exchange) {
					a, b := x.join(alice), x.join(bob, atOnce)
					var once atomic.Bool
					var out *Call
					var in atomic.Pointer[Call]
					placed := make(chan struct{})
					act := func() {
						if once.Swap(true) {
							return
						}
						go func() {
							<-placed
							in := in.Load()
							if who == "caller" || who == "both" {
								out.Discard(Ordinary)
								out.Discard(Busy) // the second changes nothing
							}
							if (who == "callee" || who == "both") && in != nil {
								in.Discard(Ordinary)
							}
							switch who {
							case "caller's line":
								a.stop()
							case "callee's line":
								b.stop()
							}
						}()
						time.Sleep(time.Second)
					}
					if m.late {
						x.then(m.user, m.method, func(context.Context) { act() })
					} else {
						x.on(m.user, m.method, func(ctx context.Context) error { act(); return ctx.Err() })
					}
					out = a.Place(to(bob))
					close(placed)
					select {
					case c := <-b.incoming:
						in.Store(c)
						if once.Load() && (who == "callee" || who == "both") {
							c.Discard(Ordinary)
						}
						c.Accept()
					case <-time.After(2 * time.Minute): // the caller was faster
					}
					e := ended(t, out)
					if who == "caller" && (e.Remote || e.Err != nil || e.Reason == Busy) {
						t.Errorf("caller's end %+v", e)
					}
					if c := in.Load(); c != nil {
						ended(t, c)
					}
					time.Sleep(2 * time.Minute) // retries and the like are over
					synctest.Wait()
					if n := x.open(); n != 0 {
						t.Errorf("%d calls are open", n)
					}
					if len(a.calls) != 0 || len(b.calls) != 0 {
						t.Error("a call is still on a line")
					}
				})
			})
		}
	}
}

// TestLateAnswer: the request's answer comes long after the call was given up, and the call is discarded all the same. That
// it rings would tell its id before; this callee's phone does not.
func TestLateAnswer(t *testing.T) {
	bubble(t, func(t *testing.T, x *exchange) {
		a, b := x.join(alice), x.join(bob)
		x.then(alice, "requestCall", func(context.Context) { time.Sleep(12 * time.Second) })
		out := a.Place(to(bob))
		in := b.next(t)
		began := time.Now()
		out.Discard(Ordinary)
		if e := ended(t, out); e.Reason != Missed || time.Since(began) != 0 {
			t.Errorf("ended %+v after %v", e, time.Since(began))
		}
		if e := ended(t, in); e.Reason != Missed || !e.Remote || time.Since(began) != 12*time.Second {
			t.Errorf("callee's end %+v after %v", e, time.Since(began))
		}
	})
}

func TestDiscardIsRetried(t *testing.T) {
	bubble(t, func(t *testing.T, x *exchange) {
		a, b := x.join(alice), x.join(bob)
		out, in := talk(t, a, b)
		x.fails(alice, "discardCall hangup 5", errors.New("no connection"), tgerr.New(420, "FLOOD_WAIT_3"), errors.New("no connection"))
		time.Sleep(5 * time.Second)
		out.Discard(Ordinary)
		ended(t, out)
		if e := ended(t, in); e.Reason != Hangup || !e.Remote {
			t.Errorf("callee's end %+v", e)
		}
		if n := len(x.said(alice, "discardCall")); n != 4 {
			t.Errorf("%d attempts", n)
		}
	})
}

func TestDiscardGivesUp(t *testing.T) {
	bubble(t, func(t *testing.T, x *exchange) {
		a, b := x.join(alice), x.join(bob)
		out, in := talk(t, a, b)
		x.on(alice, "discardCall hangup 0", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		began := time.Now()
		out.Discard(Ordinary)
		ended(t, out)
		a.running.Wait()
		if got := time.Since(began); got != discardPatience {
			t.Errorf("gave up after %v", got)
		}
		in.Discard(Ordinary)
		ended(t, in)
	})
}

// TestClientIsClosed: nothing can be discarded any more, and nobody waits for it.
func TestClientIsClosed(t *testing.T) {
	bubble(t, func(t *testing.T, x *exchange) {
		a, b := x.join(alice), x.join(bob)
		out, in := talk(t, a, b)
		x.on(alice, "discardCall hangup 0", func(context.Context) error { return fmt.Errorf("client closed: %w", context.Canceled) })
		began := time.Now()
		a.stop()
		if got := time.Since(began); got != 0 {
			t.Errorf("the line ended after %v", got)
		}
		ended(t, out)
		in.Discard(Ordinary)
		ended(t, in)
	})
}

// TestDiscardLosesItsConnection: the connection is lost after Telegram has heard phone.discardCall, which the client calls
// cancelled. Whether it was carried out is not known: it is said again.
func TestDiscardLosesItsConnection(t *testing.T) {
	bubble(t, func(t *testing.T, x *exchange) {
		a, b := x.join(alice), x.join(bob)
		out, in := talk(t, a, b)
		x.fails(alice, "discardCall hangup 0", fmt.Errorf("engine forcibly closed: %w", context.Canceled))
		out.Discard(Ordinary)
		ended(t, out)
		if e := ended(t, in); e.Reason != Hangup || !e.Remote {
			t.Errorf("callee's end %+v", e)
		}
	})
}

// TestLineEnds: when the line goes, every call is discarded, and it takes no longer than it may.
func TestLineEnds(t *testing.T) {
	bubble(t, func(t *testing.T, x *exchange) {
		a, b := x.join(alice), x.join(bob)
		out, in := talk(t, a, b)
		second := a.Place(to(bob))
		b.next(t)
		synctest.Wait()
		x.on(alice, "discardCall missed 0", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		began := time.Now()
		a.stop()
		if got := time.Since(began); got != 5*time.Second {
			t.Errorf("the line ended after %v", got)
		}
		for _, c := range []*Call{out, second} {
			if e := ended(t, c); e.Err == nil || e.Err.Kind != Closed {
				t.Errorf("ended %+v", e)
			}
		}
		if e := ended(t, in); e.Reason != Hangup || !e.Remote {
			t.Errorf("callee's end %+v", e)
		}
		late := a.Place(to(bob))
		if e := ended(t, late); e.Err == nil || e.Err.Kind != Closed {
			t.Errorf("a call on a dead line ended %+v", e)
		}
		late.Accept()
		late.Discard(Ordinary)
		_ = a.HandleCall(t.Context(), &tg.UpdatePhoneCall{PhoneCall: &tg.PhoneCallRequested{ID: 9, Date: int(time.Now().Unix()), AdminID: bob, ParticipantID: alice}})
		if len(a.incoming) != 0 {
			t.Error("a dead line rings")
		}
		if err := a.Run(t.Context()); err == nil {
			t.Error("a line runs twice")
		}
	})
}

// TestBeforeRun: a line that is not running yet loses nothing.
func TestBeforeRun(t *testing.T) {
	bubble(t, func(t *testing.T, x *exchange) {
		b := x.join(bob)
		ctx, cancel := context.WithCancel(t.Context())
		a := New(Options{API: port{x, alice}, Self: alice})
		a.opts.Engine = func(c voip.Config) (Engine, error) { return x.newEngine(alice, c) }
		x.lines[alice] = a
		out := a.Place(to(bob))
		gone := a.Place(to(bob))
		gone.Discard(Ordinary)
		synctest.Wait()
		if len(b.incoming) != 0 {
			t.Error("it rings before the line runs")
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			if err := a.Run(ctx); err != nil {
				t.Error(err)
			}
		}()
		in := b.next(t)
		in.Accept()
		for {
			if _, ok := next(t, out).(Established); ok {
				break
			}
		}
		if e := ended(t, gone); e.Reason != Missed || e.Err != nil {
			t.Errorf("ended %+v", e)
		}
		cancel()
		<-done
		ended(t, out)
		ended(t, in)
	})
}

// TestAnswerAfterGivingUp: Telegram takes a call and says so when we have long given it up.
func TestAnswerAfterGivingUp(t *testing.T) {
	bubble(t, func(t *testing.T, x *exchange) {
		a, b := x.join(alice), x.join(bob)
		b.opts.Limits.Silent = time.Hour // it waits for the caller to end it
		b.SetTimeouts(Timeouts{Receive: time.Hour})
		x.then(alice, "requestCall", func(ctx context.Context) { sleep(ctx, 40*time.Second) })
		began := time.Now()
		out := a.Place(to(bob))
		in := b.next(t)
		if e := ended(t, out); e.Err == nil || e.Err.Kind != NoConnection || e.Reason != Missed || time.Since(began) != 15*time.Second {
			t.Errorf("ended %+v after %v", e, time.Since(began))
		}
		if e := ended(t, in); e.Reason != Missed || !e.Remote || time.Since(began) != 40*time.Second {
			t.Errorf("callee's end %+v after %v", e, time.Since(began))
		}
		a.running.Wait()
		if len(a.calls) != 0 || len(a.lost) != 0 {
			t.Error("the call is still on the line")
		}
	})
}

// TestAnswerIsLost: Telegram takes a call, and the answer never comes; what it tells of the call must do.
func TestAnswerIsLost(t *testing.T) {
	noAnswer := func(ctx context.Context) { <-ctx.Done() }
	for _, c := range []struct {
		name  string
		after time.Duration // callee's device has the call, or its user accepts
		takes bool
		want  time.Duration
		said  string
	}{
		{name: "rings before we give up", after: 5 * time.Second, want: 15 * time.Second, said: "discardCall missed 0"},
		{name: "rings after that", after: 30 * time.Second, want: 30 * time.Second, said: "discardCall missed 0"},
		{name: "accepted after that", after: 30 * time.Second, takes: true, want: 30 * time.Second, said: "discardCall disconnect 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, x *exchange) {
				a, b := x.join(alice), x.join(bob, func(o *Options) { o.Received = ReceivedOnceTaken })
				x.then(alice, "requestCall", noAnswer)
				began := time.Now()
				out := a.Place(to(bob))
				in := b.next(t)
				time.AfterFunc(c.after, func() {
					if c.takes {
						in.Accept()
					} else {
						in.Taken()
					}
				})
				if e := ended(t, out); e.Err == nil || e.Err.Kind != NoConnection || time.Since(began) != 15*time.Second {
					t.Errorf("ended %+v after %v", e, time.Since(began))
				}
				if e := ended(t, in); !e.Remote || time.Since(began) != c.want {
					t.Errorf("callee's end %+v after %v", e, time.Since(began))
				}
				if got := x.said(alice, "discardCall"); len(got) != 1 || got[0] != c.said {
					t.Errorf("said %q", got)
				}
			})
		})
	}
	t.Run("the request fails", func(t *testing.T) {
		bubble(t, func(t *testing.T, x *exchange) {
			a, b := x.join(alice), x.join(bob, func(o *Options) { o.Received = ReceivedOnceTaken })
			x.refuse(alice, "requestCall", errors.New("connection lost"))
			out := a.Place(to(bob))
			in := b.next(t)
			if e := ended(t, out); e.Err == nil || e.Err.Kind != Failed {
				t.Errorf("ended %+v", e)
			}
			time.Sleep(time.Minute)
			in.Taken()
			if e := ended(t, in); e.Reason != Missed || !e.Remote {
				t.Errorf("callee's end %+v", e)
			}
		})
	})
	t.Run("nothing comes", func(t *testing.T) {
		bubble(t, func(t *testing.T, x *exchange) {
			a := x.join(alice)
			x.then(alice, "requestCall", func(ctx context.Context) { <-ctx.Done() })
			began := time.Now()
			ended(t, a.Place(to(bob)))
			synctest.Wait()
			if len(a.lost) != 1 {
				t.Error("nobody looks for the call")
			}
			a.running.Wait()
			if got := time.Since(began); got != lostFor || len(a.lost) != 0 {
				t.Errorf("looked for it for %v", got)
			}
		})
	})
	t.Run("the line ends", func(t *testing.T) {
		bubble(t, func(t *testing.T, x *exchange) {
			a := x.join(alice)
			x.refuse(alice, "requestCall", errors.New("connection lost"))
			ended(t, a.Place(to(bob)))
			began := time.Now()
			a.stop()
			if got := time.Since(began); got != 0 {
				t.Errorf("it took %v", got)
			}
		})
	})
}

// TestOthersAreNotLost: while a call is lost, nobody else's is taken for it.
func TestOthersAreNotLost(t *testing.T) {
	bubble(t, func(t *testing.T, x *exchange) {
		a, b := x.join(alice), x.join(bob, atOnce)
		up, _ := talk(t, a, b)
		x.on(alice, "requestCall", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		ended(t, a.Place(to(bob))) // Telegram does not know of it
		x.on(alice, "requestCall", nil)
		x.then(alice, "requestCall", func(context.Context) { time.Sleep(5 * time.Second) })
		out := a.Place(to(bob)) // rings before its id is known
		in := b.next(t)
		expect[Requested](t, out)
		expect[Received](t, out)
		in.Accept()
		expect[Accepted](t, out)
		expect[Established](t, out)
		now := int(time.Now().Unix())
		for id, w := range map[int64]*tg.PhoneCallWaiting{
			9001: {AdminID: alice, ParticipantID: bob + 1, Date: now},                        // somebody else called, from another device
			9002: {AdminID: bob, ParticipantID: alice, Date: now},                            // not even ours
			9003: {AdminID: alice, ParticipantID: bob, Date: now - int(time.Hour.Seconds())}, // of another time
		} {
			w.ID = id
			_ = a.HandleCall(t.Context(), &tg.UpdatePhoneCall{PhoneCall: w})
		}
		synctest.Wait()
		if got := x.said(alice, "discardCall"); got != nil {
			t.Errorf("said %q", got)
		}
		if len(a.lost) != 1 {
			t.Error("the lost call is not looked for any more")
		}
		out.Discard(Ordinary)
		up.Discard(Ordinary)
		ended(t, out)
		ended(t, up)
	})
}

// TestTwoAreLost: both of two calls to one user are discarded, whichever update or answer comes for which.
func TestTwoAreLost(t *testing.T) {
	bubble(t, func(t *testing.T, x *exchange) {
		a, b := x.join(alice), x.join(bob, func(o *Options) { o.Received = ReceivedOnceTaken })
		x.then(alice, "requestCall", func(ctx context.Context) { sleep(ctx, 60*time.Second) })
		first, second := a.Place(to(bob)), a.Place(to(bob))
		in := []*Call{b.next(t), b.next(t)}
		ended(t, first)
		ended(t, second)
		in[1].Taken()
		for _, c := range in {
			if e := ended(t, c); e.Reason != Missed || !e.Remote {
				t.Errorf("callee's end %+v", e)
			}
		}
		if n := x.open(); n != 0 {
			t.Errorf("%d calls are open", n)
		}
	})
}
