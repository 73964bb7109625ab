package signaling

import (
	"bytes"
	"errors"
	"net"
	"sync"
	"time"
)

const (
	maxHeld  = 64  // DATA packets that came before the handshake was done
	maxInput = 512 // packets pion has not read yet
)

var (
	errAborted = errors.New("association was aborted by the peer")
	errConn    = errors.New("signaling connection is closed")
)

// conn is the datagram connection under one SCTP association of pion: Read gives packets of the peer, Write posts
// packets to it. It watches both directions, because pion neither checks verification tags nor keeps DATA that
// overtakes the handshake.
type conn struct {
	post func(packet []byte, resent bool) // sends a packet, which is post's to keep
	born time.Time

	mu     sync.Mutex
	input  [][]byte
	ready  chan struct{} // holds a token when input was added
	held   [][]byte      // DATA packets that came before the handshake was done
	done   chan struct{}
	closed bool
	err    error // why it was closed
	seen   tracker
	web    *straight // of a web engine's DATA; nil: the peer is none
	pace   pace      // of INIT and COOKIE ECHO where custom parameters set their timers
}

// tracker is what the packets of an association told so far.
type tracker struct {
	ownTag  uint32    // what the peer's packets must carry; 0: not chosen yet
	peerTag uint32    // what ours carry; 0: not known yet
	initAt  time.Time // when the peer's INIT came last
	cookie  []byte    // of our INIT ACK
	theirs  []byte    // cookie of the latest INIT ACK, of a web engine
	echoed  bool      // we sent COOKIE ECHO
	opened  bool      // a packet that ends the handshake has gone to pion
	proved  bool      // the peer has sent DATA or SACK
	sent    bool      // we sent DATA
	lastTSN uint32    // the latest we sent
}

func newConn(post func(packet []byte, resent bool), timers SCTPTimers) *conn {
	return &conn{
		post: post, born: time.Now(), ready: make(chan struct{}, 1), done: make(chan struct{}),
		pace: pace{timers: timers},
	}
}

// Read implements net.Conn: one packet per call. What came before the end is read first.
func (c *conn) Read(b []byte) (int, error) {
	for {
		c.mu.Lock()
		if len(c.input) > 0 {
			packet := c.input[0]
			c.input = c.input[1:]
			c.mu.Unlock()
			return copy(b, packet), nil
		}
		c.mu.Unlock()
		select {
		case <-c.ready:
		case <-c.done:
			return 0, errConn
		}
	}
}

// Write implements net.Conn: one packet per call. An ABORT is swallowed: it would end signaling on the peer's side for
// good, whereas a new association is always possible. So is what comes after the end, lest it keep pion from reading.
func (c *conn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, err := parseSCTP(b)
	if c.closed || err != nil || p.has(chunkAbort) {
		return len(b), nil
	}
	resent := c.seen.note(p)
	packet := c.seen.renewed(p, b)
	if !c.pace.note(packet, time.Now()) {
		c.post(bytes.Clone(packet), resent)
	}
	return len(b), nil
}

// renewed returns the packet to send in the place of b, whose content p is: a web engine makes a new cookie whenever an
// INIT comes and takes only the latest back, but pion echoes the first one.
func (s *tracker) renewed(p sctpPacket, b []byte) []byte {
	if s.theirs == nil || !p.has(chunkCookieEcho) {
		return b
	}
	q := sctpPacket{tag: p.tag}
	for _, chunk := range p.chunks {
		if chunk.kind() == chunkCookieEcho {
			chunk = echo(s.theirs)
		}
		q.chunks = append(q.chunks, chunk)
	}
	return q.bytes()
}

// echo makes a COOKIE ECHO.
func echo(cookie []byte) sctpChunk {
	return append(sctpChunk{chunkCookieEcho, 0, 0, byte(4 + len(cookie))}, cookie...)
}

// renew takes the cookie of an INIT ACK of a web engine, and echoes it at once when another one has been echoed: that
// one will not do any more. c.mu is held.
func (c *conn) renew(ack sctpChunk) {
	cookie := ack.cookie()
	again := c.seen.echoed && !c.seen.opened && !bytes.Equal(cookie, c.seen.theirs)
	c.seen.theirs = cookie
	if !again {
		return
	}
	packet := sctpPacket{tag: c.seen.peerTag, chunks: []sctpChunk{echo(cookie)}}.bytes()
	c.pace.replace(packet)
	c.post(packet, false)
}

