package signaling

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// SCTP as V3 uses it: RFC 9260 packets without DTLS or UDP around them.
const (
	sctpPort       = 5000 // source and destination
	sctpHeader     = 12
	sctpStream     = 0
	sctpBinary     = 53   // payload protocol "WebRTC Binary", RFC 8831
	maxSCTPPacket  = 8192 // what pion reads at most; engines stay near 1200
	dataHeader     = 16   // chunk header included
	initHeader     = 20   // chunk header included
	paramCookie    = 7
	paramForward   = 0xc000 // FORWARD-TSN supported
	webCookieSize  = 16
	nativeCookieID = "dcSCTP"
)

// The chunk types that are let through to the association.
const (
	chunkData       = 0
	chunkInit       = 1
	chunkInitAck    = 2
	chunkSack       = 3
	chunkHeartbeat  = 4
	chunkAbort      = 6
	chunkCookieEcho = 10
	chunkCookieAck  = 11
)

var errForeign = errors.New("packet belongs to another association")

// isSCTP tells a packet of the signaling association from a plain encrypted one by its ports.
func isSCTP(packet []byte) bool {
	return bytes.HasPrefix(packet, []byte{sctpPort >> 8, sctpPort & 0xff, sctpPort >> 8, sctpPort & 0xff})
}

// sctpPacket is a checked packet.
type sctpPacket struct {
	tag    uint32 // verification tag
	chunks []sctpChunk
}

// sctpChunk is a chunk with its header, without padding. Its structure is sound as far as its type is known.
type sctpChunk []byte

func (c sctpChunk) kind() byte { return c[0] }

// parseSCTP checks length, checksum and structure. A zero checksum is not taken. The result refers to raw.
func parseSCTP(raw []byte) (sctpPacket, error) {
	if len(raw) < sctpHeader+4 || !isSCTP(raw) {
		return sctpPacket{}, errSyntax
	}
	if binary.LittleEndian.Uint32(raw[8:]) != sctpChecksum(raw) {
		return sctpPacket{}, errSyntax
	}
	p := sctpPacket{tag: binary.BigEndian.Uint32(raw[4:])}
	for rest := raw[sctpHeader:]; len(rest) > 0; {
		if len(rest) < 4 {
			return sctpPacket{}, errSyntax
		}
		n := int(binary.BigEndian.Uint16(rest[2:]))
		if n < 4 || n > len(rest) {
			return sctpPacket{}, errSyntax
		}
		c := sctpChunk(rest[:n:n])
		if !c.sound() {
			return sctpPacket{}, errSyntax
		}
		p.chunks = append(p.chunks, c)
		rest = rest[min(n+padding(n), len(rest)):]
	}
	return p, nil
}

// sound checks the inner structure of the chunk types that are used.
func (c sctpChunk) sound() bool {
	switch c.kind() {
	case chunkData:
		return len(c) > dataHeader
	case chunkInit, chunkInitAck:
		return len(c) >= initHeader && c.initTag() != 0 && c.params(func(int, []byte) {})
	case chunkSack:
		const head = 16
		return len(c) >= head && len(c) == head+
			4*(int(binary.BigEndian.Uint16(c[12:]))+int(binary.BigEndian.Uint16(c[14:])))
	}
	return true
}

// initTag is the initiate tag of an INIT or INIT ACK: the verification tag its sender wants to see.
func (c sctpChunk) initTag() uint32 { return binary.BigEndian.Uint32(c[4:]) }

// initTSN is the TSN that the sender of an INIT or INIT ACK begins with.
func (c sctpChunk) initTSN() uint32 { return binary.BigEndian.Uint32(c[16:]) }

// tsn is the transmission sequence number of a DATA chunk.
func (c sctpChunk) tsn() uint32 { return binary.BigEndian.Uint32(c[4:]) }

// ours reports whether a DATA chunk is on the stream and of the protocol that carry messages.
func (c sctpChunk) ours() bool {
	return binary.BigEndian.Uint16(c[8:]) == sctpStream && binary.BigEndian.Uint32(c[12:]) == sctpBinary
}

// params walks through the parameters of an INIT or INIT ACK and reports whether they fill it.
func (c sctpChunk) params(yield func(kind int, value []byte)) bool {
	for rest := []byte(c[initHeader:]); len(rest) > 0; {
		if len(rest) < 4 {
			return false
		}
		n := int(binary.BigEndian.Uint16(rest[2:]))
		if n < 4 || n > len(rest) {
			return false
		}
		yield(int(binary.BigEndian.Uint16(rest)), rest[4:n])
		rest = rest[min(n+padding(n), len(rest)):]
	}
	return true
}

// bare is an INIT or INIT ACK without optional parameters: none of the extensions they announce is wanted, and some
// would make pion refuse the chunk or send zero checksums.
func (c sctpChunk) bare() sctpChunk {
	b := append(sctpChunk{}, c[:initHeader]...)
	c.params(func(kind int, value []byte) {
		if kind == paramCookie && c.kind() == chunkInitAck {
			b = binary.BigEndian.AppendUint16(b, paramCookie)
			b = binary.BigEndian.AppendUint16(b, uint16(4+len(value)))
			b = append(b, value...)
		}
	})
	b[1] = 0
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

// cookie is that of an INIT ACK; nil when there is none.
func (c sctpChunk) cookie() (cookie []byte) {
	c.params(func(kind int, value []byte) {
		if kind == paramCookie {
			cookie = bytes.Clone(value)
		}
	})
	return cookie
}

// engine tells native and web engines apart by an INIT or INIT ACK: the web's has no parameters but a cookie of 16
// bytes, the native one's announces FORWARD-TSN and has a cookie that bears its library's name.
func (c sctpChunk) engine() Peer {
	peer, count := PeerUnknown, 0
	c.params(func(kind int, value []byte) {
		count++
		switch {
		case kind == paramForward, kind == paramCookie && bytes.HasPrefix(value, []byte(nativeCookieID)):
			peer = PeerNative
		case kind == paramCookie && len(value) == webCookieSize && peer == PeerUnknown:
			peer = PeerWeb
		}
	})
	switch {
	case c.kind() == chunkInit && count == 0:
		return PeerWeb
	case peer == PeerWeb && count > 1:
		return PeerUnknown
	}
	return peer
}

// bytes prints the packet with its checksum.
func (p sctpPacket) bytes() []byte {
	b := make([]byte, sctpHeader, sctpHeader+64)
	binary.BigEndian.PutUint16(b, sctpPort)
	binary.BigEndian.PutUint16(b[2:], sctpPort)
	binary.BigEndian.PutUint32(b[4:], p.tag)
	for _, c := range p.chunks {
		b = append(b, c...)
		b = append(b, make([]byte, padding(len(c)))...)
	}
	binary.LittleEndian.PutUint32(b[8:], sctpChecksum(b))
	return b
}

func (p sctpPacket) has(kind byte) bool {
	for _, c := range p.chunks {
		if c.kind() == kind {
			return true
		}
	}
	return false
}

// sctpChecksum is the CRC32c of a packet with its checksum field taken as zero.
func sctpChecksum(raw []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(0, table, raw[:8])
	sum = crc32.Update(sum, table, make([]byte, 4))
	return crc32.Update(sum, table, raw[sctpHeader:])
}

func padding(n int) int { return -n & 3 }
