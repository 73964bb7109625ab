package media

import (
	"math"
	"time"
)

// The bounds of RFC 3550 appendix A.1 for what still belongs to the same stream.
const (
	maxDropout  = 3000 // sequence numbers a stream may leap ahead
	maxMisorder = 100  // sequence numbers a packet may come late
)

// Reception follows one incoming RTP stream and keeps the figures of RFC 3550 §6.4.1 and appendix A. The zero value
// with Rate set is ready. It is not safe for concurrent use.
type Reception struct {
	Rate int // RTP clock in Hz, set once

	stream  streamCount
	jitter  jitterMeter
	ended   uint64 // packets missing from streams before a restart
	late    uint64
	suspect int32 // the sequence number that would prove a restart, plus 1; 0: none
}

// streamCount counts one stream, from one restart to the next.
type streamCount struct {
	started   bool
	base      int64 // first sequence number, extended by the wraps
	highest   int64
	seen      uint64 // bit i: highest-i has come
	received  int64  // as the RFC counts, late and repeated packets included
	repeated  int64
	priorWant int64 // at the last report
	priorGot  int64
}

// Receive takes a packet with audio that arrived at now. It reports false for one that came late, twice, or so far
// off that it is dropped unless its successor follows.
func (r *Reception) Receive(seq uint16, timestamp uint32, now time.Time) bool {
	inOrder, again := r.count(seq)
	if !again {
		r.jitter.take(timestamp, now, r.Rate)
	}
	return inOrder
}

// Skip takes a packet without audio: it counts for loss, not for jitter. It reports as Receive does.
func (r *Reception) Skip(seq uint16) bool {
	inOrder, _ := r.count(seq)
	return inOrder
}

func (r *Reception) count(seq uint16) (inOrder, again bool) {
	s := &r.stream
	if !s.started {
		r.begin(seq)
		return true, false
	}
	switch step := int64(int16(seq - uint16(s.highest))); {
	case step > 0 && step <= maxDropout:
		s.highest += step
		s.seen = s.seen<<uint(step) | 1 // a shift of 64 and more leaves 0
		s.received++
		r.suspect = 0
		return true, false
	case step <= 0 && step > -maxMisorder:
		r.late++
		s.received++
		s.base = min(s.base, s.highest+step)
		if bit := uint64(1) << uint(-step); s.seen&bit != 0 {
			s.repeated++
			return false, true
		} else {
			s.seen |= bit
		}
		return false, false
	}
	if r.suspect == int32(seq)+1 { // two in a row from elsewhere: the source has begun anew
		r.Restart()
		r.begin(seq)
		return true, false
	}
	r.suspect = int32(seq+1) + 1
	return false, true
}

func (r *Reception) begin(seq uint16) {
	r.suspect = 0
	r.stream = streamCount{started: true, base: int64(seq), highest: int64(seq), seen: 1, received: 1}
}

// Restart begins a new stream, as after a change of SSRC: the next packet is its first. Lost and Late go on.
func (r *Reception) Restart() {
	r.ended = r.Lost()
	r.stream = streamCount{}
	r.jitter.timed = false
	r.suspect = 0
}

// Lost returns how many packets are missing so far.
func (r *Reception) Lost() uint64 {
	s := &r.stream
	return r.ended + uint64(max(s.expected()-(s.received-s.repeated), 0))
}

// Late returns how many packets came behind a newer one, or twice.
func (r *Reception) Late() uint64 { return r.late }

// Jitter returns the interarrival jitter.
func (r *Reception) Jitter() time.Duration {
	if r.Rate <= 0 {
		return 0
	}
	return time.Duration(r.jitter.scaled) * time.Second / time.Duration(16*r.Rate)
}

// Started says whether the stream has begun, and so whether Report has anything to tell.
func (r *Reception) Started() bool { return r.stream.started }

// Report returns the figures for a receiver report and begins the next interval of FractionLost.
func (r *Reception) Report() ReceptionReport {
	s := &r.stream
	want, got := s.expected(), s.received
	wantNow, gotNow := want-s.priorWant, got-s.priorGot
	s.priorWant, s.priorGot = want, got
	report := ReceptionReport{
		HighestSequence: uint32(s.highest),
		Jitter:          uint32(min(r.jitter.scaled>>4, math.MaxUint32)),
		TotalLost:       uint32(min(max(want-got, -1<<23), 1<<23-1)) & 0xffffff,
	}
	if wantNow > 0 && wantNow > gotNow {
		report.FractionLost = uint8(min((wantNow-gotNow)*256/wantNow, 255))
	}
	return report
}

// ReceptionReport is the part of an RTCP report block that the receiver measures, in the block's own units
// (RFC 3550 §6.4.1).
type ReceptionReport struct {
	FractionLost    uint8  // since the last report, in 1/256
	TotalLost       uint32 // signed 24 bit, in the low bits; negative where packets were repeated
	HighestSequence uint32 // with the wraps in the upper half
	Jitter          uint32 // ticks
}

func (s *streamCount) expected() int64 {
	if !s.started {
		return 0
	}
	return s.highest - s.base + 1
}

// jitterMeter is the estimator of RFC 3550 appendix A.8.
type jitterMeter struct {
	timed   bool // begin and transit are valid
	begin   time.Time
	transit uint32 // arrival minus timestamp of the packet before, in ticks
	scaled  int64  // the estimate, times 16
}

func (j *jitterMeter) take(timestamp uint32, now time.Time, rate int) {
	if rate <= 0 {
		return
	}
	if j.begin.IsZero() {
		j.begin = now
	}
	transit := uint32(ticks(now.Sub(j.begin), rate)) - timestamp
	d := int64(int32(transit - j.transit))
	timed := j.timed
	j.transit, j.timed = transit, true
	// More than a second is no jitter: a muted phone resumed, or the source set its clock.
	if d = max(d, -d); !timed || d > int64(rate) {
		return
	}
	j.scaled += d - (j.scaled+8)>>4
}

// ticks converts a duration to a clock of rate Hz, without the overflow that a plain product has after two days.
func ticks(d time.Duration, rate int) int64 {
	s, rest := d/time.Second, d%time.Second
	return int64(s)*int64(rate) + int64(rest)*int64(rate)/int64(time.Second)
}
