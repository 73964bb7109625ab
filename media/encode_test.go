//go:build cgo

package media

import (
	"slices"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/media/tone"
)

// pbxStream makes a tone into payloads of one length.
func pbxStream(format Format, hz float64, length time.Duration, packets int) [][]byte {
	shape, _ := shapeOf(format.Codec)
	s := tone.NewSine(format.Rate, hz, 10_000)
	pcm := make([]int16, int(length*time.Duration(format.Rate)/time.Second))
	var stream [][]byte
	for range packets {
		s.Fill(pcm)
		payload := make([]byte, len(pcm)*shape.bytes)
		shape.pack(payload, pcm)
		stream = append(stream, payload)
	}
	return stream
}

// heardOpus decodes what a phone was sent.
func heardOpus(t *testing.T, f *deskFlow) (pcm []int16) {
	t.Helper()
	d, err := NewOpusDecoder(48_000)
	if err != nil {
		t.Fatal(err)
	}
	buffer := make([]int16, longest(48_000))
	for _, p := range f.packets() {
		n, err := d.Decode(p.Payload, buffer)
		if err != nil {
			t.Fatal(err)
		}
		pcm = append(pcm, buffer[:n]...)
	}
	return pcm
}

func TestPBXToneReachesThePhone(t *testing.T) {
	for _, format := range []Format{ulawFormat, alawFormat, wideFormat, {Codec: L16, Rate: 48_000}} {
		for _, p := range []Profile{Lean, Robust} {
			for _, length := range []time.Duration{10 * ms, 20 * ms, 30 * ms, 40 * ms, 50 * ms, 60 * ms} {
				n := int(1200 * ms / length)
				stream := pbxStream(format, 600, length, n)
				talk(t, format, Options{Profile: p}, func(phone, pbx *deskFlow, c *Connection) {
					for i, payload := range stream {
						pbx.hear(uint16(i), uint32(i*int(length/ms)*format.Rate/1000), payload)
						rest(length)
					}
					pcm := heardOpus(t, phone)
					if len(pcm) != n*int(length/ms)*48 {
						t.Errorf("%v %s %s: heard %d samples", format, p, length, len(pcm))
					}
					if pure := tone.Purity(pcm[len(pcm)/4:], 48_000, 600); pure < 0.97 {
						t.Errorf("%v %s %s: purity %.3f", format, p, length, pure)
					}
					checkOpusSteady(t, phone)
					s := c.Stats().BtoA
					if s.Late+s.Stale+s.Malformed+s.Jumps != 0 || s.Profile != p || s.PacketsIn != uint64(n) {
						t.Errorf("%v %s %s: %+v", format, p, length, s)
					}
				})
			}
		}
	}
}

// checkOpusSteady is checkSteady for what a phone was sent.
func checkOpusSteady(t *testing.T, f *deskFlow, breaks ...int) {
	t.Helper()
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
		joins := int64(p.Timestamp-before.Timestamp) == opusTicks(before.Payload)
		if joins == slices.Contains(breaks, i) || int32(p.Timestamp-before.Timestamp) <= 0 {
			t.Errorf("packet %d: timestamp steps by %d", i, int32(p.Timestamp-before.Timestamp))
		}
	}
}

func TestPBXPacketsLeaveAtOnceInLengthsOpusHas(t *testing.T) {
	for length, want := range map[time.Duration][]time.Duration{
		10 * ms: {10 * ms}, 20 * ms: {20 * ms}, 30 * ms: {20 * ms, 10 * ms}, 40 * ms: {40 * ms},
		50 * ms: {40 * ms, 10 * ms}, 60 * ms: {60 * ms}, 80 * ms: {60 * ms, 20 * ms}, 120 * ms: {60 * ms, 60 * ms},
		25 * ms: {20 * ms, 5 * ms}, 2500 * time.Microsecond: {2500 * time.Microsecond},
	} {
		stream := pbxStream(ulawFormat, 600, length, 1)
		talk(t, ulawFormat, Options{}, func(phone, pbx *deskFlow, c *Connection) {
			pbx.hear(0, 0, stream[0])
			var got []time.Duration
			for _, p := range phone.packets() {
				info, err := InspectOpus(p.Payload)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, info.Duration())
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s became %v, want %v", length, got, want)
			}
			checkOpusSteady(t, phone)
			if s := c.Stats().BtoA.Latency; s.Count != 1 {
				t.Errorf("%s: latency counted %d times", length, s.Count)
			}
		})
	}
}

func TestPBXLossAdvancesTheTimestamp(t *testing.T) {
	stream := pbxStream(ulawFormat, 600, 20*ms, 20)
	talk(t, ulawFormat, Options{}, func(phone, pbx *deskFlow, c *Connection) {
		for i, payload := range stream {
			if i != 10 && i != 11 {
				pbx.hear(uint16(65530+i), uint32(i)*160, payload)
			}
			rest(20 * ms)
		}
		if step := phone.packets()[10].Timestamp - phone.packets()[9].Timestamp; len(phone.packets()) != 18 || step != 3*960 {
			t.Errorf("%d packets, timestamp steps by %d", len(phone.packets()), step)
		}
		for i, p := range phone.packets()[1:] {
			if p.Marker || p.Sequence != phone.packets()[i].Sequence+1 {
				t.Errorf("packet %d: marker %t, number %d", i+1, p.Marker, p.Sequence)
			}
		}
	})
}

