package telegram

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Users whom the account has only seen, in a group or in somebody's message, are remembered for a while: they can be
// called by user-id until then. Those it has corresponded with, and its contacts, are remembered for good.

const (
	passingFor  = 90 * 24 * time.Hour // since such a user was seen last, as the number memory
	seenAgain   = 24 * time.Hour      // who is seen again within is not written again
	mostPassing = 10_000              // such users in memory at once; those seen longest ago leave first
	tidyEvery   = time.Minute
)

// fading is what is forgotten by itself. It is guarded by peers.mu.
type fading struct {
	until  map[int64]time.Time // of those who pass, when they are forgotten
	tidied time.Time
}

// passing reports whether the account has nothing to do with the peer.
func (p Peer) passing() bool { return !p.Met && !p.Contact }

// touch notes that a user was seen just now. s.mu is held.
func (s *peers) touch(p Peer) {
	if !p.passing() || p.ID == s.self {
		delete(s.until, p.ID)
		return
	}
	if now := time.Now(); s.until[p.ID].Sub(now) < passingFor-seenAgain {
		s.until[p.ID] = now.Add(passingFor)
		s.wet[p.ID] = true
	}
}

// use notes that a user is about to be called: nobody leaves later.
func (s *peers) use(id int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p, ok := s.known[id]; ok && p.passing() && id != s.self {
		s.until[id] = time.Now().Add(passingFor)
		s.wet[id] = true
	}
}

// lifetime is how long what is written of a user is kept; 0 for good. s.mu is held.
func (s *peers) lifetime(p Peer) time.Duration {
	if until, fades := s.until[p.ID]; fades && p.passing() {
		return max(time.Until(until), time.Second)
	}
	return 0
}

// tidy forgets, now and then, who has passed, and presences that are too old to be told.
func (s *peers) tidy() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if now.Sub(s.tidied) < tidyEvery {
		return
	}
	s.tidied = now
	maps.DeleteFunc(s.seen, func(_ int64, p presence) bool { return now.Sub(p.seen) >= presenceFor })
	for id, until := range s.until {
		if !until.After(now) {
			s.drop(id)
		}
	}
	excess := len(s.until) - mostPassing
	if excess <= 0 {
		return
	}
	oldest := slices.SortedFunc(maps.Keys(s.until), func(a, b int64) int {
		return cmp.Or(s.until[a].Compare(s.until[b]), cmp.Compare(a, b))
	})
	for _, id := range oldest[:excess] {
		s.drop(id)
	}
	s.log.Info("forgot users who were only seen: too many were", "forgotten", excess, "kept", mostPassing)
}

// drop forgets a user here; the store does by itself. s.mu is held.
func (s *peers) drop(id int64) {
	for _, key := range s.known[id].indexKeys() {
		if s.index[key] == id {
			delete(s.index, key)
		}
	}
	delete(s.known, id)
	delete(s.seen, id)
	delete(s.wet, id)
	delete(s.until, id)
}
