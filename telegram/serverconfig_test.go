package telegram

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gotd/td/tg"

	"github.com/tgtrunk/tgtrunk/telegram/calls"
)

// registry is a Telegram that only has a configuration.
type registry struct {
	mu      sync.Mutex
	config  tg.Config
	err     error
	asked   []time.Duration // since began
	began   time.Time
	applied []calls.Timeouts
}

func (r *registry) ask(context.Context) (*tg.Config, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, time.Since(r.began))
	if r.err != nil {
		return nil, r.err
	}
	config := r.config
	config.Date += int(time.Now().Unix())
	config.Expires += config.Date
	return &config, nil
}

// change edits what it will answer.
func (r *registry) change(edit func(*registry)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	edit(r)
}

func (r *registry) apply(t calls.Timeouts) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.applied = append(r.applied, t)
}

// seen is when it was asked, and what was made of its answers.
func (r *registry) seen() (asked []time.Duration, applied []calls.Timeouts) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.asked), slices.Clone(r.applied)
}

func TestConfigIsBounded(t *testing.T) {
	for _, c := range []struct {
		name                   string
		receive, ring, connect int
		want                   calls.Timeouts // zero: the default
		warnings               int
	}{
		{name: "usual", receive: 20000, ring: 90000, connect: 30000, want: calls.Timeouts{Receive: 20 * time.Second, Ring: 90 * time.Second, Connect: 30 * time.Second}},
		{name: "none", warnings: 3},
		{name: "negative", receive: -1, ring: -90000, connect: -1 << 31, warnings: 3},
		{name: "hours", receive: 3600_000, ring: 1<<31 - 1, connect: 300_001, warnings: 3},
		{name: "too short", receive: 1, ring: 999, connect: 20, warnings: 3},
		{name: "at the edges", receive: 1000, ring: 300_000, connect: 1000, want: calls.Timeouts{Receive: time.Second, Ring: 5 * time.Minute, Connect: time.Second}},
		{name: "one is wrong", receive: 15000, ring: 0, connect: 40000, want: calls.Timeouts{Receive: 15 * time.Second, Connect: 40 * time.Second}, warnings: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var said bytes.Buffer
			r := &registry{config: tg.Config{CallReceiveTimeoutMs: c.receive, CallRingTimeoutMs: c.ring, CallConnectTimeoutMs: c.connect}}
			s := newServerConfig(r.ask, slog.New(slog.NewTextHandler(&said, nil)))
			s.read(t.Context())
			if got := s.timeouts(); got != c.want {
				t.Errorf("limits %+v, want %+v", got, c.want)
			}
			if got := strings.Count(said.String(), "makes no sense"); got != c.warnings {
				t.Errorf("%d warnings: %s", got, said.String())
			}
		})
	}
}

func TestConfigIsKeptFresh(t *testing.T) {
	for _, c := range []struct {
		name    string
		expires int
		after   time.Duration
	}{
		{"in an hour", 3600, time.Hour},
		{"in two days", 48 * 3600, 24 * time.Hour},
		{"at once", 0, time.Minute},
		{"long ago", -5000, time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &registry{began: time.Now(), config: tg.Config{Expires: c.expires, CallReceiveTimeoutMs: 20000, CallRingTimeoutMs: 90000, CallConnectTimeoutMs: 30000}}
				s := newServerConfig(r.ask, slog.New(slog.DiscardHandler))
				s.read(t.Context())
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() {
					defer close(done)
					s.keep(ctx, r.apply)
				}()
				synctest.Wait()
				asked, applied := r.seen()
				if len(asked) != 1 || len(applied) != 0 {
					t.Errorf("asked at %v", asked)
				}
				time.Sleep(c.after - time.Second)
				synctest.Wait()
				if asked, _ = r.seen(); len(asked) != 1 {
					t.Errorf("asked at %v", asked)
				}
				r.change(func(r *registry) { r.config.CallRingTimeoutMs = 45000 })
				time.Sleep(time.Second)
				synctest.Wait()
				if asked, applied = r.seen(); len(asked) != 2 || len(applied) != 1 || applied[0].Ring != 45*time.Second {
					t.Errorf("asked at %v, applied %+v", asked, applied)
				}
				r.change(func(r *registry) { r.config.CallRingTimeoutMs = 50000 })
				s.changed()
				s.changed() // the second finds the token of the first, or is one question more
				synctest.Wait()
				asked, applied = r.seen()
				before := applied[len(applied)-1]
				if before.Ring != 50*time.Second || len(asked) > 4 {
					t.Errorf("asked at %v, applied %+v", asked, applied)
				}
				r.change(func(r *registry) { r.err = errors.New("no connection") })
				s.changed()
				synctest.Wait()
				asked, _ = r.seen()
				n := len(asked)
				time.Sleep(time.Minute)
				synctest.Wait()
				if asked, _ = r.seen(); len(asked) != n+1 || s.timeouts() != before {
					t.Errorf("after a failure asked at %v, limits %+v", asked, s.timeouts())
				}
				cancel()
				<-done
			})
		})
	}
}

func TestTelegramsClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &registry{config: tg.Config{Date: -3600}}
		s := newServerConfig(r.ask, slog.New(slog.DiscardHandler))
		if got := time.Until(s.now()); got != 0 {
			t.Errorf("before it is known: %v", got)
		}
		s.read(t.Context())
		if got := time.Until(s.now()); got != -time.Hour {
			t.Errorf("telegram's clock is off by %v", got)
		}
		r.err = errors.New("no connection")
		s.read(t.Context())
		if got := time.Until(s.now()); got != -time.Hour {
			t.Errorf("a failure changed the clock to %v", got)
		}
	})
}
