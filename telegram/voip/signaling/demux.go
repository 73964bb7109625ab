package signaling

import (
	"slices"
	"time"
)

// repeatedInit is how long after the handshake an INIT with the tag of an association that has carried nothing yet is
// taken for a straggler rather than for a peer that hangs.
const repeatedInit = time.Second

// receive takes one SCTP packet: it checks it, finds its association, and passes on the chunks that are wanted there.
func (k *carrier) receive(raw []byte) {
	if len(raw) > maxSCTPPacket {
		k.c.drop(ErrLong)
		return
	}
	p, err := parseSCTP(raw)
	if err != nil {
		k.c.drop(err)
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case p.chunks[0].kind() == chunkInit:
		k.receiveInit(p)
	case p.chunks[0].kind() == chunkInitAck:
		k.receiveInitAck(p)
	default:
		k.receiveOther(p)
	}
}

// receiveInit answers an INIT of the peer: in the association that comes up, or, where one is up, in a new one that
// replaces it once the peer has followed. RFC 9260 section 5.2.2 keeps the old one for the same reason: the INIT may
// be an old one that was under way for long.
func (k *carrier) receiveInit(p sctpPacket) {
	tag := p.chunks[0].initTag()
	if p.tag != 0 || len(p.chunks) != 1 || slices.Contains(k.retired, tag) {
		k.c.drop(errForeign)
		return
	}
	a := k.live
	if a.sctp != nil {
		told := a.conn.told()
		if tag == told.peerTag && (told.proved || time.Since(a.since) < repeatedInit) {
			k.c.drop(errForeign)
			return
		}
		if k.next == nil {
			k.next = k.start(false)
		}
		a = k.next
	}
	k.c.setPeer(p.chunks[0].engine())
	if !a.conn.acceptInit(p) {
		k.c.drop(errOverflow)
	}
}

// receiveInitAck takes the answer to an INIT of ours.
func (k *carrier) receiveInitAck(p sctpPacket) {
	a := k.byTag(p)
	if len(p.chunks) != 1 || a == nil || !a.dial || a.sctp != nil {
		k.c.drop(errForeign)
		return
	}
	k.c.setPeer(p.chunks[0].engine())
	if !a.conn.acceptInit(p) {
		k.c.drop(errOverflow)
	}
}

// receiveOther passes on what belongs to an association by its tag.
func (k *carrier) receiveOther(p sctpPacket) {
	a := k.byTag(p)
	if a == nil {
		k.c.drop(errForeign)
		return
	}
	wanted := sctpPacket{tag: p.tag}
	for _, c := range p.chunks {
		switch c.kind() {
		case chunkAbort:
			a.conn.end(errAborted)
			return
		case chunkData:
			if !c.ours() {
				k.c.drop(errForeign)
				continue
			}
		case chunkSack, chunkHeartbeat, chunkCookieEcho, chunkCookieAck:
		default:
			continue // RE-CONFIG, FORWARD-TSN, SHUTDOWN and the unknown have no part in this protocol
		}
		wanted.chunks = append(wanted.chunks, c)
	}
	if len(wanted.chunks) > 0 && !a.conn.accept(wanted) {
		k.c.drop(errOverflow)
	}
}

// byTag finds the association that a packet's verification tag names. An ABORT with the T bit carries the other
// side's tag (RFC 9260 section 8.5.1).
func (k *carrier) byTag(p sctpPacket) *association {
	const reflected = 1
	for _, a := range []*association{k.live, k.next} {
		if a == nil {
			continue
		}
		told := a.conn.told()
		if told.ownTag != 0 && p.tag == told.ownTag {
			return a
		}
		if first := p.chunks[0]; first.kind() == chunkAbort && first[1]&reflected != 0 && told.peerTag != 0 && p.tag == told.peerTag {
			return a
		}
	}
	return nil
}

// sctpFrame is V3.
type sctpFrame struct {
	c       *channel
	carrier *carrier
}

func (f *sctpFrame) send(messages [][]byte) {
	for _, m := range messages {
		body, err := deflate(m)
		if err != nil {
			f.c.failed(err)
			continue
		}
		packet, err := f.c.cipher.Seal(body)
		if err != nil {
			f.c.failed(err)
			continue
		}
		if !f.carrier.write(packet) {
			f.c.failed(ErrFull)
			continue
		}
		f.c.count(func(s *Stats) { s.MessagesSent++ })
	}
}

// receive takes packets with SCTP and without it.
func (f *sctpFrame) receive(packet []byte) {
	switch {
	case isSCTP(packet):
		f.carrier.receive(packet)
	case f.c.openRaw(packet):
		f.carrier.goPlain()
	}
}

func (f *sctpFrame) deadline() (time.Time, bool) { return f.carrier.deadline() }
func (f *sctpFrame) tick()                       { f.carrier.tick() }
