package telegram

import (
	"context"
	"strconv"
	"time"

	"github.com/gotd/td/tg"
)

// Variables that a call to a Telegram user puts on the PBX channel before it is placed.
const (
	varPresence   = "TGTRUNK_PRESENCE"     // online, offline, recently, week, month or hidden
	varAway       = "TGTRUNK_PRESENCE_AGE" // seconds since the user was online; only with offline
	varBudgetLeft = "TGTRUNK_BUDGET_LEFT"  // strangers that the account may still call; not set where there is no limit
)

const (
	presenceFor = 30 * time.Second // a presence that old is asked for again
	presenceIn  = time.Second      // nobody waits longer for it
)

// presence is what is known of whether a user is at a device (core.telegram.org/type/UserStatus).
type presence struct {
	status tg.UserStatusClass // nil: hidden
	seen   time.Time          // when Telegram said so
}

// facts are the channel variables that say it.
func (p presence) facts(now time.Time) map[string]string {
	word := "hidden"
	switch s := p.status.(type) {
	case *tg.UserStatusOnline:
		if until := time.Unix(int64(s.Expires), 0); now.Before(until) {
			word = "online"
			break
		}
		return away(now, s.Expires)
	case *tg.UserStatusOffline:
		return away(now, s.WasOnline)
	case *tg.UserStatusRecently: // within three days, and the user shows no more
		word = "recently"
	case *tg.UserStatusLastWeek:
		word = "week"
	case *tg.UserStatusLastMonth:
		word = "month"
	}
	return map[string]string{varPresence: word, varAway: ""}
}

func away(now time.Time, since int) map[string]string {
	age := max(0, now.Unix()-int64(since))
	return map[string]string{varPresence: "offline", varAway: strconv.FormatInt(age, 10)}
}

// look notes the presence that came with a user.
func (s *peers) look(id int64, status tg.UserStatusClass) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lookLocked(id, status)
}

func (s *peers) lookLocked(id int64, status tg.UserStatusClass) {
	if _, known := s.known[id]; known {
		s.seen[id] = presence{status, time.Now()}
	}
}

// presence returns what is known of a user's; false where it is not known or too old.
func (s *peers) presence(id int64) (presence, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.seen[id]
	return p, ok && time.Since(p.seen) < presenceFor
}

// refresh asks for the newest of a peer where that is not known: presence, username, and whether it still exists. What
// cannot be had in a moment is left as it is.
func (s *session) refresh(ctx context.Context, p Peer) Peer {
	if _, ok := s.peers.presence(p.ID); ok {
		return p
	}
	ctx, cancel := context.WithTimeout(ctx, presenceIn)
	defer cancel()
	if _, err := s.api.UsersGetUsers(ctx, []tg.InputUserClass{p.input()}); err != nil {
		s.log.Debug("presence is unknown", "error", err)
		return p
	}
	if now, ok := s.peers.get(p.ID); ok {
		return now
	}
	return p
}
