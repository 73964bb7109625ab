package lab

import (
	"sort"
	"time"
)

const (
	sampleRate   = 8000 // of G.711, Hz
	frameSamples = sampleRate / 50
	frameTime    = 20 * time.Millisecond

	recordLimit = 10 * 60 * sampleRate // samples; what comes later is not kept
	jumpLimit   = 10 * sampleRate      // a larger jump of the timestamp is a new beginning, not a gap
)

// Recording is what a phone has heard: 8 kHz PCM laid out by RTP timestamp, silence where packets are missing.
type Recording struct {
	PCM      []int16
	arrivals []arrival
}

// arrival says when the packet whose first sample is at pos came.
type arrival struct {
	pos int
	at  time.Time
}

// Rate is the sample rate in Hz.
func (r Recording) Rate() int { return sampleRate }

// Arrival returns when the packet with the sample at this offset from the start of the recording came, or the zero time
// when there is none.
func (r Recording) Arrival(offset time.Duration) time.Time {
	pos := int(offset * sampleRate / time.Second)
	i := sort.Search(len(r.arrivals), func(i int) bool { return r.arrivals[i].pos > pos })
	if i == 0 {
		return time.Time{}
	}
	return r.arrivals[i-1].at
}

// Tone judges what was heard against a tone of hz.
func (r Recording) Tone(hz float64) ToneResult { return AnalyseTone(r.PCM, sampleRate, hz) }

// recorder lays packets out in time. Its owner guards it.
type recorder struct {
	recording Recording
	began     time.Time
	ssrc      uint32
	origin    uint32 // timestamp of the sample at base
	base      int
	end       int // where the newest packet ended
}

func (r *recorder) write(p rtpPacket, pcm []int16, now time.Time) {
	if r.began.IsZero() {
		r.began, r.ssrc, r.origin = now, p.ssrc, p.timestamp
	}
	pos := r.base + int(int32(p.timestamp-r.origin))
	if p.ssrc != r.ssrc || pos < r.end-jumpLimit || pos > r.end+jumpLimit {
		// Another stream: its clock tells nothing about the first one's, so the wall clock places it.
		r.ssrc, r.origin = p.ssrc, p.timestamp
		r.base = max(r.end, int(now.Sub(r.began)*sampleRate/time.Second))
		pos = r.base
	}
	end := pos + len(pcm)
	if pos < 0 || end > recordLimit {
		return
	}
	if end > len(r.recording.PCM) {
		r.recording.PCM = append(r.recording.PCM, make([]int16, end-len(r.recording.PCM))...)
	}
	copy(r.recording.PCM[pos:end], pcm)
	if n := len(r.recording.arrivals); n == 0 || r.recording.arrivals[n-1].pos < pos {
		r.recording.arrivals = append(r.recording.arrivals, arrival{pos, now})
	}
	r.end = max(r.end, end)
}
