//go:build cgo

package media

/*
#cgo !opus_pkgconfig CFLAGS: -I/usr/include/opus
#cgo !opus_pkgconfig,!opus_static LDFLAGS: -lopus
#cgo !opus_pkgconfig,opus_static LDFLAGS: -l:libopus.a -lm
#cgo opus_pkgconfig pkg-config: opus
#cgo noescape opus_decode
#cgo nocallback opus_decode
#cgo noescape opus_encode
#cgo nocallback opus_encode
#include <opus.h>

// The ctl functions are variadic, which cgo cannot call.
static int tgtrunk_encoder_set(OpusEncoder *e, int request, opus_int32 value) {
	return opus_encoder_ctl(e, request, value);
}
static int tgtrunk_decoder_reset(OpusDecoder *d) { return opus_decoder_ctl(d, OPUS_RESET_STATE); }
*/
import "C"

import (
	"fmt"
	"unsafe"
)

// HaveOpus says whether this build contains libopus.
const HaveOpus = true

// OpusDecoder turns Opus packets into mono samples. It is not safe for concurrent use.
//
// Its state lives in Go memory: it needs no Close, and is gone when nothing refers to it.
type OpusDecoder struct {
	state []uint64 // an OpusDecoder of libopus; words for the alignment it wants
	rate  int
}

// NewOpusDecoder returns a decoder that puts out mono samples at rate Hz: 8000, 12000, 16000, 24000 or 48000,
// whatever rate and channels the sender used.
func NewOpusDecoder(rate int) (*OpusDecoder, error) {
	if !opusRate(rate) {
		return nil, fmt.Errorf("create opus decoder: %w: %d Hz", ErrFormat, rate)
	}
	d := &OpusDecoder{state: make([]uint64, words(int(C.opus_decoder_get_size(1)))), rate: rate}
	if code := C.opus_decoder_init(d.ptr(), C.opus_int32(rate), 1); code != C.OPUS_OK {
		return nil, opusError("create opus decoder", code)
	}
	return d, nil
}

// Decode decodes one packet into pcm and returns the number of samples. pcm must have room for the whole packet;
// 120 ms is the longest there is.
func (d *OpusDecoder) Decode(payload []byte, pcm []int16) (int, error) {
	if len(payload) == 0 || len(pcm) == 0 {
		return 0, fmt.Errorf("decode opus: %w", ErrMalformed)
	}
	return d.decode(payload, pcm, 0)
}

// DecodeFEC recovers the packet that was lost before payload from the redundancy payload carries, into the whole of
// pcm; len(pcm) must be the duration of the lost packet, a multiple of 2.5 ms. What the redundancy does not cover
// is extrapolated. It is to be called before Decode of the same payload.
func (d *OpusDecoder) DecodeFEC(payload []byte, pcm []int16) (int, error) {
	if len(payload) == 0 || len(pcm) == 0 {
		return 0, fmt.Errorf("decode opus redundancy: %w", ErrMalformed)
	}
	return d.decode(payload, pcm, 1)
}

// Conceal extrapolates len(pcm) samples, a multiple of 2.5 ms, for audio that is lost for good.
func (d *OpusDecoder) Conceal(pcm []int16) (int, error) {
	if len(pcm) == 0 {
		return 0, fmt.Errorf("conceal opus: %w", ErrMalformed)
	}
	n := C.opus_decode(d.ptr(), nil, 0, (*C.opus_int16)(unsafe.Pointer(&pcm[0])), C.int(len(pcm)), 0)
	if n < 0 {
		return 0, opusError("conceal opus", n)
	}
	return int(n), nil
}

// Reset forgets what was decoded so far, as for the first packet of a stream.
func (d *OpusDecoder) Reset() { C.tgtrunk_decoder_reset(d.ptr()) }

