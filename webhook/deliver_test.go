package webhook

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/store"
)

func TestEventsAreTaken(t *testing.T) {
	r := newReceiver(t, nil)
	keep := openStore(t)
	s := start(t, Options{URL: r.URL, Store: keep})
	for n := range 20 {
		s.Send(event(fmt.Sprint(n), "started"))
		s.Send(event(fmt.Sprint(n), "ended"))
	}
	ids := r.wait(40)
	for n := range 20 {
		if slices.Index(ids, fmt.Sprint(n)+".started") > slices.Index(ids, fmt.Sprint(n)+".ended") {
			t.Errorf("the end of %d comes first", n)
		}
	}
	eventually(t, "the store is empty", func() bool { return left(t, keep) == 0 })
	if got := s.Stats(); got.Delivered != 40 || got.Dropped != 0 || got.Failed != 0 || got.Waiting != 0 {
		t.Errorf("%+v", got)
	}
}

// A call whose first event fails keeps the second back; other calls are told meanwhile.
func TestOrderWithinACallHoldsOverFailures(t *testing.T) {
	r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request, id string, times int) {
		if id == "a.started" && times < 4 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	s := start(t, Options{URL: r.URL, Store: openStore(t)})
	s.Send(event("a", "started"))
	s.Send(event("a", "ended"))
	eventually(t, "the first has failed", func() bool { return s.Stats().Failed > 0 })
	s.Send(event("b", "ended"))
	ids := r.wait(3)
	if slices.Index(ids, "a.started") > slices.Index(ids, "a.ended") {
		t.Errorf("order %v", ids)
	}
	if n := r.asked("a.started"); n != 4 {
		t.Errorf("%d attempts", n)
	}
	if r.asked("a.ended") != 1 || !s.log.has("500 Internal Server Error") {
		t.Errorf("asked %d times: %s", r.asked("a.ended"), s.log.text.String())
	}
}

// A receiver that hangs holds up the one call, and neither Send nor the end of the service.
func TestHangingReceiver(t *testing.T) {
	hang := make(chan struct{})
	r := newReceiver(t, func(_ http.ResponseWriter, q *http.Request, id string, times int) {
		if id == "a.ended" && times < 3 {
			select {
			case <-hang:
			case <-q.Context().Done():
			}
		}
	})
	t.Cleanup(func() { close(hang) })
	s := start(t, Options{URL: r.URL, Store: openStore(t), Timeout: 150 * time.Millisecond})
	began := time.Now()
	s.Send(event("a", "ended"))
	if took := time.Since(began); took > 50*time.Millisecond {
		t.Errorf("Send took %v", took)
	}
	for n := range 5 {
		s.Send(event(fmt.Sprint(n), "ended"))
	}
	ids := r.wait(6)
	if ids[5] != "a.ended" || r.asked("a.ended") != 3 {
		t.Errorf("%v, %d attempts", ids, r.asked("a.ended"))
	}
}

func TestGoneStopsEverything(t *testing.T) {
	r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request, _ string, _ int) { w.WriteHeader(http.StatusGone) })
	keep := openStore(t)
	s := start(t, Options{URL: r.URL, Store: keep})
	s.Send(event("a", "started"))
	s.Send(event("a", "ended"))
	eventually(t, "the queue is empty", func() bool { return s.Stats().Dropped == 2 && left(t, keep) == 0 })
	s.Send(event("b", "ended"))
	if r.asked("a.started") != 1 || r.asked("a.ended") != 0 || s.Stats().Dropped != 3 || !s.log.has("410 Gone") {
		t.Errorf("%+v: %s", s.Stats(), s.log.text.String())
	}
}

// turnOf gives a sender that does not run the turn to send.
func turnOf(t *testing.T, s *Sender) *turn {
	now := newTurn(store.Lease{Expires: time.Now().Add(time.Hour)}, time.Minute, func(error) {})
	t.Cleanup(now.stop)
	t.Cleanup(s.client.CloseIdleConnections)
	s.turn.Store(now)
	return now
}

