package telegram

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/telegram/calls"
)

// unroutedEvery is how often an account warns of calls that it leaves alone.
const unroutedEvery = time.Hour

// interest is whether an incoming call has a route. One without is none of ours: a device that refuses a call refuses it
// for all of the account's devices, so it is left alone, as by a phone that nobody picks up.
type interest struct {
	once  sync.Once
	taken chan struct{} // closed by the first Taken
}

// Taken implements bridge.Taker.
func (i *interest) Taken() { i.once.Do(func() { close(i.taken) }) }

// drop ends the leg's call as its hang-up means.
func (l *leg) drop(c *calls.Call, why bridge.Cause) {
	select {
	case <-l.taken:
	default:
		if !l.outgoing && why.Reason == bridge.NoRoute {
			l.account.unrouted.warn(l.account)
			c.Leave()
			return
		}
	}
	c.Discard(l.discardReason(why))
}

// unrouted counts the calls that were left alone since the last warning.
type unrouted struct {
	mu    sync.Mutex
	last  time.Time
	calls atomic.Uint64 // of the account's life
}

func (u *unrouted) warn(a *Account) {
	n := u.calls.Add(1)
	u.mu.Lock()
	defer u.mu.Unlock()
	if time.Since(u.last) < unroutedEvery {
		return
	}
	u.last = time.Now()
	a.log.Warn("a call to this account was left to its other devices: no route takes it", "such_calls", n,
		"advice", "list a route with from: "+a.opts.Name+" to take such calls")
}
