package telegram

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/routing"
	"github.com/tgtrunk/tgtrunk/telegram/calls"
	"github.com/tgtrunk/tgtrunk/telegram/chat"
)

// leg is our half of a call with a Telegram user. One goroutine owns it: dial's or carry's.
type leg struct {
	account *Account
	id      string
	log     *slog.Logger
	events  chan bridge.Event // has room for every event of a leg
	answer  chan struct{}     // closed by the first Answer
	hung    chan struct{}     // closed by the first Hangup
	holds   chan struct{}     // Hold was called

	interest
	keys keys // digits by chat
	party

	mu       sync.Mutex
	answered bool
	held     bool
	cause    *bridge.Cause // of the first Hangup
	agent    chat.Agent    // who is at the PBX's end, as it was told last; zero: not known

	stage // belongs to the leg's goroutine
}

// party is who is at a leg's other end; set before the leg joins the account's talks.
type party struct {
	with   Peer
	caller *chat.Caller // from the PBX; nil where the person calls, or has asked for the call
	offer  func()       // of a call that the person has asked for: offers the leg; nil for all others
}

// stage is how far a leg is.
type stage struct {
	outgoing bool
	reachIn  time.Duration // outgoing: how long until a device must have it, from the moment Telegram has taken it
	ring     time.Duration // outgoing: how long it may ring
	placed   bool          // outgoing: Telegram has taken the call
	reached  time.Time     // when a device of the callee had the call; zero before
	accepted bool          // the callee has accepted, or we have
	report   bridge.Report // what has been learnt for the record
	callee   int64         // outgoing: user-id
}

// legRoom holds Facts, Reached, Ringing, Answered, Media and Ended; keyRoom typed digits besides.
const (
	legRoom = 8
	keyRoom = 64
)

func newLeg(a *Account, id string) *leg {
	return &leg{
		stage:    stage{report: bridge.Report{Kind: bridge.Telegram}},
		account:  a,
		id:       id,
		log:      a.log.With("leg", id),
		events:   make(chan bridge.Event, legRoom+keyRoom),
		answer:   make(chan struct{}),
		hung:     make(chan struct{}),
		holds:    make(chan struct{}, 1),
		interest: interest{taken: make(chan struct{})},
		keys:     keys{typed: make(chan struct{}, 1)},
	}
}

// ID implements bridge.Leg.
func (l *leg) ID() string { return l.id }

// Events implements bridge.Leg.
func (l *leg) Events() <-chan bridge.Event { return l.events }

// Ring implements bridge.Leg. Telegram has no such thing: the caller's phone rings from the moment that
// phone.receivedCall is sent, or not at all, depending on the account's mode.
func (l *leg) Ring() {}

// Answer implements bridge.Leg.
func (l *leg) Answer() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.answered {
		l.answered = true
		close(l.answer)
	}
}

// Hangup implements bridge.Leg.
func (l *leg) Hangup(c bridge.Cause) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause == nil {
		l.cause = &c
		close(l.hung)
	}
}

// Hold implements bridge.Holder: the user sees that the other side's microphone is off.
func (l *leg) Hold(on bool) {
	l.mu.Lock()
	l.held = on
	l.mu.Unlock()
	select {
	case l.holds <- struct{}{}:
	default: // the leg's goroutine will look anyway
	}
}

// Introduce implements bridge.Introducer: who asks to be called back gets this person.
func (l *leg) Introduce(p routing.Party) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.agent = chat.Agent{Extension: p.Number, Name: p.Name}
}

// spokeWith is who was at the PBX's end: the one introduced last, else who is known without that.
func (l *leg) spokeWith(known chat.Agent) chat.Agent {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.agent.Extension == "" {
		return known
	}
	return l.agent
}

func (l *leg) onHold() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held
}

// wanted is the cause of the first Hangup.
func (l *leg) wanted() (bridge.Cause, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause == nil {
		return bridge.Cause{}, false
	}
	return *l.cause, true
}

// end tells the last event.
func (l *leg) end(c bridge.Cause, err error) {
	log := l.log.With("cause", c.String())
	if err != nil {
		log = log.With("error", err)
	}
	log.Debug("leg ended")
	l.report.Note = l.account.explain(c.Reason, l.outgoing)
	l.events <- bridge.Ended{Cause: c, Err: err, Report: l.report}
	close(l.events)
}

// fail ends the leg with an error's own verdict, unless it was hung up before.
func (l *leg) fail(err error) {
	if c, ok := l.wanted(); ok {
		l.end(c, nil)
		return
	}
	e := l.account.judge(err)
	l.end(e.Cause(), e)
}

// until returns a context for the leg's requests: it ends with the caller's, with the session, and with a hang-up.
func (l *leg) until(ctx context.Context, s *session) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stopSession := context.AfterFunc(s.ctx, cancel)
	done := make(chan struct{})
	go func() {
		select {
		case <-l.hung:
			cancel()
		case <-done:
		}
	}()
	return ctx, sync.OnceFunc(func() {
		close(done)
		stopSession()
		cancel()
	})
}

