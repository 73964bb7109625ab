package media

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestConnectRefusesWhatItCannotConvert(t *testing.T) {
	w := NewWheel()
	for name, tc := range map[string]struct {
		a, b Format
		o    Options
		want error
	}{
		"no such codec":     {Format{}, ulawFormat, Options{Wheel: w}, ErrFormat},
		"opus at 16 kHz":    {Format{Codec: Opus, Rate: 16_000}, ulawFormat, Options{Wheel: w}, ErrFormat},
		"G.711 at 16 kHz":   {opusFormat, Format{Codec: PCMU, Rate: 16_000}, Options{Wheel: w}, ErrFormat},
		"L16 at 44.1 kHz":   {opusFormat, Format{Codec: L16, Rate: 44_100}, Options{Wheel: w}, ErrFormat},
		"a resampler":       {wideFormat, ulawFormat, Options{Wheel: w}, ErrFormat},
		"opus, no wheel":    {opusFormat, ulawFormat, Options{}, ErrNoWheel},
		"opus, no wheel, b": {ulawFormat, opusFormat, Options{}, ErrNoWheel},
	} {
		if tc.want == ErrNoWheel && !HaveOpus {
			tc.want = ErrNoOpus
		}
		a, b := &deskFlow{format: tc.a}, &deskFlow{format: tc.b}
		if _, err := Connect(a, b, tc.o); !errors.Is(err, tc.want) || a.sink != nil || b.sink != nil {
			t.Errorf("%s: %v, attached %t", name, err, a.sink != nil || b.sink != nil)
		}
	}
	if _, err := Connect(nil, &deskFlow{format: ulawFormat}, Options{}); !errors.Is(err, ErrFormat) {
		t.Errorf("no flow: %v", err)
	}
	if !HaveOpus {
		_, err := Connect(&deskFlow{format: opusFormat}, &deskFlow{format: ulawFormat}, Options{Wheel: w})
		if !errors.Is(err, ErrNoOpus) {
			t.Errorf("without libopus: %v", err)
		}
	}
}

// celtPacket is a well-formed Opus packet of 20 ms for what does not decode it.
func celtPacket(first byte) []byte { return []byte{31 << 3, first, 2, 3} }

func TestOpusPassesUntouched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &deskFlow{format: opusFormat}, &deskFlow{format: opusFormat}
		c, err := Connect(a, b, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Stop()
		seq := uint16(65530)
		for i := range 20 {
			if i != 7 && i != 8 { // lost
				a.hear(seq, 1<<32-9600+uint32(i)*960, celtPacket(byte(i)))
			}
			if seq++; i == 12 { // padding
				a.hear(seq, 0, nil)
				seq++
			}
			rest(20 * time.Millisecond)
		}
		if len(b.packets()) != 18 {
			t.Fatalf("%d packets, want 18", len(b.packets()))
		}
		for i, p := range b.packets() {
			n := uint32(i)
			if i >= 7 {
				n += 2
			}
			if got := p.Sequence - b.packets()[0].Sequence; got != uint16(n) {
				t.Errorf("packet %d: number +%d, want +%d", i, got, n)
			}
			if got := p.Timestamp - b.packets()[0].Timestamp; got != n*960 {
				t.Errorf("packet %d: timestamp +%d, want +%d", i, got, n*960)
			}
			if p.Payload[1] != byte(n) || p.Marker != (i == 0) {
				t.Errorf("packet %d: %x, marker %t", i, p.Payload, p.Marker)
			}
		}
		if s := c.Stats().AtoB; s.Conversion != "opus" || s.PacketsIn != 18 || s.PacketsOut != 18 || s.Latency.Count != 18 {
			t.Errorf("%+v", s)
		}
	})
}

func TestPassthroughKeepsOrderAndJoinsSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &deskFlow{format: opusFormat}, &deskFlow{format: opusFormat}
		c, err := Connect(a, b, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Stop()
		for _, i := range []int{0, 1, 3, 2, 4} {
			a.hear(uint16(i), uint32(i)*960, celtPacket(byte(i)))
			rest(20 * time.Millisecond)
		}
		rest(time.Second)
		for i := range 5 { // another source; its first packet is taken for a stray
			a.hear(uint16(30_000+i), 5+uint32(i)*960, celtPacket(byte(10+i)))
			rest(20 * time.Millisecond)
		}
		a.hear(30_005, 5+5*960, []byte{3}) // malformed
		want := []struct{ seq, stamp int }{{0, 0}, {1, 1}, {3, 3}, {2, 2}, {4, 4}, {5, 56}, {6, 57}, {7, 58}, {8, 59}}
		if len(b.packets()) != len(want) {
			t.Fatalf("%d packets, want %d", len(b.packets()), len(want))
		}
		for i, p := range b.packets() {
			seq, stamp := int(p.Sequence-b.packets()[0].Sequence), int(p.Timestamp-b.packets()[0].Timestamp)
			if seq != want[i].seq || stamp != want[i].stamp*960 || p.Marker != (i == 0 || i == 5) {
				t.Errorf("packet %d: number +%d, timestamp +%d, marker %t", i, seq, stamp, p.Marker)
			}
		}
		if s := c.Stats().AtoB; s.Late != 1 || s.Jumps != 1 || s.Stale != 1 || s.Malformed != 1 {
			t.Errorf("%+v", s)
		}
	})
}