// note learns from a packet of ours and reports whether it has DATA that was sent before.
func (s *tracker) note(p sctpPacket) (resent bool) {
	for _, chunk := range p.chunks {
		switch chunk.kind() {
		case chunkInit, chunkInitAck:
			s.ownTag = chunk.initTag()
			chunk.params(func(kind int, value []byte) {
				if kind == paramCookie {
					s.cookie = bytes.Clone(value)
				}
			})
		case chunkCookieEcho:
			s.echoed = true
		case chunkData:
			if s.sent && int32(chunk.tsn()-s.lastTSN) <= 0 {
				resent = true
			} else {
				s.sent, s.lastTSN = true, chunk.tsn()
			}
		}
	}
	return resent
}

// accept takes a packet of this association that holds no INIT and no ABORT, and passes it on when it is time. It
// reports false when there is no room.
func (c *conn) accept(p sctpPacket) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	data := p.has(chunkData)
	c.seen.proved = c.seen.proved || data || p.has(chunkSack)
	ends := c.seen.ends(p)
	if data && c.web != nil {
		p = c.straighten(p)
	}
	if len(p.chunks) == 0 {
		return true
	}
	if data && !c.seen.opened && !ends {
		if len(c.held) >= maxHeld {
			return false
		}
		c.held = append(c.held, p.bytes())
		return true
	}
	ok := c.push(p.bytes())
	if ends && !c.seen.opened {
		c.seen.opened = true
		c.pace.answered()
		for _, packet := range c.held {
			ok = c.push(packet) && ok
		}
		c.held = nil
	}
	return ok
}

// straighten replaces the DATA of a packet by what may go on now.
func (c *conn) straighten(p sctpPacket) sctpPacket {
	q := sctpPacket{tag: p.tag}
	for _, chunk := range p.chunks {
		if chunk.kind() == chunkData {
			q.chunks = append(q.chunks, c.web.add(chunk)...)
		} else {
			q.chunks = append(q.chunks, chunk)
		}
	}
	return q
}

// gap returns when a missing DATA chunk is to be given up.
func (c *conn) gap() (at time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.web == nil || !c.seen.opened {
		return at, false
	}
	return c.web.deadline()
}

// again returns when the packet that opens the association is to be repeated.
func (c *conn) again() (at time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pace.at, c.pace.packet != nil && !c.closed
}

// repeat sends that packet again if it is time.
func (c *conn) repeat(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if packet := c.pace.due(now); packet != nil && !c.closed {
		c.post(packet, false)
	}
}

// skip gives a missing DATA chunk up.
func (c *conn) skip() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.push(sctpPacket{tag: c.seen.ownTag, chunks: c.web.skip()}.bytes())
}

// ends reports whether a packet completes the handshake.
func (s *tracker) ends(p sctpPacket) bool {
	for _, chunk := range p.chunks {
		switch chunk.kind() {
		case chunkCookieEcho:
			if len(s.cookie) > 0 && bytes.Equal(chunk[4:], s.cookie) {
				return true
			}
		case chunkCookieAck:
			if s.echoed {
				return true
			}
		}
	}
	return false
}

// acceptInit takes an INIT or INIT ACK.
func (c *conn) acceptInit(p sctpPacket) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := p.chunks[0]
	c.seen.peerTag = first.initTag()
	if first.kind() == chunkInit {
		c.seen.initAt = time.Now()
	} else {
		c.pace.met()
		if first.engine() == PeerWeb {
			c.renew(first)
		}
	}
	if first.engine() == PeerWeb && !c.seen.opened {
		c.web = newStraight(first.initTSN())
	}
	return c.push(sctpPacket{tag: p.tag, chunks: []sctpChunk{first.bare()}}.bytes())
}

func (c *conn) push(packet []byte) bool {
	if c.closed || len(c.input) >= maxInput || len(packet) > maxSCTPPacket {
		return false
	}
	c.input = append(c.input, packet)
	select {
	case c.ready <- struct{}{}:
	default:
	}
	return true
}

// told returns what is known of the association.
func (c *conn) told() tracker {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen
}

func (c *conn) isWeb() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.web != nil
}

// end closes the connection; the first reason is kept.
func (c *conn) end(reason error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed, c.err = true, reason
		close(c.done)
	}
}

func (c *conn) reason() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.end(errConn)
	return nil
}

// Deadlines and addresses mean nothing here.

func (c *conn) LocalAddr() net.Addr              { return connAddr{} }
func (c *conn) RemoteAddr() net.Addr             { return connAddr{} }
func (c *conn) SetDeadline(time.Time) error      { return nil }
func (c *conn) SetReadDeadline(time.Time) error  { return nil }
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

type connAddr struct{}

func (connAddr) Network() string { return "signaling" }
func (connAddr) String() string  { return "signaling" }

// firstChunk is the type of a packet's first chunk; ok is false when it has none or is no SCTP.
func firstChunk(packet []byte) (kind byte, ok bool) {
	if len(packet) < sctpHeader+4 || !isSCTP(packet) {
		return 0, false
	}
	return packet[sctpHeader], true
}
