package calls

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gotd/td/tg"
	"github.com/gotd/td/tgerr"
)

// TestEarlySignaling: packets that come before the engine is there reach it, in order.
func TestEarlySignaling(t *testing.T) {
	for name, method := range map[string]string{"caller": "confirmCall", "callee": "acceptCall"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, x *exchange) {
				a, b := x.join(alice), x.join(bob)
				slow := map[string]int64{"caller": alice, "callee": bob}[name]
				x.then(slow, method, func(context.Context) { time.Sleep(3 * time.Second) })
				talk(t, a, b)
				synctest.Wait()
				for _, u := range []int64{alice, bob} {
					heard := x.engine(u).all()
					if len(heard) != 3 || heard[0][0] != '0' || heard[1][0] != '1' || heard[2][0] != '2' {
						t.Errorf("user %d heard %q", u, heard)
					}
				}
			})
		})
	}
}

func TestUnknownSignalingIsBounded(t *testing.T) {
	s := make(parking)
	now := time.Now()
	for i := range maxParked {
		if !s.put(1, parcel{signal: []byte{byte(i)}}, now) {
			t.Fatalf("no room for item %d", i)
		}
	}
	if s.put(1, parcel{}, now) {
		t.Error("no limit of items")
	}
	if !s.put(2, parcel{signal: make([]byte, maxParkedBytes)}, now) || s.put(2, parcel{signal: []byte{1}}, now) {
		t.Error("no limit of bytes")
	}
	for id := int64(3); id <= maxParkedCalls; id++ {
		if !s.put(id, parcel{}, now) {
			t.Fatalf("no room for call %d", id)
		}
	}
	if s.put(1000, parcel{}, now) {
		t.Error("no limit of calls")
	}
	if got := s.take(1, now); len(got) != maxParked || got[9].signal[0] != 9 || s.take(1, now) != nil {
		t.Errorf("took %d items", len(got))
	}
	if got := s.take(2, now.Add(parkedFor+1)); got != nil {
		t.Error("what is too old was kept")
	}
	if !s.put(1000, parcel{}, now.Add(parkedFor+1)) || len(s) != 1 {
		t.Errorf("%d old calls are kept", len(s)-1)
	}
}

// TestSignalingIsOrdered: one packet is on its way at a time, a failed one is sent again before the next.
func TestSignalingIsOrdered(t *testing.T) {
	bubble(t, func(t *testing.T, x *exchange) {
		a, b := x.join(alice), x.join(bob)
		var flying int
		failures := []error{errors.New("connection lost"), tgerr.New(420, "FLOOD_WAIT_2")}
		x.on(alice, "sendSignalingData", func(context.Context) error {
			flying++
			if flying > 1 {
				t.Error("two packets at a time")
			}
			time.Sleep(100 * time.Millisecond)
			flying--
			if len(failures) > 0 {
				err := failures[0]
				failures = failures[1:]
				return err
			}
			return nil
		})
		talk(t, a, b)
		heard := x.engine(bob).all()
		if len(heard) != 3 || heard[0][0] != '0' || heard[1][0] != '1' || heard[2][0] != '2' {
			t.Errorf("heard %q", heard)
		}
	})
}

// TestSignalingRefused: Telegram no longer knows the call. If it says why within a moment, that is the reason.
func TestSignalingRefused(t *testing.T) {
	for name, tells := range map[string]bool{"and says why": true, "and says nothing": false} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, x *exchange) {
				a, b := x.join(alice), x.join(bob)
				x.on(alice, "sendSignalingData", func(context.Context) error { return tgerr.New(400, "CALL_NOT_ACTIVE") })
				out := a.Place(to(bob))
				in := b.next(t)
				in.Accept()
				if tells {
					go func() {
						time.Sleep(time.Second)
						d := &tg.PhoneCallDiscarded{ID: in.ID()}
						d.SetReason(&tg.PhoneCallDiscardReasonHangup{})
						x.send(alice, d)
					}()
				}
				e := ended(t, out)
				if tells && (e.Reason != Hangup || e.Err != nil) || !tells && (e.Reason != Disconnect || e.Err == nil) {
					t.Errorf("ended %+v", e)
				}
				in.Discard(Ordinary)
				ended(t, in)
			})
		})
	}
}
