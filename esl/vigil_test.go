package esl

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/tgtrunk/tgtrunk/bridge"
)

// setWitness lets mod_verto list a WebSocket of a process, or no longer.
func (f *fakeFS) setWitness(instance string, is bool) func() {
	f.mu.Lock()
	defer f.mu.Unlock()
	conn := new(websocket.Conn)
	if is {
		f.sockets[conn] = instance + "1-verto"
	}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.sockets, conn)
	}
}

// TestOwnerWasKilled: an application whose holder's WebSocket goes without another word of it is taken over long before
// the lease is over, and the callers who were parked meanwhile are served.
func TestOwnerWasKilled(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	f := newFakeFS(t)
	dead := newIDs("tgtrunk")
	f.setOwner(dead.instance + "/host-b/4711/9/a@b")
	kill := f.setWitness(dead.instance, true)
	s := f.serveWith(t, func(timing *timing) { timing.lease = time.Minute })
	time.Sleep(2 * s.timing.bereft) // nothing tells that it does nothing
	if s.Connected() {
		t.Fatal("took over from a process whose WebSocket is there")
	}
	kill()
	began := time.Now()
	f.caller("anna")
	soonTrue(t, "taken over", s.Connected)
	if took := time.Since(began); took < s.timing.bereft {
		t.Errorf("took over after %v", took)
	}
	o := s.offered(t)
	if o.Dialled != "anna" {
		t.Errorf("offer %+v", o.Request)
	}
	o.Leg.Hangup(bridge.CauseOf(bridge.Busy))
	endOf(t, o.Leg)
}

// TestOwnerMayLive: nothing but the end of the WebSocket that the holder has named, followed by silence, is taken for
// its end.
func TestOwnerMayLive(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	for _, c := range []struct {
		name    string
		value   string
		settles bool
		play    func(f *fakeFS, instance string)
	}{
		{"it never had one", "/host-b/4711/9", true, func(*fakeFS, string) {}},
		{"its login is none", "/host-b/4711/9/a b@c", true, func(*fakeFS, string) {}},
		{"it goes on writing", "/host-b/4711/9/a@b", false, func(f *fakeFS, instance string) {
			for beat := range 50 {
				f.setOwner(fmt.Sprintf("%s/host-b/4711/%d/a@b", instance, beat))
				time.Sleep(20 * time.Millisecond)
			}
		}},
		{"it says that it has lost it", "/host-b/4711/9/a@b", true, func(f *fakeFS, instance string) {
			time.Sleep(100 * time.Millisecond)
			f.setOwner(instance + "/host-b/4711/10")
		}},
		{"freeswitch does not say", "/host-b/4711/9/a@b", true, func(f *fakeFS, _ string) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.noVerto = true
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFakeFS(t)
			other := newIDs("tgtrunk")
			f.setOwner(other.instance + c.value)
			s := f.serveWith(t, func(timing *timing) { timing.lease, timing.bereft = time.Minute, 500*time.Millisecond })
			if c.play(f, other.instance); c.settles {
				time.Sleep(2 * s.timing.bereft) // nothing tells that it does nothing
			}
			if s.Connected() || !strings.HasPrefix(f.owner(), other.instance) {
				t.Errorf("took over from a process that may live: %q", f.owner())
			}
		})
	}
}

// TestOwnerLosesWebSocket: a holder whose WebSocket is lost, and refused from then on, keeps the application, beside
// another that waits for it.
func TestOwnerLosesWebSocket(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	f := newFakeFS(t)
	long := func(timing *timing) { timing.lease, timing.beat = time.Minute, time.Minute }
	first := f.serveWith(t, func(timing *timing) { timing.lease = time.Minute })
	soonTrue(t, "first is connected", first.Connected)
	soonTrue(t, "its WebSocket is named", func() bool { return strings.HasSuffix(f.owner(), "/a@b") })
	second := f.serveWith(t, long)
	f.mu.Lock()
	f.noLogin = true
	f.mu.Unlock()
	f.dropVerto()
	soonTrue(t, "it is named no longer", func() bool { return !strings.HasSuffix(f.owner(), "/a@b") })
	time.Sleep(4 * second.timing.bereft) // nothing tells that it does nothing
	if second.Connected() || !first.Connected() {
		t.Errorf("first serves: %v, second: %v", first.Connected(), second.Connected())
	}
}

// TestOwnerFallsSilent: a holder whose signs of life do not get through gives its connection up before anybody else
// may have the application, however long a command may take.
func TestOwnerFallsSilent(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	f := newFakeFS(t)
	s := f.serveWith(t, nil) // its commands may take longer than the lease
	soonTrue(t, "connected", s.Connected)
	held, done := make(chan struct{}), make(chan struct{})
	f.mu.Lock()
	f.before = func(line string) {
		if strings.HasPrefix(line, "global_") {
			<-held
		}
	}
	f.mu.Unlock()
	value, since := f.owner(), time.Now()
	go func() {
		defer close(done)
		for deadline := time.Now().Add(10 * time.Second); s.Connected() && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			if now := f.owner(); now != value {
				value, since = now, time.Now()
			}
		}
	}()
	<-done
	if silence := time.Since(since); silence >= s.timing.lease {
		t.Errorf("it serves for %v after its last sign of life", silence)
	}
	close(held)
	soonTrue(t, "serves again", s.Connected)
}

// TestTakenOverInTime: callers who park while nobody is there, because the process was killed, wait in the dialplan as it
// is delivered for longer than it takes to be found.
func TestTakenOverInTime(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../deploy/freeswitch/dialplan/tgtrunk.xml")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`data="park_timeout=(\d+):`).FindSubmatch(text)
	if found == nil {
		t.Fatal("the dialplan limits no park")
	}
	seconds, _ := strconv.Atoi(string(found[1]))
	timing := defaultTiming()
	// FreeSWITCH counts whole seconds, and the look that finds the WebSocket gone comes as late as the one that takes over.
	patience, needs := time.Duration(seconds-1)*time.Second, timing.bereft+2*timing.standby+listingLag
	if needs > patience-time.Second {
		t.Errorf("a caller waits for %v, and is found after %v", patience, needs)
	}
	if timing.bereft <= timing.beat || minLooks*timing.standby > timing.bereft || timing.fence()+timing.beat > timing.lease {
		t.Errorf("%+v", timing)
	}
}

func TestWitnessIn(t *testing.T) {
	t.Parallel()
	for value, want := range map[string][2]string{
		"":                              {},
		"free":                          {},
		"tgtrunk-0-1-/host/1/2":         {},
		"tgtrunk-0-1-/host/1/2/":        {},
		"tgtrunk-0-1-/host/1/2/a@b":     {"tgtrunk-0-1-", "a@b"},
		"/host/1/2/a@b":                 {},
		"tgtrunk-0-1-/host/1/2/a@b c":   {},
		"tgtrunk-0-1-/host/1/2/a@b/c@d": {},
		"tgtrunk-0-1-/host/1/2/a=@b":    {},
		newTenure("tgtrunk", "tgtrunk-0-1-", "tg-1_x@pbx.example.org").prefix + "7/tg-1_x@pbx.example.org": {"tgtrunk-0-1-", "tg-1_x@pbx.example.org"},
	} {
		if instance, login := witnessIn(value); [2]string{instance, login} != want {
			t.Errorf("%q names %q of %q", value, login, instance)
		}
	}
}
