package ari

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	ariapi "github.com/CyCoreSystems/ari/v6"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/bridge/pbx"
)

// state is where a leg stands.
type state uint8

const (
	waiting    state = iota // offered, or being dialled
	connecting              // answered or to be answered: the media channel has been asked for
	up                      // audio flows
	over                    // has ended; nothing counts any more
)

// leg is our half of one call: a channel of Asterisk, its media channel and the bridge between them. One goroutine
// (run) owns everything below the line.
type leg struct {
	id    string
	link  *Link
	inbox *pbx.Inbox
	out   pbx.Outbox
	setup scope // of requests that build the call up; ends with the first Hangup

	// ——— run's
	log       *slog.Logger
	role      role
	state     state
	channel   string // id of the main channel, "" before it exists and after it has gone
	far       string // id of the other half of a Local channel, which runs the dialplan; "" where there is none
	audio     audio
	deadline  *time.Timer // of the state; role or connect sets it
	cause     int         // Q.850 of the last hang-up request on the main channel
	techCause int         // SIP status of a failed PJSIP leg; 0 where unknown
	ended     bridge.Ended
	known     bridge.Report // what has been learnt for the record
}

// scope is a stretch of work that can be cut short from another goroutine.
type scope struct {
	ctx context.Context
	end context.CancelFunc
}

func newScope(parent context.Context) (s scope) {
	s.ctx, s.end = context.WithCancel(parent)
	return s
}

// role is what differs between an inbound and an outbound leg. Its methods run in the leg's goroutine.
type role interface {
	begin()                            // the first thing the leg does
	order(item any)                    // Ring, Answer
	event(e event)                     // an event of the main channel
	join(ctx context.Context) error    // both channels are in the bridge: what is left before audio counts as up
	expired()                          // the deadline has passed
	release(ctx context.Context) error // the call is over: what becomes of the main channel, if it is still there
}

func (l *Link) newLeg(ctx context.Context, direction string) *leg {
	leg := &leg{id: l.ids.next(), link: l, inbox: pbx.NewInbox(), out: pbx.NewOutbox(), setup: newScope(ctx)}
	leg.log = l.opt.Log.With("leg", leg.id, "direction", direction)
	leg.deadline = time.NewTimer(time.Hour)
	leg.deadline.Stop()
	return leg
}

// ID is the prefix of the ids of everything the leg creates in Asterisk.
func (l *leg) ID() string { return l.id }

// Events delivers what happens to the leg.
func (l *leg) Events() <-chan bridge.Event { return l.out.Events() }

// Ring tells the caller of an inbound leg that the far end rings.
func (l *leg) Ring() { l.inbox.Put(ringOrder{}) }

// Answer answers an inbound leg, once its audio can flow.
func (l *leg) Answer() { l.inbox.Put(answerOrder{}) }

// Annotate sets variables on the channel of an inbound leg.
func (l *leg) Annotate(variables map[string]string) { l.inbox.Put(factsOrder{variables}) }

// SendDigit plays a DTMF digit to the party of the leg, if audio is up.
func (l *leg) SendDigit(digit byte) { l.inbox.Put(digitOrder{digit}) }

// Hangup ends the leg. Setting up stops at once, in the middle of a request.
func (l *leg) Hangup(c bridge.Cause) {
	l.inbox.Put(hangupOrder{c})
	l.setup.end()
}

// run works the leg off until it has ended and nothing of it is left in Asterisk, or Asterisk does not answer.
func (l *leg) run(ctx context.Context) {
	defer l.link.legs.Remove(l)
	defer l.setup.end()
	defer l.deadline.Stop()
	l.role.begin()
	done := ctx.Done()
	for l.state != over {
		select {
		case <-l.inbox.Ready():
			l.workOff()
		case <-l.deadline.C:
			l.role.expired()
		case <-done:
			l.end(l.closingCause(closingOrder{reason: bridge.Cancelled}), nil)
		}
	}
	l.finish()
}

// closingCause is the cause of a leg that our side ends without an order of its call.
func (l *leg) closingCause(c closingOrder) bridge.Cause {
	if l.state == up && c.err == nil {
		return bridge.CauseOf(bridge.Normal)
	}
	return bridge.CauseOf(c.reason)
}

func (l *leg) workOff() {
	for l.state != over {
		item, ok := l.inbox.Take()
		if !ok {
			return
		}
		switch item := item.(type) {
		case hangupOrder:
			l.end(item.cause, nil)
		case closingOrder:
			l.end(l.closingCause(item), item.err)
		case digitOrder:
			l.sendDigit(item.digit)
		case vanished:
			l.vanished(item.id)
		case event:
			l.event(item)
		default:
			l.role.order(item)
		}
	}
}

// end notes why the leg ends; the first reason counts.
func (l *leg) end(c bridge.Cause, err error) {
	if l.state == over {
		return
	}
	l.state, l.ended = over, bridge.Ended{Cause: c, Err: err}
}

// fail ends the leg because something that should work did not.
func (l *leg) fail(r bridge.Reason, err error) {
	// A request that was cut off by Hangup is no failure: the order is in the inbox and says why.
	if l.setup.ctx.Err() != nil {
		return
	}
	l.end(bridge.CauseOf(r), err)
}

