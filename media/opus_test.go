//go:build cgo

package media

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/media/tone"
)

var opusRates = []int{8_000, 12_000, 16_000, 24_000, 48_000}

// opusStream encodes a tone into packets of one length, as a phone would.
func opusStream(t testing.TB, p Profile, rate int, hz float64, length time.Duration, packets int) [][]byte {
	return opusPackets(t, p, rate, tone.NewSine(rate, hz, 10_000).Fill, length, packets)
}

// speechStream is opusStream of something that the encoder takes for speech, as it does not take a steady tone:
// it spends no redundancy on what is not speech.
func speechStream(t testing.TB, p Profile, rate int, length time.Duration, packets int) [][]byte {
	i := 0
	return opusPackets(t, p, rate, func(pcm []int16) {
		for j := range pcm {
			at := float64(i) / float64(rate)
			phase := 2*math.Pi*140*at + 9*math.Sin(2*math.Pi*5*at) // a pitch that glides, 95 to 185 Hz
			voice := math.Sin(phase) + math.Sin(2*phase)/2 + math.Sin(5*phase)/3
			pcm[j] = int16(6000 * voice * (1.1 + math.Sin(2*math.Pi*3*at)) / 2)
			i++
		}
	}, length, packets)
}

func opusPackets(t testing.TB, p Profile, rate int, fill func([]int16), length time.Duration, packets int) [][]byte {
	t.Helper()
	e, err := NewOpusEncoder(rate, p)
	if err != nil {
		t.Fatal(err)
	}
	pcm := make([]int16, int(length*time.Duration(rate)/time.Second))
	out := make([]byte, maxOpusPayload)
	var stream [][]byte
	for range packets {
		fill(pcm)
		n, err := e.Encode(pcm, out)
		if err != nil {
			t.Fatal(err)
		}
		stream = append(stream, append([]byte(nil), out[:n]...))
	}
	return stream
}

func TestOpusCarriesAToneAtEveryRateAndProfile(t *testing.T) {
	for _, p := range []Profile{Lean, Robust} {
		for _, from := range opusRates {
			for _, to := range opusRates {
				stream := opusStream(t, p, from, 700, 20*time.Millisecond, 50)
				d, err := NewOpusDecoder(to)
				if err != nil {
					t.Fatal(err)
				}
				var heard []int16
				pcm := make([]int16, longest(to))
				for _, payload := range stream {
					n, err := d.Decode(payload, pcm)
					if err != nil {
						t.Fatal(err)
					}
					if n != to/50 {
						t.Fatalf("decoded %d samples at %d Hz, want %d", n, to, to/50)
					}
					heard = append(heard, pcm[:n]...)
				}
				heard = heard[len(heard)/5:]
				if pure, hz := tone.Purity(heard, to, 700), tone.Dominant(heard, to); pure < 0.95 || hz < 690 || hz > 710 {
					t.Errorf("%s %d to %d Hz: purity %.3f at %.1f Hz", p, from, to, pure, hz)
				}
				if level := tone.Level(heard, to, 700); level < 8000 || level > 12_000 {
					t.Errorf("%s %d to %d Hz: level %.0f, want 10000", p, from, to, level)
				}
			}
		}
	}
}

func TestOpusPacketsSayTheirShape(t *testing.T) {
	ms := time.Millisecond
	for _, tc := range []struct {
		profile Profile
		rate    int
		length  time.Duration
		mode    OpusMode
	}{
		{Lean, 8_000, 20 * ms, OpusCELT},
		{Lean, 16_000, 10 * ms, OpusCELT},
		{Lean, 48_000, 60 * ms, OpusCELT},
		{Lean, 8_000, 2500 * time.Microsecond, OpusCELT},
		{Robust, 8_000, 20 * ms, OpusSILK},
		{Robust, 16_000, 60 * ms, OpusSILK},
		{Robust, 48_000, 40 * ms, OpusSILK},
	} {
		stream := speechStream(t, tc.profile, tc.rate, tc.length, 20)
		for _, payload := range stream[5:] {
			info, err := InspectOpus(payload)
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode != tc.mode || info.Duration() != tc.length || info.Stereo {
				t.Errorf("%s %d Hz %s: %+v", tc.profile, tc.rate, tc.length, info)
			}
			if info.Redundancy && tc.profile == Lean {
				t.Errorf("low delay packet says that it has redundancy")
			}
		}
		last, _ := InspectOpus(stream[19])
		if tc.profile == Robust && !last.Redundancy {
			t.Errorf("robust packets at %d Hz of %s say they have no redundancy", tc.rate, tc.length)
		}
	}
}

