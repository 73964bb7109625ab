package media

import (
	"sync"
	"time"
)

// converter is one direction of a Connection.
type converter interface {
	Sink
	stop()
	snapshot() DirectionStats
}

// direction is what every converter is built on: the way out, the clock and the counters. Its lock is held while a
// packet is handled, which keeps the order of what the wheel and the reader send, and lets stop wait for both.
// It is never contended but for the moments when the wheel sends a slice.
type direction struct {
	out Sink // set once

	mu      sync.Mutex
	closed  bool
	line    timeline
	pkt     Packet // what out is given, here so that it does not escape for each packet
	stats   DirectionStats
	latency histogram
}

func (d *direction) stop() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
}

func (d *direction) snapshot() DirectionStats {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.stats
	s.Latency = d.latency.summary()
	return s
}

// send passes d.pkt on. entered is when its packet arrived, zero for what is no packet's first slice.
func (d *direction) send(entered time.Time) {
	if !entered.IsZero() {
		d.latency.add(time.Since(entered))
	}
	d.stats.PacketsOut++
	d.out.WriteAudio(&d.pkt)
}

// locate places a packet and counts what there is to count; ok is false for one that is not to be played.
func (d *direction) locate(p *Packet, length int64, now time.Time) (at place, ok bool) {
	d.stats.PacketsIn++
	first := !d.line.started()
	at = d.line.place(p, length, now)
	switch at.standing {
	case late:
		d.stats.Late++
		return at, false
	case stale, stray:
		d.stats.Stale++
		return at, false
	case jumped:
		if !first {
			d.stats.Jumps++
		}
	}
	return at, true
}

// pcmShape is how samples of a codec lie in a payload.
type pcmShape struct {
	bytes  int // a sample
	pack   func(out []byte, pcm []int16)
	unpack func(pcm []int16, b []byte)
}

// shapeOf returns the shape of a codec that is not Opus; ok is false for Opus.
func shapeOf(c Codec) (shape pcmShape, ok bool) {
	switch c {
	case PCMU:
		return pcmShape{1, EncodeULaw, DecodeULaw}, true
	case PCMA:
		return pcmShape{1, EncodeALaw, DecodeALaw}, true
	case L16:
		return pcmShape{2, EncodeL16, DecodeL16}, true
	}
	return pcmShape{}, false
}

// samples returns how many samples a payload holds; 0 for one that is cut off.
func (s pcmShape) samples(payload []byte) int {
	if len(payload)%s.bytes != 0 {
		return 0
	}
	return len(payload) / s.bytes
}

// longest is how many samples the longest packet lasts that is converted.
func longest(rate int) int { return int(maxOpusPacket * time.Duration(rate) / time.Second) }
