package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tgtrunk/tgtrunk/store"
)

func TestMain(m *testing.M) {
	if to := os.Getenv(asSender); to != "" {
		beSender(to)
		return
	}
	store.QuietRedis()
	goleak.VerifyTestMain(m)
}

const (
	soon   = 20 * time.Second
	secret = "0123456789abcdef0123456789abcdef"
)

// receiver is who is told. answer decides about every request, by the event's id and how often it came.
type receiver struct {
	*httptest.Server
	t      *testing.T
	answer func(w http.ResponseWriter, r *http.Request, id string, times int)

	mu    sync.Mutex
	times map[string]int
	taken []string // ids of events that were answered with 200, in order
}

func newReceiver(t *testing.T, answer func(w http.ResponseWriter, r *http.Request, id string, times int)) *receiver {
	r := &receiver{t: t, answer: answer, times: map[string]int{}}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return // the sender has gone
	}
	if err := Verify(secret, q.Header, body, time.Minute); err != nil {
		r.t.Errorf("%v: %v", err, q.Header)
	}
	if q.Method != http.MethodPost || q.Header.Get("Content-Type") != "application/json" {
		r.t.Errorf("%s, %v", q.Method, q.Header)
	}
	id := q.Header.Get(HeaderEventID)
	if want := `{"event":"` + id + `"}`; string(body) != want {
		r.t.Errorf("body %s, want %s", body, want)
	}
	r.mu.Lock()
	r.times[id]++
	times := r.times[id]
	r.mu.Unlock()
	seen := &watched{ResponseWriter: w, code: http.StatusOK}
	if r.answer != nil {
		r.answer(seen, q, id, times)
	}
	if seen.code == http.StatusOK && q.Context().Err() == nil {
		r.mu.Lock()
		r.taken = append(r.taken, id)
		r.mu.Unlock()
	}
}

type watched struct {
	http.ResponseWriter
	code int
}

func (w *watched) WriteHeader(code int) { w.code = code; w.ResponseWriter.WriteHeader(code) }

func (r *receiver) ids() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.taken)
}

func (r *receiver) asked(id string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.times[id]
}

// wait waits until so many events were taken.
func (r *receiver) wait(n int) []string {
	r.t.Helper()
	eventually(r.t, fmt.Sprintf("%d events are taken", n), func() bool { return len(r.ids()) >= n })
	return r.ids()
}

func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	limit, again := time.NewTimer(soon), time.NewTicker(2*time.Millisecond)
	defer limit.Stop()
	defer again.Stop()
	for !so() {
		select {
		case <-again.C:
		case <-limit.C:
			t.Fatalf("not in time: %s", what)
		}
	}
}

type log struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *log) has(part string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), part)
}

func openStore(t testing.TB) *store.File {
	t.Helper()
	s, err := store.OpenFile(filepath.Join(t.TempDir(), "tgtrunk.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func quick() Pace {
	return Pace{First: 2 * time.Millisecond, Last: 20 * time.Millisecond, Lease: time.Second, Look: 10 * time.Millisecond}
}

// bench is a sender that runs.
type bench struct {
	*Sender
	log  *log
	stop func()
}

func start(t *testing.T, o Options) *bench {
	t.Helper()
	b := &bench{log: &log{}}
	if o.Secret == "" {
		o.Secret = secret
	}
	if o.Pace == (Pace{}) {
		o.Pace = quick()
	}
	o.Log = slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	b.Sender = s
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	b.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(soon):
			t.Error("the sender does not end")
		}
	})
	t.Cleanup(b.stop)
	return b
}

func event(call, what string) Event {
	id := call + "." + what
	return Event{ID: id, Type: "call." + what, Call: call, Time: time.Now(), Body: []byte(`{"event":"` + id + `"}`)}
}

// left are the keys that the store still has.
func left(t *testing.T, s store.Store) (n int) {
	t.Helper()
	if err := s.Scan(context.Background(), prefix, func(store.Entry) error { n++; return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

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

// The URL, which may hold a secret, is in no log line.
func TestURLIsNotLogged(t *testing.T) {
	s := start(t, Options{URL: "http://127.0.0.1:1/hook?token=hunter2", Store: openStore(t)})
	s.Send(event("a", "ended"))
	eventually(t, "it has failed", func() bool { return s.log.has("was not taken") })
	if s.log.has("hunter2") || s.log.has(secret) {
		t.Error(s.log.text.String())
	}
}

// The signature is what docs/records.md says, worked out with openssl:
// printf '1763800000.{"a":1}' | openssl dgst -sha256 -hmac swordfish
func TestSignature(t *testing.T) {
	const want = "sha256=52aec683e0324847865dab781c8212f4f040a4923f26d0d9e2078aea35de8ac2"
	if got := Sign("swordfish", "1763800000", []byte(`{"a":1}`)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	now := fmt.Sprint(time.Now().Unix())
	h := http.Header{}
	h.Set(HeaderTimestamp, now)
	h.Set(HeaderSignature, Sign(secret, now, []byte("x")))
	if err := Verify(secret, h, []byte("x"), time.Minute); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func() ([]byte, http.Header){
		"another body": func() ([]byte, http.Header) { return []byte("y"), h },
		"no signature": func() ([]byte, http.Header) { c := h.Clone(); c.Del(HeaderSignature); return []byte("x"), c },
		"no timestamp": func() ([]byte, http.Header) { c := h.Clone(); c.Del(HeaderTimestamp); return []byte("x"), c },
		"an old one": func() ([]byte, http.Header) {
			c, old := h.Clone(), fmt.Sprint(time.Now().Add(-time.Hour).Unix())
			c.Set(HeaderTimestamp, old)
			c.Set(HeaderSignature, Sign(secret, old, []byte("x")))
			return []byte("x"), c
		},
	} {
		body, header := spoil()
		if err := Verify(secret, header, body, time.Minute); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
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
