package browser

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
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

// pages opens two pages of one call and carries packets between them until the test ends.
func pages(t *testing.T, microphone time.Duration) (caller, callee *Page) {
	t.Helper()
	key := new(voip.Key)
	rand.Read(key[:])
	toCaller, toCallee := make(chan []byte, 1000), make(chan []byte, 1000)
	callee = open(t, Options{Role: signaling.Callee, Key: key, P2P: true, Tone: 1000, Microphone: microphone,
		Send: func(b []byte) { toCaller <- b }, Log: testLog(t).With("page", "callee")})
	caller = open(t, Options{Role: signaling.Caller, Key: key, P2P: true, Tone: 440,
		Send: func(b []byte) { toCallee <- b }, Log: testLog(t).With("page", "caller")})
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() {
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
	})
	t.Cleanup(func() { cancel(); group.Wait() })
	return caller, callee
}

// TestPagesAlone checks that the page is a web client by itself: two of them call each other.
func TestPagesAlone(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	caller, callee := pages(t, 0)
	callee.Begin()
	if _, err := callee.Await(ctx, func(ev Event) bool { return ev.Kind == "microphone" }); err != nil {
		t.Fatal(err)
	}
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
	if route, err := caller.Route(ctx); err != nil || route.Local == "" || route.SRTP == "" {
		t.Errorf("route %+v, %v", route, err)
	}
	profile := caller.browser.profile
	for _, p := range []*Page{caller, callee} {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(profile); !os.IsNotExist(err) {
		t.Errorf("profile %s: %v", profile, err)
	}
	for _, p := range []*Page{caller, callee} {
		awaitNoProcess(t, p.browser.profile)
	}
}

// TestLateMicrophone checks the weakness that the engine has to spare web callees: an offer that comes before the
// microphone is open leaves them silent.
func TestLateMicrophone(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	caller, callee := pages(t, 5*time.Second)
	callee.Begin()
	caller.Begin()
	if err := callee.AwaitTone(ctx, 440); err != nil {
		t.Error(err)
	}
	for _, kind := range []string{"silent", "microphone"} {
		if _, err := callee.Await(ctx, func(ev Event) bool { return ev.Kind == kind }); err != nil {
			t.Fatal(err)
		}
	}
	for _, ev := range callee.Events() {
		if ev.Kind == "answered" {
			t.Error("callee has offered its audio")
		}
	}
}

// awaitNoProcess waits until no process has a profile in its command line, as all of Chromium's have.
func awaitNoProcess(t *testing.T, profile string) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		var left []string
		files, err := filepath.Glob("/proc/[0-9]*/cmdline")
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if line, err := os.ReadFile(file); err == nil && bytes.Contains(line, []byte(profile)) {
				left = append(left, file)
			}
		}
		if len(left) == 0 {
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-deadline:
			t.Fatalf("processes of chromium are left: %v", left)
		}
	}
}

func TestWhereChromiumIsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	o := Options{Role: signaling.Caller, Key: new(voip.Key), Send: func([]byte) {}}
	if p, err := Open(t.Context(), o); !errors.Is(err, ErrNotInstalled) {
		t.Errorf("got %v, %v", p, err)
	}
}

// TestBrokenChromium checks that the end of a Chromium that does not start is told at once, with its last words.
func TestBrokenChromium(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	if err := os.WriteFile(filepath.Join(dir, "chromium"), []byte("#!/bin/sh\necho no display >&2\nexit 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	o := Options{Role: signaling.Caller, Key: new(voip.Key), Send: func([]byte) {}}
	if p, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "no display") {
		t.Errorf("got %v, %v", p, err)
	}
}
