package lab

import (
	"fmt"
	"math"
	"time"

	"github.com/tgtrunk/tgtrunk/media/tone"
)

const (
	quiet      = 100                   // RMS below which a frame is silence, about -50 dBFS
	gapLimit   = 60 * time.Millisecond // a shorter hole is concealed by any phone
	mainShare  = 0.25                  // of a frame's energy at the wanted frequency makes it a frame of the tone
	clearShare = 0.9                   // of the whole energy makes a clear tone
)

// Gap is a hole of more than 60 ms in a tone.
type Gap struct{ At, Length time.Duration }

// ToneResult says how well a recording shows the tone that was expected. Times are offsets into the recording.
type ToneResult struct {
	Hz       float64       // expected
	Dominant float64       // the strongest frequency there is, in Hz; 0 for silence
	Purity   float64       // share of the energy that is the tone, 0..1, between First and Last
	RMS      float64       // between First and Last, 0..32767
	First    time.Duration // first 20 ms frame with the tone; -1 when there is none
	Last     time.Duration // end of the last frame with the tone
	Gaps     []Gap         // holes in between
}

// Clear reports whether the tone was there, clearly. Holes do not count.
func (r ToneResult) Clear() bool { return r.First >= 0 && r.Purity >= clearShare }

// DBFS is the level in dB below a full-scale square wave; -Inf for silence.
func (r ToneResult) DBFS() float64 { return 20 * math.Log10(r.RMS/math.MaxInt16) }

// String is one line for people.
func (r ToneResult) String() string {
	if r.First < 0 {
		return fmt.Sprintf("no %.0f Hz tone (strongest is %.0f Hz)", r.Hz, r.Dominant)
	}
	return fmt.Sprintf("%.0f Hz tone from %d to %d ms, purity %.3f, %.1f dBFS, %d gaps",
		r.Hz, r.First.Milliseconds(), r.Last.Milliseconds(), r.Purity, r.DBFS(), len(r.Gaps))
}

// AnalyseTone judges 16-bit PCM at any rate against a tone of hz.
func AnalyseTone(pcm []int16, rate int, hz float64) ToneResult {
	r := ToneResult{Hz: hz, First: -1}
	size := rate / 50
	if size <= 0 || len(pcm) < size {
		return r
	}
	first, last := -1, -1
	for i := range len(pcm) / size {
		if !showsTone(pcm[i*size:(i+1)*size], rate, hz) {
			continue
		}
		if hole := time.Duration(i-last-1) * frameTime; first >= 0 && hole > gapLimit {
			r.Gaps = append(r.Gaps, Gap{At: time.Duration(last+1) * frameTime, Length: hole})
		}
		if first < 0 {
			first = i
		}
		last = i
	}
	if first < 0 {
		r.Dominant, _ = spectrumByChunk(pcm, rate, hz)
		return r
	}
	part := pcm[first*size : (last+1)*size]
	r.First, r.Last = time.Duration(first)*frameTime, time.Duration(last+1)*frameTime
	r.RMS = tone.RMS(part)
	r.Dominant, r.Purity = spectrumByChunk(part, rate, hz)
	return r
}

func showsTone(frame []int16, rate int, hz float64) bool {
	rms := tone.RMS(frame)
	level := tone.Level(frame, rate, hz)
	return rms >= quiet && level*level/2 >= mainShare*rms*rms
}

// spectrumByChunk transforms second by second, which bounds the cost of long recordings. The loudest second names the
// dominant frequency, and the purity is the mean by energy.
func spectrumByChunk(pcm []int16, rate int, hz float64) (dominant, purity float64) {
	var loudest, total, pure float64
	for len(pcm) > 0 {
		n := rate
		if len(pcm) < 2*rate {
			n = len(pcm) // no short rest: a spectrum needs 100 ms to tell 20 Hz apart
		}
		chunk := pcm[:n]
		pcm = pcm[n:]
		rms := tone.RMS(chunk)
		energy := rms * rms * float64(n)
		total += energy
		pure += energy * tone.Purity(chunk, rate, hz)
		if energy > loudest {
			loudest, dominant = energy, tone.Dominant(chunk, rate)
		}
	}
	if total == 0 {
		return 0, 0
	}
	return dominant, pure / total
}
