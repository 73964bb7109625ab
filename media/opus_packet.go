package media

import (
	"fmt"
	"time"
)

// OpusMode is the coding inside an Opus packet.
type OpusMode uint8

// The modes of RFC 6716 §3.1, table 2.
const (
	OpusSILK OpusMode = iota
	OpusHybrid
	OpusCELT
)

const maxOpusPacket = 120 * time.Millisecond // RFC 6716 §3.2.5, requirement R5

// OpusPacket is what can be told of an Opus packet without decoding it.
type OpusPacket struct {
	Mode          OpusMode
	Stereo        bool
	Frames        int           // 1..48; the frames of one packet are equally long
	FrameDuration time.Duration // 2.5 to 60 ms
	Redundancy    bool          // carries a copy of the packet before it, for DecodeFEC
}

// Duration returns how long the packet's audio lasts, 2.5 to 120 ms.
func (p OpusPacket) Duration() time.Duration { return time.Duration(p.Frames) * p.FrameDuration }

// Samples returns how many samples a channel the packet decodes to at rate Hz.
func (p OpusPacket) Samples(rate int) int {
	return int(p.Duration() * time.Duration(rate) / time.Second)
}

// InspectOpus reads the TOC byte and the frame lengths of an Opus packet (RFC 6716 §3) and checks them as far as
// §3.4 demands of a decoder. It returns ErrMalformed for anything else than a well-formed packet.
func InspectOpus(payload []byte) (OpusPacket, error) {
	if len(payload) == 0 {
		return OpusPacket{}, errOpusShort
	}
	toc := payload[0]
	p := OpusPacket{Mode: opusModeOf(toc), Stereo: toc&4 != 0, FrameDuration: opusFrameDuration(toc)}
	var first []byte // the first frame
	var err error
	switch rest := payload[1:]; toc & 3 {
	case 0:
		p.Frames, first = 1, rest
	case 1:
		if len(rest)%2 != 0 {
			return OpusPacket{}, errOpusShort
		}
		p.Frames, first = 2, rest[:len(rest)/2]
	case 2:
		n, head := opusFrameLength(rest)
		if head == 0 || head+n > len(rest) {
			return OpusPacket{}, errOpusShort
		}
		p.Frames, first = 2, rest[head:head+n]
		if len(rest)-head-n > maxOpusFrame {
			return OpusPacket{}, errOpusLong
		}
	case 3:
		p.Frames, first, err = opusManyFrames(rest)
		if err != nil {
			return OpusPacket{}, err
		}
	}
	if len(first) > maxOpusFrame || p.Duration() > maxOpusPacket {
		return OpusPacket{}, errOpusLong
	}
	p.Redundancy = p.hasRedundancy(first)
	return p, nil
}

const maxOpusFrame = 1275 // bytes, requirement R2

var (
	errOpusShort = fmt.Errorf("inspect opus packet: %w: too short for its frames", ErrMalformed)
	errOpusLong  = fmt.Errorf("inspect opus packet: %w: too long", ErrMalformed)
)

func opusModeOf(toc byte) OpusMode {
	switch config := toc >> 3; {
	case config < 12:
		return OpusSILK
	case config < 16:
		return OpusHybrid
	}
	return OpusCELT
}

func opusFrameDuration(toc byte) time.Duration {
	config := toc >> 3
	switch opusModeOf(toc) {
	case OpusSILK:
		if config&3 == 3 {
			return 60 * time.Millisecond
		}
		return 10 * time.Millisecond << (config & 3)
	case OpusHybrid:
		return 10 * time.Millisecond << (config & 1)
	}
	return 2500 * time.Microsecond << (config & 3)
}

// opusFrameLength reads a frame length (§3.2.1) and how many bytes it took, 0 if it is cut off.
func opusFrameLength(b []byte) (length, size int) {
	switch {
	case len(b) == 0:
		return 0, 0
	case b[0] < 252:
		return int(b[0]), 1
	case len(b) < 2:
		return 0, 0
	}
	return int(b[0]) + 4*int(b[1]), 2
}

// opusManyFrames reads a code 3 packet after its TOC byte (§3.2.5) and returns its first frame.
func opusManyFrames(b []byte) (frames int, first []byte, err error) {
	if len(b) == 0 {
		return 0, nil, errOpusShort
	}
	variable, padded, frames := b[0]&0x80 != 0, b[0]&0x40 != 0, int(b[0]&0x3f)
	if frames == 0 || frames > 48 {
		return 0, nil, errOpusLong
	}
	b = b[1:]
	if padded {
		if b = opusTrimPadding(b); b == nil {
			return 0, nil, errOpusShort
		}
	}
	if !variable {
		if len(b)%frames != 0 {
			return 0, nil, errOpusShort
		}
		return frames, b[:len(b)/frames], nil
	}
	firstLength, total := 0, 0
	for i := range frames - 1 {
		n, head := opusFrameLength(b)
		if head == 0 {
			return 0, nil, errOpusShort
		}
		if i == 0 {
			firstLength = n
		}
		total += n
		b = b[head:]
	}
	last := len(b) - total
	if last < 0 {
		return 0, nil, errOpusShort
	}
	if last > maxOpusFrame {
		return 0, nil, errOpusLong
	}
	if frames == 1 {
		firstLength = last
	}
	return frames, b[:firstLength], nil
}

// opusTrimPadding takes the padding length off the front of b and the padding off its end; nil if that is too much.
func opusTrimPadding(b []byte) []byte {
	padding := 0
	for {
		if len(b) == 0 {
			return nil
		}
		n := int(b[0])
		b = b[1:]
		if n < 255 {
			padding += n
			break
		}
		padding += 254
	}
	if padding > len(b) {
		return nil
	}
	return b[:len(b)-padding]
}

// hasRedundancy reads the LBRR flag. A SILK frame begins with a voice activity flag for each 20 ms and then the LBRR
// flag, for each channel (RFC 6716 §4.2.3); all are coded at even odds, so they are the first bits of the frame.
func (p OpusPacket) hasRedundancy(frame []byte) bool {
	if p.Mode == OpusCELT || len(frame) == 0 {
		return false
	}
	blocks := 1
	if p.FrameDuration > 20*time.Millisecond {
		blocks = int(p.FrameDuration / (20 * time.Millisecond))
	}
	if frame[0]>>(7-blocks)&1 != 0 {
		return true
	}
	return p.Stereo && frame[0]>>(6-2*blocks)&1 != 0
}
