package calls

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gotd/td/tg"

	"github.com/tgtrunk/tgtrunk/telegram/voip"
)

// Call is one call. Its methods may be called from any goroutine, at any time, and never block; what comes too late
// is ignored.
type Call struct {
	line     *Line
	outgoing bool
	target   tg.InputUserClass // outgoing: whom to call
	facts    facts
	mail     *mailbox
	events   chan Event
	settled  chan struct{}   // closed when it is certain whether Telegram has taken the call
	base     context.Context // of all requests; set once, before run
	progress                 // belongs to run's goroutine
}

// progress is where a call stands.
type progress struct {
	log   *slog.Logger
	jobs  jobs
	phase phase
	timer *time.Timer // of the phase
	handshake
	media mediaState
	doubt *time.Timer // running: the call seems to be over, see suspect
	end   *verdict    // set once: the call is over
}

// facts is what other goroutines may ask of a call.
type facts struct {
	id          atomic.Int64
	admin       atomic.Int64 // user id of the caller
	participant atomic.Int64 // user id of the callee
	engine      atomic.Pointer[Engine]
}

// phase is how far a call is.
type phase uint8

const (
	gettingGroup phase = iota // outgoing: Diffie-Hellman group asked for
	requesting                // outgoing: phone.requestCall is on its way
	waiting                   // outgoing: the callee is being looked for, or rings
	confirming                // outgoing: accepted, phone.confirmCall is on its way
	offered                   // incoming: nobody has accepted yet
	preparing                 // incoming: accepted by us, Diffie-Hellman group asked for
	accepting                 // incoming: phone.acceptCall is sent, the caller has not confirmed
	connecting                // the key is there, the engine runs
	established               // audio can flow
)

// The event channel holds everything that comes once, and a few repeated ones.
const (
	eventRoom    = 16
	eventsLevels = 8 // beyond so many unread events, repeated ones are dropped
)

func newCall(l *Line, outgoing bool) *Call {
	c := &Call{line: l, outgoing: outgoing, events: make(chan Event, eventRoom), settled: make(chan struct{}), mail: newMailbox()}
	c.log = l.log
	if outgoing {
		c.facts.admin.Store(l.opts.Self)
	}
	return c
}

// ID is Telegram's id of the call; 0 for an outgoing call until Requested.
func (c *Call) ID() int64 { return c.facts.id.Load() }

// Outgoing says whether we are the caller.
func (c *Call) Outgoing() bool { return c.outgoing }

// Peer is the user id of the other party; 0 where an outgoing call was placed without it, until Requested.
func (c *Call) Peer() int64 {
	if c.outgoing {
		return c.facts.participant.Load()
	}
	return c.facts.admin.Load()
}

// Placed waits, after Ended, until it is certain whether Telegram has taken an outgoing call: one that was given up while
// phone.requestCall was on its way may have rung all the same.
func (c *Call) Placed() bool {
	<-c.settled
	return c.ID() != 0
}

// Events delivers what happens. Ended comes once and last, then the channel is closed. An owner that does not read
// loses repeated events only.
func (c *Call) Events() <-chan Event { return c.events }

// Accept takes an incoming call.
func (c *Call) Accept() { c.mail.post(c.accept) }

// Taken says that somebody wants an incoming call: with ReceivedOnceTaken its caller hears ringing from now on.
func (c *Call) Taken() { c.mail.post(c.taken) }

// Leave ends an incoming call for us only: Telegram is told nothing, and the account's other devices go on ringing. Once
// the call has been accepted it is Discard.
func (c *Call) Leave() { c.mail.post(c.leave) }

// Discard ends the call, whatever its state; Ordinary picks the reason that fits the moment. The first end wins.
func (c *Call) Discard(r Reason) { c.mail.post(func() { c.hangUp(r) }) }

// SetMuted tells the peer that we are silent, or no longer.
func (c *Call) SetMuted(muted bool) {
	if e := c.facts.engine.Load(); e != nil {
		(*e).SetMuted(muted)
	}
}

