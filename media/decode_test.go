//go:build cgo

package media

import (
	"slices"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/media/tone"
)

const ms = time.Millisecond

// talk connects a phone that speaks Opus to a PBX and lets f drive both in fake time.
func talk(t *testing.T, pbxFormat Format, o Options, f func(phone, pbx *deskFlow, c *Connection)) {
	t.Helper()
	turning(t, func(w *Wheel) {
		o.Wheel = w
		phone, pbx := &deskFlow{format: opusFormat}, &deskFlow{format: pbxFormat}
		c, err := Connect(phone, pbx, o)
		if err != nil {
			t.Fatal(err)
		}
		f(phone, pbx, c)
		c.Stop()
	})
}

// heard joins the payloads as samples.
func heard(t *testing.T, f *deskFlow) (pcm []int16) {
	t.Helper()
	shape, ok := shapeOf(f.format.Codec)
	if !ok {
		t.Fatal("not a PCM flow")
	}
	for _, p := range f.packets() {
		s := make([]int16, shape.samples(p.Payload))
		shape.unpack(s, p.Payload)
		pcm = append(pcm, s...)
	}
	return pcm
}

// checkSteady says whether packets are numbered without a gap and their timestamps join on, but where breaks says
// that a packet begins after a break.
func checkSteady(t *testing.T, f *deskFlow, breaks ...int) {
	t.Helper()
	shape, _ := shapeOf(f.format.Codec)
	for i, p := range f.packets() {
		if p.Marker != (i == 0 || slices.Contains(breaks, i)) {
			t.Errorf("packet %d: marker %t", i, p.Marker)
		}
		if i == 0 {
			continue
		}
		before := f.packets()[i-1]
		if p.Sequence != before.Sequence+1 {
			t.Errorf("packet %d: number %d after %d", i, p.Sequence, before.Sequence)
		}
		step := int(int32(p.Timestamp - before.Timestamp))
		joins := step == shape.samples(before.Payload)
		if joins == slices.Contains(breaks, i) || step <= 0 {
			t.Errorf("packet %d: timestamp steps by %d after %d samples", i, step, shape.samples(before.Payload))
		}
	}
}

func TestPhoneToneReachesThePBX(t *testing.T) {
	for _, format := range []Format{
		ulawFormat, alawFormat, wideFormat, {Codec: L16, Rate: 8_000}, {Codec: L16, Rate: 48_000},
		{Codec: PCMU, Rate: 8_000, Ptime: 20 * ms}, {Codec: PCMU, Rate: 8_000, Ptime: 60 * ms},
	} {
		for _, length := range []time.Duration{10 * ms, 20 * ms, 40 * ms, 60 * ms, 120 * ms} {
			stream := opusStream(t, Lean, 48_000, 600, length, int(1200*ms/length))
			talk(t, format, Options{}, func(phone, pbx *deskFlow, c *Connection) {
				for i, payload := range stream {
					phone.hear(uint16(i), uint32(i)*uint32(length/ms)*48, payload)
					rest(length)
				}
				pcm := heard(t, pbx)
				if want := format.Rate * 1200 / 1000; len(pcm) != want {
					t.Errorf("%v %s: heard %d samples, want %d", format, length, len(pcm), want)
				}
				if pure := tone.Purity(pcm[len(pcm)/4:], format.Rate, 600); pure < 0.97 {
					t.Errorf("%v %s: purity %.3f", format, length, pure)
				}
				checkSteady(t, pbx)
				if s := c.Stats().AtoB; s.Late+s.Stale+s.Malformed+s.Jumps != 0 || s.Concealed != 0 {
					t.Errorf("%v %s: %+v", format, length, s)
				}
			})
		}
	}
}

