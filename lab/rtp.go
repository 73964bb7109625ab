package lab

import (
	"encoding/binary"
	"errors"
)

const rtpHeaderSize = 12

// rtpPacket is one RTP packet (RFC 3550 §5.1). The payload points into the datagram.
type rtpPacket struct {
	marker    bool
	payload   uint8 // payload type
	sequence  uint16
	timestamp uint32
	ssrc      uint32
	data      []byte
}

var errNotRTP = errors.New("datagram is not an rtp packet")

func parseRTP(b []byte) (rtpPacket, error) {
	if len(b) < rtpHeaderSize || b[0]>>6 != 2 {
		return rtpPacket{}, errNotRTP
	}
	p := rtpPacket{
		marker: b[1]&0x80 != 0, payload: b[1] & 0x7f, sequence: binary.BigEndian.Uint16(b[2:]),
		timestamp: binary.BigEndian.Uint32(b[4:]), ssrc: binary.BigEndian.Uint32(b[8:]),
	}
	data := b[rtpHeaderSize:]
	if skip := 4 * int(b[0]&0x0f); skip <= len(data) {
		data = data[skip:]
	} else {
		return rtpPacket{}, errNotRTP
	}
	if b[0]&0x10 != 0 { // header extension, §5.3.1
		if len(data) < 4 {
			return rtpPacket{}, errNotRTP
		}
		skip := 4 + 4*int(binary.BigEndian.Uint16(data[2:]))
		if skip > len(data) {
			return rtpPacket{}, errNotRTP
		}
		data = data[skip:]
	}
	if b[0]&0x20 != 0 { // padding: its last byte counts it
		if len(data) == 0 || int(data[len(data)-1]) > len(data) || data[len(data)-1] == 0 {
			return rtpPacket{}, errNotRTP
		}
		data = data[:len(data)-int(data[len(data)-1])]
	}
	p.data = data
	return p, nil
}

// append writes p to b.
func (p rtpPacket) append(b []byte) []byte {
	second := p.payload
	if p.marker {
		second |= 0x80
	}
	b = append(b, 0x80, second)
	b = binary.BigEndian.AppendUint16(b, p.sequence)
	b = binary.BigEndian.AppendUint32(b, p.timestamp)
	b = binary.BigEndian.AppendUint32(b, p.ssrc)
	return append(b, p.data...)
}