// Stats returns the figures of the call's engine; false until there is one.
func (c *Call) Stats() (voip.Stats, bool) {
	e := c.facts.engine.Load()
	if e == nil {
		return voip.Stats{}, false
	}
	return (*e).Stats(), true
}

// post brings what came from Telegram to the call.
func (c *Call) post(p parcel) { c.mail.post(func() { c.receive(p) }) }

// refuse ends a call that has never begun to run.
func (c *Call) refuse(err *Error) {
	c.mail.close()
	close(c.settled)
	c.events <- Ended{Err: err}
	close(c.events)
}

// run is the call's life; it owns its progress.
func (c *Call) run() {
	c.jobs = newJobs(c.base)
	c.timer = time.NewTimer(time.Hour)
	c.timer.Stop()
	if c.outgoing {
		c.place()
	} else {
		c.offer()
	}
	for c.end == nil {
		select {
		case <-c.mail.wake:
			c.work()
		case p := <-c.ask.placed:
			c.requested(p)
		case e, ok := <-c.media.events:
			c.engineEvent(e, ok)
		case err := <-c.media.done:
			c.engineDone(err)
		case <-c.timer.C:
			c.tooLate()
		case <-c.line.ending:
			c.close(verdict{reason: c.ordinary(), discard: true, err: &Error{Kind: Closed, Err: errLineClosed}})
		}
	}
	c.finish()
}

// work does what is queued, until the call is over.
func (c *Call) work() {
	for _, do := range c.mail.take() {
		if c.end != nil {
			return
		}
		do()
	}
}

// enter starts a phase that may last so long; 0 means that something else bounds it.
func (c *Call) enter(p phase, limit time.Duration) {
	c.phase = p
	c.timer.Stop()
	if limit > 0 {
		c.timer.Reset(limit)
	}
}

// tooLate ends the call because its phase has lasted too long.
func (c *Call) tooLate() {
	switch c.phase {
	case requesting:
		c.fail(&Error{Kind: NoConnection, Err: errUnanswered})
	case waiting:
		kind := NotReceived
		if c.received {
			kind = NotAnswered
		}
		c.close(verdict{reason: Missed, discard: true, err: &Error{Kind: kind}})
	case offered:
		c.unanswered()
	case accepting:
		c.fail(&Error{Kind: NoMedia, Err: errNotConfirmed})
	case connecting:
		c.fail(&Error{Kind: NoMedia, Err: errNotConnected})
	}
}

// emit hands an event to the owner. It never blocks: what comes once always has room.
func (c *Call) emit(e Event) {
	switch e.(type) {
	case Reconnecting, Reconnected, MediaState:
		if len(c.events) >= eventsLevels {
			c.log.Debug("dropped call event that nobody reads")
			return
		}
	}
	c.events <- e
}

// mailbox is the call's queue: whatever others want of it, in order, done by its own goroutine.
type mailbox struct {
	wake   chan struct{} // holds one token while something is queued
	mu     sync.Mutex
	queue  []func()
	closed bool
}

func newMailbox() *mailbox { return &mailbox{wake: make(chan struct{}, 1)} }

func (m *mailbox) post(do func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	m.queue = append(m.queue, do)
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// take empties the queue.
func (m *mailbox) take() []func() {
	m.mu.Lock()
	defer m.mu.Unlock()
	queue := m.queue
	m.queue = nil
	return queue
}

// close drops what is queued, and what will be.
func (m *mailbox) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed, m.queue = true, nil
}

// jobs are the requests that a call has on their way, and what bounds them.
type jobs struct {
	ctx    context.Context // ends with the call
	cancel context.CancelFunc
	group  *sync.WaitGroup
}

func newJobs(base context.Context) jobs {
	ctx, cancel := context.WithCancel(base)
	return jobs{ctx: ctx, cancel: cancel, group: new(sync.WaitGroup)}
}

// async makes a request in its own goroutine; then is done by the call's goroutine unless the call has ended.
func (c *Call) async(request func(ctx context.Context) (then func())) {
	c.jobs.group.Go(func() {
		ctx, cancel := context.WithTimeout(c.jobs.ctx, c.line.opts.Limits.Request)
		defer cancel()
		c.mail.post(request(ctx))
	})
}
