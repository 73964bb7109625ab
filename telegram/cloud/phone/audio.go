package phone

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/media/tone"
)

// The official engine's habits (native-engine captures): 60 ms of Opus a packet at 48 kHz, and as many packets of mere
// padding as of audio while it probes the bandwidth in the first seconds.
const (
	sampleRate   = 48_000
	packetLength = 60 * time.Millisecond
	packetSize   = sampleRate / 1000 * 60
	probeTime    = 8 * time.Second
	probeSize    = 225
	maxRecording = 2 * time.Minute
	// silence is the RMS below which a frame is no sound; full scale is 32768.
	silence = 200
)

// Voice is what a phone says: Opus packets of 60 ms, repeated for ever. Many calls may share one. The zero Voice says
// nothing, as a muted app.
type Voice struct{ packets [][]byte }

// Tone returns the voice of a steady sine, 10 dB below full scale.
func Tone(hz float64) (Voice, error) {
	return Recording(tone.Make(sampleRate, hz, 10_000, 3*sampleRate)) // three seconds: whole packets, whole periods
}

// Recording returns the voice of samples at 48 kHz; what does not fill a last packet is left out.
func Recording(samples []int16) (Voice, error) {
	encoder, err := media.NewOpusEncoder(sampleRate, media.Robust)
	if err != nil {
		return Voice{}, fmt.Errorf("encode a voice: %w", err)
	}
	var v Voice
	buffer := make([]byte, 1500)
	for range 2 { // the second time the encoder is where the repetition will find the decoder
		v.packets = v.packets[:0]
		for rest := samples; len(rest) >= packetSize; rest = rest[packetSize:] {
			n, err := encoder.Encode(rest[:packetSize], buffer)
			if err != nil {
				return Voice{}, fmt.Errorf("encode a voice: %w", err)
			}
			v.packets = append(v.packets, append([]byte(nil), buffer[:n]...))
		}
	}
	return v, nil
}

// padder is a flow that can send RTP packets of mere padding.
type padder interface{ WritePadding(n int) }

// talker plays a voice into a flow.
type talker struct {
	flow  media.Flow
	voice Voice
	muted atomic.Bool
}

// run sends until ctx ends.
func (t *talker) run(ctx context.Context) {
	clock := time.NewTicker(packetLength)
	defer clock.Stop()
	padding, _ := t.flow.(padder)
	begun, resumed := time.Now(), true
	for n := 0; ; n++ {
		if t.muted.Load() || len(t.voice.packets) == 0 {
			resumed = true
		} else {
			t.flow.WriteAudio(&media.Packet{
				Timestamp: uint32(n * packetSize), Marker: resumed, Payload: t.voice.packets[n%len(t.voice.packets)],
			})
			resumed = false
			if padding != nil && time.Since(begun) < probeTime {
				padding.WritePadding(probeSize)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-clock.C:
		}
	}
}

// Heard is what a phone has recorded.
type Heard struct {
	Samples []int16   // mono, 48 kHz, gaps left out
	Arrived time.Time // arrival of the first packet with audio; zero without one
	First   time.Time // arrival of the first sound; zero without one, or for a deaf phone
	Packets int
	Missing int // by sequence number
}

// recorder decodes and keeps what arrives. It is the sink of one flow.
type recorder struct {
	mu      sync.Mutex
	decoder *media.OpusDecoder // nil: packets are counted only
	heard   Heard
	last    uint16
	pcm     [sampleRate / 1000 * 120]int16
}

func newRecorder(deaf bool) (*recorder, error) {
	if deaf {
		return &recorder{}, nil
	}
	decoder, err := media.NewOpusDecoder(sampleRate)
	if err != nil {
		return nil, fmt.Errorf("make a decoder: %w", err)
	}
	return &recorder{decoder: decoder}, nil
}

// WriteAudio implements media.Sink.
func (r *recorder) WriteAudio(p *media.Packet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if gap := int16(p.Sequence - r.last - 1); r.heard.Packets > 0 && gap > 0 {
		r.heard.Missing += int(gap)
	}
	r.last = p.Sequence
	r.heard.Packets++
	if len(p.Payload) == 0 {
		return
	}
	if r.heard.Arrived.IsZero() {
		r.heard.Arrived = time.Now()
	}
	if r.decoder == nil {
		return
	}
	n, err := r.decoder.Decode(p.Payload, r.pcm[:])
	if err != nil {
		return
	}
	if r.heard.First.IsZero() && tone.RMS(r.pcm[:n]) > silence {
		r.heard.First = time.Now()
	}
	if len(r.heard.Samples) < int(maxRecording.Seconds())*sampleRate {
		r.heard.Samples = append(r.heard.Samples, r.pcm[:n]...)
	}
}

func (r *recorder) result() Heard {
	r.mu.Lock()
	defer r.mu.Unlock()
	heard := r.heard
	heard.Samples = append([]int16(nil), heard.Samples...)
	return heard
}
