package voip

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/telegram/voip/signaling"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wire carries signalling packets between two engines in order, as Telegram does; taps may look or drop.
type wire struct {
	mu  sync.Mutex
	to  *Engine
	tap func(packet []byte) (pass bool)
}

func (w *wire) send(packet []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tap == nil || w.tap(packet) {
		w.to.Receive(packet)
	}
	return nil
}

// pair is two engines of one call.
type pair struct {
	caller, callee *side
}

type side struct {
	*Engine
	out    *wire
	cancel context.CancelFunc
	done   chan error
}

type pairOptions struct {
	version      string
	relayOnly    bool
	servers      []Server // of both
	mine, theirs []Server // the caller's and the callee's besides
	callerNet    *Net
	calleeNet    *Net
	prepare      func(caller, callee *Engine)
	delayed      bool // the test starts the engines
	customCaller string
	customCallee string
}

func testLog(t *testing.T) *slog.Logger {
	if os.Getenv("VOIP_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func loopbackNet(t *testing.T, shards int) *Net {
	t.Helper()
	n, err := ListenNet(NetOptions{Listen: "127.0.0.1:0", Shards: shards, Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n
}

// everyVersion lists all library versions there are.
func everyVersion() []string {
	return slices.Concat(signaling.Versions(), signaling.ReferenceVersions())
}

func newPair(t *testing.T, o pairOptions) *pair {
	t.Helper()
	if o.version == "" {
		o.version = "13.0.0"
	}
	if o.callerNet == nil {
		o.callerNet = loopbackNet(t, 1)
	}
	if o.calleeNet == nil {
		o.calleeNet = loopbackNet(t, 1)
	}
	key := &Key{}
	rand.Read(key[:])
	p := &pair{}
	make1 := func(role Role, n *Net, custom string, more []Server) *side {
		w := &wire{}
		e, err := New(Config{
			Role: role, Key: key, Version: o.version, P2P: !o.relayOnly, Servers: slices.Concat(o.servers, more),
			Send: w.send, Net: n, Log: testLog(t).With("role", role), CustomParameters: custom,
		})
		if err != nil {
			t.Fatal(err)
		}
		return &side{Engine: e, out: w, done: make(chan error, 1)}
	}
	p.caller = make1(signaling.Caller, o.callerNet, o.customCaller, o.mine)
	p.callee = make1(signaling.Callee, o.calleeNet, o.customCallee, o.theirs)
	p.caller.out.to, p.callee.out.to = p.callee.Engine, p.caller.Engine
	if o.prepare != nil {
		o.prepare(p.caller.Engine, p.callee.Engine)
	}
	if !o.delayed {
		p.caller.start(t)
		p.callee.start(t)
	}
	return p
}

func (s *side) start(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	go func() { s.done <- s.Run(ctx) }()
	t.Cleanup(func() { s.stop(t) })
}

// stop ends the engine and checks that it goes at once.
func (s *side) stop(t *testing.T) {
	t.Helper()
	if s.cancel == nil {
		return
	}
	s.cancel()
	s.cancel = nil
	began := time.Now()
	select {
	case <-s.done:
	case <-time.After(5 * time.Second):
		t.Fatal("engine does not end")
	}
	if took := time.Since(began); took > 1500*time.Millisecond { // a second, and what a busy machine adds
		t.Errorf("engine took %v to end", took)
	}
}

// await reads events until one of type E satisfies want.
func await[E Event](t *testing.T, e *Engine, limit time.Duration, want func(E) bool) E {
	t.Helper()
	timeout := time.After(limit)
	for {
		select {
		case ev, ok := <-e.Events():
			if !ok {
				t.Fatal("events ended")
			}
			if ev, ok := ev.(E); ok && want(ev) {
				return ev
			}
		case <-timeout:
			t.Fatalf("event did not come; %+v", e.Stats())
		}
	}
}

func awaitState(t *testing.T, e *Engine, limit time.Duration, want State) {
	t.Helper()
	await(t, e, limit, func(ev StateChanged) bool { return ev.State == want })
}

func (p *pair) establish(t *testing.T) {
	t.Helper()
	awaitState(t, p.caller.Engine, 15*time.Second, Established)
	awaitState(t, p.callee.Engine, 15*time.Second, Established)
}

// recorder keeps copies of what a flow receives.
type recorder struct {
	mu      sync.Mutex
	packets []media.Packet
	arrived chan struct{}
}

func newRecorder() *recorder { return &recorder{arrived: make(chan struct{}, 1024)} }

func (r *recorder) WriteAudio(p *media.Packet) {
	r.mu.Lock()
	c := *p
	c.Payload = append([]byte(nil), p.Payload...)
	r.packets = append(r.packets, c)
	r.mu.Unlock()
	select {
	case r.arrived <- struct{}{}:
	default:
	}
}

func (r *recorder) all() []media.Packet {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]media.Packet(nil), r.packets...)
}

// wait blocks until the recorder has n packets.
func (r *recorder) wait(t *testing.T, n int) []media.Packet {
	t.Helper()
	timeout := time.After(5 * time.Second)
	for {
		if got := r.all(); len(got) >= n {
			return got
		}
		select {
		case <-r.arrived:
		case <-timeout:
			t.Fatalf("%d packets came, want %d", len(r.all()), n)
		}
	}
}

// until polls a condition that no event tells.
func until(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not within %v", what, limit)
		}
	}
}

// exchange sends marked packets both ways and checks that they arrive at the right ends.
func (p *pair) exchange(t *testing.T, mark string) {
	t.Helper()
	up, down := newRecorder(), newRecorder()
	p.callee.Flow().Attach(up)
	p.caller.Flow().Attach(down)
	until(t, 5*time.Second, "both offers answered", func() bool {
		return p.caller.flow.writable() && p.callee.flow.writable()
	})
	for i := range 10 {
		p.caller.Flow().WriteAudio(&media.Packet{Timestamp: uint32(i * 960), Marker: i == 0, Payload: fmt.Appendf(nil, "up %s %d", mark, i)})
		p.callee.Flow().WriteAudio(&media.Packet{Timestamp: uint32(i * 960), Marker: i == 0, Payload: fmt.Appendf(nil, "down %s %d", mark, i)})
	}
	check(t, up.wait(t, 10), "up "+mark)
	check(t, down.wait(t, 10), "down "+mark)
	p.callee.Flow().Attach(nil)
	p.caller.Flow().Attach(nil)
}

func check(t *testing.T, got []media.Packet, mark string) {
	t.Helper()
	for i, g := range got {
		if want := fmt.Sprintf("%s %d", mark, i); string(g.Payload) != want {
			t.Fatalf("packet %d holds %q, want %q", i, g.Payload, want)
		}
		if i > 0 && (g.Sequence != got[i-1].Sequence+1 || g.Timestamp != got[i-1].Timestamp+960) {
			t.Errorf("packet %d: sequence %d after %d, timestamp %d after %d", i, g.Sequence, got[i-1].Sequence, g.Timestamp, got[i-1].Timestamp)
		}
		if g.Marker != (i == 0) {
			t.Errorf("packet %d: marker %v", i, g.Marker)
		}
	}
}

func (f *flow) writable() bool {
	f.out.mu.Lock()
	defer f.out.mu.Unlock()
	return f.mayWrite()
}
