package voip

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
)

// What reflectors speak, as the official engine's ReflectorPort has it (tgcalls v2). Random tags are little-endian, as
// that engine keeps them in memory; lengths and the number in a hello are big-endian; the length of a TCP frame is
// little-endian.
const (
	peerTagLength   = 16
	reflectedHead   = 24
	reflectorHello  = 123
	reflectorFrame  = 4 // length before each packet on TCP
	reflectedMax    = maxPacket + reflectedHead
	reflectorIDMax  = 255
	reflectorOpened = "\xee\xee\xee\xee" // what a client sends first on TCP
)

var errPeerTag = errors.New("unusable peer tag")

// reflectorTag is the part of a peer_tag that is used: it names the call and, in byte 0, the side.
type reflectorTag [12]byte

// parsePeerTag reads the 16 bytes of phoneConnection.peer_tag in hexadecimal digits. The last four are not used.
func parsePeerTag(s string) (t reflectorTag, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != peerTagLength {
		return t, fmt.Errorf("%w: want %d hexadecimal digits", errPeerTag, 2*peerTagLength)
	}
	copy(t[:], b)
	return t, nil
}

// hello is the UDP packet that opens the way through the reflector and keeps it open.
func (t reflectorTag) hello(own uint32) []byte {
	b := binary.LittleEndian.AppendUint32(t[:], own)
	b = append(b, bytes.Repeat([]byte{0xff}, 12)...)
	b = append(b, 0xfe, 0xff, 0xff, 0xff)
	return binary.BigEndian.AppendUint64(b, reflectorHello)
}

// helloTCP is the same on TCP, without its frame.
func (t reflectorTag) helloTCP(own uint32) []byte {
	return append(binary.LittleEndian.AppendUint32(t[:], own), 0, 0, 0, 0)
}

// appendData appends a packet for the peer whose random tag is to.
func (t reflectorTag) appendData(b []byte, to, own uint32, payload []byte) []byte {
	b = append(b, t[:]...)
	b = binary.LittleEndian.AppendUint32(b, to)
	b = binary.LittleEndian.AppendUint32(b, own)
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	b = append(b, payload...)
	return append(b, make([]byte, -len(payload)&3)...)
}

// read takes a packet of the reflector apart. ours says whether it is for this call at all; the payload, which aliases
// b, is nil for control packets and broken ones. from is the random tag of the peer.
func (t reflectorTag) read(b []byte) (from uint32, payload []byte, ours bool) {
	if len(b) < peerTagLength || reflectorTag(b[:len(t)]) != t {
		return 0, nil, false
	}
	if len(b) <= reflectedHead || isReflectorControl(b) {
		return 0, nil, true
	}
	length := binary.BigEndian.Uint32(b[20:])
	if length == 0 || uint64(length) > uint64(len(b)-reflectedHead) {
		return 0, nil, true
	}
	return binary.LittleEndian.Uint32(b[16:]), b[reflectedHead : reflectedHead+length], true
}

// isReflectorControl says whether a packet is the reflector's own word, such as the answer to a hello.
func isReflectorControl(b []byte) bool {
	for _, c := range b[16:min(28, len(b))] {
		if c != 0xff {
			return false
		}
	}
	return true
}
