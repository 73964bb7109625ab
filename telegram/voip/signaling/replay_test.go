package signaling

import (
	"context"
	"encoding/binary"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// replayed is the live Channel that a capture is played to, and what it sent.
type replayed struct {
	side
	mu      sync.Mutex
	sent    [][]byte
	ownTag  uint32 // of the live SCTP association, once it has sent INIT or INIT ACK
	cookie  []byte // of its INIT ACK
	lastTSN uint32 // of its DATA
}

func (r *replayed) transmit(packet []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent = append(r.sent, packet)
	p, err := parseSCTP(packet)
	if err != nil {
		return
	}
	for _, c := range p.chunks {
		switch c.kind() {
		case chunkInit, chunkInitAck:
			r.ownTag = c.initTag()
			c.params(func(kind int, value []byte) {
				if kind == paramCookie {
					r.cookie = value
				}
			})
		case chunkData:
			r.lastTSN = c.tsn()
		}
	}
}

// readdress gives a recorded SCTP packet the verification tag and the cookie of the live association. With turn, a
// recorded handshake of an engine that answered INIT becomes one of an engine that sends it: some native callees send
// INIT first, a Channel that is callee does not.
func (r *replayed) readdress(t *testing.T, wire []byte, turn bool) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, err := parseSCTP(wire)
	if err != nil {
		t.Fatal(err)
	}
	if p.tag != 0 {
		p.tag = r.ownTag
	}
	for i, c := range p.chunks {
		switch {
		case c.kind() == chunkInitAck && turn:
			p.tag = 0
			c = append(sctpChunk{chunkInit, 0, 0, initHeader}, c[4:initHeader]...)
			p.chunks[i] = c
		case c.kind() == chunkCookieEcho, c.kind() == chunkCookieAck && turn:
			c = append(sctpChunk{chunkCookieEcho, 0, 0, 0}, r.cookie...)
			binary.BigEndian.PutUint16(c[2:], uint16(len(c)))
			p.chunks[i] = c
		}
	}
	return p.bytes()
}

// TestReplay plays each side of each capture to a live Channel of the other role.
func TestReplay(t *testing.T) {
	for _, c := range captures(t) {
		for _, from := range []string{"caller", "callee"} {
			t.Run(c.name+"/"+from, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { replay(t, c, from, false) })
				if c.name == "13.0.0-nosctp" {
					synctest.Test(t, func(t *testing.T) { replay(t, c, from, true) })
				}
			})
		}
	}
}

// dials reports whether a side sent INIT.
func (c *capture) dials(from string) bool {
	for _, p := range c.Packets {
		if p.From == from && p.SCTP != nil && p.SCTP.Chunks[0].Type == "INIT" {
			return true
		}
	}
	return false
}

func replay(t *testing.T, c *capture, from string, noSCTP bool) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := &replayed{}
	var err error
	r.Channel, err = Open(Config{
		Version: c.Version, Role: other(roleOf(from)), Key: c.key(t), Transmit: r.transmit, Deliver: r.deliver,
		NoSCTP: noSCTP,
	})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := r.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	synctest.Wait()
	sctp := false
	for i, p := range c.Packets {
		wire := unhex(t, p.WireHex)
		if p.From != from {
			// Packets of our own side come from the wrong direction: none may be taken.
			if p.SCTP == nil {
				before := r.Stats().Drops.Authentication
				r.Receive(wire)
				synctest.Wait()
				if r.Stats().Drops.Authentication != before+1 {
					t.Errorf("packet %d of our own side is taken", i)
				}
			}
			continue
		}
		if p.SCTP != nil {
			sctp = true
			wire = r.readdress(t, wire, from == "caller" && !c.dials(from))
		}
		r.Receive(wire)
		synctest.Wait()
		time.Sleep(time.Millisecond)
	}
	want := c.recorded(t, from)
	if len(want) == 0 {
		t.Fatal("nothing was recorded")
	}
	got := r.received()
	if len(got) != len(want) {
		t.Errorf("%d of %d messages came; %+v", len(got), len(want), r.Stats())
	}
	for i := range min(len(got), len(want)) {
		if !sameJSON(t, []byte(got[i]), want[i]) {
			t.Errorf("message %d is %s, want %s", i, got[i], want[i])
		}
	}
	peer := PeerUnknown
	if sctp {
		peer = PeerNative
		if strings.HasPrefix(c.name, "13.0.0-weba-weba") || from == "caller" && strings.Contains(c.name, "-web") && !strings.Contains(c.name, "native-caller") ||
			from == "callee" && strings.Contains(c.name, "native-caller-web") {
			peer = PeerWeb
		}
	}
	if r.Peer() != peer {
		t.Errorf("peer is %v, want %v", r.Peer(), peer)
	}
	// Everything once more brings nothing.
	for _, p := range c.Packets {
		if p.From == from && p.SCTP == nil {
			r.Receive(unhex(t, p.WireHex))
		}
	}
	synctest.Wait()
	if n := len(r.received()); n != len(got) {
		t.Errorf("the second time brings %d messages more", n-len(got))
	}
	cancel()
	wg.Wait()
}