// A receiver that wanted no more is not asked in a later turn either: what others have queued is discarded.
func TestGoneLastsOverTurns(t *testing.T) {
	r := newReceiver(t, nil)
	s, err := New(Options{URL: r.URL, Secret: secret, Store: openStore(t)})
	if err != nil {
		t.Fatal(err)
	}
	s.add(event("a", "ended"))
	if err := s.save(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.outbox.gone.Store(true)
	ctx, end := context.WithCancel(t.Context())
	now, ended := turnOf(t, s), make(chan struct{})
	go func() { defer close(ended); s.deliver(ctx, now) }()
	eventually(t, "the event is given up", func() bool { return s.Stats().Dropped == 1 })
	end()
	<-ended
	if r.asked("a.ended") != 0 || s.Stats().Waiting != 0 {
		t.Errorf("asked %d times: %+v", r.asked("a.ended"), s.Stats())
	}
}

// endingStore deletes nothing, and lets the service end meanwhile.
type endingStore struct {
	store.Store
	end   context.CancelFunc
	tried int
}

func (e *endingStore) Delete(context.Context, string) error {
	e.tried++
	e.end()
	return store.ErrAway
}

// A store that is away does not hold up the end of the service for every event that nobody wants.
func TestDiscardingEndsWithTheService(t *testing.T) {
	ctx, end := context.WithCancel(t.Context())
	keep := &endingStore{Store: openStore(t), end: end}
	s, err := New(Options{URL: "http://127.0.0.1:1", Secret: secret, Store: keep})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 5 {
		s.add(event(fmt.Sprint(n), "ended"))
	}
	if err := s.save(ctx); err != nil {
		t.Fatal(err)
	}
	s.discard(ctx)
	if keep.tried != 1 || s.Stats().Waiting != 4 {
		t.Errorf("%d were tried: %+v", keep.tried, s.Stats())
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	target := newReceiver(t, nil)
	r := newReceiver(t, func(w http.ResponseWriter, q *http.Request, _ string, times int) {
		if times == 1 {
			http.Redirect(w, q, target.URL, http.StatusTemporaryRedirect)
		}
	})
	s := start(t, Options{URL: r.URL, Store: openStore(t)})
	s.Send(event("a", "ended"))
	r.wait(1)
	if target.asked("a.ended") != 0 || !s.log.has("redirects are not followed") {
		t.Errorf("followed %d times: %s", target.asked("a.ended"), s.log.text.String())
	}
}

func TestOldEventsAreGivenUp(t *testing.T) {
	r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request, id string, _ int) {
		if id == "a.started" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	keep := openStore(t)
	s := start(t, Options{URL: r.URL, Store: keep, RetryFor: 100 * time.Millisecond})
	s.Send(event("a", "started"))
	late := event("a", "ended")
	late.Time = time.Now().Add(time.Hour) // so that only the first is too old
	s.Send(late)
	r.wait(1)
	if s.Stats().Dropped != 1 || !s.log.has("webhook event is given up") || r.asked("a.started") < 2 {
		t.Errorf("%+v: %s", s.Stats(), s.log.text.String())
	}
	eventually(t, "the store is empty", func() bool { return left(t, keep) == 0 })
}

func TestRetryAfterIsObeyed(t *testing.T) {
	r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request, _ string, times int) {
		if times == 1 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		}
	})
	s := start(t, Options{URL: r.URL, Store: openStore(t)})
	began := time.Now()
	s.Send(event("a", "ended"))
	r.wait(1)
	if took := time.Since(began); took < 950*time.Millisecond {
		t.Errorf("again after %v", took)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "soon": 0, "0": 0, "-1": 0, "120": 2 * time.Minute, "86400": time.Hour,
		"18446744074":                   time.Hour, // in nanoseconds just above what 64 bits hold
		"9223372037":                    time.Hour,
		"Sun, 22 Nov 2026 09:32:00 GMT": 2 * time.Minute,
		"Sun, 22 Nov 2026 09:29:00 GMT": 0,
		"Tue, 24 Nov 2026 09:32:00 GMT": time.Hour,
	} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("Retry-After: %s is %v, want %v", text, got, want)
		}
	}
}

// The URL, which may hold a secret, is in no log line.
func TestURLIsNotLogged(t *testing.T) {
	s := start(t, Options{URL: "http://127.0.0.1:1/hook?token=hunter2", Store: openStore(t)})
	s.Send(event("a", "ended"))
	eventually(t, "it has failed", func() bool { return s.log.has("was not taken") })
	if s.log.has("hunter2") || s.log.has(secret) {
		t.Error(s.log.text.String())
	}
}

func TestWaitsGrow(t *testing.T) {
	p := Options{}.withDefaults().Pace
	for attempt, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second, 10: 5 * time.Minute, 1000: 5 * time.Minute} {
		for range 100 {
			if got := p.after(attempt); got < want*3/4 || got > want*5/4 {
				t.Errorf("attempt %d: %v", attempt, got)
			}
		}
	}
}
