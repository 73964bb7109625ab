package signaling

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// web runs a Channel against a webPeer over a network that keeps the order and loses nothing. The time that
// Transmit takes is part of the test.
func web(t *testing.T, role Role, n *network, transmit time.Duration, body func(s *side, w *webPeer)) (*side, *webPeer) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := &side{}
	w := newWebPeer(other(role), func(p []byte) { n.carry(ctx, p, func(p []byte) { s.Receive(p) }, nil) })
	s.Channel = open(t, role, s.deliver, func(p []byte) {
		time.Sleep(transmit)
		n.carry(ctx, p, w.receive, nil)
	})
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Run(ctx) })
	body(s, w)
	time.Sleep(60 * time.Second)
	cancel()
	wg.Wait()
	return s, w
}

func TestWeb(t *testing.T) {
	const count = 12
	for _, transmit := range []time.Duration{0, 300 * time.Millisecond, 2 * time.Second} {
		for _, role := range []Role{Caller, Callee} {
			t.Run(fmt.Sprintf("%v, transmit takes %v", role, transmit), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					n := &network{delay: 60 * time.Millisecond, random: rand.New(rand.NewPCG(1, 1))}
					s, w := web(t, role, n, transmit, func(s *side, w *webPeer) {
						for i := range count {
							if role == Callee { // the web caller begins
								w.send(message(i))
							}
							if err := s.Send([]byte(message(i))); err != nil {
								t.Fatal(err)
							}
							time.Sleep(200 * time.Millisecond)
						}
						if role == Caller { // a web callee waits
							for i := range count {
								w.send(message(i))
							}
						}
					})
					got, broken := w.received()
					wantAll(t, "web", got, count)
					wantAll(t, "channel", s.received(), count)
					if len(broken) > 0 {
						t.Errorf("web refuses %v", broken)
					}
					if s.Peer() != PeerWeb {
						t.Errorf("peer is %v", s.Peer())
					}
				})
			})
		}
	}
}

// TestWebLoss: the loss of any one packet of the handshake is made good, although the web engine repeats nothing. What
// is lost of its messages is lost, but holds up nothing.
func TestWebLoss(t *testing.T) {
	const count = 6
	nth := func(kind byte, n int) func([]byte) bool {
		return func(packet []byte) bool {
			if first, _ := firstChunk(packet); first == kind {
				n--
				return n == 0
			}
			return false
		}
	}
	for _, c := range []struct {
		name string
		role Role // of the Channel
		lose func([]byte) bool
		gone []int // messages of the web engine that are lost
	}{
		{"INIT", Caller, nth(chunkInit, 1), nil},
		{"INIT ACK", Caller, nth(chunkInitAck, 1), nil},
		{"COOKIE ECHO", Caller, nth(chunkCookieEcho, 1), nil},
		{"COOKIE ACK", Caller, nth(chunkCookieAck, 1), nil},
		{"DATA", Caller, nth(chunkData, 1), nil},
		{"INIT", Callee, nth(chunkInit, 1), nil},
		{"INIT ACK", Callee, nth(chunkInitAck, 1), nil},
		{"COOKIE ECHO", Callee, nth(chunkCookieEcho, 1), nil},
		{"COOKIE ACK", Callee, nth(chunkCookieAck, 1), nil},
		{"first DATA", Callee, nth(chunkData, 1), []int{0}},
		{"third DATA", Callee, nth(chunkData, 3), []int{2}},
		{"SACK", Callee, nth(chunkSack, 1), nil},
	} {
		t.Run(fmt.Sprintf("%v, %s", c.role, c.name), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &network{delay: 60 * time.Millisecond, lose: c.lose, random: rand.New(rand.NewPCG(1, 1))}
				s, w := web(t, c.role, n, 0, func(s *side, w *webPeer) {
					if c.role == Caller {
						_ = s.Send([]byte(message(0)))
						time.Sleep(5 * time.Second)
					}
					for i := range count {
						w.send(message(i))
						time.Sleep(300 * time.Millisecond)
					}
					if c.role == Callee { // a callee speaks when it has heard the caller
						for start := time.Now(); len(s.received()) == 0 && time.Since(start) < 20*time.Second; {
							time.Sleep(50 * time.Millisecond)
						}
						_ = s.Send([]byte(message(0)))
					}
				})
				got, broken := w.received()
				wantAll(t, "web", got, 1)
				var want []string
				for i := range count {
					if !slices.Contains(c.gone, i) {
						want = append(want, message(i))
					}
				}
				if got := s.received(); !slices.Equal(got, want) {
					t.Errorf("channel got %q; %+v", got, s.Stats())
				}
				if len(broken) > 0 {
					t.Errorf("web refuses %v", broken)
				}
			})
		})
	}
}

