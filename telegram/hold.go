package telegram

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/tgtrunk/tgtrunk/store"
)

// hold.go keeps an account with one process: two that use one session at the same time lose it both (Telegram answers
// AUTH_KEY_DUPLICATED). The lease in the store decides who; the fence makes sure that whoever loses it is silent before
// another may begin, also where this process, the store or the clock stood still.

// ErrLeaseLost ends a session that can no longer be sure to have the account for itself.
var ErrLeaseLost = errors.New("account is no longer ours alone")

// ownLease is how long a login waits for the session before it to give the account back.
const ownLease = 10 * time.Second

var errFenced = fmt.Errorf("nothing is sent: %w", ErrLeaseLost)

// fence lets bytes go to Telegram only while the lease is ours. A lease ends by the monotonic clock, which stands still
// while the machine sleeps, or by the wall clock, which somebody may set: whichever is first.
type fence struct {
	mu    sync.Mutex
	until time.Time             // with the monotonic clock; guarded by mu
	conns map[net.Conn]struct{} // guarded by mu
	last  error                 // what the last dial has come to; guarded by mu
}

func (f *fence) extend(until time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.until = until
}

func (f *fence) open() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	return now.Before(f.until) && now.Round(0).Before(f.until.Round(0))
}

// shut closes it for good, and what is connected through it.
func (f *fence) shut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.until = time.Time{}
	for c := range f.conns {
		_ = c.Close() // it unblocks who reads
	}
}

// dial connects through the fence.
func (f *fence) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if !f.open() {
		return nil, errFenced
	}
	f.mu.Lock()
	if f.last == nil && len(f.conns) == 0 {
		f.last = errSilent // until more is known: a dial that nobody refuses takes longer than who asks will wait
	}
	f.mu.Unlock()
	var d net.Dialer
	c, err := d.DialContext(ctx, network, addr)
	f.mu.Lock()
	defer f.mu.Unlock()
	if ctx.Err() == nil || err == nil {
		f.last = err
	}
	if err != nil {
		return nil, err
	}
	if f.until.IsZero() {
		return nil, errors.Join(errFenced, c.Close())
	}
	if f.conns == nil {
		f.conns = map[net.Conn]struct{}{}
	}
	f.conns[c] = struct{}{}
	return &fencedConn{Conn: c, fence: f}, nil
}

type fencedConn struct {
	net.Conn
	fence *fence
}

// Write implements net.Conn.
func (c *fencedConn) Write(b []byte) (int, error) {
	if !c.fence.open() {
		return 0, errFenced
	}
	return c.Conn.Write(b)
}

// Close implements net.Conn.
func (c *fencedConn) Close() error {
	c.fence.mu.Lock()
	delete(c.fence.conns, c.Conn)
	c.fence.mu.Unlock()
	return c.Conn.Close()
}

// holding is one time that this process has the account.
type holding struct {
	account *Account
	fence   fence
	end     context.CancelCauseFunc // of what is done while the account is held

	mu    sync.Mutex
	lease store.Lease // guarded by mu
	early *time.Timer // ends what is done in time to end it well
	late  *time.Timer // shuts the fence
}

// whileHeld takes the account's lease as owner, or fails with a *store.HeldError, and lives with it while do does. The
// context of do ends, with ErrLeaseLost as its cause, while a quarter of the lease is left; at its end the fence shuts.
func (a *Account) whileHeld(ctx context.Context, owner string, do func(context.Context, *fence) error) error {
	lease, err := a.acquire(ctx, owner)
	if err != nil {
		return fmt.Errorf("take the account: %w", err)
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	h := &holding{account: a, end: end}
	h.have(lease)
	a.keep.under.Store(&lease)
	var renewing sync.WaitGroup
	renewing.Go(func() { h.renew(ctx) })
	err = do(ctx, &h.fence)
	if cause := context.Cause(ctx); cause != nil && errors.Is(cause, ErrLeaseLost) {
		err = cause
	}
	end(nil)
	renewing.Wait()
	a.keep.under.CompareAndSwap(&lease, nil)
	h.giveBack()
	return err
}

// acquire takes the lease. Where this very Account has it under another name it is about to give it back, as after a
// session that was revoked: that is waited for.
func (a *Account) acquire(ctx context.Context, owner string) (store.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, ownLease)
	defer cancel()
	again := time.NewTicker(ownLease / 100)
	defer again.Stop()
	for {
		lease, err := a.opts.Store.Acquire(ctx, a.keep.key("lease"), owner, a.opts.Lease)
		var held *store.HeldError
		if !errors.As(err, &held) || owner == a.owner || !strings.HasPrefix(held.Owner, a.owner) {
			return lease, err
		}
		select {
		case <-ctx.Done():
			return lease, err
		case <-again.C:
		}
	}
}

// have takes a lease that was had or renewed.
func (h *holding) have(l store.Lease) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lease = l
	h.fence.extend(l.Expires)
	left := time.Until(l.Expires)
	if h.early == nil {
		h.early = time.AfterFunc(left-h.margin(), func() {
			h.end(fmt.Errorf("%w: its lease was not renewed in time", ErrLeaseLost))
		})
		h.late = time.AfterFunc(left, h.fence.shut)
		return
	}
	h.early.Reset(left - h.margin())
	h.late.Reset(left)
}

func (h *holding) margin() time.Duration { return h.account.opts.Lease / 4 }

// renew keeps the lease, until ctx ends or somebody else has it.
func (h *holding) renew(ctx context.Context) {
	whole, log := h.account.opts.Lease, h.account.log
	for wait, failed := whole/4, 0; sleep(ctx, wait); {
		h.mu.Lock()
		lease := h.lease
		h.mu.Unlock()
		try, cancel := context.WithTimeout(ctx, whole/6)
		next, err := h.account.opts.Store.Renew(try, lease, whole)
		cancel()
		switch {
		case err == nil:
			h.have(next)
			if failed > 0 {
				log.Info("account's lease is renewed again")
			}
			wait, failed = whole/4, 0
			continue
		case ctx.Err() != nil:
			return
		case errors.Is(err, store.ErrFenced):
			h.fence.shut() // there is somebody already
			h.end(fmt.Errorf("%w: %w", ErrLeaseLost, err))
			return
		}
		if failed++; failed == 1 {
			log.Warn("renewing the account's lease failed", "error", err, "ends_in", time.Until(lease.Expires).Round(time.Second))
		}
		wait = whole / 15
	}
}

// giveBack lets another in at once.
func (h *holding) giveBack() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.early.Stop()
	h.late.Stop()
	h.fence.shut()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := h.account.opts.Store.Release(ctx, h.lease); err != nil {
		h.account.log.Debug("releasing the account failed", "error", err)
	}
}

// Who stands by asks for the account that often, by chance a little less or more so that several do not ask at once. It
// costs the store one look that writes nothing.
const (
	standByLeast = 150 * time.Millisecond
	standByMost  = 350 * time.Millisecond
)

// standBy waits until it is time to ask again: soon, as the account may be given back at any moment, and at the end of
// the lease as it is known.
func (a *Account) standBy(ctx context.Context, held *store.HeldError) {
	if a.heldBy != held.Owner {
		a.heldBy = held.Owner
		a.log.Warn("account is held by another process, standing by", "holder", held.Owner)
	}
	left := time.Until(held.Expires) + 10*time.Millisecond
	sleep(ctx, min(standByLeast+rand.N(standByMost-standByLeast), max(left, standByLeast/10)))
}
