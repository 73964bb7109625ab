package signaling

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// network is what packets go through from one side to the other, in the fake time of a bubble.
type network struct {
	delay, jitter    time.Duration
	loss, twice      float64                  // shares of packets
	noise            float64                  // share of packets that a useless one accompanies
	lose             func(packet []byte) bool // further packets that are lost
	random           *rand.Rand
	mu               sync.Mutex
	carried, dropped int
	last             time.Time // when the latest packet arrives
}

func (n *network) carry(ctx context.Context, packet []byte, to func([]byte), foreign func() []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	send := func(p []byte) {
		at := time.Now().Add(n.delay)
		if n.jitter > 0 {
			at = at.Add(time.Duration(n.random.Int64N(int64(n.jitter))))
		} else if !at.After(n.last) {
			at = n.last.Add(1)
		}
		n.last = at
		time.AfterFunc(time.Until(at), func() {
			if ctx.Err() == nil {
				to(p)
			}
		})
	}
	n.carried++
	if n.random.Float64() < n.noise {
		switch n.random.IntN(4) {
		case 0:
			send([]byte("not a packet at all, only some text"))
		case 1:
			send(packet[:n.random.IntN(len(packet))])
		case 2:
			damaged := slices.Clone(packet)
			damaged[n.random.IntN(len(damaged))] ^= 1 << n.random.IntN(8)
			send(damaged)
		case 3:
			send(foreign())
		}
	}
	if n.random.Float64() < n.loss || n.lose != nil && n.lose(packet) {
		n.dropped++
		return
	}
	send(packet)
	if n.random.Float64() < n.twice {
		send(packet)
	}
}

// side is one end of a crossed pair.
type side struct {
	Channel
	mu  sync.Mutex
	got []string
}

func (s *side) deliver(m []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, string(m))
}

func (s *side) received() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

