package telegram

import (
	"context"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/routing"
	"github.com/tgtrunk/tgtrunk/telegram/calls"
	"github.com/tgtrunk/tgtrunk/telegram/chat"
)

// impatient is how long a caller must wait before nobody's answer is a missed call.
const impatient = 3 * time.Second

// callerOf is who calls by a target.
func callerOf(account string, t routing.Target) chat.Caller {
	return chat.Caller{Agent: chat.Agent{Extension: t.Caller.Number, Name: t.Caller.Name}, Account: account, Variables: t.Variables, Offline: t.Offline}
}

// tell queues a decision about a person, who is a stranger or not as when the call was made.
func (d *desk) tell(p Peer, decide func(chat.Person, chat.State, time.Time) []chat.Action) {
	if d.rules != nil {
		d.post(d.telling(p, decide))
	}
}

// telling carries such a decision out.
func (d *desk) telling(p Peer, decide func(chat.Person, chat.State, time.Time) []chat.Action) func(context.Context, *turn) {
	return func(ctx context.Context, t *turn) {
		d.settle(ctx, t, p, func(s chat.State, now time.Time) []chat.Action {
			return decide(d.person(t.session, p), s, now)
		})
	}
}

// spoke notes with whom a person spoke.
func (d *desk) spoke(p Peer, a chat.Agent) {
	if d.rules == nil || a.Extension == "" {
		return
	}
	d.queue(job{keep: true, do: func(ctx context.Context, t *turn) {
		d.decide(ctx, t, p, func(s chat.State, _ time.Time) []chat.Action {
			d.rules.Spoke(a, s.Book)
			return nil
		})
	}})
}

// rings says who calls, once a device of the person's has the call.
func (d *desk) rings(l *leg) {
	if d.rules != nil && l.caller != nil {
		d.queue(job{ring: l, do: d.telling(l.with, l.about(d.rules.Card))})
	}
}

// ended notes what became of a call from the PBX.
func (d *desk) ended(l *leg, e calls.Ended) {
	switch {
	case l.accepted:
		d.spoke(l.with, l.spokeWith(l.caller.Agent))
	case e.Err != nil && e.Err.Kind == calls.Private:
		d.tell(l.with, l.about(d.rules.Private))
	case l.unreached(e):
		d.tell(l.with, l.about(d.rules.Unreached))
	case l.placed && !l.declined(e):
		d.tell(l.with, l.about(d.rules.Tried))
	}
}

// about makes a decision about the callee of one that wants to know who calls.
func (l *leg) about(
	decide func(chat.Person, chat.Caller, chat.State, time.Time) []chat.Action,
) func(chat.Person, chat.State, time.Time) []chat.Action {
	return func(p chat.Person, s chat.State, now time.Time) []chat.Action { return decide(p, *l.caller, s, now) }
}

// unreached reports whether a call from the PBX has ended as bridge.Unreachable: nobody has given up before.
func (l *leg) unreached(e calls.Ended) bool {
	if e.Err != nil {
		return reasonOf(e.Err.Kind) == bridge.Unreachable
	}
	if c, ok := l.wanted(); ok {
		return c.Reason == bridge.Unreachable
	}
	return l.placed && l.reasonOf(e) == bridge.Unreachable
}

// declined reports whether the callee knows of the call, or never could: there is nothing to tell.
func (l *leg) declined(e calls.Ended) bool {
	return e.Err != nil && e.Err.Kind != calls.NotAnswered && e.Err.Kind != calls.NotReceived ||
		e.Err == nil && e.Remote && (e.Reason == calls.Busy || e.Reason == calls.Hangup)
}

// left notes what became of a call to the PBX that came in.
func (d *desk) left(l *leg, e calls.Ended, waited time.Duration) {
	if l.accepted && l.connected() {
		d.spoke(l.with, l.spokeWith(chat.Agent{}))
		return
	}
	if l.connected() || e.Err != nil && e.Err.Kind != calls.NotAnswered || waited < impatient {
		return
	}
	d.tell(l.with, func(p chat.Person, s chat.State, now time.Time) []chat.Action { return d.rules.Missed(p, s, now) })
}

// asked notes what became of a call that the person has asked for.
func (d *desk) asked(l *leg, extension string, e calls.Ended) {
	if l.connected() {
		d.spoke(l.with, l.spokeWith(chat.Agent{Extension: extension}))
		return
	}
	d.tell(l.with, func(p chat.Person, s chat.State, now time.Time) []chat.Action {
		switch {
		case l.accepted && !e.Remote:
			return d.rules.Missed(p, s, now)
		case e.Err != nil && (e.Err.Kind == calls.Private || e.Err.Kind == calls.Flooded || e.Err.Kind == calls.PeerFlooded):
			return d.rules.Failed(p, s, now)
		}
		return nil
	})
}

// connected reports whether the leg was told to answer: the other side is there.
func (l *leg) connected() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.answered
}

// callOut returns how calls are made that people ask for: the person is called, and once it has answered and audio
// flows the leg is offered like one that has come in. ctx ends with the session.
func (a *Account) callOut(ctx context.Context, s *session, accept func(bridge.Offer)) func(*leg, Peer, chat.Call) {
	return func(l *leg, p Peer, c chat.Call) {
		l.offer = func() { accept(a.offerOf(l, p, c)) }
		l.with, l.outgoing = p, true
		a.desk.join(l) // before the next message of the same person is read
		if err := a.legs.run(a.opts.Calls.Most, func() { l.callOut(ctx, s, c) }); err != nil {
			a.desk.leave(l)
			l.log.Info("call asked for by message is not made", "error", err)
			a.desk.tell(p, func(p chat.Person, s chat.State, now time.Time) []chat.Action { return a.desk.rules.Failed(p, s, now) })
		}
	}
}

// offerOf is the offer of a person who is on the phone: its call enters the PBX where the chat says.
func (a *Account) offerOf(l *leg, p Peer, c chat.Call) bridge.Offer {
	facts := p.facts()
	facts["TGTRUNK_ACCOUNT"], facts[varChat] = a.opts.Name, string(c.Why)
	o := bridge.Offer{Leg: l}
	o.Trunk, o.Caller, o.Variables = a.opts.Name, p.Party(), facts
	o.Place = routing.Place{Context: c.Place.Context, Extension: c.Place.Extension}
	return o
}

// callOut calls the person and goes with the call to its end.
func (l *leg) callOut(ctx context.Context, s *session, c chat.Call) {
	defer l.account.desk.leave(l)
	asking, cancel := l.until(ctx, s)
	defer cancel()
	if err := l.admit(asking, s, l.with); err != nil {
		l.log.Info("call asked for by message is not allowed", "error", err)
		l.account.desk.tell(l.with, func(p chat.Person, s chat.State, now time.Time) []chat.Action {
			return l.account.desk.rules.Failed(p, s, now)
		})
		l.fail(err)
		return
	}
	l.ring, l.reachIn = l.account.opts.Calls.Limits.AnsweredIn, l.account.opts.Calls.Limits.ReachedIn
	call := s.line.Place(l.with.input())
	ended := l.follow(ctx, call)
	l.account.learn(ctx, l.toCall(l.with), l.stage, ended)
	l.log.Info("call asked for by message ended", "answered", l.accepted, "connected", l.connected())
	l.account.desk.asked(l, c.Place.Extension, ended)
	l.finish(ended)
	if l.onItsWay(ended) {
		l.account.legs.linger(func() { l.settle(ctx, call, l.with) })
	}
}
