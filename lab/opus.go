package lab

import (
	"fmt"

	"github.com/tgtrunk/tgtrunk/media"
)

const (
	opusRate   = 48000 // of Opus's RTP clock, whatever it carries (RFC 7587 §4.1), Hz
	opusPacket = 1500  // bytes; no packet of 20 ms is longer
)

// opusCoding is how a phone speaks Opus: its sound stays that of a telephone, at 8 kHz. The zero value speaks none. Its
// owner guards it.
type opusCoding struct {
	payload uint8 // payload type; 0 means none
	decoder *media.OpusDecoder
	encoder *media.OpusEncoder
	buf     [opusPacket]byte

	ssrc   uint32
	origin uint32 // timestamp of the stream's first packet
	began  bool
}

// use begins to speak Opus under a payload type.
func (o *opusCoding) use(payload uint8) (err error) {
	o.payload = payload
	if o.decoder != nil {
		return nil
	}
	if o.decoder, err = media.NewOpusDecoder(sampleRate); err != nil {
		return fmt.Errorf("speak opus: %w", err)
	}
	if o.encoder, err = media.NewOpusEncoder(sampleRate, media.Robust); err != nil {
		return fmt.Errorf("speak opus: %w", err)
	}
	return nil
}

// encode returns the packet of one frame; it is valid until the next call.
func (o *opusCoding) encode(pcm []int16) []byte {
	n, err := o.encoder.Encode(pcm, o.buf[:])
	if err != nil {
		return nil
	}
	return o.buf[:n]
}

// clock returns a packet's timestamp by the clock of the phone's sound.
func (o *opusCoding) clock(p rtpPacket) uint32 {
	if !o.began || o.ssrc != p.ssrc {
		o.began, o.ssrc, o.origin = true, p.ssrc, p.timestamp
	}
	return uint32(int32(p.timestamp-o.origin) / (opusRate / sampleRate))
}
