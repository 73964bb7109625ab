package webhook

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/store"
)

func TestEndWhileTheReceiverHangs(t *testing.T) {
	r := newReceiver(t, func(_ http.ResponseWriter, q *http.Request, _ string, _ int) { <-q.Context().Done() })
	keep := openStore(t)
	s := start(t, Options{URL: r.URL, Store: keep, Timeout: time.Minute})
	s.Send(event("a", "ended"))
	eventually(t, "it is asked", func() bool { return r.asked("a.ended") == 1 })
	began := time.Now()
	s.stop()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the end took %v", took)
	}
	if left(t, keep) != 1 {
		t.Error("the event is lost")
	}
}

// A restart in the middle: what was not taken is sent by the next process, in order.
func TestRestartLosesNothing(t *testing.T) {
	var mu sync.Mutex
	up := false
	r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request, _ string, _ int) {
		mu.Lock()
		defer mu.Unlock()
		if !up {
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	keep := openStore(t)
	first := start(t, Options{URL: r.URL, Store: keep})
	for _, what := range []string{"started", "connected", "ended"} {
		first.Send(event("a", what))
	}
	first.stop() // at once: what was only in memory is stored, too
	if n := left(t, keep); n != 3 {
		t.Fatalf("%d events are stored", n)
	}
	mu.Lock()
	up = true
	mu.Unlock()
	second := start(t, Options{URL: r.URL, Store: keep})
	if ids := r.wait(3); !slices.Equal(ids, []string{"a.started", "a.connected", "a.ended"}) {
		t.Errorf("%v", ids)
	}
	eventually(t, "the store is empty", func() bool { return left(t, keep) == 0 })
	if !second.log.has("queued webhook events are taken up") {
		t.Error("nobody says so")
	}
}

// Of processes that share a store one sends; when it ends another goes on. Nothing comes twice.
func TestOneOfManySends(t *testing.T) {
	r := newReceiver(t, nil)
	keep := openStore(t)
	one := start(t, Options{URL: r.URL, Store: keep})
	one.Send(event("a", "ended"))
	r.wait(1)
	two := start(t, Options{URL: r.URL, Store: keep})
	two.Send(event("b", "ended"))
	r.wait(2)
	if two.Stats().Delivered != 0 {
		t.Error("both send")
	}
	eventually(t, "its answer is noted", func() bool { return left(t, keep) == 0 }) // else it may come again
	one.stop()
	two.Send(event("c", "ended"))
	r.wait(3)
	eventually(t, "the store is empty", func() bool { return left(t, keep) == 0 })
	for _, id := range []string{"a.ended", "b.ended", "c.ended"} {
		if r.asked(id) != 1 {
			t.Errorf("%s was sent %d times", id, r.asked(id))
		}
	}
}

func TestFullQueueDropsAndSaysSo(t *testing.T) {
	r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request, _ string, _ int) {
		w.WriteHeader(http.StatusInternalServerError)
	})
	s := start(t, Options{URL: r.URL, Store: openStore(t), Queue: 3})
	for n := range 3 {
		s.Send(event(fmt.Sprint(n), "ended"))
	}
	eventually(t, "they are stored", func() bool { return s.unsaved() == 0 })
	s.Send(event("one-too-many", "ended"))
	if got := s.Stats(); got.Dropped != 1 || got.Waiting != 3 || !s.log.has("event=one-too-many.ended") {
		t.Errorf("%+v: %s", got, s.log.text.String())
	}
}

// awayStore does not take anything for a while.
type awayStore struct {
	store.Store
	mu   sync.Mutex
	away bool
}

func (a *awayStore) set(away bool) { a.mu.Lock(); a.away = away; a.mu.Unlock() }

func (a *awayStore) Put(ctx context.Context, key string, value []byte, how store.Put) (uint64, error) {
	a.mu.Lock()
	away := a.away
	a.mu.Unlock()
	if away {
		return 0, store.ErrAway
	}
	return a.Store.Put(ctx, key, value, how)
}

func TestStoreThatIsAway(t *testing.T) {
	r := newReceiver(t, nil)
	keep := &awayStore{Store: openStore(t), away: true}
	s := start(t, Options{URL: r.URL, Store: keep})
	s.Send(event("a", "started"))
	s.Send(event("a", "ended"))
	eventually(t, "it is said", func() bool { return s.log.has("cannot be stored yet") })
	keep.set(false)
	if ids := r.wait(2); !slices.Equal(ids, []string{"a.started", "a.ended"}) {
		t.Error(ids)
	}
	keep.set(true)
	s.Send(event("b", "ended"))
	s.stop()
	if s.Stats().Dropped != 1 || !s.log.has("could not be stored before the end") {
		t.Errorf("%+v: %s", s.Stats(), s.log.text.String())
	}
}
