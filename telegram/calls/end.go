package calls

import (
	"context"
	"errors"
	"time"

	"github.com/gotd/td/tg"
	"github.com/gotd/td/tgerr"
)

const (
	discardPatience = 60 * time.Second // for all attempts to discard, while the line runs
	discardAttempt  = 10 * time.Second // for one of them
	doubtFor        = 2 * time.Second  // see suspect
)

// verdict is why a call is over.
type verdict struct {
	reason  Reason
	remote  bool   // see Ended
	discard bool   // Telegram must be told, if it knows the call
	err     *Error // see Ended
}

// close ends the call. The first end wins.
func (c *Call) close(v verdict) {
	if c.end == nil {
		c.end = &v
	}
}

// suspect ends the call for this verdict in a moment: Telegram refuses a request as if the call were over, and
// phoneCallDiscarded, which knows better why, may be on its way.
func (c *Call) suspect(v verdict) {
	if c.doubt == nil {
		c.doubt = time.AfterFunc(doubtFor, func() { c.mail.post(func() { c.close(v) }) })
	}
}

// ordinary is the reason of a hang-up at this moment (the table of what official clients send, TDLib CallActor).
func (c *Call) ordinary() Reason {
	switch c.phase {
	case gettingGroup, requesting, waiting:
		return Missed
	case offered, preparing:
		return Busy
	}
	return Hangup
}

// hangUp ends the call because its owner wants it.
func (c *Call) hangUp(r Reason) {
	if r == Ordinary || r == Migrated {
		r = c.ordinary()
	}
	c.close(verdict{reason: r, discard: true})
}

// leave ends an offered call without a word to Telegram, for which a refusal by one device is one by all of them.
func (c *Call) leave() {
	if c.phase != offered {
		c.hangUp(Ordinary)
		return
	}
	c.close(verdict{reason: Ordinary})
}

// fail ends the call because it cannot go on. Before the callee has accepted, that is a missed call for its phone.
func (c *Call) fail(err *Error) {
	reason := Disconnect
	if c.outgoing && c.phase < confirming && err.Kind != Insecure && err.Kind != Incompatible {
		reason = Missed
	}
	c.close(verdict{reason: reason, discard: true, err: err})
}

// elsewhere ends an incoming call that another device of the account has. Discarding it would end the other's call.
// An error that says so may also mean that the caller has just given up.
func (c *Call) elsewhere(err error) {
	v := verdict{reason: Ordinary, remote: true, err: &Error{Kind: Elsewhere, Err: err}}
	if tgerr.Is(err, "CALL_ALREADY_DECLINED") {
		c.suspect(v)
		return
	}
	c.close(v)
}

// discarded ends the call because Telegram says so.
func (c *Call) discarded(u *tg.PhoneCallDiscarded) {
	reason, _ := u.GetReason()
	v := verdict{reason: reasonOf(reason), remote: true}
	// Nobody but the account's other devices can decline an incoming call; where one of them accepts it, the reason is
	// left out or hangup comes with the end of their call. The caller's giving up is missed.
	open := c.phase == offered || c.phase == preparing || c.phase == accepting && !c.accepted
	if !c.outgoing && open && (v.reason == Busy || v.reason == Ordinary) {
		v.err = &Error{Kind: Elsewhere}
	}
	c.close(v)
}

func reasonOf(r tg.PhoneCallDiscardReasonClass) Reason {
	switch r.(type) {
	case *tg.PhoneCallDiscardReasonMissed:
		return Missed
	case *tg.PhoneCallDiscardReasonBusy:
		return Busy
	case *tg.PhoneCallDiscardReasonHangup:
		return Hangup
	case *tg.PhoneCallDiscardReasonDisconnect:
		return Disconnect
	case *tg.PhoneCallDiscardReasonMigrateConferenceCall:
		return Migrated
	}
	return Ordinary
}

func (r Reason) tl() tg.PhoneCallDiscardReasonClass {
	switch r {
	case Missed:
		return &tg.PhoneCallDiscardReasonMissed{}
	case Busy:
		return &tg.PhoneCallDiscardReasonBusy{}
	case Disconnect:
		return &tg.PhoneCallDiscardReasonDisconnect{}
	}
	return &tg.PhoneCallDiscardReasonHangup{}
}

// finish tells everybody that the call is over: Telegram and the owner at the same time, so that neither waits for
// the other.
func (c *Call) finish() {
	c.mail.close()
	c.line.leave(c)
	c.timer.Stop()
	if c.doubt != nil {
		c.doubt.Stop()
	}
	var duration time.Duration
	if !c.media.since.IsZero() {
		duration = time.Since(c.media.since)
	}
	c.jobs.cancel()
	cleared := make(chan struct{})
	go func() {
		defer close(cleared)
		c.clear(duration)
	}()
	c.stopMedia()
	v := c.end
	log := c.log
	if v.err != nil {
		log = log.With("error", v.err)
	}
	log.Debug("ended call", "reason", v.reason.String(), "remote", v.remote, "duration", duration.Round(time.Millisecond))
	c.emit(Ended{Reason: v.reason, Remote: v.remote, Duration: duration, Err: v.err})
	close(c.events)
	<-cleared
	c.jobs.group.Wait()
}

// clear takes the call off the line and off Telegram, also where Telegram has not told us of it yet.
func (c *Call) clear(duration time.Duration) {
	if c.id != 0 {
		close(c.settled)
		c.part(c.end.reason, duration)
		return
	}
	accepted, found := c.trace()
	close(c.settled)
	for ; found; accepted, found = c.trace() {
		reason := c.end.reason
		if accepted && reason == Missed {
			reason = Disconnect
		}
		c.part(reason, 0)
	}
}

// part takes a call with an id off the line and off Telegram.
func (c *Call) part(reason Reason, duration time.Duration) {
	c.line.forget(c, c.id)
	if c.end.discard {
		c.discard(reason, duration)
	}
}

// discard tells Telegram, again if need be, within bounds.
func (c *Call) discard(reason Reason, duration time.Duration) {
	ctx, cancel := context.WithTimeout(c.base, discardPatience)
	defer cancel()
	request := &tg.PhoneDiscardCallRequest{
		Peer: c.input(), Duration: int(duration / time.Second), Reason: reason.tl(),
	}
	for delay := retryDelay; ; delay *= 2 {
		err := c.tryDiscard(ctx, request)
		if err == nil || tgerr.Is(err, "CALL_ALREADY_DECLINED", "CALL_PEER_INVALID", "CALL_NOT_ACTIVE") {
			return
		}
		// Cancelled, and not by us: the client behind the API has been closed. While the line lives it only means that a
		// connection was lost after Telegram had heard the request (gotd's rpc.Engine).
		if classify(err).Kind == Unauthorized || errors.Is(err, context.Canceled) && c.line.closing() {
			c.log.Warn("call could not be discarded", "error", err)
			return
		}
		if wait, flood := tgerr.AsFloodWait(err); flood {
			delay = max(delay, wait)
		}
		if !sleep(ctx, delay) {
			c.log.Warn("call could not be discarded", "error", err)
			return
		}
	}
}

func (c *Call) tryDiscard(ctx context.Context, r *tg.PhoneDiscardCallRequest) error {
	ctx, cancel := context.WithTimeout(ctx, discardAttempt)
	defer cancel()
	_, err := c.line.opts.API.PhoneDiscardCall(ctx, r)
	return err
}
