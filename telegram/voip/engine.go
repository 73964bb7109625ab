package voip

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/telegram/voip/signaling"
)

// Engine is the transport and the media of one call. All methods may be called from any goroutine.
type Engine struct {
	c      Config
	log    *slog.Logger
	times  timeouts
	flow   *flow
	signal signals
	events *eventQueue

	started atomic.Bool
	live    atomic.Pointer[session] // while Run runs
	clear   bool                    // network_use_mtproto: neither DTLS nor SRTP
	orders

	mu    sync.Mutex
	facts Stats // what Stats returns, but for the figures of flow, channel and outbox; guarded by mu
}

// orders are what the engine's owner has asked for, for the session.
type orders struct {
	muted atomic.Bool
	mute  chan struct{} // SetMuted was called
	again chan struct{} // restartICE was called
}

// signals is the engine's end of the signalling.
type signals struct {
	channel signaling.Channel
	sctp    bool          // the framing tells native peers from web ones
	alone   bool          // candidates of reflectors are not signalled
	inbox   chan []byte   // messages on their way to the session
	stopped chan struct{} // closed when nobody takes from inbox any more
	outbox  *outbox
}

// New makes the engine of a call. It fails with ErrConfig or signaling.ErrVersion and starts nothing.
func New(c Config) (*Engine, error) {
	if c.Key == nil || c.Send == nil || (c.Role != signaling.Caller && c.Role != signaling.Callee) {
		return nil, fmt.Errorf("make call engine: %w: role, key and send are needed", ErrConfig)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	p, unknown, err := parseParameters(c.CustomParameters)
	if err != nil {
		return nil, err
	}
	told := new(toldKeys)
	if c.Net != nil {
		told = &c.Net.told
	}
	told.tell(c.Log, unknown)
	if slices.Contains(signaling.ReferenceVersions(), c.Version) {
		p = p.reference()
	}
	e := &Engine{
		c: c, log: c.Log, times: defaultTimeouts(), flow: newFlow(), events: newEventQueue(),
		orders: orders{mute: make(chan struct{}, 1), again: make(chan struct{}, 1)},
		clear:  p.mtproto,
		facts:  Stats{State: Connecting, Version: c.Version},
	}
	framing := p.framing(c.Version)
	e.signal = signals{
		sctp:  p.carried(framing),
		alone: p.standalone,
		inbox: make(chan []byte), stopped: make(chan struct{}), outbox: newOutbox(c.Send, c.Log),
	}
	e.signal.channel, err = signaling.Open(signaling.Config{
		Version: framing, Role: c.Role, Key: c.Key, Log: c.Log,
		Transmit: e.signal.outbox.put, NoSCTP: p.noSCTP, Timers: p.timers,
		Deliver: e.signal.deliver,
	})
	if err != nil {
		return nil, fmt.Errorf("make call engine: %w", err)
	}
	return e, nil
}

// Run carries the call until ctx ends, which returns nil, or the transport has failed for good. It is called once;
// nothing outlives it.
func (e *Engine) Run(ctx context.Context) error {
	if !e.started.CompareAndSwap(false, true) {
		return ErrRunning
	}
	defer e.events.close()
	e.note(func(s *Stats) { s.Timings.Started = time.Now() })
	n := e.c.Net
	if n == nil {
		own, err := ListenNet(NetOptions{Shards: 1, Log: e.log})
		if err != nil {
			return e.finish(ctx, err)
		}
		defer own.Close()
		n = own
	}
	return e.finish(ctx, e.run(ctx, n))
}

func (e *Engine) run(parent context.Context, n *Net) error {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	s, err := newSession(ctx, e, n)
	if err != nil {
		return err
	}
	e.live.Store(s)
	defer e.live.Store(nil)
	var group sync.WaitGroup
	defer group.Wait()
	defer s.close()
	defer func() {
		cancel()
		close(e.signal.stopped)
	}()
	group.Go(func() {
		if err := e.signal.channel.Run(ctx); err != nil {
			e.log.Warn("signalling has ended", "error", err)
		}
	})
	group.Go(func() { e.signal.outbox.run(ctx) })
	return s.run() //nolint:contextcheck // the session keeps the context it was made with
}

// finish tells the end of the call to the world.
func (e *Engine) finish(ctx context.Context, err error) error {
	_ = e.flow.Close()
	if ctx.Err() != nil {
		return nil //nolint:nilerr // the ordinary end, whatever it interrupted
	}
	e.log.Info("call transport ends", "error", err)
	e.state(Failed)
	return err
}

// deliver brings a message from the channel's goroutine to the session.
func (s *signals) deliver(message []byte) {
	select {
	case s.inbox <- message:
	case <-s.stopped:
	}
}

// Receive takes one packet of updatePhoneCallSignalingData and keeps nothing of it. It never blocks and may be called
// before Run.
func (e *Engine) Receive(packet []byte) { e.signal.channel.Receive(packet) }

// Events delivers what happens. Nobody needs to read it: when its buffer is full the oldest event is dropped. It is
// closed when Run returns.
func (e *Engine) Events() <-chan Event { return e.events.out }

// Flow is the call's audio. Its format is final when Established is told; until then it may be called Opus and become
// G.711. What is written before the call is established is dropped and counted. Its Close must not be called from within
// the attached sink. It can also WritePadding(n int), as native engines do.
func (e *Engine) Flow() media.Flow { return e.flow }

// SetMuted tells the peer that we are silent, or no longer. It does not stop audio that is written to the Flow.
func (e *Engine) SetMuted(muted bool) {
	if e.muted.Swap(muted) == muted {
		return
	}
	select {
	case e.mute <- struct{}{}:
	default: // the session will look anyway
	}
}

// restartICE looks for a new path to the peer; audio goes on on the old one until there is another. It does nothing before
// the call is established or while a restart is under way, and nothing towards a web engine, which would not follow. The
// service never begins a restart, it answers those of peers (docs/adr/0029): this is how tests are such a peer.
func (e *Engine) restartICE() {
	select {
	case e.again <- struct{}{}:
	default: // one will do
	}
}

// Stats returns the figures so far.
func (e *Engine) Stats() Stats {
	e.mu.Lock()
	s := e.facts
	e.mu.Unlock()
	s.Media = e.flow.Stats()
	s.Signaling = e.signal.channel.Stats()
	s.Timings.FirstIn, s.Timings.FirstOut = s.Media.FirstReceived, s.Media.FirstSent
	c := &e.flow.counts
	s.Drops.Early, s.Drops.Unsent, s.Drops.Reports = c.early.Load(), c.unsent.Load(), c.reports.Load()
	s.Drops.Packets = e.signal.outbox.dropped.Load()
	return s
}

// note changes what Stats tells.
func (e *Engine) note(change func(*Stats)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change(&e.facts)
}

// state reports a state that has been reached.
func (e *Engine) state(s State) {
	e.note(func(f *Stats) { f.State = s })
	e.events.put(StateChanged{s})
}

func (e *Engine) dropMessage(why string, err error) {
	e.note(func(s *Stats) { s.Drops.Messages++ })
	e.log.Debug("signalling message dropped", "why", why, "error", err)
}

func (e *Engine) dropCandidate(err error) {
	e.note(func(s *Stats) { s.Drops.Candidates++ })
	e.log.Debug("remote candidate dropped", "error", err)
}

// eventQueue is a bounded queue that forgets the oldest.
type eventQueue struct {
	mu     sync.Mutex
	closed bool
	out    chan Event
}

func newEventQueue() *eventQueue { return &eventQueue{out: make(chan Event, 32)} }

func (q *eventQueue) put(ev Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.closed {
		select {
		case q.out <- ev:
			return
		default:
		}
		select {
		case <-q.out:
		default:
		}
	}
}

func (q *eventQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	close(q.out)
}
