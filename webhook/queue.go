package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tgtrunk/tgtrunk/store"
)

const (
	prefix   = "webhook/queue/"
	lease    = "webhook/sender"
	storeIn  = 5 * time.Second
	keptOver = 24 * time.Hour // events that nobody sends vanish that long after they would be given up
)

// queue is what has not been saved yet.
type queue struct {
	fresh chan struct{} // holds a token while there is something to save

	mu     sync.Mutex
	events []Event
	stamp  int64 // of the last key
}

func (q *queue) add(e Event) {
	q.mu.Lock()
	q.events = append(q.events, e)
	q.mu.Unlock()
	select {
	case q.fresh <- struct{}{}:
	default:
	}
}

func (q *queue) unsaved() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.events)
}

// first returns the oldest event; false where there is none.
func (q *queue) first() (Event, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.events) == 0 {
		q.events = nil
		return Event{}, false
	}
	return q.events[0], true
}

func (q *queue) shift() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.events = q.events[1:]
}

// key is where an event is kept: keys grow, so that a scan finds events in their order.
func (q *queue) key(e Event) string {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stamp = max(q.stamp+1, time.Now().UnixNano())
	return fmt.Sprintf("%s%016x-%s", prefix, q.stamp, e.ID)
}

// keepSaving brings events into the store until ctx ends, and then, once, those that are left.
func (s *Sender) keepSaving(ctx context.Context) {
	wait := s.opt.Pace.First
	for {
		select {
		case <-ctx.Done():
			s.saveLast(context.WithoutCancel(ctx))
			return
		case <-s.fresh:
		}
		failed := false
		for {
			err := s.save(ctx)
			if err == nil {
				break
			}
			if !failed && ctx.Err() == nil {
				s.opt.Log.Warn("webhook events cannot be stored yet", "waiting", s.unsaved(), "error", err)
			}
			failed = true
			if !sleep(ctx, wait) {
				break
			}
		}
	}
}

func (s *Sender) saveLast(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, storeIn)
	defer cancel()
	err := s.save(ctx)
	for e, ok := s.first(); ok; e, ok = s.first() {
		s.drop(e, fmt.Sprintf("it could not be stored before the end: %v", err))
		s.shift()
	}
}

// save stores everything there is.
func (s *Sender) save(ctx context.Context) error {
	for {
		e, ok := s.first()
		if !ok {
			return nil
		}
		value, err := json.Marshal(e)
		if err != nil {
			s.drop(e, err.Error())
			s.shift()
			continue
		}
		key := s.key(e)
		ctx, cancel := context.WithTimeout(ctx, storeIn)
		_, err = s.opt.Store.Put(ctx, key, value, store.Put{TTL: s.opt.RetryFor + keptOver})
		cancel()
		switch {
		case errors.Is(err, store.ErrTooLarge), errors.Is(err, store.ErrKey):
			s.drop(e, err.Error())
		case err != nil:
			return err // it may be there nevertheless, and then arrives twice
		default:
			s.outbox.add(item{key, e})
		}
		s.shift()
	}
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
	sending, stop := context.WithCancel(ctx)
	defer stop()
	var renewing sync.WaitGroup
	renewing.Go(func() { defer stop(); s.renew(sending, &l) })
	s.deliver(sending)
	stop()
	renewing.Wait()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeIn)
	defer cancel()
	if err := s.opt.Store.Release(ctx, l); err != nil {
		s.opt.Log.Debug("releasing the webhook's queue failed", "error", err)
	}
}

func (s *Sender) acquire(ctx context.Context) (store.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, storeIn)
	defer cancel()
	return s.opt.Store.Acquire(ctx, lease, s.owner, s.opt.Pace.Lease)
}

// renew keeps the lease until ctx ends, or returns when it is lost.
func (s *Sender) renew(ctx context.Context, l *store.Lease) {
	ttl := s.opt.Pace.Lease
	for sleep(ctx, ttl/4) {
		try, cancel := context.WithTimeout(ctx, ttl/4)
		next, err := s.opt.Store.Renew(try, *l, ttl)
		cancel()
		switch {
		case err == nil:
			*l = next
		case ctx.Err() != nil:
			return
		case errors.Is(err, store.ErrFenced) || time.Until(l.Expires) < ttl/4:
			s.opt.Log.Warn("another process sends the webhook's events from now on", "error", err)
			return
		}
	}
}

// look takes up what is in the store and not known yet.
func (s *Sender) look(ctx context.Context) (found int, err error) {
	before := s.outbox.taken()
	seen := map[string]bool{}
	err = s.opt.Store.Scan(ctx, prefix, func(e store.Entry) error {
		seen[e.Key] = true
		var event Event
		if err := json.Unmarshal(e.Value, &event); err != nil {
			s.opt.Log.Error("a queued webhook event cannot be read", "key", e.Key, "error", err)
			s.dropped.Add(1)
			return s.forget(ctx, e.Key)
		}
		if s.outbox.add(item{e.Key, event}) {
			found++
			return nil
		}
		if before[e.Key] { // it was taken, and forgetting it failed
			return s.forget(ctx, e.Key)
		}
		return nil
	})
	if err == nil {
		s.outbox.forgotten(before, seen)
	}
	return found, err
}

// forget takes an event out of the store.
func (s *Sender) forget(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeIn)
	defer cancel()
	if err := s.opt.Store.Delete(ctx, key); err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return nil
}
