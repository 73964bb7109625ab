package webhook

import (
	"context"
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