func (d *OpusDecoder) decode(payload []byte, pcm []int16, fec C.int) (int, error) {
	n := C.opus_decode(d.ptr(), (*C.uchar)(unsafe.Pointer(&payload[0])), C.opus_int32(len(payload)),
		(*C.opus_int16)(unsafe.Pointer(&pcm[0])), C.int(len(pcm)), fec)
	if n < 0 {
		return 0, opusError("decode opus", n)
	}
	return int(n), nil
}

func (d *OpusDecoder) ptr() *C.OpusDecoder { return (*C.OpusDecoder)(unsafe.Pointer(&d.state[0])) }

// OpusEncoder turns mono samples into Opus packets. It is not safe for concurrent use and needs no Close.
type OpusEncoder struct {
	state   []uint64
	rate    int
	profile Profile
}

// NewOpusEncoder returns an encoder for mono samples at rate Hz (8000, 12000, 16000, 24000 or 48000).
// Profile Auto means Lean.
func NewOpusEncoder(rate int, p Profile) (*OpusEncoder, error) {
	if !opusRate(rate) {
		return nil, fmt.Errorf("create opus encoder: %w: %d Hz", ErrFormat, rate)
	}
	if p == Auto {
		p = Lean
	}
	s := settingsOf(p, rate)
	application := C.int(C.OPUS_APPLICATION_RESTRICTED_LOWDELAY)
	if s.speech {
		application = C.OPUS_APPLICATION_VOIP
	}
	e := &OpusEncoder{state: make([]uint64, words(int(C.opus_encoder_get_size(1)))), rate: rate, profile: p}
	if code := C.opus_encoder_init(e.ptr(), C.opus_int32(rate), 1, application); code != C.OPUS_OK {
		return nil, opusError("create opus encoder", code)
	}
	ctls := []struct{ request, value int }{
		{C.OPUS_SET_COMPLEXITY_REQUEST, s.complexity},
		{C.OPUS_SET_BITRATE_REQUEST, s.bitrate},
	}
	if s.speech {
		ctls = append(ctls, []struct{ request, value int }{
			{C.OPUS_SET_SIGNAL_REQUEST, C.OPUS_SIGNAL_VOICE},
			// Above wideband the encoder would go hybrid, whose redundancy covers one 20 ms frame of a longer packet.
			{C.OPUS_SET_MAX_BANDWIDTH_REQUEST, C.OPUS_BANDWIDTH_WIDEBAND},
			{C.OPUS_SET_INBAND_FEC_REQUEST, 1},
			{C.OPUS_SET_PACKET_LOSS_PERC_REQUEST, s.lossPercent},
		}...)
	}
	for _, c := range ctls {
		if code := C.tgtrunk_encoder_set(e.ptr(), C.int(c.request), C.opus_int32(c.value)); code != C.OPUS_OK {
			return nil, opusError("set up opus encoder", code)
		}
	}
	return e, nil
}

// Encode encodes pcm, which must last 2.5, 5, 10, 20, 40, 60, 80, 100 or 120 ms, into out and returns the packet's
// length.
func (e *OpusEncoder) Encode(pcm []int16, out []byte) (int, error) {
	if len(pcm) == 0 || len(out) == 0 {
		return 0, fmt.Errorf("encode opus: %w", ErrMalformed)
	}
	n := C.opus_encode(e.ptr(), (*C.opus_int16)(unsafe.Pointer(&pcm[0])), C.int(len(pcm)),
		(*C.uchar)(unsafe.Pointer(&out[0])), C.opus_int32(len(out)))
	if n < 0 {
		return 0, opusError("encode opus", n)
	}
	return int(n), nil
}

// Profile returns the profile the encoder was made for.
func (e *OpusEncoder) Profile() Profile { return e.profile }

func (e *OpusEncoder) ptr() *C.OpusEncoder { return (*C.OpusEncoder)(unsafe.Pointer(&e.state[0])) }

func words(bytes int) int { return (bytes + 7) / 8 }

func opusError(doing string, code C.int) error {
	return fmt.Errorf("%s: libopus: %s", doing, C.GoString(C.opus_strerror(code)))
}
