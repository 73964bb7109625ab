package signaling

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// webPeer is SCTP as the web engines have it: no timers, no retransmission, one chunk per packet, INIT repeated only
// with new payload and only while there was none from the other side, and a weakness: an INIT or INIT ACK at any time
// sets the expected TSN, while the own numbers go on.
type webPeer struct {
	out    func([]byte)
	cipher *Cipher

	mu       sync.Mutex
	up       bool
	tag      uint32
	peerTag  uint32 // 0: not known
	tsn      uint32
	ssn      uint16
	expected uint32
	early    map[uint32][]byte
	cookie   []byte
	initAt   time.Time // zero: none sent
	retries  int
	queue    [][]byte
	got      []string
	broken   []string // what it would have dropped silently
	answered int      // INIT ACK that came
}

func newWebPeer(role Role, out func([]byte)) *webPeer {
	return &webPeer{
		out: out, cipher: NewCipher(vectorKey(), role, Signaling),
		tag: 0x01020304, tsn: 1000, early: map[uint32][]byte{},
	}
}

func (w *webPeer) send(message string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	body, _ := deflate([]byte(message))
	packet, _ := w.cipher.Seal(body)
	w.queue = append(w.queue, packet)
	retry := min(time.Second<<max(w.retries-1, 0), 8*time.Second)
	switch {
	case w.up:
		w.flush()
	case w.initAt.IsZero(), w.peerTag == 0 && time.Since(w.initAt) >= retry:
		w.initAt = time.Now()
		w.retries++
		w.emit(0, w.init(chunkInit))
	}
}

func (w *webPeer) init(kind byte) sctpChunk {
	c := sctpChunk{kind, 0, 0, initHeader}
	c = binary.BigEndian.AppendUint32(c, w.tag)
	c = binary.BigEndian.AppendUint32(c, 0x500000)
	c = binary.BigEndian.AppendUint32(c, 0xffffffff)
	return binary.BigEndian.AppendUint32(c, w.tsn)
}

func (w *webPeer) emit(tag uint32, c sctpChunk) {
	w.out(sctpPacket{tag: tag, chunks: []sctpChunk{c}}.bytes())
}

func (w *webPeer) flush() {
	for _, m := range w.queue {
		c := sctpChunk{chunkData, 3, 0, 0}
		binary.BigEndian.PutUint16(c[2:], uint16(dataHeader+len(m)))
		c = binary.BigEndian.AppendUint32(c, w.tsn)
		c = binary.BigEndian.AppendUint16(c, 0)
		c = binary.BigEndian.AppendUint16(c, w.ssn)
		c = binary.BigEndian.AppendUint32(c, sctpBinary)
		w.emit(w.peerTag, append(c, m...))
		w.tsn++
		w.ssn++
	}
	w.queue = nil
}

func (w *webPeer) receive(raw []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p, err := parseSCTP(raw)
	if err != nil {
		w.broken = append(w.broken, fmt.Sprintf("%x: %v", raw, err))
		return
	}
	for _, c := range p.chunks {
		if c.kind() == chunkInit && (p.tag != 0 || len(p.chunks) > 1) || c.kind() != chunkInit && p.tag != w.tag {
			w.broken = append(w.broken, fmt.Sprintf("chunk %d with tag %x", c.kind(), p.tag))
			return
		}
		w.chunk(c)
	}
}

func (w *webPeer) chunk(c sctpChunk) {
	switch c.kind() {
	case chunkInit:
		w.meet(c)
		if w.initAt.IsZero() {
			w.initAt = time.Now()
		}
		w.cookie = binary.BigEndian.AppendUint32([]byte("0123456789ab"), w.peerTag)
		ack := append(w.init(chunkInitAck), 0, paramCookie, 0, 20)
		ack = append(ack, w.cookie...)
		ack[3] = byte(len(ack))
		w.emit(w.peerTag, ack)
	case chunkInitAck:
		w.answered++
		w.meet(c)
		c.params(func(kind int, value []byte) {
			if kind == paramCookie {
				w.emit(w.peerTag, append(sctpChunk{chunkCookieEcho, 0, 0, byte(4 + len(value))}, value...))
			}
		})
	case chunkCookieEcho:
		if !bytes.Equal(c[4:], w.cookie) {
			w.broken = append(w.broken, "bad cookie")
			return
		}
		w.emit(w.peerTag, sctpChunk{chunkCookieAck, 0, 0, 4})
		w.established()
	case chunkCookieAck, chunkSack:
		w.established()
	case chunkData:
		w.data(c)
	case chunkAbort:
		w.broken = append(w.broken, "aborted")
	}
}

func (w *webPeer) meet(c sctpChunk) { w.peerTag, w.expected = c.initTag(), c.initTSN() }

func (w *webPeer) established() {
	w.up = true
	w.flush()
}

func (w *webPeer) data(c sctpChunk) {
	if !c.ours() || c[1]&3 != 3 {
		w.broken = append(w.broken, "foreign DATA")
		return
	}
	w.early[c.tsn()] = bytes.Clone(c[dataHeader:])
	for w.early[w.expected] != nil {
		w.established()
		_, body, err := w.cipher.Open(w.early[w.expected])
		if err == nil {
			text, _ := inflate(body)
			w.got = append(w.got, string(text))
		}
		delete(w.early, w.expected)
		w.expected++
	}
	sack := sctpChunk{chunkSack, 0, 0, 16}
	sack = binary.BigEndian.AppendUint32(sack, w.expected-1)
	w.emit(w.peerTag, append(sack, 0, 0x50, 0, 0, 0, 0, 0, 0))
}

func (w *webPeer) received() ([]string, []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.got...), append([]string(nil), w.broken...)
}

// reset forgets the association and keeps the cipher, with or without an ABORT.
func (w *webPeer) reset(abort bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if abort {
		w.emit(w.peerTag, sctpChunk{chunkAbort, 0, 0, 4})
	}
	w.up, w.peerTag, w.initAt, w.retries = false, 0, time.Time{}, 0
	w.ssn, w.tsn, w.queue, w.early = 0, 5000, nil, map[uint32][]byte{}
	w.tag++
}

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
