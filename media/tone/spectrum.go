package tone

import (
	"math"
	"math/bits"
	"math/cmplx"
)

// nearHz is how far from the wanted frequency energy still counts as that tone.
const nearHz = 20

// Purity returns the share of the energy within 20 Hz of hz, 0..1; direct current is left out of the account.
// The samples should last at least 100 ms, for the spectrum to tell 20 Hz apart; silence has no purity (0).
func Purity(pcm []int16, rate int, hz float64) float64 {
	s := spectrumOf(pcm, rate)
	var near, total float64
	for i, e := range s.energy {
		f := float64(i) * s.width
		if f < nearHz {
			continue
		}
		total += e
		if math.Abs(f-hz) <= nearHz+s.width {
			near += e
		}
	}
	if total < 1e-9 {
		return 0
	}
	return near / total
}

// Dominant returns the strongest frequency in Hz, interpolated between the lines of the spectrum; 0 for silence.
func Dominant(pcm []int16, rate int) float64 {
	s := spectrumOf(pcm, rate)
	best := 0
	for i, e := range s.energy {
		if float64(i)*s.width >= nearHz && e > s.energy[best] {
			best = i
		}
	}
	if best == 0 || best+1 >= len(s.energy) || s.energy[best] < 1e-9 {
		return float64(best) * s.width
	}
	// A Hann window's main lobe is close to a parabola in the logarithm.
	a, b, c := logOf(s.energy[best-1]), logOf(s.energy[best]), logOf(s.energy[best+1])
	return (float64(best) + (a-c)/(2*(a-2*b+c))) * s.width
}

// Level returns the amplitude (peak) of the part of pcm that is a sine of hz, by Goertzel's algorithm.
func Level(pcm []int16, rate int, hz float64) float64 {
	if len(pcm) == 0 {
		return 0
	}
	w := 2 * math.Pi * hz / float64(rate)
	k := 2 * math.Cos(w)
	var s1, s2 float64
	for _, x := range pcm {
		s1, s2 = float64(x)+k*s1-s2, s1
	}
	power := s1*s1 + s2*s2 - k*s1*s2
	return 2 * math.Sqrt(max(power, 0)) / float64(len(pcm))
}

func logOf(e float64) float64 { return math.Log(e + 1e-12) }

// spectrum is the energy by frequency, from 0 to half the sample rate.
type spectrum struct {
	energy []float64
	width  float64 // Hz between two lines
}

// spectrumOf takes the mean out, windows (Hann) and transforms, padded to a power of two.
func spectrumOf(pcm []int16, rate int) spectrum {
	n := len(pcm)
	if n < 2 || rate <= 0 {
		return spectrum{energy: []float64{0}}
	}
	var mean float64
	for _, s := range pcm {
		mean += float64(s)
	}
	mean /= float64(n)
	x := make([]complex128, 1<<bits.Len(uint(n-1)))
	for i, s := range pcm {
		window := 0.5 - 0.5*math.Cos(2*math.Pi*float64(i)/float64(n-1))
		x[i] = complex((float64(s)-mean)*window/math.MaxInt16, 0)
	}
	fft(x)
	out := spectrum{energy: make([]float64, len(x)/2+1), width: float64(rate) / float64(len(x))}
	for i := range out.energy {
		m := cmplx.Abs(x[i%len(x)])
		out.energy[i] = m * m
	}
	return out
}

// fft transforms x in place; its length is a power of two.
func fft(x []complex128) {
	n := len(x)
	shift := 64 - bits.Len(uint(n-1))
	for i := range x {
		if j := int(bits.Reverse64(uint64(i)) >> shift); j > i {
			x[i], x[j] = x[j], x[i]
		}
	}
	for size := 2; size <= n; size *= 2 {
		half := size / 2
		root := cmplx.Exp(complex(0, -2*math.Pi/float64(size)))
		for start := 0; start < n; start += size {
			w := complex(1, 0)
			for i := start; i < start+half; i++ {
				a, b := x[i], w*x[i+half]
				x[i], x[i+half] = a+b, a-b
				w *= root
			}
		}
	}
}
