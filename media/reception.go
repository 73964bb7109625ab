package media

import "time"

// Reception follows one incoming RTP stream and keeps the figures of RFC 3550 §6.4.1 and appendix A. The zero value
// with Rate set is ready. It is not safe for concurrent use.
type Reception struct {
	Rate int // RTP clock in Hz

	started   bool
	base      uint32 // first extended sequence number, minus what earlier streams expected
	highest   uint32 // highest sequence number, with the wraps in the upper half
	suspect   uint32 // sequence number that would prove a restart; above 16 bit: none
	seen      uint64 // bit i: highest-i has come
	received  uint64 // as the RFC counts: late and repeated packets too
	lost      uint64 // of streams that have ended
	late      uint64
	repeated  uint64
	transit   int64 // of the packet before, in ticks
	timed     bool  // transit is valid
	jitter    uint64
	priorSeen uint64
	priorWant uint64
}

// Receive takes a packet with audio that arrived at now. It reports false for one that came late or twice.
func (r *Reception) Receive(seq uint16, timestamp uint32, now time.Time) bool { return true }

// Skip takes a packet without audio: it counts for loss, not for jitter.
func (r *Reception) Skip(seq uint16) bool { return true }

// Lost returns how many packets are missing so far.
func (r *Reception) Lost() uint64 { return 0 }

// Late returns how many packets came behind a newer one, or twice.
func (r *Reception) Late() uint64 { return 0 }

// Jitter returns the interarrival jitter.
func (r *Reception) Jitter() time.Duration { return 0 }

// Report returns the figures for a receiver report and begins the next interval of FractionLost.
func (r *Reception) Report() ReceptionReport { return ReceptionReport{} }

// Restart begins a new stream, as after a change of SSRC; the totals go on.
func (r *Reception) Restart() {}

// ReceptionReport is the part of an RTCP report block that the receiver measures, in the block's own units.
type ReceptionReport struct {
	FractionLost    uint8  // since the last report, in 1/256
	TotalLost       uint32 // signed 24 bit, in the low bits
	HighestSequence uint32 // with the wraps in the upper half
	Jitter          uint32 // ticks
}
