package esl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/bridge/pbx"
)

// state is where a leg stands.
type state uint8

const (
	waiting    state = iota // offered, or being dialled
	connecting              // answered or to be answered: the media channel is being opened and bridged
	up                      // audio flows
	parting                 // audio has ended, and what that means will be seen in a moment
	over                    // has ended; nothing counts any more
)

// leg is our half of one call: a channel of FreeSWITCH and the media channel it is bridged with. The call lasts as long
// as the media channel: the phone's channel may be replaced by a transfer. One goroutine (run) owns everything below the
// line.
type leg struct {
	id    string
	link  *Link
	inbox *pbx.Inbox
	out   pbx.Outbox
	setup scope // of commands that build the call up; ends with the first Hangup

	// ——— run's
	log      *slog.Logger
	role     role
	who      parties
	state    state
	main     mainChannel
	audio    audio
	deadline *time.Timer // of the state; role or connect sets it
	ended    bridge.Ended
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
	order(item any)                    // Ring, Answer, the end of a job
	event(e event)                     // an event of the main channel
	join(ctx context.Context) error    // the media channel is there: what is left before both are bridged
	expired()                          // the deadline has passed before audio was up
	release(ctx context.Context) error // the call is over: what becomes of the main channel, if it is still there

	// What leg itself does for those whose main channel is bridged with a media channel.
	mediaEvent(e event)  // an event of the media channel
	peerEvent(e event)   // an event of a channel that is bridged with the media channel
	vanished(id string)  // reconciliation misses a channel
	parted()             // nothing has shown why audio ended
	audioLost(audioLost) // the way for audio broke down
}

func (l *Link) newLeg(ctx context.Context, direction string) *leg {
	leg := &leg{id: l.ids.next(), link: l, inbox: pbx.NewInbox(), out: pbx.NewOutbox(), setup: newScope(ctx)}
	leg.log = l.opt.Log.With("leg", leg.id, "direction", direction)
	leg.deadline = time.NewTimer(time.Hour)
	leg.deadline.Stop()
	return leg
}

// ID is the prefix of the uuids of everything the leg creates in FreeSWITCH.
func (l *leg) ID() string { return l.id }

// Events delivers what happens to the leg.
func (l *leg) Events() <-chan bridge.Event { return l.out.Events() }

// Ring tells the caller of an inbound leg that the far end rings.
func (l *leg) Ring() { l.inbox.Put(ringOrder{}) }

// Answer answers an inbound leg, once its audio can flow.
func (l *leg) Answer() { l.inbox.Put(answerOrder{}) }

// Annotate sets variables on the channel of an inbound leg.
func (l *leg) Annotate(variables map[string]string) { l.inbox.Put(factsOrder{variables}) }

// SendDigit plays a DTMF digit to whoever the leg is bridged with, if audio is up.
func (l *leg) SendDigit(digit byte) { l.inbox.Put(digitOrder{digit}) }

// Hangup ends the leg. Setting up stops at once, in the middle of a command.
func (l *leg) Hangup(c bridge.Cause) {
	l.inbox.Put(hangupOrder{c})
	l.setup.end()
}

// run works the leg off until it has ended and nothing of it is left in FreeSWITCH, or FreeSWITCH does not answer.
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
			l.expired()
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
			l.role.vanished(item.id)
		case audioLost:
			l.role.audioLost(item)
		case event:
			l.event(item)
		case parkedAgain:
			was := l.main.id
			l.event(item.event)
			if was == item.event.id && l.main.id == "" {
				item.again() // it is another call now
			}
		case enteredAgain:
			l.enteredAgain(item.event)
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
	// A command that was cut off by Hangup is no failure: the order is in the inbox and says why.
	if l.setup.ctx.Err() != nil {
		return
	}
	l.end(bridge.CauseOf(r), err)
}

// finish takes the leg out of FreeSWITCH and tells its call that it is over. It is bounded by one request timeout; what
// could not be removed in that time is condemned, and found by the next sweeps.
func (l *leg) finish() {
	ctx, cancel := context.WithTimeout(context.Background(), l.link.opt.RequestTimeout)
	defer cancel()
	if err := errors.Join(l.role.release(ctx), l.audio.release(ctx, l)); err != nil {
		l.log.Warn("leg is not cleanly gone from freeswitch, the next sweep will look again", "error", err)
	}
	attrs := []any{"cause", l.ended.Cause.String()}
	if l.ended.Err != nil {
		attrs = append(attrs, "error", l.ended.Err)
	}
	l.log.Debug("leg ended", attrs...)
	l.ended.Report = l.report()
	l.out.End(l.ended)
}

// expired: the deadline of the state has passed.
func (l *leg) expired() {
	switch l.state {
	case up:
		switch {
		case l.main.id == "":
			l.log.Info("call was transferred, going on with another party")
		case l.main.parked:
			l.leftBehind()
		}
	case parting:
		l.role.parted()
	default:
		l.role.expired()
	}
}

func isDigit(d byte) bool {
	return d >= '0' && d <= '9' || d >= 'A' && d <= 'D' || d == '*' || d == '#'
}

// sendDigit lets a digit arrive on the media channel, which FreeSWITCH carries to whoever that is bridged with.
func (l *leg) sendDigit(digit byte) {
	if l.state != up || !isDigit(digit) {
		return
	}
	if err := l.link.verbs().receiveDigit(l.setup.ctx, l.audio.channel, digit); err != nil {
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
