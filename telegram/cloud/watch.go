package cloud

import (
	"slices"
	"sync"
	"time"

	"github.com/tgtrunk/tgtrunk/telegram/cloud/mtserver"
)

// Query is an API query as it was answered.
type Query struct {
	User   int64 // 0: nobody was logged in
	Method string
	At     time.Time
	Err    error         // nil: it was carried out
	Wait   time.Duration // of a FLOOD_WAIT_n; 0: none
}

// WatchQueries calls see for every query from now on, before the answer leaves. see must neither block nor use Control.
func (c *Control) WatchQueries(see func(Query)) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.watch = see
}

// WatchLinks calls see whenever a session of a client is connected or loses its connection from now on: live is how many
// of those with the same permanent authorization key are connected then. Telegram ends logins that two programs use at
// once. see must neither block nor use Control.
func (c *Control) WatchLinks(see func(key int64, live int)) {
	c.s.links.mu.Lock()
	defer c.s.links.mu.Unlock()
	c.s.links.see = see
}

// Keys are the ids of the authorization keys that a user is logged in with.
func (c *Control) Keys(user int64) (ids []int64) {
	c.with(user, func(a *account) {
		for d := range a.devices {
			ids = append(ids, d.key.IntID())
		}
	})
	slices.Sort(ids)
	return ids
}

// links counts the sessions that are connected. It has its own lock, because it is told with that of a session held.
type links struct {
	mu   sync.Mutex
	live map[int64]int // by id of the permanent key
	see  func(key int64, live int)
}

func (s *Server) linked(session *mtserver.Session, on bool) {
	d := s.keys.device(session.Key())
	if d == nil {
		return // a temporary key that is not bound yet
	}
	key := d.key.IntID()
	s.links.mu.Lock()
	defer s.links.mu.Unlock()
	if on {
		s.links.live[key]++
	} else if s.links.live[key] > 0 {
		s.links.live[key]--
	}
	if s.links.see != nil {
		s.links.see(key, s.links.live[key])
	}
}
