package calls

import (
	"context"
	"time"
)

const (
	ringGrace   = 5 * time.Second // the caller's own limit comes first
	quiet       = 2 * time.Second // with ReceivedLate: time to accept a call without ever saying that it was received
	leastSilent = time.Second     // for a call that came late
)

// alarm is what the caller of an incoming call is told before it is accepted.
type alarm struct {
	date   time.Time // of the request, by Telegram's clock
	quiet  time.Time // ReceivedLate: until then nothing is said
	silent time.Time // until then the caller waits without ringing
	rings  bool      // phone.receivedCall has been sent
}

// offer begins an incoming call.
func (c *Call) offer() {
	c.log.Debug("received call", "peer", c.Peer())
	switch c.line.opts.Received {
	case ReceivedAtOnce:
		c.ring()
		return
	case ReceivedOnceTaken: // whoever decides about it does so at once; the caller's own limit comes first
		c.enter(offered, c.line.timeouts().Ring+ringGrace)
		return
	}
	limit := c.line.silent()
	now := time.Now()
	late := max(0, c.line.opts.Now().Sub(c.alarm.date))
	c.alarm.silent = now.Add(max(limit-late, leastSilent))
	c.enter(offered, time.Until(c.alarm.silent))
	if c.line.opts.Received == ReceivedLate {
		c.alarm.quiet = now.Add(min(quiet, c.alarm.silent.Sub(now)))
		c.enter(offered, time.Until(c.alarm.quiet))
	}
}

// taken lets the caller hear ringing where that has waited for it.
func (c *Call) taken() {
	if c.phase == offered && c.line.opts.Received == ReceivedOnceTaken && !c.alarm.rings {
		c.ring()
	}
}

// unanswered is called when a limit of an incoming call has passed.
func (c *Call) unanswered() {
	late := c.line.opts.Received == ReceivedLate
	left := time.Until(c.alarm.silent) // read once: a phase entered with nothing left would have no limit
	switch {
	case c.alarm.rings || !late:
		c.close(verdict{reason: Missed, discard: true, err: &Error{Kind: NotAnswered}})
	case left > 0 && !c.line.alone(c):
		c.enter(offered, left)
	default:
		c.ring()
	}
}

// reconsider is called when another call of the account has ended.
func (c *Call) reconsider() {
	if c.phase == offered && !c.alarm.rings && !time.Now().Before(c.alarm.quiet) && c.line.alone(c) {
		c.ring()
	}
}

// ring tells Telegram that the call was received: its caller hears ringing, all others are refused until it ends.
func (c *Call) ring() {
	c.alarm.rings = true
	c.enter(offered, c.line.timeouts().Ring+ringGrace)
	c.async(func(ctx context.Context) func() {
		_, err := c.line.opts.API.PhoneReceivedCall(ctx, c.input())
		return func() {
			switch {
			case err == nil:
			case classify(err).Kind == Elsewhere && c.phase == offered:
				c.elsewhere(err)
			default:
				c.log.Warn("reporting the call as received failed", "error", err)
			}
		}
	})
}
