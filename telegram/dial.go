package telegram

import (
	"context"
	"maps"
	"strconv"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/routing"
	"github.com/tgtrunk/tgtrunk/telegram/calls"
	"github.com/tgtrunk/tgtrunk/telegram/guard"
)

// dial finds the callee and calls. The end of ctx hangs up.
func (l *leg) dial(ctx context.Context, t routing.Target) {
	l.outgoing = true
	s := l.account.live.Load()
	if s == nil {
		l.pass(l.whoCalls(Peer{}))
		err := l.account.Health()
		if err == nil {
			err = ErrOffline // it went down this very moment
		}
		l.fail(verdict(bridge.AccountDown, err))
		return
	}
	asking, cancel := l.until(ctx, s)
	defer cancel()
	p, err := s.find(asking, t)
	l.report.Party = p.Party()
	caller := callerOf(l.account.opts.Name, t)
	l.with, l.caller = p, &caller
	if err == nil {
		err = l.admit(asking, s, p)
	} else {
		l.pass(l.whoCalls(p))
	}
	if err != nil {
		if ctx.Err() != nil {
			l.Hangup(bridge.CauseOf(bridge.Cancelled))
		}
		l.fail(err)
		return
	}
	l.callee, l.ring, l.reachIn = p.ID, t.Timeout, t.ReachedIn
	setDefault(&l.ring, l.account.opts.Calls.Limits.AnsweredIn)
	setDefault(&l.reachIn, l.account.opts.Calls.Limits.ReachedIn)
	l.account.desk.join(l)
	defer l.account.desk.leave(l)
	call := s.line.Place(p.input())
	ended := l.follow(ctx, call)
	l.account.learn(ctx, l.toCall(p), l.stage, ended)
	open := l.onItsWay(ended)
	if !open {
		l.account.desk.ended(l, ended)
	}
	if e := ended.Err; e != nil && (e.Kind == calls.NoAccess || e.Kind == calls.NoUser) {
		s.peers.disown(p.ID)
		if t.Number.Kind == routing.UserID {
			e.Kind = calls.NoAccess
		}
	}
	l.finish(ended)
	if open {
		l.account.legs.linger(func() {
			l.settle(ctx, call, p)
			l.account.desk.ended(l, ended)
		})
	}
}

// toCall is a peer as the guard sees it, called by who calls.
func (l *leg) toCall(p Peer) guard.Callee {
	c := p.callee()
	if l.caller != nil {
		c.By = l.caller.Extension
	}
	return c
}

// Variables that say, after a call to a Telegram user, who has called whom: of several accounts and numbers the last that
// was tried.
const (
	varSession = "TGTRUNK_SESSION" // the account's name
	varPeer    = "TGTRUNK_PEER"    // the user-id; empty where it has not been found
)

func (l *leg) whoCalls(p Peer) bridge.Facts {
	facts := map[string]string{varSession: l.account.opts.Name, varPeer: ""}
	if p.ID != 0 {
		facts[varPeer] = strconv.FormatInt(p.ID, 10)
	}
	return bridge.Facts{Variables: facts}
}

// admit asks the guard whether the peer may be called, and tells the other side what is known before the call is placed.
func (l *leg) admit(ctx context.Context, s *session, p Peer) error {
	left, err := l.account.guard.Admit(ctx, l.toCall(p))
	told := l.whoCalls(p)
	facts := told.Variables
	if seen, ok := s.peers.presence(p.ID); ok {
		maps.Copy(facts, seen.facts(s.config.now()))
	}
	if left >= 0 {
		facts[varBudgetLeft] = strconv.Itoa(left)
	}
	l.pass(told)
	return err
}

// learn draws the lessons of an outgoing call for the guard.
func (a *Account) learn(ctx context.Context, c guard.Callee, s stage, ended calls.Ended) {
	kind := calls.Failed
	if ended.Err != nil {
		kind = ended.Err.Kind
	}
	switch {
	case s.accepted:
		a.guard.Answered(ctx, c)
	case kind == calls.Private:
		a.guard.Restricted(ctx, c.ID)
	case !s.placed && kind == calls.Flooded:
		a.guard.GiveBack(ctx, c)
	case ended.Remote && !s.reached.IsZero() && (ended.Reason == calls.Busy || ended.Reason == calls.Hangup):
		a.guard.Declined(ctx, c, time.Since(s.reached))
	}
}

// onItsWay reports whether a call was given up before it is certain that Telegram has taken it.
func (l *leg) onItsWay(e calls.Ended) bool {
	return !l.placed && (e.Err == nil || e.Err.Kind == calls.Closed || e.Err.Kind == calls.NoConnection)
}

// settle waits, after the end of such a leg, until that is certain, which may take long: it is called by legs.linger. A call that
// Telegram has not taken does not count.
func (l *leg) settle(ctx context.Context, call *calls.Call, p Peer) {
	if l.placed = call.Placed(); !l.placed {
		l.account.guard.GiveBack(ctx, l.toCall(p))
	}
}