func TestOpusRecoversALostPacketFromTheNext(t *testing.T) {
	const rate, lossEvery = 16_000, 5
	for _, length := range []time.Duration{20 * time.Millisecond, 60 * time.Millisecond} {
		stream := speechStream(t, Robust, rate, length, 60)
		n := int(length * rate / time.Second)
		// play decodes the stream and returns what stands where every fifth packet was.
		play := func(recover func(d *OpusDecoder, lost, next []byte, hole []int16) (int, error)) (holes []int16) {
			d, err := NewOpusDecoder(rate)
			if err != nil {
				t.Fatal(err)
			}
			pcm := make([]int16, longest(rate))
			for i, payload := range stream[:len(stream)-1] {
				if i%lossEvery != lossEvery-1 {
					if _, err := d.Decode(payload, pcm); err != nil {
						t.Fatal(err)
					}
					continue
				}
				hole := make([]int16, n)
				if got, err := recover(d, payload, stream[i+1], hole); err != nil || got != n {
					t.Fatalf("recovered %d samples, want %d: %v", got, n, err)
				}
				holes = append(holes, hole...)
			}
			return holes
		}
		want := play(func(d *OpusDecoder, lost, _ []byte, hole []int16) (int, error) { return d.Decode(lost, hole) })
		fec := play(func(d *OpusDecoder, _, next []byte, hole []int16) (int, error) { return d.DecodeFEC(next, hole) })
		plc := play(func(d *OpusDecoder, _, _ []byte, hole []int16) (int, error) { return d.Conceal(hole) })
		a, b := distance(want, fec), distance(want, plc)
		if a > 0.5 || a > 0.7*b {
			t.Errorf("%s: error of redundancy %.3f, of extrapolation %.3f of the signal", length, a, b)
		}
	}
}

// distance is the RMS of the difference, relative to the RMS of want.
func distance(want, got []int16) float64 {
	diff := make([]int16, len(want))
	for i := range want {
		diff[i] = want[i] - got[i]
	}
	return tone.RMS(diff) / tone.RMS(want)
}

func TestOpusRefusesWhatItCannot(t *testing.T) {
	if _, err := NewOpusDecoder(44_100); !errors.Is(err, ErrFormat) {
		t.Errorf("decoder at 44.1 kHz: %v", err)
	}
	if _, err := NewOpusEncoder(11_025, Lean); !errors.Is(err, ErrFormat) {
		t.Errorf("encoder at 11025 Hz: %v", err)
	}
	d, err := NewOpusDecoder(8_000)
	if err != nil {
		t.Fatal(err)
	}
	e, err := NewOpusEncoder(8_000, Lean)
	if err != nil {
		t.Fatal(err)
	}
	pcm := make([]int16, 960)
	for name, err := range map[string]error{
		"empty packet":     second(d.Decode(nil, pcm)),
		"no room":          second(d.Decode([]byte{0}, nil)),
		"too little room":  second(d.Decode([]byte{0}, pcm[:8])),
		"odd concealment":  second(d.Conceal(pcm[:7])),
		"no concealment":   second(d.Conceal(nil)),
		"odd length":       second(e.Encode(pcm[:161], make([]byte, 100))),
		"nothing":          second(e.Encode(nil, make([]byte, 100))),
		"no output":        second(e.Encode(pcm[:160], nil)),
		"no redundancy in": second(d.DecodeFEC(nil, pcm)),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func second(_ int, err error) error { return err }

func TestOpusAllocatesNothing(t *testing.T) {
	payload := opusStream(t, Robust, 8_000, 440, 20*time.Millisecond, 3)[2]
	d, _ := NewOpusDecoder(8_000)
	e, _ := NewOpusEncoder(8_000, Lean)
	if n := testing.AllocsPerRun(50, func() {
		var pcm [960]int16
		var out [400]byte
		if _, err := d.DecodeFEC(payload, pcm[:160]); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Decode(payload, pcm[:]); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Conceal(pcm[:160]); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Encode(pcm[:160], out[:]); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzOpusPacket holds our reading of a packet against libopus's.
func FuzzOpusPacket(f *testing.F) {
	for _, p := range []Profile{Lean, Robust} {
		for _, length := range []time.Duration{10 * time.Millisecond, 20 * time.Millisecond, 60 * time.Millisecond} {
			f.Add(opusStream(f, p, 16_000, 440, length, 3)[2])
		}
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0x03, 0x46, 0xfe, 0x01})
	f.Add([]byte{0xfa, 0xfc, 0x01})
	pcm := make([]int16, longest(48_000))
	f.Fuzz(func(t *testing.T, payload []byte) {
		info, err := InspectOpus(payload)
		d, errNew := NewOpusDecoder(48_000)
		if errNew != nil {
			t.Fatal(errNew)
		}
		n, errDecode := d.Decode(payload, pcm)
		switch {
		case err != nil && errDecode == nil:
			t.Fatalf("libopus decodes %d samples of what we call malformed: % x", n, payload)
		case err == nil && errDecode != nil:
			t.Fatalf("libopus refuses what we call %+v: %v: % x", info, errDecode, payload)
		case err == nil && n != info.Samples(48_000):
			t.Fatalf("libopus decodes %d samples, we count %d: % x", n, info.Samples(48_000), payload)
		}
	})
}
