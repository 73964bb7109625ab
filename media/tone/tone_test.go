package tone

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
)

func TestSineIsContinuous(t *testing.T) {
	whole := Make(8_000, 440, 10_000, 480)
	var parts []int16
	s := NewSine(8_000, 440, 10_000)
	for _, n := range []int{1, 159, 0, 160, 160} {
		pcm := make([]int16, n)
		s.Fill(pcm)
		parts = append(parts, pcm...)
	}
	for i := range whole {
		if d := int(whole[i]) - int(parts[i]); d < -1 || d > 1 {
			t.Fatalf("sample %d: %d in one piece, %d in parts", i, whole[i], parts[i])
		}
	}
	if peak := slices.Max(Make(8_000, 440, 1e9, 800)); peak < 32_700 {
		t.Errorf("an amplitude out of range peaks at %d", peak)
	}
}

func TestAnalysisFindsTheTone(t *testing.T) {
	for _, rate := range []int{8_000, 16_000, 48_000} {
		for _, hz := range []float64{150, 440, 1004, 3100} {
			for _, n := range []int{rate / 10, rate/2 + 7, rate} {
				pcm := Make(rate, hz, 8_000, n)
				if p := Purity(pcm, rate, hz); p < 0.99 {
					t.Errorf("%d Hz, %.0f Hz, %d samples: purity %.3f", rate, hz, n, p)
				}
				if p := Purity(pcm, rate, hz+100); p > 0.01 {
					t.Errorf("%d Hz, %.0f Hz, %d samples: purity %.3f 100 Hz beside the tone", rate, hz, n, p)
				}
				if d := Dominant(pcm, rate); math.Abs(d-hz) > 2 {
					t.Errorf("%d Hz, %.0f Hz, %d samples: dominant %.1f", rate, hz, n, d)
				}
				if l := Level(pcm, rate, hz); math.Abs(l-8_000) > 200 {
					t.Errorf("%d Hz, %.0f Hz, %d samples: level %.0f", rate, hz, n, l)
				}
				if r := RMS(pcm) * math.Sqrt2; math.Abs(r-8_000) > 250 {
					t.Errorf("%d Hz, %.0f Hz, %d samples: RMS %.0f", rate, hz, n, r)
				}
			}
		}
	}
}

func TestPurityOfAMixtureIsItsShare(t *testing.T) {
	pcm, other := Make(8_000, 500, 8_000, 8_000), Make(8_000, 1_500, 8_000, 8_000)
	for i := range pcm {
		pcm[i] += other[i] + 3_000 // the direct current does not count
	}
	if p := Purity(pcm, 8_000, 500); math.Abs(p-0.5) > 0.01 {
		t.Errorf("purity of one of two tones %.3f", p)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range pcm {
		pcm[i] = int16(r.IntN(20_000) - 10_000)
	}
	if p := Purity(pcm, 8_000, 500); p > 0.05 { // 40 of 4000 Hz
		t.Errorf("purity of noise %.3f", p)
	}
}

func TestSilenceHasNothing(t *testing.T) {
	for _, pcm := range [][]int16{nil, {0}, {5}, make([]int16, 800), slices.Repeat([]int16{9}, 800)} {
		if p, d := Purity(pcm, 8_000, 440), Dominant(pcm, 8_000); p != 0 || d != 0 {
			t.Errorf("%d samples: purity %f, dominant %f", len(pcm), p, d)
		}
		if l := Level(pcm[:0], 8_000, 440); l != 0 {
			t.Errorf("level %f", l)
		}
	}
	if RMS(nil) != 0 || FirstSound(nil, 0) != -1 || FirstSound(make([]int16, 8), 0) != -1 {
		t.Error("nothing was heard in nothing")
	}
	if i := FirstSound([]int16{0, 9, -32768, 0}, 10); i != 2 {
		t.Errorf("first sound at %d, want 2", i)
	}
}

func TestWAVRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tone.wav")
	pcm := Make(48_000, 440, 12_000, 48_000)
	if err := SaveWAV(path, 48_000, pcm); err != nil {
		t.Fatal(err)
	}
	got, rate, err := LoadWAV(path, 0)
	if err != nil || rate != 48_000 || !slices.Equal(got, pcm) {
		t.Fatalf("read %d samples at %d Hz: %v", len(got), rate, err)
	}
	for _, to := range []int{8_000, 16_000, 44_100, 48_000} {
		got, rate, err := LoadWAV(path, to)
		if err != nil || rate != 48_000 || len(got) != to {
			t.Fatalf("resampled to %d: %d samples of %d Hz: %v", to, len(got), rate, err)
		}
		if p := Purity(got, to, 440); p < 0.99 {
			t.Errorf("resampled to %d: purity %.3f", to, p)
		}
	}
	if _, _, err := LoadWAV(path+"x", 0); err == nil {
		t.Error("no such file: no error")
	}
	if err := SaveWAV(filepath.Join(path, "x"), 8_000, pcm); err == nil {
		t.Error("no such directory: no error")
	}
}

