package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
)

const (
	maxAnswer  = 64 << 10  // bytes of an answer that are read, so that the connection can be used again
	maxBackOff = time.Hour // that a receiver may ask for with Retry-After
)

// deliver sends what is queued until ctx ends, while it is this process's turn.
func (s *Sender) deliver(ctx context.Context, t *turn) {
	var sending sync.WaitGroup
	defer sending.Wait()
	look := time.NewTicker(s.opt.Pace.Look)
	defer look.Stop()
	slots := make(chan struct{}, s.opt.Pace.Parallel)
	s.outbox.clear()         // another process may have sent some of it
	for !s.lookAround(ctx) { // before it is known what waits, a later event could come first
		if !sleep(ctx, s.opt.Pace.First) {
			return
		}
	}
	for ctx.Err() == nil {
		if s.outbox.gone.Load() {
			sending.Wait()
			s.discardAll(ctx)
			return
		}
		lines, wait := s.outbox.due(cap(slots) - len(slots))
		for _, l := range lines {
			slots <- struct{}{}
			sending.Go(func() {
				s.try(ctx, t, l)
				<-slots
				s.outbox.poke()
			})
		}
		next := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-s.outbox.wake:
		case <-next.C:
		case <-look.C:
			s.lookAround(ctx)
		}
		next.Stop()
	}
}

func (s *Sender) lookAround(ctx context.Context) bool {
	found, err := s.look(ctx)
	switch {
	case err != nil && ctx.Err() == nil:
		s.opt.Log.Warn("looking for queued webhook events failed", "error", s.opt.Shown(err.Error()))
	case found > 0:
		s.opt.Log.Info("queued webhook events are taken up", "events", found)
	}
	return err == nil
}

// discardAll empties the queue until ctx ends: events that were under way when the receiver said 410 still arrive in it.
func (s *Sender) discardAll(ctx context.Context) {
	for {
		s.discard(ctx)
		select {
		case <-ctx.Done():
			return
		case <-s.outbox.wake:
		}
	}
}

// discard empties the queue, as far as it comes before ctx ends: nobody wants what is in it.
func (s *Sender) discard(ctx context.Context) {
	s.lookAround(ctx)
	keys := s.outbox.keys()
	for n, key := range keys {
		if ctx.Err() != nil {
			keys = keys[:n] // each may take its time; the next start goes on
			break
		}
		if err := s.forget(ctx, key); err != nil {
			s.opt.Log.Warn("a webhook event that nobody wants stays in the store", "error", s.opt.Shown(err.Error()))
		}
		s.dropped.Add(1)
	}
	s.outbox.remove(keys)
}

// try sends the first event of a call.
func (s *Sender) try(ctx context.Context, t *turn, l *line) {
	if !t.ours() {
		t.end(fmt.Errorf("%w: the lease has run out", errTurnOver))
		s.outbox.later(l, 0)
		return
	}
	i, attempt := s.outbox.first(l)
	log := s.opt.Log.With("event", s.opt.Shown(i.event.ID), "call", s.opt.Shown(i.event.Call), "attempt", attempt)
	answer, err := s.post(ctx, i.event, attempt)
	var refused *statusError
	switch {
	case err == nil:
		s.delivered.Add(1)
		log.Debug("webhook event was taken")
		if s.opt.Answered != nil && len(answer) > 0 {
			s.opt.Answered(ctx, i.event, answer)
		}
	case ctx.Err() != nil:
		s.outbox.later(l, 0) // nothing is known of it; the next run sends it again
		return
	case errors.As(err, &refused) && refused.code == http.StatusGone:
		s.failed.Add(1)
		log.Error("the webhook's receiver wants no more events (410 Gone): nothing is sent until the next start")
		s.outbox.gone.Store(true)
		s.outbox.later(l, time.Hour)
		return
	case time.Since(i.event.Time) > s.opt.RetryFor:
		s.failed.Add(1)
		s.drop(i.event, fmt.Sprintf("it was not taken in %v: %v", s.opt.RetryFor, err))
	default:
		s.failed.Add(1)
		wait := s.opt.Pace.after(attempt)
		if refused != nil && refused.wait > 0 {
			wait = max(wait, refused.wait)
			s.outbox.stop(refused.wait)
		}
		log.Warn("webhook event was not taken", "error", err, "again_in", wait.Round(time.Millisecond))
		s.outbox.later(l, wait)
		return
	}
	s.outbox.passed(l)
	if err := s.forget(ctx, i.key); err != nil {
		log.Warn("a webhook event that was taken stays in the store for now", "error", s.opt.Shown(err.Error()))
	}
}

// after is how long to wait after so many failures: doubled each time, and a quarter more or less, so that many do not
// come back at once.
func (p Pace) after(attempt int) time.Duration {
	wait := p.Last
	if attempt < 32 {
		wait = min(p.First<<(attempt-1), p.Last)
	}
	return wait*3/4 + rand.N(wait/2+1)
}

// statusError is an answer that is no 2xx.
type statusError struct {
	code int
	wait time.Duration // Retry-After
}

// Error says what was answered.
func (e *statusError) Error() string {
	text := fmt.Sprintf("receiver answers %d %s", e.code, http.StatusText(e.code))
	if e.code >= 300 && e.code < 400 {
		text += ": redirects are not followed, put the right address into webhook.url"
	}
	return text
}

// post makes one attempt and returns what the receiver says.
func (s *Sender) post(ctx context.Context, e Event, attempt int) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.opt.URL, bytes.NewReader(e.Body))
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	h := request.Header
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", "tgtrunk")
	h.Set(HeaderEvent, e.Type)
	h.Set(HeaderEventID, e.ID)
	h.Set(HeaderAttempt, strconv.Itoa(attempt))
	h.Set(HeaderTimestamp, stamp)
	h.Set(HeaderSignature, Sign(s.opt.Secret, stamp, e.Body))
	answer, err := s.client.Do(request)
	if err != nil {
		var whole *url.Error
		if errors.As(err, &whole) {
			err = whole.Err // without the URL, which may hold a secret
		}
		return nil, fmt.Errorf("ask receiver: %w", err)
	}
	defer answer.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(answer.Body, maxAnswer)) // an answer that breaks off is one without words
	if answer.StatusCode >= 200 && answer.StatusCode < 300 {
		return said, nil
	}
	return nil, &statusError{answer.StatusCode, retryAfter(answer.Header.Get("Retry-After"), time.Now())}
}

// retryAfter reads the header of that name, seconds or a date (RFC 9110 §10.2.3): how long to wait, at most maxBackOff; 0
// where it says nothing.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(text); err == nil {
		return time.Duration(min(max(seconds, 0), int(maxBackOff/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(at.Sub(now), 0), maxBackOff)
	}
	return 0
}