func TestPBXPausesAndJumps(t *testing.T) {
	stream := pbxStream(ulawFormat, 600, 20*ms, 30)
	for name, tc := range map[string]struct {
		pause time.Duration
		seq   uint16 // added from packet 15 on
		stamp uint32
		jumps uint64
		stray int // packets given up to tell a new source from a stray
	}{
		"silence with time":           {3 * time.Second, 0, 24_000, 0, 0},
		"silence, clock stands still": {3 * time.Second, 0, 0, 0, 0},
		"transfer, clock elsewhere":   {0, 7, 1_000_000_000, 1, 0},
		"transfer, all elsewhere":     {0, 30_000, 1_000_000_000, 1, 1},
		"transfer after ringing":      {5 * time.Second, 30_000, 77, 1, 1},
		"clock set back":              {0, 0, 1<<32 - 10*160, 1, 0},
	} {
		talk(t, ulawFormat, Options{}, func(phone, pbx *deskFlow, c *Connection) {
			for i, payload := range stream {
				seq, stamp := uint16(i), uint32(i)*160
				if i >= 15 {
					seq, stamp = seq+tc.seq, stamp+tc.stamp
				}
				pbx.hear(seq, stamp, payload)
				rest(20 * ms)
				if i == 14 {
					rest(tc.pause)
				}
			}
			s := c.Stats().BtoA
			if s.Jumps != tc.jumps || len(phone.packets()) != 30-tc.stray {
				t.Errorf("%s: %d packets, %+v", name, len(phone.packets()), s)
			}
			// The phone's clock shows real time: 29 packets, and the pause.
			total := time.Duration(phone.packets()[len(phone.packets())-1].Timestamp-phone.packets()[0].Timestamp) * time.Second / 48_000
			if want := 29*20*ms + tc.pause; total != want {
				t.Errorf("%s: %s of timestamps, want %s", name, total, want)
			}
			for i, p := range phone.packets() {
				if p.Marker != (i == 0 || i == 15) {
					t.Errorf("%s: packet %d: marker %t", name, i, p.Marker)
				}
			}
		})
	}
}

func TestMalformedPCMIsCounted(t *testing.T) {
	talk(t, wideFormat, Options{}, func(phone, pbx *deskFlow, c *Connection) {
		for i, n := range []int{1, 639, 642, 38, 2*longest(16_000) + 80} {
			pbx.hear(uint16(i), 0, make([]byte, n))
		}
		pbx.hear(5, 0, nil)
		if s := c.Stats().BtoA; s.Malformed != 5 || len(phone.packets()) != 0 {
			t.Errorf("%d packets, %+v", len(phone.packets()), s)
		}
	})
}

func TestLossWatch(t *testing.T) {
	type look struct {
		after time.Duration
		loss  float64
		want  Profile
	}
	for name, looks := range map[string][]look{
		"no loss":          {{0, 0, Lean}, {time.Hour, 0.03, Lean}},
		"loss":             {{0, 0.031, Robust}, {time.Second, 0.02, Robust}, {time.Hour, 0.02, Robust}},
		"loss has ended":   {{0, 0.1, Robust}, {2 * time.Second, 0, Robust}, {29 * time.Second, 0, Robust}, {time.Second, 0, Lean}},
		"a relapse":        {{0, 0.1, Robust}, {2 * time.Second, 0, Robust}, {29 * time.Second, 0.01, Robust}, {time.Second, 0, Robust}, {30 * time.Second, 0, Lean}},
		"back after quiet": {{0, 0.1, Robust}, {time.Second, 0, Robust}, {31 * time.Second, 0, Lean}, {time.Second, 0.05, Robust}},
	} {
		var w lossWatch
		now := time.Unix(1000, 0)
		for i, l := range looks {
			now = now.Add(l.after)
			if got := w.next(l.loss, now); got != l.want {
				t.Errorf("%s: look %d: %s, want %s", name, i, got, l.want)
			}
		}
	}
}

func TestProfileFollowsTheLossThePhoneReports(t *testing.T) {
	stream := pbxStream(ulawFormat, 600, 20*ms, 1)
	for profile, want := range map[Profile][3]OpusMode{
		Auto:   {OpusCELT, OpusSILK, OpusCELT},
		Lean:   {OpusCELT, OpusCELT, OpusCELT},
		Robust: {OpusSILK, OpusSILK, OpusSILK},
	} {
		talk(t, ulawFormat, Options{Profile: profile}, func(phone, pbx *deskFlow, c *Connection) {
			mode := func(i int) OpusMode {
				pbx.hear(uint16(i), uint32(i)*160, stream[0])
				info, err := InspectOpus(phone.packets()[len(phone.packets())-1].Payload)
				if err != nil {
					t.Fatal(err)
				}
				return info.Mode
			}
			var got [3]OpusMode
			rest(3 * time.Second)
			got[0] = mode(0)
			phone.loss.Store(5)
			rest(3 * time.Second)
			got[1] = mode(1)
			phone.loss.Store(0)
			rest(35 * time.Second)
			got[2] = mode(2)
			if got != want {
				t.Errorf("%s: modes %v, want %v", profile, got, want)
			}
		})
	}
}
