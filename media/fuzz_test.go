//go:build cgo

package media

import (
	"encoding/binary"
	"testing"
	"time"
)

// FuzzConvert feeds every conversion with packets that an attacker chose: number, timestamp, marker and payload of
// each. Whatever they are, every packet is accounted for, and what comes out is whole packets whose clock does not run
// back.
func FuzzConvert(f *testing.F) {
	pack := func(packets ...Packet) (b []byte) {
		for _, p := range packets {
			b = binary.BigEndian.AppendUint16(b, p.Sequence)
			b = binary.BigEndian.AppendUint32(b, p.Timestamp)
			b = append(b, 0, byte(len(p.Payload)))
			b = append(b, p.Payload...)
		}
		return b
	}
	opus := speechStream(f, Robust, 8_000, 60*ms, 4)
	f.Add(uint8(0), pack(
		Packet{Sequence: 1, Payload: opus[1]}, Packet{Sequence: 3, Timestamp: 5760, Payload: opus[3]},
		Packet{Sequence: 2, Timestamp: 2880, Payload: opus[2]}, Packet{Sequence: 4}, Packet{Sequence: 60_000, Payload: opus[0]}))
	f.Add(uint8(3), pack(
		Packet{Sequence: 1, Payload: make([]byte, 240)}, Packet{Sequence: 2, Timestamp: 1 << 31, Payload: make([]byte, 160)}))
	f.Add(uint8(5), pack(Packet{Payload: make([]byte, 160)}, Packet{Sequence: 1, Timestamp: 80, Payload: make([]byte, 33)}))
	pairs := [][2]Format{
		{opusFormat, ulawFormat}, {opusFormat, wideFormat}, {opusFormat, opusFormat}, {ulawFormat, opusFormat},
		{wideFormat, opusFormat}, {ulawFormat, alawFormat}, {opusFormat, {Codec: PCMA, Rate: 8_000, Ptime: 30 * time.Millisecond}},
	}
	f.Fuzz(func(t *testing.T, which uint8, input []byte) {
		pair := pairs[int(which)%len(pairs)]
		a, b := &deskFlow{format: pair[0]}, &deskFlow{format: pair[1]}
		c, err := Connect(a, b, Options{Wheel: NewWheel(), Profile: Lean})
		if err != nil {
			t.Fatal(err)
		}
		var fed uint64
		for len(input) >= 8 && fed < 64 {
			p := Packet{Sequence: binary.BigEndian.Uint16(input), Timestamp: binary.BigEndian.Uint32(input[2:]), Marker: input[6]&1 != 0}
			n := min(int(input[7]), len(input)-8)
			p.Payload, input = input[8:8+n], input[8+n:]
			if n > 0 {
				fed++
			}
			a.sink.WriteAudio(&p)
		}
		c.Stop()
		checkFuzzed(t, pair, b, c.Stats().AtoB, fed)
	})
}

func checkFuzzed(t *testing.T, pair [2]Format, b *deskFlow, s DirectionStats, fed uint64) {
	t.Helper()
	if s.PacketsIn > fed || s.PacketsIn+s.Malformed < fed {
		t.Fatalf("fed %d packets: %+v", fed, s)
	}
	if uint64(len(b.packets())) != s.PacketsOut {
		t.Fatalf("%d packets left, %d counted", len(b.packets()), s.PacketsOut)
	}
	shape, isPCM := shapeOf(pair[1].Codec)
	late := pair[0].Codec == pair[1].Codec || pair[1].Codec == PCMA && pair[0].Codec == PCMU // passed on out of order
	for i, p := range b.packets() {
		if isPCM && shape.samples(p.Payload) == 0 || len(p.Payload) == 0 {
			t.Fatalf("packet of %d bytes", len(p.Payload))
		}
		if !isPCM {
			if _, err := InspectOpus(p.Payload); err != nil {
				t.Fatal(err)
			}
		}
		if i == 0 || late {
			continue
		}
		before := b.packets()[i-1]
		if step := int32(p.Timestamp - before.Timestamp); step < 0 || step == 0 {
			t.Fatalf("packet %d: timestamp steps by %d", i, step)
		}
		if p.Sequence != before.Sequence+1 {
			t.Fatalf("packet %d: number %d after %d", i, p.Sequence, before.Sequence)
		}
	}
}
