package webhook

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tgtrunk/tgtrunk/store"
)

var errTurnOver = errors.New("it is another process's turn to send")

// turn is one time that this process is the one that sends. It ends by itself while a quarter of its lease is left, also
// where the store is away; nothing is begun after its lease, also where this process, or the machine, stood still: the
// monotonic clock stands still with the machine, and somebody may set the other one, so whichever is first counts.
type turn struct {
	end context.CancelCauseFunc // of what is done in it

	mu    sync.Mutex
	lease store.Lease
	early *time.Timer // calls end
	ttl   time.Duration
}

func newTurn(l store.Lease, ttl time.Duration, end context.CancelCauseFunc) *turn {
	t := &turn{end: end, lease: l, ttl: ttl}
	t.early = time.AfterFunc(t.left(), func() { end(fmt.Errorf("%w: the lease was not renewed in time", errTurnOver)) })
	return t
}

// left is how long may be sent. t.mu is held, or nobody else knows t.
func (t *turn) left() time.Duration { return time.Until(t.lease.Expires) - t.ttl/4 }

func (t *turn) held() store.Lease {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lease
}

func (t *turn) renewed(l store.Lease) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lease = l
	t.early.Reset(t.left())
}

// ours says whether something may be begun.
func (t *turn) ours() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	return now.Before(t.lease.Expires) && now.Round(0).Before(t.lease.Expires.Round(0))
}

func (t *turn) stop() { t.early.Stop() }

// fencedConn is a connection to the receiver on which nothing is written but in a turn: a request that was begun in time
// and held up before it was on its way stays here.
type fencedConn struct {
	net.Conn
	turn *atomic.Pointer[turn]
}

// Write implements net.Conn.
func (c *fencedConn) Write(b []byte) (int, error) {
	if t := c.turn.Load(); t == nil || !t.ours() {
		return 0, errTurnOver
	}
	return c.Conn.Write(b)
}

// hold waits for its turn to send, and sends until ctx ends or somebody else has the turn.
func (s *Sender) hold(ctx context.Context) {
	l, err := s.acquire(ctx)
	if err != nil {
		var held *store.HeldError
		if !errors.As(err, &held) && ctx.Err() == nil {
			s.opt.Log.Warn("the webhook's queue is out of reach, trying again", "error", err)
		}
		s.outbox.clear()
		_, _ = s.look(ctx) // how many wait decides whether there is room
		sleep(ctx, s.opt.Pace.Look)
		return
	}
	sending, end := context.WithCancelCause(ctx)
	defer end(nil)
	t := newTurn(l, s.opt.Pace.Lease, end)
	defer t.stop()
	s.turn.Store(t)
	var renewing sync.WaitGroup
	renewing.Go(func() { s.renew(sending, t) })
	s.deliver(sending, t)
	if why := context.Cause(sending); errors.Is(why, errTurnOver) {
		s.opt.Log.Warn("another process sends the webhook's events from now on", "error", why)
	}
	end(nil)
	renewing.Wait()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeIn)
	defer cancel()
	if err := s.opt.Store.Release(ctx, t.held()); err != nil {
		s.opt.Log.Debug("releasing the webhook's queue failed", "error", err)
	}
}

func (s *Sender) acquire(ctx context.Context) (store.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, storeIn)
	defer cancel()
	return s.opt.Store.Acquire(ctx, lease, s.owner, s.opt.Pace.Lease)
}

// renew keeps the turn until ctx ends, or ends it when somebody else has it.
func (s *Sender) renew(ctx context.Context, t *turn) {
	for sleep(ctx, t.ttl/4) {
		try, cancel := context.WithTimeout(ctx, t.ttl/4)
		next, err := s.opt.Store.Renew(try, t.held(), t.ttl)
		cancel()
		switch {
		case err == nil:
			t.renewed(next)
		case errors.Is(err, store.ErrFenced):
			t.end(fmt.Errorf("%w: %w", errTurnOver, err))
			return
		}
	}
}
