package signaling

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// The traps of the web engines' signalling, one test each. What they do at a whole is in web_test.go.

// TestWebIsRecognised: a web engine is known by its INIT without parameters, and by an INIT ACK with nothing but a cookie
// of 16 bytes.
func TestWebIsRecognised(t *testing.T) {
	w := newWebPeer(Callee, func([]byte) {})
	with := func(c sctpChunk, params ...byte) sctpChunk {
		c = append(c, params...)
		binary.BigEndian.PutUint16(c[2:], uint16(len(c)))
		return c
	}
	cookie := func(size int) []byte {
		return append([]byte{0, paramCookie, byte(size >> 8), byte(size + 4)}, make([]byte, size)...)
	}
	native := append([]byte{0, paramCookie, 0, 4 + 8}, "dcSCTP00"...)
	forward := []byte{0xc0, 0, 0, 4}
	for name, c := range map[string]struct {
		chunk sctpChunk
		want  Peer
	}{
		"INIT, nothing":                {w.init(chunkInit), PeerWeb},
		"INIT, FORWARD-TSN supported":  {with(w.init(chunkInit), forward...), PeerNative},
		"INIT, something":              {with(w.init(chunkInit), 0x80, 8, 0, 4), PeerUnknown},
		"INIT ACK, cookie of 16":       {with(w.init(chunkInitAck), cookie(16)...), PeerWeb},
		"INIT ACK, cookie of 32":       {with(w.init(chunkInitAck), cookie(32)...), PeerUnknown},
		"INIT ACK, cookie of 16, more": {with(w.init(chunkInitAck), append(cookie(16), 0x80, 8, 0, 4)...), PeerUnknown},
		"INIT ACK, native cookie":      {with(w.init(chunkInitAck), native...), PeerNative},
		"INIT ACK, 16 and FORWARD-TSN": {with(w.init(chunkInitAck), append(cookie(16), forward...)...), PeerNative},
		"INIT ACK without any cookie":  {w.init(chunkInitAck), PeerUnknown},
	} {
		if got := c.chunk.engine(); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestWebGetsNoLateHandshake: an INIT or INIT ACK that reaches a web engine after our first message would make it wait
// for ever. However slow the way is and whatever timers the call's parameters set, none comes.
func TestWebGetsNoLateHandshake(t *testing.T) {
	for _, timers := range []SCTPTimers{{}, {Init: 400 * time.Millisecond, Cookie: 400 * time.Millisecond, MaxBackoff: 750 * time.Millisecond}} {
		for _, delay := range []time.Duration{0, 300 * time.Millisecond, time.Second, 2 * time.Second} {
			for _, role := range []Role{Caller, Callee} {
				t.Run(fmt.Sprintf("%v, one way takes %v, timers %v", role, delay, timers != SCTPTimers{}), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						ctx, cancel := context.WithCancel(t.Context())
						defer cancel()
						n := &network{delay: delay, random: rand.New(rand.NewPCG(1, 1))}
						s := &side{}
						w := newWebPeer(other(role), func(p []byte) { n.carry(ctx, p, func(p []byte) { s.Receive(p) }, nil) })
						var err error
						s.Channel, err = Open(Config{
							Version: "13.0.0", Role: role, Key: vectorKey(), Deliver: s.deliver, Timers: timers,
							Transmit: func(p []byte) { n.carry(ctx, p, w.receive, nil) },
						})
						if err != nil {
							t.Fatal(err)
						}
						var group sync.WaitGroup
						group.Go(func() { _ = s.Run(ctx) })
						for i := range 5 {
							w.send(message(i))
							_ = s.Send([]byte(message(i)))
							time.Sleep(700 * time.Millisecond)
						}
						time.Sleep(2 * time.Minute)
						got, broken := w.received()
						if w.late > 0 || len(broken) > 0 {
							t.Errorf("%d late INIT or INIT ACK; refused: %v", w.late, broken)
						}
						wantAll(t, "web", got, 5)
						wantAll(t, "channel", s.received(), 5)
						cancel()
						group.Wait()
					})
				})
			}
		}
	}
}

// TestWebTakesOnlyItsLatestCookie: a web callee that joins late finds our INIT several times, answers each with another
// cookie and takes only the last one back. The handshake is done at the first try all the same.
func TestWebTakesOnlyItsLatestCookie(t *testing.T) {
	for _, timers := range []SCTPTimers{{}, {Init: 400 * time.Millisecond, Cookie: 400 * time.Millisecond, MaxBackoff: 750 * time.Millisecond}} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			n := &network{delay: 50 * time.Millisecond, random: rand.New(rand.NewPCG(1, 1))}
			s := &side{}
			w := newWebPeer(Callee, func(p []byte) { n.carry(ctx, p, func(p []byte) { s.Receive(p) }, nil) })
			var mu sync.Mutex
			var parked [][]byte
			joined := false
			var err error
			s.Channel, err = Open(Config{Version: "13.0.0", Role: Caller, Key: vectorKey(), Deliver: s.deliver, Timers: timers, Transmit: func(p []byte) {
				mu.Lock()
				defer mu.Unlock()
				if !joined {
					parked = append(parked, p)
					return
				}
				n.carry(ctx, p, w.receive, nil)
			}})
			if err != nil {
				t.Fatal(err)
			}
			var group sync.WaitGroup
			group.Go(func() { _ = s.Run(ctx) })
			_ = s.Send([]byte(message(0)))
			time.Sleep(3600 * time.Millisecond) // no INIT is due now, whatever the timers
			mu.Lock()
			joined = true
			if len(parked) < 2 {
				t.Errorf("%d INIT in 4 s", len(parked))
			}
			for _, p := range parked {
				n.carry(ctx, p, w.receive, nil)
			}
			mu.Unlock()
			time.Sleep(500 * time.Millisecond)
			got, broken := w.received()
			wantAll(t, "web", got, 1)
			if w.cookies != uint32(len(parked)) || len(broken) > 0 || w.late > 0 || s.Stats().Associations != 1 {
				t.Errorf("%d cookies, refused %v, late %d, %+v", w.cookies, broken, w.late, s.Stats())
			}
			cancel()
			group.Wait()
		})
	}
}

// TestWebIsNeverDropped: what a web engine sends it sends once. All of it is delivered, be it a burst, or from before Run.
func TestWebIsNeverDropped(t *testing.T) {
	const count = 400
	for _, role := range []Role{Caller, Callee} {
		t.Run(role.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				s := &side{}
				var mu sync.Mutex
				var early [][]byte
				running := false
				w := newWebPeer(other(role), func(p []byte) {
					s.Receive(p)
					mu.Lock()
					defer mu.Unlock()
					if !running {
						early = append(early, p)
					}
				})
				toWeb := make(chan []byte, 4*count)
				s.Channel = open(t, role, s.deliver, func(p []byte) { toWeb <- p })
				for i := range count { // of a web caller INIT is among them, long before anybody runs
					w.send(message(i))
				}
				time.Sleep(10 * time.Second)
				mu.Lock()
				running = true
				mu.Unlock()
				var group sync.WaitGroup
				group.Go(func() { _ = s.Run(ctx) })
				group.Go(func() {
					for {
						select {
						case p := <-toWeb:
							w.receive(p)
						case <-ctx.Done():
							return
						}
					}
				})
				time.Sleep(time.Minute)
				if len(early) == 0 {
					t.Error("nothing was sent before Run")
				}
				wantAll(t, "channel", s.received(), count)
				if drops := s.Stats().Drops; drops != (Drops{}) {
					t.Errorf("dropped: %+v", drops)
				}
				cancel()
				group.Wait()
			})
		})
	}
}