func TestLongPacketsAreSlicedAndPaced(t *testing.T) {
	for _, length := range []time.Duration{60 * ms, 120 * ms} {
		stream := opusStream(t, Lean, 48_000, 600, length, 10)
		talk(t, ulawFormat, Options{}, func(phone, pbx *deskFlow, c *Connection) {
			begin := time.Now()
			for i, payload := range stream {
				phone.hear(uint16(i), uint32(i)*uint32(length/ms)*48, payload)
				rest(length)
			}
			if want := 10 * int(length/(20*ms)); len(pbx.packets()) != want {
				t.Fatalf("%s: %d packets, want %d", length, len(pbx.packets()), want)
			}
			for i, p := range pbx.packets() {
				if len(p.Payload) != 160 {
					t.Errorf("%s: packet %d has %d bytes", length, i, len(p.Payload))
				}
				if late := p.at.Sub(begin) - time.Duration(i)*20*ms; late < 0 || late > wheelSlot {
					t.Errorf("%s: packet %d left %s late", length, i, late)
				}
			}
			if got := c.Stats().AtoB.Latency; got.Count != 10 || got.P99 > ms {
				t.Errorf("%s: latency %+v", length, got)
			}
		})
	}
}

func TestShortPacketsWaitOnlyForAnExactSink(t *testing.T) {
	stream := opusStream(t, Lean, 48_000, 600, 10*ms, 20)
	for _, tc := range []struct {
		ptime time.Duration
		bytes int
	}{{0, 80}, {20 * ms, 160}, {30 * ms, 240}} {
		talk(t, Format{Codec: PCMU, Rate: 8_000, Ptime: tc.ptime}, Options{}, func(phone, pbx *deskFlow, _ *Connection) {
			for i, payload := range stream {
				phone.hear(uint16(i), uint32(i)*480, payload)
				rest(10 * ms)
			}
			if want := 20 * 80 / tc.bytes; len(pbx.packets()) != want {
				t.Errorf("ptime %s: %d packets, want %d", tc.ptime, len(pbx.packets()), want)
			}
			for _, p := range pbx.packets() {
				if len(p.Payload) != tc.bytes {
					t.Errorf("ptime %s: packet of %d bytes", tc.ptime, len(p.Payload))
				}
			}
			checkSteady(t, pbx)
		})
	}
}

func TestLossIsConcealedAtOnce(t *testing.T) {
	for _, tc := range []struct {
		name    string
		profile Profile
		length  time.Duration
		lost    []int
		fec     uint64
		hidden  time.Duration
	}{
		{"one of 20 ms with redundancy", Robust, 20 * ms, []int{20}, 1, 20 * ms},
		{"one of 60 ms with redundancy", Robust, 60 * ms, []int{20}, 1, 60 * ms},
		{"two of 60 ms with redundancy", Robust, 60 * ms, []int{20, 21}, 1, 120 * ms},
		{"six of 20 ms with redundancy", Robust, 20 * ms, []int{18, 19, 20, 21, 22, 23}, 1, 120 * ms},
		{"one of 20 ms without", Lean, 20 * ms, []int{20}, 0, 20 * ms},
		{"three of 20 ms without", Lean, 20 * ms, []int{19, 20, 21}, 0, 60 * ms},
		{"one of 120 ms", Lean, 120 * ms, []int{8}, 0, 120 * ms},
	} {
		stream := speechStream(t, tc.profile, 16_000, tc.length, 30)
		talk(t, ulawFormat, Options{}, func(phone, pbx *deskFlow, c *Connection) {
			begin := time.Now()
			for i, payload := range stream {
				if !slices.Contains(tc.lost, i) {
					phone.hear(uint16(i), uint32(i)*uint32(tc.length/ms)*48, payload)
				}
				rest(tc.length)
			}
			checkSteady(t, pbx)
			if got, want := len(heard(t, pbx)), int(30*tc.length/ms)*8; got != want {
				t.Errorf("%s: %d samples, want %d", tc.name, got, want)
			}
			s := c.Stats().AtoB
			if s.FECRecovered != tc.fec || s.Concealed != tc.hidden || s.Jumps != 0 {
				t.Errorf("%s: %+v", tc.name, s)
			}
			// What was lost leaves with the packet that shows the loss, not later.
			after := time.Duration(tc.lost[len(tc.lost)-1]+1) * tc.length
			first := pbx.packets()[tc.lost[0]*int(tc.length/(20*ms))]
			if got := first.at.Sub(begin); got != after {
				t.Errorf("%s: concealed after %s, want %s", tc.name, got, after)
			}
			if level := tone.RMS(heard(t, pbx)[tc.lost[0]*int(tc.length/ms)*8:][:160]); level < 100 {
				t.Errorf("%s: concealed with level %.0f", tc.name, level)
			}
		})
	}
}

