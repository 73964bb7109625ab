package media

import "time"

const (
	leapSlack     = 2 * time.Second        // how much a timestamp may leap beyond the time that has passed
	staleLead     = 120 * time.Millisecond // how far a source may run ahead of real time after it was given a new place
	staleWatch    = 2 * time.Second        // for how long that is looked at
	maxLateInARow = 25                     // more packets in a row are not late, the source has begun anew
)

// timeline places the packets of one incoming stream on an output clock that never runs back, whatever the source
// does: loss, reordering, pauses with or without a leap of the timestamp, another source in mid-stream.
//
// Its clock has 64 bit and counts ticks of the input's rate; its origin is the wall clock, so that two connections
// that use the same flow one after the other send timestamps that continue.
type timeline struct {
	rate     int           // ticks a second, set once
	patience time.Duration // set once: silence with a standing timestamp beyond it was a pause, not a late packet

	next    uint16 // the sequence number due
	padding int    // packets without audio that came from beyond next
	shift   int64  // output = newest.stamp64 + shift
	newest  newest
	doubt   doubt
	anchor  anchor
}

// newest is the newest packet that was placed; the zero value: none yet.
type newest struct {
	stamp   uint32 // timestamp as received
	stamp64 int64  // the same with 64 bit
	length  int64  // ticks
	arrival time.Time
}

// doubt is what speaks for a new source.
type doubt struct {
	suspect int32 // sequence number that would prove it, plus 1; 0: none
	behind  int   // late packets in a row
}

// anchor is the last place that the wall clock decided.
type anchor struct {
	set time.Time // zero: not lately
	at  int64
}

// standing is how a packet stands to the one before it.
type standing uint8

const (
	follows standing = iota // joins on
	gap                     // packets before it are lost
	resumed                 // first after a pause
	jumped                  // first of a new source or a new clock
	late                    // behind a newer one
	stale                   // held back in a stall, too old to be played
	stray                   // so far off that it is dropped unless its successor follows
)

// place is where a packet belongs.
type place struct {
	standing
	at      int64 // output clock; for late ones where it would have been
	missing int64 // ticks lost before it, where standing is gap
	lost    int   // packets lost before it
}

func (t *timeline) started() bool { return !t.newest.arrival.IsZero() }

// skip takes a packet without audio.
func (t *timeline) skip(seq uint16) {
	switch step := int16(seq - t.next); {
	case !t.started() || step < 0:
	case step == 0:
		t.next++
	default:
		t.padding++
	}
}

// place takes a packet that lasts length ticks and arrived at now.
func (t *timeline) place(p *Packet, length int64, now time.Time) place {
	if !t.started() {
		origin := ticks(time.Duration(now.UnixNano()), t.rate)
		return t.restart(p, length, now, origin-origin%int64(t.rate/50))
	}
	stamp64 := t.newest.stamp64 + int64(int32(p.Timestamp-t.newest.stamp))
	elapsed := ticks(now.Sub(t.newest.arrival), t.rate)
	leap := stamp64 - t.newest.stamp64 - t.newest.length
	step := int(int16(p.Sequence - t.next))
	if step < -maxMisorder || step > maxDropout {
		if t.doubt.suspect != int32(p.Sequence)+1 && !p.Marker {
			t.doubt.suspect = int32(p.Sequence+1) + 1
			return place{standing: stray}
		}
		return t.jump(p, length, now, elapsed)
	}
	believable := leap >= 0 && leap <= elapsed+elapsed/4+ticks(leapSlack, t.rate)
	if step < 0 {
		t.doubt.behind++
		foreign := p.Marker && !believable && max(leap, -leap) > 5*int64(t.rate)
		if !foreign && t.doubt.behind < maxLateInARow {
			return place{standing: late, at: stamp64 + t.shift}
		}
		return t.jump(p, length, now, elapsed)
	}
	if !believable {
		return t.jump(p, length, now, elapsed)
	}
	out := place{standing: follows, lost: max(step-t.padding, 0)}
	silent := elapsed - t.newest.length - leap
	switch {
	case silent > ticks(t.patience, t.rate):
		out.standing = resumed
		t.shift += silent
		t.anchor = anchor{now, stamp64 + t.shift}
	case leap > 0 && out.lost > 0:
		out.standing, out.missing = gap, leap
	case leap > 0:
		out.standing = resumed
	}
	out.at = stamp64 + t.shift
	if t.outran(out.at, now) {
		out.standing = stale
		t.shift -= length
	}
	t.advance(p, stamp64, length, now)
	return out
}

// jump gives a new source the place that real time gives it, and not before the end of what went out.
func (t *timeline) jump(p *Packet, length int64, now time.Time, elapsed int64) place {
	return t.restart(p, length, now, t.newest.stamp64+t.shift+max(t.newest.length, elapsed))
}

func (t *timeline) restart(p *Packet, length int64, now time.Time, at int64) place {
	stamp64 := int64(p.Timestamp)
	t.shift = at - stamp64
	t.advance(p, stamp64, length, now)
	return place{standing: jumped, at: at}
}

func (t *timeline) advance(p *Packet, stamp64, length int64, now time.Time) {
	t.next, t.padding = p.Sequence+1, 0
	t.newest = newest{p.Timestamp, stamp64, length, now}
	t.doubt = doubt{}
}

// outran says that a packet at this place comes out of a stall: what was taken for a pause was none, and the audio
// held back in it now arrives faster than it can be played.
func (t *timeline) outran(at int64, now time.Time) bool {
	if t.anchor.set.IsZero() {
		return false
	}
	since := now.Sub(t.anchor.set)
	if since > staleWatch {
		t.anchor = anchor{}
		return false
	}
	return at-t.anchor.at-ticks(since, t.rate) > ticks(staleLead, t.rate)
}