func wav(t testing.TB, rate int, pcm []int16) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := WriteWAV(&b, rate, pcm); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestWAVReaderTakesOtherWritersFiles(t *testing.T) {
	b := wav(t, 8_000, []int16{1, -2, 3})
	extra := slices.Concat(b[:36], []byte("LIST\x03\x00\x00\x00abc\x00"), b[36:])
	unset := bytes.Clone(b)
	copy(unset[40:], []byte{0xff, 0xff, 0xff, 0xff})
	longFormat := slices.Concat(b[:16], []byte{18, 0, 0, 0}, b[20:36], []byte{0, 0}, b[36:])
	for name, b := range map[string][]byte{"another chunk": extra, "size unset": unset, "long format": longFormat} {
		pcm, rate, err := ReadWAV(bytes.NewReader(b), 0)
		if err != nil || rate != 8_000 || !slices.Equal(pcm, []int16{1, -2, 3}) {
			t.Errorf("%s: %v at %d Hz: %v", name, pcm, rate, err)
		}
	}
}

func TestWAVReaderRefuses(t *testing.T) {
	b := wav(t, 8_000, []int16{1, -2, 3})
	with := func(at int, v byte) []byte {
		c := bytes.Clone(b)
		c[at] = v
		return c
	}
	for name, b := range map[string][]byte{
		"nothing": nil, "half a header": b[:10], "no format": b[:12], "cut format": b[:30], "cut samples": b[:46],
		"not RIFF": with(0, 'X'), "not WAVE": with(8, 'X'), "compressed": with(20, 3), "stereo": with(22, 2),
		"8 bit": with(34, 8), "data first": slices.Concat(b[:12], b[36:]), "short format": with(16, 8),
		"150 MHz": with(27, 9), "64 Hz": with(25, 0),
	} {
		if _, _, err := ReadWAV(bytes.NewReader(b), 0); !errors.Is(err, ErrWAV) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzReadWAV(f *testing.F) {
	b := wav(f, 8_000, []int16{1, -2, 3})
	f.Add(b, 16_000)
	f.Add(b[:40], 0)
	f.Add(slices.Concat(b[:36], []byte("LIST\x03\x00\x00\x00abc\x00"), b[36:]), 48_000)
	f.Fuzz(func(t *testing.T, b []byte, rate int) {
		rate %= 100_000
		pcm, fileRate, err := ReadWAV(bytes.NewReader(b), rate)
		if err != nil {
			if pcm != nil {
				t.Fatal("samples and an error")
			}
			return
		}
		if fileRate < minWAVRate || fileRate > maxWAVRate {
			t.Fatalf("rate %d", fileRate)
		}
		if rate <= 0 {
			again, _, err := ReadWAV(bytes.NewReader(wav(t, fileRate, pcm)), 0)
			if err != nil || !slices.Equal(again, pcm) {
				t.Fatalf("%d samples came back as %d: %v", len(pcm), len(again), err)
			}
		}
	})
}
