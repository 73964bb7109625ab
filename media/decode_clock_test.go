//go:build cgo

package media

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestMutedPhoneResumes(t *testing.T) {
	stream := opusStream(t, Lean, 48_000, 600, 60*ms, 20)
	for name, stamps := range map[string]uint32{"timestamps go on": 10 * 48_000, "timestamps stand still": 0} {
		talk(t, ulawFormat, Options{}, func(phone, pbx *deskFlow, c *Connection) {
			for i, payload := range stream {
				stamp := uint32(i) * 2880
				if i >= 10 {
					stamp += stamps
				}
				phone.hear(uint16(i), stamp, payload)
				rest(60 * ms)
				if i == 9 {
					rest(10 * time.Second)
				}
			}
			checkSteady(t, pbx, 30)
			if step, want := pbx.packets()[30].Timestamp-pbx.packets()[29].Timestamp, uint32(160+80_000); step != want {
				t.Errorf("%s: timestamp steps by %d over 10 s, want %d", name, step, want)
			}
			if s := c.Stats().AtoB; len(pbx.packets()) != 60 || s.Concealed != 0 || s.Stale != 0 {
				t.Errorf("%s: %d packets, %+v", name, len(pbx.packets()), s)
			}
		})
	}
}

// A stall of the network looks like a mute with standing timestamps until the burst that ends it shows what it was.
func TestAudioHeldBackInAStallIsThrownAway(t *testing.T) {
	stream := opusStream(t, Lean, 48_000, 600, 20*ms, 400)
	talk(t, ulawFormat, Options{}, func(phone, pbx *deskFlow, c *Connection) {
		begin := time.Now()
		for i, payload := range stream {
			phone.hear(uint16(i), uint32(i)*960, payload)
			if i < 100 || i >= 200 { // packets 100 to 199 come all at once, with 200
				rest(20 * ms)
			} else if i == 100 {
				rest(2 * time.Second)
			}
		}
		last := pbx.packets()[len(pbx.packets())-1]
		ahead := time.Duration(last.Timestamp-pbx.packets()[0].Timestamp)*time.Second/8_000 - last.at.Sub(begin)
		if ahead < -20*ms || ahead > 200*ms {
			t.Errorf("the listener is left %s ahead of real time", ahead)
		}
		s := c.Stats().AtoB
		if s.Stale < 80 || s.Stale > 100 {
			t.Errorf("%d packets thrown away: %+v", s.Stale, s)
		}
	})
}

func TestTimestampsAreExtendedBeforeDividing(t *testing.T) {
	stream := opusStream(t, Lean, 48_000, 600, 20*ms, 20)
	for _, start := range []uint32{1<<32 - 9*960, 1<<31 - 9*960, 1<<32 - 5} {
		talk(t, ulawFormat, Options{}, func(phone, pbx *deskFlow, c *Connection) {
			for i, payload := range stream {
				phone.hear(uint16(65530+i), start+uint32(i)*960, payload)
				rest(20 * ms)
			}
			checkSteady(t, pbx)
			if s := c.Stats().AtoB; len(pbx.packets()) != 20 || s.Jumps != 0 {
				t.Errorf("%d packets, %+v", len(pbx.packets()), s)
			}
		})
	}
}

func TestAnotherSourceContinuesTheClock(t *testing.T) {
	stream := opusStream(t, Lean, 48_000, 600, 20*ms, 40)
	for name, second := range map[string]struct {
		seq   uint16
		stamp uint32
	}{
		"far away":                  {40_000, 3_000_000_000},
		"near in number, far clock": {22, 3_000_000_000},
		"clock set back":            {20, 960},
	} {
		talk(t, ulawFormat, Options{}, func(phone, pbx *deskFlow, c *Connection) {
			for i, payload := range stream {
				seq, stamp := uint16(i), uint32(i)*960
				if i >= 20 {
					seq, stamp = second.seq+uint16(i-20), second.stamp+uint32(i-20)*960
				}
				phone.hear(seq, stamp, payload)
				rest(20 * ms)
			}
			s := c.Stats().AtoB
			if s.Jumps != 1 || s.Stale > 1 || len(pbx.packets()) < 39 {
				t.Errorf("%s: %d packets, %+v", name, len(pbx.packets()), s)
			}
			total := time.Duration(pbx.packets()[len(pbx.packets())-1].Timestamp-pbx.packets()[0].Timestamp) * time.Second / 8_000
			if total != 39*20*ms {
				t.Errorf("%s: %s of timestamps in 780ms", name, total)
			}
			breaks := 0
			for _, p := range pbx.packets()[1:] {
				if p.Marker {
					breaks++
				}
			}
			if breaks != 1 {
				t.Errorf("%s: %d markers", name, breaks)
			}
		})
	}
}

func TestTwoConnectionsOfOneFlowContinueItsClock(t *testing.T) {
	stream := opusStream(t, Lean, 48_000, 600, 20*ms, 20)
	synctest.Test(t, func(t *testing.T) {
		pbx := &deskFlow{format: ulawFormat}
		for range 2 {
			phone := &deskFlow{format: opusFormat}
			c, err := Connect(phone, pbx, Options{Wheel: NewWheel()})
			if err != nil {
				t.Fatal(err)
			}
			for i, payload := range stream {
				phone.hear(uint16(i), uint32(i)*960, payload)
				rest(20 * ms)
			}
			c.Stop()
			rest(5 * time.Second)
		}
		if step := pbx.packets()[20].Timestamp - pbx.packets()[19].Timestamp; step != 160+40_000 || !pbx.packets()[20].Marker {
			t.Errorf("timestamp steps by %d over 5 s, marker %t", step, pbx.packets()[20].Marker)
		}
	})
}

func TestPauseAfterPaddingIsNotConcealed(t *testing.T) {
	stream := opusStream(t, Lean, 48_000, 600, 20*ms, 10)
	talk(t, ulawFormat, Options{}, func(phone, pbx *deskFlow, c *Connection) {
		phone.hear(0, 0, stream[0])
		rest(20 * ms)
		phone.hear(1, 960, nil)
		rest(40 * ms)
		phone.hear(2, 2880, stream[1])
		checkSteady(t, pbx, 1)
		if s := c.Stats().AtoB; len(pbx.packets()) != 2 || s.Concealed != 0 {
			t.Errorf("%d packets, %+v", len(pbx.packets()), s)
		}
	})
}

func TestRestOfASliceIsNotKeptOverAPause(t *testing.T) {
	stream := opusStream(t, Lean, 48_000, 600, 10*ms, 10)
	talk(t, Format{Codec: PCMU, Rate: 8_000, Ptime: 20 * ms}, Options{}, func(phone, pbx *deskFlow, c *Connection) {
		for i, payload := range stream {
			stamp := uint32(i) * 480
			if i >= 5 {
				stamp += 48_000
			}
			phone.hear(uint16(i), stamp, payload)
			rest(10 * ms)
			if i == 4 {
				rest(time.Second)
			}
		}
		// Two slices and a half before the pause, two and a half after.
		checkSteady(t, pbx, 2)
		if got := pbx.packets(); len(got) != 4 || got[2].Timestamp-got[0].Timestamp != 5*80+8_000 {
			t.Errorf("%d packets", len(got))
		}
	})
}