// finish takes the leg out of Asterisk and tells its call that it is over. It is bounded by one request timeout; what
// could not be removed in that time is found by the next sweeps.
func (l *leg) finish() {
	ctx, cancel := context.WithTimeout(context.Background(), l.link.opt.RequestTimeout)
	defer cancel()
	if err := errors.Join(l.role.release(ctx), l.audio.release(ctx, l)); err != nil {
		l.log.Warn("leg is not cleanly gone from asterisk, the next sweep will look again", "error", err)
	}
	attrs := []any{"cause", l.ended.Cause.String()}
	if l.ended.Err != nil {
		attrs = append(attrs, "error", l.ended.Err)
	}
	l.log.Debug("leg ended", attrs...)
	l.ended.Report = l.report()
	l.out.End(l.ended)
}

// report is what the record is told of the leg.
func (l *leg) report() bridge.Report {
	r := l.known
	r.Kind = bridge.Asterisk
	switch {
	case l.techCause != 0:
		r.Said = fmt.Sprintf("cause %d, SIP %d", l.cause, l.techCause)
	case l.cause != 0:
		r.Said = fmt.Sprintf("cause %d", l.cause)
	}
	return r
}

// event takes an event of any channel of the leg.
func (l *leg) event(e event) {
	start, starts := e.Event.(*ariapi.StasisStart)
	switch {
	case starts && start.ReplaceChannel.GetID() != "":
		l.adopt(start.ReplaceChannel.GetID(), e.channel)
	case e.channel == l.audio.channel && e.channel != "":
		l.mediaEvent(e)
	case e.channel == l.channel && e.channel != "":
		l.mainEvent(e)
	case l.far != "" && (e.channel == l.far || e.by == l.far):
		l.role.event(e)
	}
}

// adopt goes on with another channel in the place of the main one: the party has transferred its call, and Asterisk
// has put the new channel into our bridge already.
func (l *leg) adopt(old, replacement string) {
	if old != l.channel {
		return
	}
	l.log.Info("call was transferred, going on with another channel", "channel", replacement)
	l.link.legs.Disown(old)
	l.link.legs.Confirm(replacement, l)
	l.channel = replacement
	if err := l.link.rest.subscribe(l.setup.ctx, l.link.opt.App, replacement); err != nil {
		l.log.Warn("cannot subscribe to the channel after a transfer", "error", err)
	}
}

func (l *leg) mediaEvent(e event) {
	switch e.Event.(type) {
	case *ariapi.StasisStart:
		l.connect()
	case *ariapi.StasisEnd, *ariapi.ChannelDestroyed:
		l.audio.channel = ""
		l.end(bridge.CauseOf(bridge.MediaFailed), errors.New("media channel was hung up from outside"))
	}
}

func (l *leg) mainEvent(e event) {
	switch event := e.Event.(type) {
	case *ariapi.ChannelHangupRequest:
		if e.cause != 0 {
			l.cause = e.cause
		}
	case *ariapi.ChannelDtmfReceived:
		l.digit(event.Digit)
	case *ariapi.ChannelHold:
		l.emitUp(bridge.Held{On: true})
	case *ariapi.ChannelUnhold:
		l.emitUp(bridge.Held{On: false})
	case *ariapi.ChannelDestroyed:
		if e.cause != 0 {
			l.cause = e.cause
		}
		l.techCause = e.techCause
		l.role.event(e)
	default:
		l.role.event(e)
	}
}

// digit passes a DTMF digit on; Asterisk has E besides those of the keypad.
func (l *leg) digit(text string) {
	if len(text) == 1 && (isDigit(text[0])) {
		l.emitUp(bridge.Digit{Digit: text[0]})
	}
}

func isDigit(d byte) bool {
	return d >= '0' && d <= '9' || d >= 'A' && d <= 'D' || d == '*' || d == '#'
}

func (l *leg) sendDigit(digit byte) {
	if l.state != up || !isDigit(digit) {
		return
	}
	if err := l.link.rest.sendDigit(l.setup.ctx, l.channel, digit); err != nil {
		l.log.Warn("cannot send a digit", "error", err)
	}
}

// emit tells the call what happened.
func (l *leg) emit(e bridge.Event) {
	if !l.out.Put(e) {
		l.log.Warn("nobody reads the events of this leg, one was dropped", "event", fmt.Sprintf("%T", e))
	}
}

func (l *leg) emitUp(e bridge.Event) {
	if l.state == up {
		l.emit(e)
	}
}

// vanished ends the leg when something it needs has gone from Asterisk without an event.
func (l *leg) vanished(id string) {
	switch id {
	case l.channel:
		l.channel = ""
		l.end(bridge.CauseOf(bridge.Failure), ErrChannelGone)
	case l.audio.channel, l.audio.bridge:
		l.end(bridge.CauseOf(bridge.MediaFailed), fmt.Errorf("media channel or bridge: %w", ErrChannelGone))
	}
}

// takeChannel returns the leg's main channel and forgets it: the caller decides its fate.
func (l *leg) takeChannel() string {
	id := l.channel
	l.channel = ""
	if id != "" {
		l.link.legs.Disown(id)
	}
	return id
}