// TestWebBad: with packets lost at random in both directions the web engine gets everything, and what comes from it
// comes in order and once.
func TestWebBad(t *testing.T) {
	const count = 10
	total := 0
	for seed := range uint64(30) {
		for _, role := range []Role{Caller, Callee} {
			synctest.Test(t, func(t *testing.T) {
				n := &network{delay: 60 * time.Millisecond, loss: 0.1, twice: 0.05, random: rand.New(rand.NewPCG(seed, 9))}
				s, w := web(t, role, n, 0, func(s *side, w *webPeer) {
					for i := range count {
						w.send(message(i))
						if role == Caller || len(s.received()) > 0 {
							_ = s.Send([]byte(message(i)))
						}
						time.Sleep(500 * time.Millisecond)
					}
				})
				total += len(s.received())
				last := -1
				for _, m := range s.received() {
					i := slices.IndexFunc(make([]int, count), func(int) bool { last++; return message(last) == m })
					if i < 0 {
						t.Fatalf("seed %d: %v got %q", seed, role, s.received())
					}
				}
				got, _ := w.received()
				if sent := int(s.Stats().MessagesSent); len(got) != sent {
					t.Errorf("seed %d: %d of %d messages of the %v came", seed, len(got), sent, role)
				}
			})
		}
	}
	if want := 60 * count; total < want*8/10 {
		t.Errorf("%d of %d messages of the web engine came", total, want)
	}
	t.Logf("%d of %d messages of the web engine came", total, 60*count)
}

// TestWebReset: after an ABORT either side can begin anew, with the same ciphers, and nothing is lost or doubled.
func TestWebReset(t *testing.T) {
	for _, role := range []Role{Caller, Callee} {
		for _, webBegins := range []bool{true, false} {
			t.Run(fmt.Sprintf("%v, web begins anew: %v", role, webBegins), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					n := &network{delay: 60 * time.Millisecond, random: rand.New(rand.NewPCG(1, 1))}
					s, w := web(t, role, n, 0, func(s *side, w *webPeer) {
						send := func(i int, web bool) {
							if web {
								w.send(message(i))
							} else if err := s.Send([]byte(message(i))); err != nil {
								t.Fatal(err)
							}
						}
						if role == Caller {
							send(0, false)
							time.Sleep(time.Second)
						}
						send(0, true)
						time.Sleep(time.Second)
						if role == Callee {
							send(0, false)
							time.Sleep(time.Second)
						}
						w.reset(true)
						time.Sleep(time.Second)
						send(1, webBegins)
						time.Sleep(5 * time.Second)
						send(1, !webBegins)
					})
					got, broken := w.received()
					wantAll(t, "web", got, 2)
					wantAll(t, "channel", s.received(), 2)
					if len(broken) > 0 {
						t.Errorf("web refuses %v", broken)
					}
					if stats := s.Stats(); stats.Associations < 2 || stats.Associations > 4 {
						t.Errorf("stats are %+v", stats)
					}
				})
			})
		}
	}
}