// TestPassthroughNumbersNothingTwice: packets without audio that come twice, or late, take no number from those with audio.
func TestPassthroughNumbersNothingTwice(t *testing.T) {
	for name, test := range map[string]struct {
		arrive []int // numbers; negative: of a packet without audio
		want   []int // what the packets with audio become
	}{
		"twice":               {[]int{1, -2, -2, -2, 3, 4}, []int{1, 2, 3}},
		"late":                {[]int{1, 3, -2, 4, 5}, []int{1, 3, 4, 5}},
		"before its time":     {[]int{1, -3, 2, 4}, []int{1, 2, 4}},
		"lost before padding": {[]int{1, -3, 4}, []int{1, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := &deskFlow{format: opusFormat}, &deskFlow{format: opusFormat}
			c, err := Connect(a, b, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Stop()
			for _, n := range test.arrive {
				if n < 0 {
					a.hear(uint16(-n), 0, nil)
				} else {
					a.hear(uint16(n), uint32(n)*960, celtPacket(byte(n)))
				}
			}
			var got []int
			for _, p := range b.packets() {
				got = append(got, 1+int(int16(p.Sequence-b.packets()[0].Sequence)))
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("numbered %v, want %v", got, test.want)
			}
		})
	}
}

func TestPassthroughStops(t *testing.T) {
	a, b := &deskFlow{format: opusFormat}, &deskFlow{format: opusFormat}
	c, err := Connect(a, b, Options{})
	if err != nil {
		t.Fatal(err)
	}
	sink := a.sink
	a.hear(0, 0, celtPacket(0))
	c.Stop()
	sink.WriteAudio(&Packet{Sequence: 1, Timestamp: 960, Payload: celtPacket(1)}) // a reader that was just delivering
	if n := len(b.packets()); n != 1 || c.Stats().AtoB.PacketsOut != 1 {
		t.Errorf("%d packets, want the one before Stop", n)
	}
}

func TestG711AndL16AreRecoded(t *testing.T) {
	narrow := Format{Codec: L16, Rate: 8_000}
	codes := make([]byte, 240)
	for i := range codes {
		codes[i] = byte(i)
	}
	samples := func(f Format, payload []byte) []int16 {
		shape, _ := shapeOf(f.Codec)
		pcm := make([]int16, shape.samples(payload))
		shape.unpack(pcm, payload)
		return pcm
	}
	for _, tc := range []struct {
		a, b Format
		name string
		near int // the largest difference allowed, in 1/64 of the sample
	}{
		{ulawFormat, ulawFormat, "PCMU", 0}, {wideFormat, wideFormat, "L16", 0},
		{ulawFormat, alawFormat, "PCMU→PCMA", 4}, {alawFormat, ulawFormat, "PCMA→PCMU", 4},
		{ulawFormat, narrow, "PCMU→L16", 0}, {narrow, alawFormat, "L16→PCMA", 4},
	} {
		synctest.Test(t, func(t *testing.T) {
			a, b := &deskFlow{format: tc.a}, &deskFlow{format: tc.b}
			c, err := Connect(a, b, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Stop()
			for i := range 3 {
				a.hear(uint16(i), uint32(i)*uint32(len(samples(tc.a, codes))), codes)
			}
			if len(b.packets()) != 3 || c.Stats().AtoB.Conversion != tc.name {
				t.Fatalf("%s: %d packets, %+v", tc.name, len(b.packets()), c.Stats().AtoB)
			}
			want, got := samples(tc.a, codes), samples(tc.b, b.packets()[2].Payload)
			if len(got) != len(want) {
				t.Fatalf("%s: %d samples, want %d", tc.name, len(got), len(want))
			}
			for i := range want {
				diff := int(want[i]) - int(got[i])
				if max(diff, -diff) > (max(int(want[i]), -int(want[i]))*tc.near)/64+2*tc.near {
					t.Errorf("%s: %d became %d", tc.name, want[i], got[i])
				}
			}
		})
	}
}

func TestHistogram(t *testing.T) {
	var h histogram
	if s := h.summary(); s != (Latency{}) {
		t.Errorf("empty: %+v", s)
	}
	for i := range 1000 {
		h.add(time.Duration(i) * time.Microsecond)
	}
	h.add(-1)
	h.add(time.Hour)
	s := h.summary()
	if s.Count != 1002 || s.P50 < 500*time.Microsecond || s.P50 > 625*time.Microsecond ||
		s.P99 < 990*time.Microsecond || s.P99 > 1250*time.Microsecond {
		t.Errorf("%+v", s)
	}
	if top := h.quantile(1); top != 1<<histogramTop {
		t.Errorf("maximum %s", top)
	}
}
