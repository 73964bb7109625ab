package lab

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/media/tone"
)

func TestAnalyseTone(t *testing.T) {
	const rate = 48000
	silence := func(d time.Duration) []int16 { return make([]int16, int(d*rate/time.Second)) }
	sine := func(hz float64, d time.Duration) []int16 { return tone.Make(rate, hz, 8000, int(d*rate/time.Second)) }
	ms := time.Millisecond
	for name, test := range map[string]struct {
		pcm   []int16
		first time.Duration
		last  time.Duration
		clear bool
		gaps  []Gap
	}{
		"the tone":         {slices.Concat(silence(100*ms), sine(440, 900*ms)), 100 * ms, 1000 * ms, true, nil},
		"another tone":     {sine(880, time.Second), -1, 0, false, nil},
		"silence":          {silence(time.Second), -1, 0, false, nil},
		"nothing":          {nil, -1, 0, false, nil},
		"a short hole":     {slices.Concat(sine(440, 400*ms), silence(60*ms), sine(440, 400*ms)), 0, 860 * ms, true, nil},
		"two holes":        {slices.Concat(sine(440, 400*ms), silence(80*ms), sine(440, 400*ms), silence(500*ms), sine(440, 400*ms)), 0, 1780 * ms, true, []Gap{{400 * ms, 80 * ms}, {880 * ms, 500 * ms}}},
		"both tones":       {mix(sine(440, time.Second), sine(880, time.Second)), 0, time.Second, false, nil},
		"a second of more": {slices.Concat(sine(440, 2500*ms), sine(700, 500*ms)), 0, 2500 * ms, true, nil},
	} {
		r := AnalyseTone(test.pcm, rate, 440)
		if r.First != test.first || r.Last != test.last || r.Clear() != test.clear || !slices.Equal(r.Gaps, test.gaps) {
			t.Errorf("%s: %s, gaps %v; want %s to %s, clear %t, gaps %v", name, r, r.Gaps, test.first, test.last, test.clear, test.gaps)
		}
	}
	r := AnalyseTone(sine(440, time.Second), rate, 440)
	if math.Abs(r.Dominant-440) > 1 || r.Purity < 0.999 || math.Abs(r.DBFS()+15.3) > 0.1 {
		t.Errorf("a clean tone: %+v, %.2f dBFS", r, r.DBFS())
	}
	if r = AnalyseTone(sine(880, time.Second), rate, 440); math.Abs(r.Dominant-880) > 1 || !strings.Contains(r.String(), "880") {
		t.Errorf("another tone: %s", r)
	}
}

func TestAnalyseToneInNoise(t *testing.T) {
	pcm := tone.Make(sampleRate, 700, 8000, 2*sampleRate)
	noise := rand.New(rand.NewPCG(1, 2))
	for i := range pcm {
		pcm[i] += int16(noise.NormFloat64() * 300)
	}
	// G.711 there and back, as every call does.
	law := make([]byte, len(pcm))
	media.EncodeALaw(law, pcm)
	media.DecodeALaw(pcm, law)
	if r := AnalyseTone(pcm, sampleRate, 700); !r.Clear() || len(r.Gaps) != 0 {
		t.Errorf("tone in a little noise: %s", r)
	}
	for i := range pcm {
		pcm[i] = int16(noise.NormFloat64() * 3000)
	}
	if r := AnalyseTone(pcm, sampleRate, 700); r.Clear() {
		t.Errorf("noise passes for a tone: %s", r)
	}
}

func mix(a, b []int16) []int16 {
	out := slices.Clone(a)
	for i := range out {
		out[i] += b[i]
	}
	return out
}