// The lost packet need not be as long as the one before it: its own length is what its redundancy covers.
func TestLostPacketOfAnotherLengthIsRecovered(t *testing.T) {
	long, short := speechStream(t, Robust, 16_000, 60*ms, 30), speechStream(t, Robust, 16_000, 20*ms, 30)
	talk(t, ulawFormat, Options{}, func(phone, pbx *deskFlow, c *Connection) {
		for i := range 10 {
			phone.hear(uint16(i), uint32(i)*960, short[i])
			rest(20 * ms)
		}
		rest(60 * ms)
		phone.hear(11, 10*960+2880, long[21])
		rest(60 * ms)
		checkSteady(t, pbx)
		if s := c.Stats().AtoB; s.Concealed != 60*ms || s.FECRecovered != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestLongLossIsAJump(t *testing.T) {
	stream := opusStream(t, Lean, 48_000, 600, 20*ms, 30)
	talk(t, ulawFormat, Options{}, func(phone, pbx *deskFlow, c *Connection) {
		for i, payload := range stream {
			if i < 10 || i > 16 {
				phone.hear(uint16(i), uint32(i)*960, payload)
			}
			rest(20 * ms)
		}
		checkSteady(t, pbx, 10)
		if step := pbx.packets()[10].Timestamp - pbx.packets()[9].Timestamp; step != 8*160 {
			t.Errorf("timestamp steps by %d over 7 lost packets", step)
		}
		if s := c.Stats().AtoB; s.Concealed != 0 || s.Jumps != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestLateAndRepeatedPacketsAreDropped(t *testing.T) {
	stream := opusStream(t, Lean, 48_000, 600, 20*ms, 10)
	talk(t, ulawFormat, Options{}, func(phone, pbx *deskFlow, c *Connection) {
		for _, i := range []int{0, 1, 3, 2, 4, 4, 5} {
			phone.hear(uint16(i), uint32(i)*960, stream[i])
			rest(20 * ms)
		}
		checkSteady(t, pbx)
		if s := c.Stats().AtoB; len(pbx.packets()) != 6 || s.Late != 2 || s.Concealed != 20*ms {
			t.Errorf("%d packets, %+v", len(pbx.packets()), s)
		}
	})
}

func TestPaddingIsNeitherAudioNorLoss(t *testing.T) {
	stream := opusStream(t, Lean, 48_000, 600, 20*ms, 10)
	talk(t, ulawFormat, Options{}, func(phone, pbx *deskFlow, c *Connection) {
		seq := uint16(65530)
		for i, payload := range stream {
			phone.hear(seq, uint32(i)*960, payload)
			seq++
			for range i {
				if i != 5 { // these are lost on the way
					phone.hear(seq, uint32(i)*960, nil)
				}
				seq++
			}
			rest(20 * ms)
		}
		checkSteady(t, pbx)
		if s := c.Stats().AtoB; len(pbx.packets()) != 10 || s.Concealed != 0 || s.PacketsIn != 10 || s.Late != 0 {
			t.Errorf("%d packets, %+v", len(pbx.packets()), s)
		}
	})
}

func TestBurstGoesOutAtOnceButForItsEnd(t *testing.T) {
	stream := opusStream(t, Lean, 48_000, 600, 60*ms, 5)
	talk(t, ulawFormat, Options{}, func(phone, pbx *deskFlow, c *Connection) {
		for i, payload := range stream[:4] {
			phone.hear(uint16(i), uint32(i)*2880, payload)
		}
		// The arrival of a packet means that those before it are overdue; the last one's second and third slice are not.
		if len(pbx.packets()) != 10 {
			t.Fatalf("%d packets at once, want 10", len(pbx.packets()))
		}
		rest(60 * ms)
		if len(pbx.packets()) != 12 {
			t.Fatalf("%d packets, want 12", len(pbx.packets()))
		}
		checkSteady(t, pbx)
	})
}

// A packet that is held up on the way must not delay those behind it, however often that happens.
func TestDelayNeverBuildsUp(t *testing.T) {
	stream := opusStream(t, Lean, 48_000, 600, 60*ms, 40)
	talk(t, ulawFormat, Options{}, func(phone, pbx *deskFlow, c *Connection) {
		begin := time.Now()
		for i, payload := range stream {
			held := time.Duration(0)
			if i%4 == 1 {
				held = 50 * ms
			}
			rest(time.Until(begin.Add(time.Duration(i)*60*ms + held)))
			phone.hear(uint16(i), uint32(i)*2880, payload)
		}
		rest(60 * ms)
		packets := pbx.packets()
		if len(packets) != 120 {
			t.Fatalf("%d packets, want 120", len(packets))
		}
		checkSteady(t, pbx)
		for i, p := range packets {
			due := begin.Add(time.Duration(i) * 20 * ms)
			late := p.at.Sub(due)
			most := wheelSlot + 3*ms // the schedule gives way a little to what is held up
			if i/3%4 == 1 {
				most += 50 * ms
			}
			if late < 0 || late > most {
				t.Errorf("slice %d left %s late, at most %s is right", i, late, most)
			}
		}
	})
}

// A sender whose clock is slow must not turn the pacing into bursts.
func TestScheduleFollowsASlowClock(t *testing.T) {
	stream := opusStream(t, Lean, 48_000, 600, 60*ms, 100)
	talk(t, ulawFormat, Options{}, func(phone, pbx *deskFlow, c *Connection) {
		for i, payload := range stream {
			phone.hear(uint16(i), uint32(i)*2880, payload)
			rest(60*ms + 60*time.Microsecond) // 1000 ppm
		}
		packets := pbx.packets()
		for i := len(packets) - 30; i < len(packets); i++ {
			if step := packets[i].at.Sub(packets[i-1].at); step < 10*ms {
				t.Errorf("slice %d left %s after the one before", i, step)
			}
		}
	})
}

func TestMalformedOpusIsCountedAndConcealed(t *testing.T) {
	stream := opusStream(t, Lean, 48_000, 600, 20*ms, 10)
	talk(t, ulawFormat, Options{}, func(phone, pbx *deskFlow, c *Connection) {
		for i, payload := range stream {
			if i == 5 {
				payload = []byte{3}
			}
			phone.hear(uint16(i), uint32(i)*960, payload)
			rest(20 * ms)
		}
		checkSteady(t, pbx)
		if s := c.Stats().AtoB; s.Malformed != 1 || s.Concealed != 20*ms || len(pbx.packets()) != 10 {
			t.Errorf("%d packets, %+v", len(pbx.packets()), s)
		}
	})
}

func TestStereoDecodesToMono(t *testing.T) {
	talk(t, wideFormat, Options{}, func(phone, pbx *deskFlow, c *Connection) {
		// Two CELT frames of 20 ms, full band, stereo; what is in them is noise.
		phone.hear(0, 0, append([]byte{31<<3 | 4 | 1}, make([]byte, 80)...))
		rest(40 * ms)
		if s := c.Stats().AtoB; len(heard(t, pbx)) != 640 || s.Malformed != 0 {
			t.Errorf("%d samples, %+v", len(heard(t, pbx)), s)
		}
	})
}

func TestStopEndsWhatWaits(t *testing.T) {
	stream := opusStream(t, Lean, 48_000, 600, 60*ms, 2)
	talk(t, ulawFormat, Options{}, func(phone, pbx *deskFlow, c *Connection) {
		sink := phone.sink
		phone.hear(0, 0, stream[0])
		rest(20 * ms)
		c.Stop()
		before := len(pbx.packets())
		rest(time.Second)
		sink.WriteAudio(&Packet{Sequence: 1, Timestamp: 2880, Payload: stream[1]}) // a reader that was just delivering
		c.Stop()
		if len(pbx.packets()) != before || phone.sink != nil || pbx.sink != nil {
			t.Errorf("%d packets after Stop, still attached: %t, %t", len(pbx.packets())-before, phone.sink != nil, pbx.sink != nil)
		}
	})
}
