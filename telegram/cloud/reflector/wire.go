package reflector

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"
)

const (
	tagLength  = 12 // of what is used of a peer tag
	helloMin   = 20 // what a client over TCP says first; over UDP it is 40
	dataHead   = 24
	maxPacket  = 4096 + dataHead
	frameHead  = 4
	opening    = "\xee\xee\xee\xee" // what a client sends first on TCP
	selfInfo   = 0xc01572c7         // TL constructor of the answer to a hello, from the time of libtgvoip
	helloQuery = 123
)

var errWire = errors.New("broken packet")

// Tag is a peer tag.
type Tag [16]byte

// name is what the two tags of a call have in common.
type name [11]byte

// packet is what clients send: a hello, or data for the other side.
type packet struct {
	call name
	role byte
	own  uint32 // random tag of the sender
	to   uint32 // random tag of the receiver; of data only
	data bool
}

// parse reads a packet without its frame.
func parse(b []byte) (p packet, err error) {
	if len(b) < helloMin || b[0] > 1 {
		return p, fmt.Errorf("%w: %d bytes", errWire, len(b))
	}
	p.role, p.call = b[0], name(b[1:tagLength])
	first := binary.LittleEndian.Uint32(b[tagLength:])
	if len(b) == helloMin || isControl(b) {
		p.own = first
		return p, p.check()
	}
	if len(b) <= dataHead {
		return p, fmt.Errorf("%w: %d bytes", errWire, len(b))
	}
	length := binary.BigEndian.Uint32(b[20:])
	if length == 0 || uint64(length) > uint64(len(b)-dataHead) {
		return p, fmt.Errorf("%w: payload of %d in %d bytes", errWire, length, len(b))
	}
	p.to, p.own, p.data = first, binary.LittleEndian.Uint32(b[16:]), true
	return p, p.check()
}

func (p packet) check() error {
	if p.own == 0 {
		return fmt.Errorf("%w: no random tag", errWire)
	}
	return nil
}

// isControl says whether a packet is no data but a word with the reflector itself.
func isControl(b []byte) bool {
	return len(b) >= 28 && bytes.Count(b[16:28], []byte{0xff}) == 12
}

// answer makes the answer to a hello, which tells the client its own address.
func answer(p packet, from netip.AddrPort, now time.Time) []byte {
	b := append([]byte{p.role}, p.call[:]...)
	b = binary.LittleEndian.AppendUint32(b, p.own)
	b = append(b, bytes.Repeat([]byte{0xff}, 12)...)
	b = binary.LittleEndian.AppendUint32(b, selfInfo)
	b = binary.LittleEndian.AppendUint32(b, uint32(now.Unix()))
	b = binary.LittleEndian.AppendUint64(b, helloQuery)
	ip := from.Addr().As16()
	b = append(b, ip[:]...)
	return binary.LittleEndian.AppendUint32(b, uint32(from.Port()))
}

// readFrame reads one packet of a TCP connection into buf.
func readFrame(in io.Reader, buf []byte) (int, error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return 0, err
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n < helloMin || n > uint32(len(buf)) {
		return 0, fmt.Errorf("%w: frame of %d bytes", errWire, n)
	}
	if _, err := io.ReadFull(in, buf[:n]); err != nil {
		return 0, err
	}
	return int(n), nil
}

func frame(b []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(b))), b...)
}
