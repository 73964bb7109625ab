package signaling

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestSCTPTimers checks when INIT is sent to a peer that does not answer, and COOKIE ECHO to one that has lost interest.
func TestSCTPTimers(t *testing.T) {
	for _, c := range []struct {
		name   string
		timers SCTPTimers
		kind   byte
		want   []time.Duration
	}{
		{"none", SCTPTimers{}, chunkInit, []time.Duration{0, 1000, 2500}},
		{"init", SCTPTimers{Init: 400e6, MaxBackoff: 750e6}, chunkInit, []time.Duration{0, 400, 1150, 1900, 2650}},
		{"init without limit", SCTPTimers{Init: 400e6}, chunkInit, []time.Duration{0, 400, 1200, 2700}},
		{"cookie", SCTPTimers{Cookie: 200e6, MaxBackoff: 500e6}, chunkCookieEcho, []time.Duration{0, 200, 600, 1100, 1600, 2100, 2600}},
		{"limit", SCTPTimers{MaxBackoff: 600e6}, chunkInit, []time.Duration{0, 600, 1200, 1800, 2400}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				var mu sync.Mutex
				var at []time.Duration
				start := time.Now()
				var channel Channel
				channel, err := Open(Config{
					Version: "13.0.0", Role: Caller, Key: vectorKey(), Timers: c.timers, Deliver: func([]byte) {},
					Transmit: func(p []byte) {
						kind, _ := firstChunk(p)
						if kind == chunkInit && c.kind == chunkCookieEcho {
							if init, err := parseSCTP(p); err == nil {
								channel.Receive(initAck(init.chunks[0].initTag()))
							}
						}
						if kind == c.kind {
							mu.Lock()
							defer mu.Unlock()
							at = append(at, time.Since(start).Round(10*time.Millisecond)/time.Millisecond)
						}
					},
				})
				if err != nil {
					t.Fatal(err)
				}
				var wg sync.WaitGroup
				wg.Go(func() { _ = channel.Run(ctx) })
				time.Sleep(2900 * time.Millisecond)
				mu.Lock()
				got := slices.Clone(at)
				mu.Unlock()
				if !slices.Equal(got, c.want) {
					t.Errorf("sent at %d ms, want %d", got, c.want)
				}
				cancel()
				wg.Wait()
			})
		})
	}
}

// initAck answers an INIT.
func initAck(tag uint32) []byte {
	value := []byte{0, 0, 0, 77, 0, 80, 0, 0, 255, 255, 255, 255, 0, 0, 0, 9, 0, 7, 0, 8, 1, 2, 3, 4}
	return sctpPacket{tag: tag, chunks: []sctpChunk{append(sctpChunk{chunkInitAck, 0, 0, byte(4 + len(value))}, value...)}}.bytes()
}

// TestSCTPTimersCarry runs calls whose sides have such timers, on a network that loses packets.
func TestSCTPTimersCarry(t *testing.T) {
	for seed := range uint64(10) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			n := lossy(seed)
			a, b := &side{}, &side{}
			timers := SCTPTimers{Init: 400e6, Cookie: 400e6, MaxBackoff: 750e6}
			for _, c := range []struct {
				s, to *side
				role  Role
			}{{a, b, Caller}, {b, a, Callee}} {
				var err error
				c.s.Channel, err = Open(Config{
					Version: "13.0.0", Role: c.role, Key: vectorKey(), Timers: timers, Deliver: c.s.deliver,
					Transmit: func(p []byte) { n.carry(ctx, p, func(p []byte) { c.to.Receive(p) }, nil) },
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			var wg sync.WaitGroup
			wg.Go(func() { _ = a.Run(ctx) })
			wg.Go(func() { _ = b.Run(ctx) })
			for i := range 10 {
				_ = a.Send([]byte(message(i)))
				_ = b.Send([]byte(message(i)))
			}
			time.Sleep(60 * time.Second)
			wantAll(t, "caller", a.received(), 10)
			wantAll(t, "callee", b.received(), 10)
			cancel()
			wg.Wait()
		})
	}
}

func lossy(seed uint64) *network {
	return &network{delay: 30 * time.Millisecond, jitter: 50 * time.Millisecond, loss: 0.25, random: rand.New(rand.NewPCG(seed, 7))}
}
