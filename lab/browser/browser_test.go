package browser

import (
	"context"
	"crypto/rand"
	"log/slog"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tgtrunk/tgtrunk/telegram/voip"
	"github.com/tgtrunk/tgtrunk/telegram/voip/signaling"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testLog(t *testing.T) *slog.Logger {
	if os.Getenv("BROWSER_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func open(t *testing.T, o Options) *Page {
	t.Helper()
	if _, err := Find(); err != nil {
		t.Skip(err)
	}
	p, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// TestPagesAlone checks that the page is a web client by itself: two of them call each other.
func TestPagesAlone(t *testing.T) {
	key := new(voip.Key)
	rand.Read(key[:])
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	var caller, callee *Page
	toCaller, toCallee := make(chan []byte, 1000), make(chan []byte, 1000)
	callee = open(t, Options{Role: signaling.Callee, Key: key, P2P: true, Tone: 1000,
		Send: func(b []byte) { toCaller <- b }, Log: testLog(t).With("page", "callee")})
	caller = open(t, Options{Role: signaling.Caller, Key: key, P2P: true, Tone: 440,
		Send: func(b []byte) { toCallee <- b }, Log: testLog(t).With("page", "caller")})
	done := make(chan struct{})
	defer func() { cancel(); <-done }()
	go func() {
		defer close(done)
		for {
			select {
			case b := <-toCaller:
				caller.Receive(b)
			case b := <-toCallee:
				callee.Receive(b)
			case <-ctx.Done():
				return
			}
		}
	}()
	callee.Begin()
	caller.Begin()
	for hz, p := range map[float64]*Page{440: callee, 1000: caller} {
		if err := p.AwaitTone(ctx, hz); err != nil {
			t.Error(err)
		}
		for _, ev := range p.Events() {
			if ev.Kind == "refused" {
				t.Errorf("page refuses: %s", ev.Reason)
			}
		}
	}
}
