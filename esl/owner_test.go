package esl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/bridge/trunktest"
	"github.com/tgtrunk/tgtrunk/routing"
)

// server is a link that runs towards a fake that others may use too.
type server struct {
	*Link
	offers chan bridge.Offer
	stop   func()
}

func (f *fakeFS) serveWith(t *testing.T, change func(*timing)) *server {
	t.Helper()
	o := f.options()
	o.RequestTimeout = 4 * time.Second
	o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	return serveLink(t, o, change)
}

func serveLink(t *testing.T, o Options, change func(*timing)) *server {
	t.Helper()
	link, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	link.timing = shortTiming()
	if change != nil {
		change(&link.timing)
	}
	s := &server{Link: link, offers: make(chan bridge.Offer, 10)}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := link.Run(ctx, func(o bridge.Offer) { s.offers <- o }); err != nil {
			t.Error(err)
		}
	})
	s.stop = func() { cancel(); running.Wait() }
	t.Cleanup(s.stop)
	return s
}

func soonTrue(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// caller parks a caller for the application.
func (f *fakeFS) caller(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := &fakeParty{number: id, rings: make(chan struct{}), up: make(chan struct{}), over: make(chan struct{}), fs: f}
	c := &fakeChannel{id: id, party: p, vars: map[string]string{varApp: "tgtrunk", varDialled: id, varFailed: "again"}}
	p.channel = c
	f.channels[id] = c
	f.park(c)
}

func (f *fakeFS) lives(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.channels[id] != nil
}

func (f *fakeFS) owner() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.globals["tgtrunk_owner_tgtrunk"]
}

func (f *fakeFS) setOwner(value string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.globals["tgtrunk_owner_tgtrunk"] = value
}

func (s *server) offered(t *testing.T) bridge.Offer {
	t.Helper()
	select {
	case o := <-s.offers:
		return o
	case <-time.After(10 * time.Second):
		t.Fatal("no call was offered")
	}
	panic("unreachable")
}

func endOf(t *testing.T, leg bridge.Leg) bridge.Ended {
	t.Helper()
	for {
		select {
		case e, open := <-leg.Events():
			if end, is := e.(bridge.Ended); is {
				return end
			}
			if !open {
				t.Fatal("events are over without Ended")
			}
		case <-time.After(10 * time.Second):
			t.Fatal("leg does not end")
		}
	}
}

// TestTwoLinksOneApp: of two links with one app the second lets the first's calls alone, takes none, and takes over when
// the first ends.
func TestTwoLinksOneApp(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	f := newFakeFS(t)
	f.calls = func(number string) *fakeParty {
		return &fakeParty{behaviour: trunktest.Answers, number: number, rings: make(chan struct{}), up: make(chan struct{}), over: make(chan struct{})}
	}
	first := f.serveWith(t, nil)
	soonTrue(t, "first is connected", first.Connected)
	leg := first.Dial(t.Context(), routing.Target{Endpoint: "fake/1"})
	soonTrue(t, "call of the first", func() bool { return len(first.legs.All()) == 1 && len(first.legs.Snapshot()) == 2 })
	own := slices.Collect(func(yield func(string) bool) {
		for id := range first.legs.Snapshot() {
			yield(id)
		}
	})

	second := f.serveWith(t, nil)
	time.Sleep(5 * second.timing.sweep) // nothing tells that it does nothing
	f.caller("anna")
	o := first.offered(t)
	if second.Connected() || len(second.offers) != 0 {
		t.Errorf("the second is connected: %v, was offered %d calls", second.Connected(), len(second.offers))
	}
	for _, id := range own {
		if !f.lives(id) {
			t.Errorf("channel %s of the first was hung up", id)
		}
	}
	if end := endOf(t, second.Dial(t.Context(), routing.Target{Endpoint: "fake/2"})); end.Cause.Reason != bridge.AccountDown || !errors.Is(end.Err, ErrReplaced) {
		t.Errorf("a call over the second ends with %v, %v", end.Cause, end.Err)
	}
	o.Leg.Hangup(bridge.CauseOf(bridge.Busy))
	endOf(t, o.Leg)

	first.stop()
	if end := endOf(t, leg); end.Cause.Reason != bridge.Normal {
		t.Errorf("call of the first ends with %v", end.Cause)
	}
	began := time.Now()
	soonTrue(t, "second takes over", second.Connected)
	if took := time.Since(began); took >= second.timing.lease {
		t.Errorf("it waited %v for an application that was given back", took)
	}
	f.caller("bob")
	o = second.offered(t)
	o.Leg.Hangup(bridge.CauseOf(bridge.Busy))
	endOf(t, o.Leg)
}

