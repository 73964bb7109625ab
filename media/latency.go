package media

import (
	"math/bits"
	"time"
)

// histogram counts durations in buckets a quarter of an octave wide, from 1 µs to 2 s: a few instructions a packet.
// Guarded by its owner's lock.
type histogram struct {
	buckets [(histogramTop - histogramBottom) * 4]uint32
	count   uint64
}

const (
	histogramBottom = 10 // 2^10 ns: what is shorter counts as that
	histogramTop    = 31 // 2^31 ns
)

func (h *histogram) add(d time.Duration) {
	v := min(max(uint64(max(d, 0)), 1<<histogramBottom), 1<<histogramTop-1)
	octave := bits.Len64(v) - 1
	h.buckets[(octave-histogramBottom)*4+int(v>>(octave-2)&3)]++
	h.count++
}

// quantile returns the upper edge of the bucket in which the share q of all durations ends; 0 if there are none.
func (h *histogram) quantile(q float64) time.Duration {
	rank := uint64(q * float64(h.count))
	var seen uint64
	for i, n := range h.buckets {
		if seen += uint64(n); n > 0 && seen > min(rank, h.count-1) {
			octave := i/4 + histogramBottom
			return time.Duration(uint64(5+i%4) << (octave - 2))
		}
	}
	return 0
}

func (h *histogram) summary() Latency {
	return Latency{Count: h.count, P50: h.quantile(0.50), P99: h.quantile(0.99)}
}
