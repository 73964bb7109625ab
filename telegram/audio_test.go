package telegram_test

import (
	"context"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/media/tone"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/phone"
)

// ear decodes and keeps what a leg's party says.
type ear struct {
	mu      sync.Mutex
	decoder *media.OpusDecoder
	pcm     []int16
}

const rate = 48000

func newEar(t testing.TB) *ear {
	t.Helper()
	d, err := media.NewOpusDecoder(rate)
	if err != nil {
		t.Fatal(err)
	}
	return &ear{decoder: d}
}

func (e *ear) WriteAudio(p *media.Packet) {
	if len(p.Payload) == 0 {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	var pcm [rate / 1000 * 120]int16
	if n, err := e.decoder.Decode(p.Payload, pcm[:]); err == nil {
		e.pcm = append(e.pcm, pcm[:n]...)
	}
}

// hears waits for half a second of a tone, from now on.
func (e *ear) hears(t testing.TB, hz float64) {
	t.Helper()
	e.mu.Lock()
	e.pcm = nil
	e.mu.Unlock()
	eventually(t, func() error { return pure(e.copy(), hz) })
}

func (e *ear) copy() []int16 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]int16(nil), e.pcm...)
}

// pure says whether the newest half second is a tone.
func pure(pcm []int16, hz float64) error {
	if len(pcm) < rate/2 {
		return fmt.Errorf("only %d samples were heard", len(pcm))
	}
	pcm = pcm[len(pcm)-rate/2:]
	if p := tone.Purity(pcm, rate, hz); p < 0.9 {
		return fmt.Errorf("%.0f Hz has %.0f %% of what is heard, the strongest is %.0f Hz", hz, 100*p, tone.Dominant(pcm, rate))
	}
	return nil
}

// hum says a tone into a flow until the test ends, 20 ms a packet.
func hum(t testing.TB, flow media.Flow, hz float64) {
	t.Helper()
	encoder, err := media.NewOpusEncoder(rate, media.Lean)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	t.Cleanup(func() {
		cancel()
		<-done
	})
	go func() {
		defer close(done)
		const size = rate / 50
		clock := time.NewTicker(20 * time.Millisecond)
		defer clock.Stop()
		var pcm [size]int16
		var buffer [1500]byte
		for n := 0; ; n++ {
			for i := range pcm {
				pcm[i] = int16(8000 * math.Sin(2*math.Pi*hz*float64(n*size+i)/rate))
			}
			if length, err := encoder.Encode(pcm[:], buffer[:]); err == nil {
				flow.WriteAudio(&media.Packet{Timestamp: uint32(n * size), Marker: n == 0, Payload: buffer[:length]})
			}
			select {
			case <-ctx.Done():
				return
			case <-clock.C:
			}
		}
	}()
}

func voice(t testing.TB, hz float64) phone.Voice {
	t.Helper()
	v, err := phone.Tone(hz)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// phoneHears waits until a phone hears a tone.
func phoneHears(t testing.TB, c *phone.Call, hz float64) {
	t.Helper()
	from := len(c.Heard().Samples)
	eventually(t, func() error { return pure(c.Heard().Samples[from:], hz) })
}
