package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
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
				s.opt.Log.Warn("webhook events cannot be stored yet", "waiting", s.unsaved(), "error", s.opt.Shown(err.Error()))
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

// look takes up what is in the store and not known yet.
//
// A scan may miss an event that is stored while it goes on, and still find a later one of the same call. What it finds is
// therefore taken up only once another scan, begun afterwards, has shown everything that was stored before it.
func (s *Sender) look(ctx context.Context) (found int, err error) {
	first, err := s.scan(ctx)
	if err != nil || len(first) == 0 {
		return 0, err
	}
	second, err := s.scan(ctx)
	if err != nil {
		return 0, err
	}
	upTo := map[string]string{} // by call, the last key that the first scan has found
	for key, e := range first {
		upTo[e.Call] = max(upTo[e.Call], key)
	}
	for _, key := range slices.Sorted(maps.Keys(second)) {
		e := second[key]
		if key <= upTo[e.Call] && s.outbox.add(item{key, e}) {
			found++
		}
	}
	return found, nil
}

// scan returns what is in the store and not known yet, by key.
func (s *Sender) scan(ctx context.Context) (map[string]Event, error) {
	before := s.outbox.taken()
	seen, fresh := map[string]bool{}, map[string]Event{}
	err := s.opt.Store.Scan(ctx, prefix, func(e store.Entry) error {
		seen[e.Key] = true
		switch {
		case before[e.Key]: // it was taken, and forgetting it failed
			return s.forget(ctx, e.Key)
		case s.outbox.has(e.Key):
			return nil
		}
		var event Event
		if err := json.Unmarshal(e.Value, &event); err != nil {
			s.opt.Log.Error("a queued webhook event cannot be read", "key", s.opt.Shown(e.Key), "error", err)
			s.dropped.Add(1)
			return s.forget(ctx, e.Key)
		}
		fresh[e.Key] = event
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.outbox.forgotten(before, seen)
	return fresh, nil
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
