package media

import (
	"testing"
	"time"
)

// step is one packet of 20 ms for a timeline, and where it must be put.
type step struct {
	after   time.Duration // since the packet before
	seq     uint16
	stamp   uint32
	marker  bool
	padding bool
	want    standing
	at      int64 // counted from the first packet's place
	missing int64
	lost    int
}

func TestTimeline(t *testing.T) {
	const d = 20 * time.Millisecond
	var far []step
	for i := range uint16(30) { // a new source whose numbers seem late, and which sets no marker
		s := step{after: d, seq: 950 + i, stamp: 1<<30 + uint32(i)*160, want: late}
		if i >= maxLateInARow-1 {
			s.want, s.at = follows, int64(i+1)*160
		}
		if i == maxLateInARow-1 {
			s.want = jumped
		}
		far = append(far, s)
	}
	for name, steps := range map[string][]step{
		"in order": {{after: d, seq: 1001, stamp: 160, at: 160}, {after: d, seq: 1002, stamp: 320, at: 320}},
		"loss": {
			{after: 3 * d, seq: 1003, stamp: 480, want: gap, at: 480, missing: 320, lost: 2},
			{after: 0, seq: 1002, stamp: 320, want: late, at: 320},
		},
		"padding": {
			{seq: 1001, padding: true},
			{after: 4 * d, seq: 1002, stamp: 640, want: resumed, at: 640},
		},
		"padding after a loss": {
			{seq: 1002, padding: true},
			{after: 2 * d, seq: 1003, stamp: 320, want: gap, at: 320, missing: 160, lost: 1},
		},
		"pause":                   {{after: time.Second, seq: 1001, stamp: 8000, want: resumed, at: 8000}},
		"pause, clock stands":     {{after: 2 * time.Second, seq: 1001, stamp: 160, want: resumed, at: 16_000}},
		"pause, clock stood half": {{after: 2 * time.Second, seq: 1001, stamp: 8000, want: resumed, at: 16_000}},
		"a little late":           {{after: 300 * time.Millisecond, seq: 1001, stamp: 160, at: 160}},
		"a stray":                 {{after: d, seq: 9000, stamp: 9, want: stray}, {after: d, seq: 1001, stamp: 160, at: 160}},
		"another source":          {{after: d, seq: 9000, stamp: 9, want: stray}, {after: d, seq: 9001, stamp: 169, want: jumped, at: 320}},
		"another source, marked":  {{after: d, seq: 9000, stamp: 9, marker: true, want: jumped, at: 160}},
		"another source, late numbers, marked": {
			{after: d, seq: 990, stamp: 1 << 30, marker: true, want: jumped, at: 160},
			{after: d, seq: 991, stamp: 1<<30 + 160, at: 320},
		},
		"another source, late numbers": far,
		"late and marked":              {{after: d, seq: 1001, stamp: 160, at: 160}, {after: d, seq: 999, stamp: 1<<32 - 160, marker: true, want: late, at: -160}},
		"clock set back":               {{after: d, seq: 1001, stamp: 1<<32 - 160, want: jumped, at: 160}},
		"clock leaps":                  {{after: d, seq: 1001, stamp: 30_000, want: jumped, at: 160}},
		"clock leaps at a loss":        {{after: d, seq: 1002, stamp: 30_000, want: jumped, at: 160}},
	} {
		line := timeline{rate: 8_000, patience: 400 * time.Millisecond}
		now := time.Unix(1_700_000_000, 5)
		first := line.place(&Packet{Sequence: 1000}, 160, now)
		if first.standing != jumped || first.at%160 != 0 {
			t.Errorf("%s: first packet %+v", name, first)
		}
		for i, s := range steps {
			now = now.Add(s.after)
			if s.padding {
				line.skip(s.seq)
				continue
			}
			got := line.place(&Packet{Sequence: s.seq, Timestamp: s.stamp, Marker: s.marker}, 160, now)
			if s.want != stray && !(s.want == late && s.at == 0) {
				got.at -= first.at
			} else {
				got.at = 0
			}
			if want := (place{s.want, s.at, s.missing, s.lost}); got != want {
				t.Errorf("%s: step %d: %+v, want %+v", name, i, got, want)
			}
		}
	}
}