// carry goes with an incoming call.
func (l *leg) carry(c *calls.Call) {
	began := time.Now()
	l.account.desk.join(l)
	defer l.account.desk.leave(l)
	ended := l.follow(context.Background(), c)
	l.account.desk.left(l, ended, time.Since(began))
	l.finish(ended)
}

// follow turns a call's events into the leg's, and the leg's orders into the call's, until the call has ended.
func (l *leg) follow(ctx context.Context, c *calls.Call) calls.Ended {
	limit := time.NewTimer(time.Hour)
	limit.Stop()
	defer limit.Stop()
	hung, answer, taken, gone := l.hung, l.answer, l.taken, ctx.Done()
	if l.outgoing {
		answer, taken = nil, nil
	}
	for {
		select {
		case e := <-c.Events():
			if ended, ok := e.(calls.Ended); ok {
				l.note(c, ended)
				return ended
			}
			l.tell(e, limit)
		case <-answer:
			answer = nil
			c.Accept()
		case <-taken:
			taken = nil
			c.Taken()
		case <-l.holds:
			c.SetMuted(l.onHold())
		case <-l.keys.typed:
			l.passKeys()
		case <-hung:
			hung = nil
			want, _ := l.wanted()
			l.drop(c, want)
		case <-gone:
			gone = nil
			l.Hangup(bridge.CauseOf(bridge.Cancelled))
		case <-limit.C:
			l.Hangup(bridge.CauseOf(l.tooLate()))
		}
	}
}

// note takes down for the record what is known of a call that has ended.
func (l *leg) note(c *calls.Call, e calls.Ended) {
	r := &l.report
	if id := c.ID(); id != 0 {
		r.CallID = strconv.FormatInt(id, 10)
	}
	by := "us"
	if e.Remote {
		by = "them"
	}
	r.Said = e.Reason.String() + " by " + by
	if s, ok := c.Stats(); ok {
		r.Path = bridge.Path{Relay: s.Relay, Local: s.Local, Remote: s.Remote, Library: s.Version, SRTP: s.SRTPProfile}
	}
}

// tooLate says what it means that nobody has answered in time.
func (l *leg) tooLate() bridge.Reason {
	if l.reached.IsZero() {
		return bridge.Unreachable
	}
	return bridge.NoAnswer
}

// discardReason is what Telegram is told of a hang-up.
func (l *leg) discardReason(c bridge.Cause) calls.Reason {
	if l.accepted && c.Reason == bridge.MediaFailed {
		return calls.Disconnect
	}
	return calls.Ordinary
}

// tell passes on what the call has come to.
func (l *leg) tell(e calls.Event, limit *time.Timer) {
	switch e := e.(type) {
	case calls.Requested:
		l.placed = true
		if l.reachIn > 0 {
			limit.Reset(l.reachIn)
		}
	case calls.Received:
		l.reached = time.Now()
		l.account.desk.rings(l)
		l.pass(bridge.Reached{})
		l.pass(bridge.Ringing{})
		limit.Stop()
		if l.ring > 0 {
			limit.Reset(l.ring)
		}
	case calls.Accepted:
		limit.Stop()
		l.accepted = true
		if !l.outgoing {
			return
		}
		l.account.peers.meet(l.callee) // not at the end of the call: where the service ends with it, nobody would write it down
		if l.reached.IsZero() {        // an app may accept without having said that it rings, or be heard first
			l.reached = time.Now()
			l.pass(bridge.Reached{})
		}
		l.pass(bridge.Answered{})
	case calls.Established:
		l.keys.up.Store(true)
		if l.offer != nil {
			l.offer()
		}
		l.events <- bridge.Media{Flow: e.Flow}
	case calls.Reconnecting:
		l.log.Info("nothing is heard of the other side")
	case calls.Reconnected:
		l.log.Info("other side is heard again")
	}
}

// pass passes a step of the dialling on; those of a call that nobody has been offered yet are nobody's.
func (l *leg) pass(e bridge.Event) {
	if l.offer == nil {
		l.events <- e
	}
}

// finish ends the leg as its call has ended.
func (l *leg) finish(e calls.Ended) {
	if e.Err != nil {
		l.fail(e.Err)
		return
	}
	if c, ok := l.wanted(); ok {
		l.end(c, nil)
		return
	}
	reason := l.reasonOf(e)
	var err error
	if reason == bridge.MediaFailed {
		err = verdict(reason, errors.New("the other side has lost the connection"))
	}
	l.end(bridge.CauseOf(reason), err)
}

// reasonOf says what a discard by the other side, or by Telegram, means at this stage of the call.
func (l *leg) reasonOf(e calls.Ended) bridge.Reason {
	switch {
	case l.accepted && e.Reason == calls.Disconnect:
		return bridge.MediaFailed
	case l.accepted:
		return bridge.Normal
	case !l.outgoing:
		return bridge.Cancelled
	}
	switch e.Reason {
	case calls.Busy:
		return bridge.Busy
	case calls.Hangup:
		return bridge.Declined
	case calls.Disconnect:
		return bridge.MediaFailed
	}
	if !l.reached.IsZero() {
		return bridge.NoAnswer
	}
	return bridge.Unreachable
}
