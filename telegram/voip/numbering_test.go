package voip

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"

	"github.com/tgtrunk/tgtrunk/media"
)

func TestNumbering(t *testing.T) {
	type packet struct {
		sequence uint16
		stamp    uint32
		marker   bool
	}
	const dropped = -1000
	for name, c := range map[string]struct {
		in   []packet
		want []int // numbers, counted from the first
	}{
		"in order":         {[]packet{{5, 0, true}, {6, 1, false}, {7, 2, false}}, []int{0, 1, 2}},
		"not numbered":     {[]packet{{0, 0, false}, {0, 1, false}, {0, 2, false}}, []int{0, 1, 2}},
		"loss":             {[]packet{{5, 0, false}, {6, 1, false}, {9, 4, false}, {109, 5, false}}, []int{0, 1, 4, 104}},
		"jump":             {[]packet{{5, 0, false}, {106, 1, false}, {107, 2, false}}, []int{0, 1, 2}},
		"jump back":        {[]packet{{500, 0, false}, {399, 1, false}, {400, 2, false}}, []int{0, 1, 2}},
		"marker":           {[]packet{{5, 0, false}, {8, 1, true}, {9, 2, false}, {11, 4, false}}, []int{0, 1, 2, 4}},
		"wrap":             {[]packet{{65534, 0, false}, {65535, 1, false}, {1, 3, false}, {0, 2, false}}, []int{0, 1, 3, 2}},
		"reordered":        {[]packet{{5, 0, false}, {8, 3, false}, {6, 1, false}, {7, 2, false}, {9, 4, false}}, []int{0, 3, 1, 2, 4}},
		"twice":            {[]packet{{5, 0, false}, {6, 1, false}, {5, 0, false}, {7, 2, false}}, []int{0, 1, dropped, 2}},
		"late twice":       {[]packet{{5, 0, false}, {7, 2, false}, {6, 1, false}, {6, 1, false}}, []int{0, 2, 1, dropped}},
		"equal":            {[]packet{{5, 0, false}, {5, 1, false}, {6, 2, false}}, []int{0, 1, 2}},
		"source restarted": {[]packet{{50, 0, false}, {51, 1, false}, {50, 2, false}, {51, 3, false}}, []int{0, 1, 2, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFlow()
			sent := &capture{}
			f.out.path.Store(&path{relay: sent})
			f.permit(111)
			f.secure(clearIn{}, plainOut{})
			var got []int
			first := f.out.number.newest + 1
			for _, p := range c.in {
				sent.n = 0
				f.WriteAudio(&media.Packet{Sequence: p.sequence, Timestamp: p.stamp * 960, Marker: p.marker, Payload: []byte{1}})
				if sent.n == 0 {
					got = append(got, dropped)
					continue
				}
				got = append(got, int(int16(binary.BigEndian.Uint16(sent.buf[2:])-first)))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("numbered %v, want %v", got, c.want)
			}
		})
	}
}

// plainOut are no keys.
type plainOut struct{ outKeys }

func (plainOut) EncryptRTP(_, b []byte, _ *rtp.Header) ([]byte, error) { return b, nil }

// TestLossIsPassedOn: what is missing in what is written is missing to the peer, not more and not less.
func TestLossIsPassedOn(t *testing.T) {
	a, b, sent := linkedFlows(t, srtp.ProtectionProfileAeadAes128Gcm)
	sink := newRecorder()
	b.Attach(sink)
	lost := 0
	for i := range 2000 {
		if i%10 == 3 {
			lost++
			continue
		}
		a.WriteAudio(&media.Packet{Sequence: uint16(i + 64_000), Timestamp: uint32(i * 960), Marker: i == 0, Payload: []byte{byte(i)}})
		if !b.receive(sent.packet()) {
			t.Fatalf("packet %d is not taken", i)
		}
		if i%100 == 50 {
			a.WritePadding(20)
			b.receive(sent.packet())
		}
	}
	if st := b.Stats(); int(st.PacketsLost) != lost || st.PacketsLate != 0 || st.PaddingOnly != 20 {
		t.Errorf("%+v, want %d lost", st, lost)
	}
}

// FuzzNumbering: no number is given twice within the range of SRTP's replay protection.
func FuzzNumbering(f *testing.F) {
	f.Add([]byte{1, 2, 250, 3, 0, 100, 156, 7, 255})
	f.Fuzz(func(t *testing.T, steps []byte) {
		n := numbering{newest: 1000}
		last := map[uint16]int{}
		sequence, stamp := uint16(5), uint32(0)
		for i, step := range steps {
			sequence += uint16(int8(step)) * uint16(1+i%3)
			stamp++
			number, ok := n.next(&media.Packet{Sequence: sequence, Timestamp: stamp}, step%2 == 0)
			if !ok {
				continue
			}
			if at, used := last[number]; used && i-at < 600 {
				t.Fatalf("number %d is given at %d and %d", number, at, i)
			}
			last[number] = i
			if age := n.newest - number; age > maxStep {
				t.Fatalf("number %d, newest %d", number, n.newest)
			}
		}
	})
}