// cross runs a caller and a callee against each other. Both send count messages within the first seconds; cross
// returns when both have all of them or the limit is over.
func cross(t *testing.T, version string, n *network, count int, limit time.Duration) (caller, callee *side, took time.Duration) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	caller, callee = &side{}, &side{}
	open := func(s, to *side, role Role) {
		var err error
		s.Channel, err = Open(Config{
			Version: version, Role: role, Key: vectorKey(), Deliver: s.deliver,
			Transmit: func(p []byte) { n.carry(ctx, p, func(p []byte) { to.Receive(p) }, foreignPacket(version)) },
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	open(caller, callee, Caller)
	open(callee, caller, Callee)
	var wg sync.WaitGroup
	for _, s := range []*side{caller, callee} {
		wg.Go(func() {
			if err := s.Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	start := time.Now()
	pauses := rand.New(rand.NewPCG(uint64(count), 5))
	for i := range count {
		for _, s := range []*side{caller, callee} {
			if err := s.Send([]byte(message(i))); err != nil {
				t.Fatal(err)
			}
		}
		if i%3 == 0 {
			time.Sleep(time.Duration(pauses.IntN(300)) * time.Millisecond)
		}
	}
	for time.Since(start) < limit && (len(caller.received()) < count || len(callee.received()) < count) {
		time.Sleep(100 * time.Millisecond)
	}
	took = time.Since(start)
	time.Sleep(20 * time.Second) // whatever would come twice has come
	cancel()
	wg.Wait()
	if err := caller.Send([]byte("{}")); err != ErrClosed {
		t.Errorf("send after the end gives %v", err)
	}
	return caller, callee, took
}

func message(i int) string {
	return fmt.Sprintf(`{"@type":"Candidates","candidates":[{"sdpString":"candidate:%d 1 udp 2122194688 192.0.2.2 %d typ host"}]}`, i, 1000+i)
}

// foreignPacket makes packets of another call.
func foreignPacket(version string) func() []byte {
	var packets [][]byte
	key := vectorKey()
	key[200]++
	cipher := NewCipher(key, Caller, Signaling)
	sealed, _ := cipher.Seal([]byte(vectorMessage))
	packets = append(packets, sealed)
	if version >= "12" && len(version) == 6 {
		data := sctpChunk{chunkData, 3, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, sctpBinary}
		data = append(data, sealed...)
		data[3] = byte(len(data))
		packets = append(packets,
			sctpPacket{tag: 0x55667788, chunks: []sctpChunk{data}}.bytes(),
			sctpPacket{tag: 0x55667788, chunks: []sctpChunk{{chunkAbort, 0, 0, 4}}}.bytes(),
			sctpPacket{tag: 0x55667788, chunks: []sctpChunk{{chunkCookieAck, 0, 0, 4}}}.bytes(),
		)
	}
	i := 0
	return func() []byte {
		i++
		return packets[i%len(packets)]
	}
}

func wantAll(t *testing.T, name string, got []string, count int) {
	t.Helper()
	for i, m := range got {
		if i >= count || m != message(i) {
			t.Fatalf("%s: message %d is %s", name, i, m)
		}
	}
	if len(got) != count {
		t.Fatalf("%s: %d of %d messages came", name, len(got), count)
	}
}

func TestCrossClean(t *testing.T) {
	for _, version := range Versions() {
		t.Run(version, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &network{delay: 50 * time.Millisecond, random: rand.New(rand.NewPCG(1, 2))}
				caller, callee, took := cross(t, version, n, 20, time.Minute)
				wantAll(t, "caller", caller.received(), 20)
				wantAll(t, "callee", callee.received(), 20)
				if took > 3*time.Second {
					t.Errorf("took %v", took)
				}
				for _, s := range []*side{caller, callee} {
					stats := s.Stats()
					if stats.Drops != (Drops{}) || stats.MessagesSent != 20 || stats.MessagesReceived != 20 || stats.PacketsSent == 0 {
						t.Errorf("stats are %+v", stats)
					}
				}
				t.Logf("%v, %d packets; caller %+v", took, n.carried, caller.Stats())
			})
		})
	}
}

// TestCrossBad has loss, reordering, repetition, damage, truncation and packets of another call.
func TestCrossBad(t *testing.T) {
	for _, version := range []string{"13.0.0", "9.0.0"} {
		t.Run(version, func(t *testing.T) {
			var worst time.Duration
			drops := 0
			for seed := range uint64(40) {
				synctest.Test(t, func(t *testing.T) {
					n := &network{
						delay: 40 * time.Millisecond, jitter: 200 * time.Millisecond, loss: 0.2, twice: 0.1, noise: 0.3,
						random: rand.New(rand.NewPCG(seed, 7)),
					}
					caller, callee, took := cross(t, version, n, 20, 3*time.Minute)
					wantAll(t, fmt.Sprintf("seed %d: caller", seed), caller.received(), 20)
					wantAll(t, fmt.Sprintf("seed %d: callee", seed), callee.received(), 20)
					worst = max(worst, took)
					drops += reasons(caller.Stats().Drops) + reasons(callee.Stats().Drops)
				})
			}
			t.Logf("worst of 40 took %v", worst)
			if drops < 100 {
				t.Errorf("noise was dropped for %d reasons only", drops)
			}
		})
	}
}

// reasons counts the reasons for which something was dropped.
func reasons(d Drops) (n int) {
	for _, count := range []uint64{d.Short, d.Long, d.Authentication, d.Replay, d.Syntax, d.Foreign, d.Inflate} {
		if count > 0 {
			n++
		}
	}
	return n
}

// TestCrossRaw: V1 repeats nothing, but neither delivers anything twice nor takes what is not its own.
func TestCrossRaw(t *testing.T) {
	for seed := range uint64(10) {
		synctest.Test(t, func(t *testing.T) {
			n := &network{delay: 40 * time.Millisecond, twice: 0.3, noise: 0.5, random: rand.New(rand.NewPCG(seed, 7))}
			caller, callee, _ := cross(t, "7.0.0", n, 20, time.Minute)
			wantAll(t, "caller", caller.received(), 20)
			wantAll(t, "callee", callee.received(), 20)
			if d := callee.Stats().Drops; d.Replay == 0 || d.Authentication+d.Short == 0 {
				t.Errorf("drops are %+v", d)
			}
		})
	}
}

// TestCrossDead: the handshake outlives any number of lost packets.
func TestCrossDead(t *testing.T) {
	for _, version := range []string{"13.0.0", "8.0.0"} {
		t.Run(version, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &network{delay: 40 * time.Millisecond, loss: 1, random: rand.New(rand.NewPCG(1, 7))}
				time.AfterFunc(95*time.Second, func() {
					n.mu.Lock()
					defer n.mu.Unlock()
					n.loss = 0
				})
				caller, callee, took := cross(t, version, n, 20, 3*time.Minute)
				wantAll(t, "caller", caller.received(), 20)
				wantAll(t, "callee", callee.received(), 20)
				if took < 95*time.Second || took > 105*time.Second {
					t.Errorf("took %v", took)
				}
				t.Logf("%v, %+v", took, caller.Stats())
			})
		})
	}
}