// TestPredecessorDied: an application whose process gives no sign of life is taken over, its waiting callers at once; its
// channels are hung up when it can have none any more.
func TestPredecessorDied(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	f := newFakeFS(t)
	dead := newIDs("tgtrunk")
	f.setOwner(dead.instance + "/host-b/4711/9")
	orphan, older := dead.next()+"-out", newIDs("tgtrunk").next()+"-out"
	for _, id := range []string{orphan, older} {
		f.channels[id] = &fakeChannel{id: id, vars: map[string]string{}, answered: true}
	}
	began := time.Now()
	s := f.serveWith(t, func(timing *timing) { timing.lostAfter = 2 * time.Second })
	time.Sleep(s.timing.lease / 2)
	if s.Connected() {
		t.Error("took over from a process that may live")
	}
	soonTrue(t, "taken over", s.Connected)
	if wait := time.Since(began); wait < s.timing.lease {
		t.Errorf("took over after %v", wait)
	}
	f.caller("anna")
	o := s.offered(t)
	soonTrue(t, "what is nobody's is gone", func() bool { return !f.lives(older) })
	if !f.lives(orphan) {
		t.Error("the channel of a process that may live was hung up")
	}
	soonTrue(t, "what the dead one left is gone", func() bool { return !f.lives(orphan) })
	if spared := time.Since(began) - s.timing.lease; spared < s.timing.lostAfter {
		t.Errorf("it was hung up after %v", spared)
	}
	o.Leg.Hangup(bridge.CauseOf(bridge.Busy))
	endOf(t, o.Leg)
}

// TestReplaced: a link whose application another one has taken ends its calls, touches nothing, and waits.
func TestReplaced(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	f := newFakeFS(t)
	s := f.serveWith(t, func(timing *timing) { timing.lease = time.Minute })
	soonTrue(t, "connected", s.Connected)
	if owner := f.owner(); !strings.HasPrefix(owner, s.ids.instance) || len(strings.Split(owner, "/")) < 4 {
		t.Errorf("owner %q", owner)
	}
	f.caller("anna")
	o := s.offered(t)
	f.setOwner(newIDs("tgtrunk").instance + "/host-b/4711/9")
	if end := endOf(t, o.Leg); end.Cause.Reason != bridge.Failure || !errors.Is(end.Err, ErrReplaced) {
		t.Errorf("ended with %v, %v", end.Cause, end.Err)
	}
	soonTrue(t, "stands down", func() bool { return !s.Connected() })
	time.Sleep(5 * s.timing.sweep) // nothing tells that it does nothing
	if !f.lives("anna") {
		t.Error("the caller was hung up, who is the other's now")
	}
	if len(s.offers) != 0 {
		t.Error("it took a call")
	}
	f.setOwner(freeTenure)
	soonTrue(t, "serves again", s.Connected)
	o = s.offered(t) // anna is parked
	o.Leg.Hangup(bridge.CauseOf(bridge.Busy))
	endOf(t, o.Leg)
	s.stop()
	if owner := f.owner(); owner != freeTenure {
		t.Errorf("left %q", owner)
	}
}

// TestManyClaim: of many links that start at once towards a FreeSWITCH that knows none, one serves, then the next.
func TestManyClaim(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	f := newFakeFS(t)
	slow := func(timing *timing) { timing.claim, timing.lease = 100*time.Millisecond, time.Minute }
	var links []*server
	for range 4 {
		links = append(links, f.serveWith(t, slow))
	}
	for len(links) > 0 {
		serving := func() (is []int) {
			for i, s := range links {
				if s.Connected() {
					is = append(is, i)
				}
			}
			return is
		}
		soonTrue(t, "one serves", func() bool { return len(serving()) > 0 })
		time.Sleep(200 * time.Millisecond)
		now := serving()
		if len(now) != 1 {
			t.Fatalf("%d of %d links serve", len(now), len(links))
		}
		links[now[0]].stop()
		links = slices.Delete(links, now[0], now[0]+1)
	}
	if owner := f.owner(); owner != freeTenure {
		t.Errorf("owner %q", owner)
	}
}

func TestHolder(t *testing.T) {
	t.Parallel()
	tenure := newTenure("tgtrunk", "tgtrunk-0-1-", "a@b")
	value := tenure.prefix + "7"
	if got := holder(value); !strings.HasPrefix(got, "process ") || !tenure.isOurs(value) {
		t.Errorf("holder of %q is %q", value, got)
	}
	for value, want := range map[string]string{value: "tgtrunk-0-1-", "free": "", "someone/else/1/2": ""} {
		if got := instanceOf(value, "tgtrunk-0-"); got != want {
			t.Errorf("instance of %q is %q", value, got)
		}
	}
	if fmt.Sprint(strings.ContainsAny(tenure.prefix, "= \n$;")) != "false" {
		t.Errorf("prefix %q", tenure.prefix)
	}
}
