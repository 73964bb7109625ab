package calls

import (
	"time"

	"github.com/gotd/td/tg"
)

// Bounds of what is kept for a call that is not ready for it.
const (
	maxParked      = 64               // items per call
	maxParkedBytes = 256 << 10        // signalling bytes per call
	maxParkedCalls = 64               // calls that nobody knows
	parkedFor      = 30 * time.Second // after that nobody will ask
	rememberedFor  = 10 * time.Minute // redelivered updates of a call that has ended
)

// parcel is one thing that came for a call: a phoneCall object, or a signalling packet.
type parcel struct {
	call   tg.PhoneCallClass
	signal []byte
}

// backlog is what waits for one call.
type backlog struct {
	parcels []parcel
	bytes   int
	since   time.Time
}

// add reports whether there was room.
func (b *backlog) add(p parcel) bool {
	if len(b.parcels) >= maxParked || b.bytes+len(p.signal) > maxParkedBytes {
		return false
	}
	b.parcels = append(b.parcels, p)
	b.bytes += len(p.signal)
	return true
}

// parking keeps what came for calls that are not known yet: phone.requestCall may return after the first updates of
// its call have come.
type parking map[int64]*backlog

func (s parking) put(id int64, p parcel, now time.Time) bool {
	b := s[id]
	if b == nil {
		for other, b := range s {
			if now.Sub(b.since) > parkedFor {
				delete(s, other)
			}
		}
		if len(s) >= maxParkedCalls {
			return false
		}
		b = &backlog{since: now}
		s[id] = b
	}
	return b.add(p)
}

func (s parking) take(id int64, now time.Time) []parcel {
	b := s[id]
	delete(s, id)
	if b == nil || now.Sub(b.since) > parkedFor {
		return nil
	}
	return b.parcels
}

// find returns an update that is the right one, and the id of its call; nil where there is none.
func (s parking) find(right func(tg.PhoneCallClass) bool) (id int64, u tg.PhoneCallClass) {
	for id, b := range s {
		for _, p := range b.parcels {
			if p.call != nil && right(p.call) {
				u = p.call // the last one: the callee may have accepted
			}
		}
		if u != nil {
			return id, u
		}
	}
	return 0, nil
}

// graveyard remembers the ids of calls that have ended, so that a redelivered update does not make them ring again.
type graveyard map[int64]time.Time

func (g graveyard) put(id int64, now time.Time) {
	for other, at := range g {
		if now.Sub(at) > rememberedFor {
			delete(g, other)
		}
	}
	g[id] = now
}

func (g graveyard) has(id int64, now time.Time) bool {
	at, ok := g[id]
	return ok && now.Sub(at) <= rememberedFor
}
