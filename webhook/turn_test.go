package webhook

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/store"
)

// A process that wakes up after its lease sends nothing, neither what it was about to nor what was on its way to the
// connection, also when nothing has told it yet.
func TestNothingIsSentAfterTheTurn(t *testing.T) {
	r := newReceiver(t, nil)
	s, err := New(Options{URL: r.URL, Secret: secret, Store: openStore(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.client.CloseIdleConnections()
	lease := store.Lease{Expires: time.Now().Add(time.Hour)}
	ended := make(chan error, 1)
	now := newTurn(lease, time.Minute, func(why error) { ended <- why })
	defer now.stop()
	if _, err := s.post(t.Context(), event("a", "started"), 1); !errors.Is(err, errTurnOver) {
		t.Errorf("sent before there was a turn: %v", err)
	}
	s.turn.Store(now)
	if _, err := s.post(t.Context(), event("a", "started"), 1); err != nil {
		t.Fatal(err)
	}
	now.mu.Lock()
	now.lease.Expires = time.Now().Add(-time.Millisecond) // and no timer has fired
	now.mu.Unlock()
	if _, err := s.post(t.Context(), event("a", "connected"), 1); !errors.Is(err, errTurnOver) {
		t.Errorf("on an open connection: %v", err)
	}
	i := item{"k", event("a", "ended")}
	s.outbox.add(i)
	lines, _ := s.outbox.due(1)
	s.try(t.Context(), now, lines[0])
	select {
	case why := <-ended:
		if !errors.Is(why, errTurnOver) {
			t.Error(why)
		}
	default:
		t.Error("the turn goes on")
	}
	if r.asked("a.connected")+r.asked("a.ended") != 0 || r.asked("a.started") != 1 {
		t.Errorf("asked: %v", r.times)
	}
	if again, _ := s.outbox.due(1); len(again) != 1 || again[0].attempts != 0 {
		t.Error("the event is not sent in the next turn")
	}
}

// A lease ends by the wall clock as well: the other one stands still while the machine sleeps.
func TestTurnEndsByEitherClock(t *testing.T) {
	for name, expires := range map[string]time.Time{
		"both":       time.Now().Add(-time.Second),
		"wall clock": time.Now().Round(0).Add(-time.Second),
	} {
		now := newTurn(store.Lease{Expires: expires}, time.Hour, func(error) {})
		if now.ours() {
			t.Errorf("%s: it is still ours", name)
		}
		now.stop()
	}
}

// fencedStore renews no lease from some moment on.
type fencedStore struct {
	store.Store
	away atomic.Bool
}

func (f *fencedStore) Renew(ctx context.Context, l store.Lease, ttl time.Duration) (store.Lease, error) {
	if f.away.Load() {
		<-ctx.Done()
		return l, store.ErrAway
	}
	return f.Store.Renew(ctx, l, ttl)
}

// hangOnce hangs with the first request, and says when it was cut off.
func hangOnce(cut chan<- time.Time) func(http.ResponseWriter, *http.Request, string, int) {
	return func(_ http.ResponseWriter, q *http.Request, _ string, times int) {
		if times == 1 {
			<-q.Context().Done()
			cut <- time.Now()
		}
	}
}

// Who cannot renew the lease stops before it runs out, and what was under way with it.
func TestTurnEndsBeforeItsLease(t *testing.T) {
	cut := make(chan time.Time, 1)
	r := newReceiver(t, nil)
	r.answer = hangOnce(cut)
	keep := &fencedStore{Store: openStore(t)}
	pace := quick()
	pace.Lease = 2 * time.Second
	s := start(t, Options{URL: r.URL, Store: keep, Pace: pace, Timeout: time.Minute})
	keep.away.Store(true)
	began := time.Now()
	s.Send(event("a", "ended"))
	select {
	case at := <-cut:
		if took := at.Sub(began); took > pace.Lease {
			t.Errorf("the request was cut off after %v, the lease is %v", took, pace.Lease)
		}
	case <-time.After(soon):
		t.Fatal("the request goes on")
	}
	eventually(t, "it is said", func() bool { return s.log.has("was not renewed in time") })
	keep.away.Store(false)
	r.wait(1)
}
