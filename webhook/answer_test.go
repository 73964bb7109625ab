package webhook

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// What the receiver says when it takes an event is handed on, once; what it says to a failure is not.
func TestAnswers(t *testing.T) {
	r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request, id string, times int) {
		switch {
		case id == "a.started" && times == 1:
			w.WriteHeader(http.StatusBadGateway)
			_, _ = w.Write([]byte("no"))
		case id == "a.started":
			_, _ = w.Write([]byte("yes"))
		case id == "b.started":
			_, _ = w.Write([]byte(strings.Repeat("x", maxAnswer+1)))
		}
	})
	var mu sync.Mutex
	var got []string
	s := start(t, Options{URL: r.URL, Store: openStore(t), Answered: func(_ context.Context, e Event, body []byte) {
		mu.Lock()
		defer mu.Unlock()
		if len(body) > 10 {
			body = []byte(strings.Repeat("x", len(body)-maxAnswer+1)) // "x" for as much as is read
		}
		got = append(got, e.ID+" "+string(body))
	}})
	for _, call := range []string{"a", "b", "c"} {
		s.Send(event(call, "started"))
	}
	eventually(t, "all are taken", func() bool { return s.Stats().Delivered == 3 && s.Stats().Waiting == 0 })
	mu.Lock()
	defer mu.Unlock()
	slices.Sort(got)
	if want := []string{"a.started yes", "b.started x"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
