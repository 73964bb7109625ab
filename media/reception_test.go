package media

import (
	"testing"
	"time"
)

// stream feeds sequence numbers 20 ms apart.
func stream(r *Reception, numbers ...int) {
	now := time.Unix(1000, 0)
	for i, n := range numbers {
		r.Receive(uint16(n), uint32(n)*uint32(r.Rate/50), now.Add(time.Duration(i)*20*time.Millisecond))
	}
}

func TestReceptionCounts(t *testing.T) {
	for _, tc := range []struct {
		name       string
		numbers    []int
		lost, late uint64
		highest    uint32
		fraction   uint8
	}{
		{"nothing lost", []int{5, 6, 7, 8}, 0, 0, 8, 0},
		{"two of five lost", []int{5, 6, 9}, 2, 0, 9, 102},
		{"reordered", []int{5, 7, 6, 8}, 0, 1, 8, 0},
		{"repeated, none lost", []int{5, 6, 6, 7}, 0, 1, 7, 0},
		{"before the first", []int{5, 4, 6}, 0, 1, 6, 0},
		{"before the first, one lost", []int{5, 3, 6}, 1, 1, 6, 64},
		{"over the wrap", []int{65534, 65535, 65536, 65538}, 1, 0, 65538, 51},
		{"a stray", []int{5, 6, 40000, 7}, 0, 0, 7, 0},
		{"begun anew", []int{5, 6, 8, 40000, 40001, 40002}, 1, 0, 40002, 0},
		{"a leap", []int{5, 2005}, 1999, 0, 2005, 255},
	} {
		r := Reception{Rate: 8_000}
		stream(&r, tc.numbers...)
		report := r.Report()
		if r.Lost() != tc.lost || r.Late() != tc.late || report.HighestSequence != tc.highest || report.FractionLost != tc.fraction {
			t.Errorf("%s: lost %d, late %d, highest %d, fraction %d; want %d, %d, %d, %d", tc.name,
				r.Lost(), r.Late(), report.HighestSequence, report.FractionLost, tc.lost, tc.late, tc.highest, tc.fraction)
		}
	}
}

func TestReceptionReportsByInterval(t *testing.T) {
	r := Reception{Rate: 48_000}
	stream(&r, 0, 1, 3, 4)
	if got := r.Report(); got.FractionLost != 51 || got.TotalLost != 1 { // 1 of 5
		t.Errorf("first interval: %+v", got)
	}
	stream(&r, 5, 6, 7, 8)
	if got := r.Report(); got.FractionLost != 0 || got.TotalLost != 1 {
		t.Errorf("second interval: %+v", got)
	}
	stream(&r, 8, 8, 8)
	if got := r.Report(); got.FractionLost != 0 || got.TotalLost != 0xfffffe { // repeated packets: -2 (RFC 3550 A.3)
		t.Errorf("third interval: %+v", got)
	}
	if r.Lost() != 1 {
		t.Errorf("%d packets missing, want 1", r.Lost())
	}
	r.Restart()
	if r.Started() || r.Lost() != 1 {
		t.Errorf("after a restart: started %t, lost %d", r.Started(), r.Lost())
	}
	stream(&r, 100, 102)
	if got := r.Report(); r.Lost() != 2 || got.TotalLost != 1 || got.FractionLost != 85 {
		t.Errorf("after a restart: lost %d, %+v", r.Lost(), got)
	}
}

func TestReceptionSkipsPackets(t *testing.T) {
	r := Reception{Rate: 48_000}
	stream(&r, 1)
	if !r.Skip(2) || r.Skip(2) {
		t.Error("a packet without audio was not taken once")
	}
	stream(&r, 3)
	if r.Lost() != 0 || r.Late() != 1 {
		t.Errorf("lost %d, late %d", r.Lost(), r.Late())
	}
}

// The estimator converges on the mean difference of transit times (RFC 3550 A.8).
func TestReceptionJitter(t *testing.T) {
	r := Reception{Rate: 48_000}
	now := time.Unix(1000, 0)
	for i := range 400 {
		shift := time.Duration(i%2) * 10 * time.Millisecond
		r.Receive(uint16(i), uint32(i)*960, now.Add(time.Duration(i)*20*time.Millisecond+shift))
	}
	if got := r.Jitter(); got < 9*time.Millisecond || got > 10*time.Millisecond {
		t.Errorf("jitter %s, want 10ms", got)
	}
	if got := r.Report().Jitter; got < 440 || got > 480 {
		t.Errorf("jitter %d ticks, want 480", got)
	}
	before := r.Jitter()
	r.Receive(400, 400*960, now.Add(time.Hour)) // a pause with a standing timestamp is no jitter
	if r.Jitter() != before {
		t.Errorf("jitter went from %s to %s over a pause", before, r.Jitter())
	}
}

func TestTicksDoNotOverflow(t *testing.T) {
	if got, want := ticks(1000*time.Hour+20*time.Millisecond, 48_000), int64(1000*3600*48_000+960); got != want {
		t.Errorf("%d ticks, want %d", got, want)
	}
}
