package voip

import "time"

// Every ICE restart of the peer makes us gather anew: sockets, allocations at TURN servers, candidates to signal. A phone
// that roams restarts now and then; one that does it without end keeps only us busy.
const (
	restartsAtOnce = 30
	restartEvery   = 10 * time.Second // further ones
)

// patience is how many restarts of the peer are left: a bucket that fills up again. The zero value is full.
type patience struct {
	spent int
	since time.Time // from which on the next one comes back; meaningless while nothing is spent
	told  bool      // that there were too many
}

// take says whether the peer may restart ICE now.
func (p *patience) take(now time.Time) bool {
	if p.spent > 0 {
		back := min(p.spent, int(now.Sub(p.since)/restartEvery))
		p.spent -= back
		p.since = p.since.Add(time.Duration(back) * restartEvery)
	}
	if p.spent == 0 {
		p.since = now
	}
	if p.spent == restartsAtOnce {
		return false
	}
	p.spent++
	return true
}

// mayRestart says whether a restart of the peer is answered. What is too much is ignored: the path that there is stays.
func (s *session) mayRestart() bool {
	if s.patience.take(time.Now()) {
		return true
	}
	if !s.patience.told {
		s.patience.told = true
		s.log.Warn("peer restarts ice too often: the rest is ignored", "at_once", restartsAtOnce, "then_every", restartEvery)
	}
	return false
}