// TestRestart: the peer begins anew without a word; the old association serves until the new one is up.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{delay: 60 * time.Millisecond, random: rand.New(rand.NewPCG(1, 1))}
		s, w := web(t, Callee, n, 0, func(s *side, w *webPeer) {
			w.send(message(0))
			time.Sleep(time.Second)
			_ = s.Send([]byte(message(0)))
			time.Sleep(time.Second)

			// INIT of nobody, and of the association that is up: neither does any harm.
			stray := w.init(chunkInit)
			s.Receive(sctpPacket{chunks: []sctpChunk{stray}}.bytes())
			stray = bytes.Clone(stray)
			stray[4]++
			s.Receive(sctpPacket{chunks: []sctpChunk{stray}}.bytes())
			w.send(message(1))
			_ = s.Send([]byte(message(1)))
			time.Sleep(5 * time.Second)
			if got := s.received(); len(got) != 2 {
				t.Errorf("%d messages after a stray INIT", len(got))
			}

			w.reset(false)
			w.send(message(2))
			time.Sleep(5 * time.Second)
			_ = s.Send([]byte(message(2)))
		})
		got, broken := w.received()
		wantAll(t, "web", got, 3)
		wantAll(t, "channel", s.received(), 3)
		// The answer to the stray INIT carries the stray's tag.
		if len(broken) != 1 {
			t.Errorf("web refuses %v", broken)
		}
		if stats := s.Stats(); stats.Associations != 2 {
			t.Errorf("stats are %+v", stats)
		}
	})
}

// TestEnd: the peer's ABORT at the end of a call costs nothing but a few packets, and the caller does not insist.
func TestEnd(t *testing.T) {
	for _, role := range []Role{Caller, Callee} {
		synctest.Test(t, func(t *testing.T) {
			n := &network{delay: 60 * time.Millisecond, random: rand.New(rand.NewPCG(1, 1))}
			s, _ := web(t, role, n, 0, func(s *side, w *webPeer) {
				_ = s.Send([]byte(message(0)))
				w.send(message(0))
				time.Sleep(10 * time.Second)
				w.reset(true)
				time.Sleep(time.Second)
				before := s.Stats().PacketsSent
				time.Sleep(10 * time.Minute)
				if after := s.Stats().PacketsSent; after != before {
					t.Errorf("%v: %d packets were sent to nobody", role, after-before)
				}
			})
			wantAll(t, "channel", s.received(), 1)
		})
	}
}

// TestBroken: an association that ends on our side alone is opened again, and what was under way is repeated.
func TestBroken(t *testing.T) {
	for _, role := range []Role{Caller, Callee} {
		synctest.Test(t, func(t *testing.T) {
			n := &network{delay: 60 * time.Millisecond, random: rand.New(rand.NewPCG(1, 1))}
			s, w := web(t, role, n, 0, func(s *side, w *webPeer) {
				w.send(message(0))
				_ = s.Send([]byte(message(0)))
				time.Sleep(5 * time.Second)
				_ = s.Send([]byte(message(1)))
				k := s.Channel.(*channel).sctp
				k.mu.Lock()
				k.live.conn.end(errConn)
				k.mu.Unlock()
				_ = s.Send([]byte(message(2)))
				time.Sleep(5 * time.Second)
				w.send(message(1))
			})
			got, _ := w.received()
			wantAll(t, role.String()+": web", got, 3)
			wantAll(t, role.String()+": channel", s.received(), 2)
			if stats := s.Stats(); stats.Associations != 3 {
				t.Errorf("stats are %+v", stats)
			}
		})
	}
}

// TestRefused: a peer that aborts every handshake is not flooded.
func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var c Channel
		c = open(t, Caller, func([]byte) {}, func(p []byte) {
			init, err := parseSCTP(p)
			if err != nil || init.chunks[0].kind() != chunkInit {
				t.Errorf("%x is sent", p)
				return
			}
			c.Receive(sctpPacket{tag: init.chunks[0].initTag(), chunks: []sctpChunk{{chunkAbort, 0, 0, 4}}}.bytes())
		})
		var wg sync.WaitGroup
		wg.Go(func() { _ = c.Run(ctx) })
		time.Sleep(time.Minute)
		if sent := c.Stats().PacketsSent; sent < 20 || sent > 70 {
			t.Errorf("%d INIT in a minute", sent)
		}
		cancel()
		wg.Wait()
	})
}
