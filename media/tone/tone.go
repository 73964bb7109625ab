package tone

import "math"

// Sine makes a continuous sine, however its samples are asked for.
type Sine struct {
	step, phase, amplitude float64
}

// NewSine returns a sine of hz at a sample rate, with a peak of amplitude (0..32767).
func NewSine(rate int, hz, amplitude float64) *Sine {
	return &Sine{step: 2 * math.Pi * hz / float64(rate), amplitude: min(max(amplitude, 0), math.MaxInt16)}
}

// Fill writes the next len(pcm) samples.
func (s *Sine) Fill(pcm []int16) {
	for i := range pcm {
		pcm[i] = int16(math.Round(s.amplitude * math.Sin(s.phase)))
		s.phase += s.step
	}
	s.phase = math.Mod(s.phase, 2*math.Pi)
}

// Make returns n samples of a sine that begins at phase 0.
func Make(rate int, hz, amplitude float64, n int) []int16 {
	pcm := make([]int16, n)
	NewSine(rate, hz, amplitude).Fill(pcm)
	return pcm
}

// RMS returns the root mean square of the samples, 0 for none.
func RMS(pcm []int16) float64 {
	if len(pcm) == 0 {
		return 0
	}
	var sum float64
	for _, s := range pcm {
		sum += float64(s) * float64(s)
	}
	return math.Sqrt(sum / float64(len(pcm)))
}

// FirstSound returns the index of the first sample whose magnitude exceeds threshold, or -1.
func FirstSound(pcm []int16, threshold int) int {
	for i, s := range pcm {
		if max(int(s), -int(s)) > threshold {
			return i
		}
	}
	return -1
}
