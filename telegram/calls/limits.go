package calls

import "time"

// Timeouts are Telegram's limits of the phases of a call, as help.getConfig gives them. Fields that are 0 or less get the
// values that Telegram has given for years. call_packet_timeout_ms is not among them: the engines of the versions we offer
// have a limit of their own, 20 s.
type Timeouts struct {
	Receive time.Duration // outgoing: until a device has the call; incoming: until the caller has confirmed; default 20 s
	Ring    time.Duration // until the call is accepted, from its reception on; default 90 s
	Connect time.Duration // from the key to the peer's first signalling, and from there to the first media; default 30 s
}

func (t Timeouts) withDefaults() Timeouts {
	atLeast(&t.Receive, 20*time.Second)
	atLeast(&t.Ring, 90*time.Second)
	atLeast(&t.Connect, 30*time.Second)
	return t
}

// Limits are our own, beside Telegram's; the shorter of two holds.
type Limits struct {
	Request time.Duration // for one API request that sets a call up; default 15 s. What phone.requestCall has made in spite of it is discarded
	Discard time.Duration // all attempts to discard a call together, once Run ends; default 5 s
	Reached time.Duration // outgoing: until a device has the call; 0: only Telegram's
	Silent  time.Duration // incoming, while Telegram is not told of its reception: from its request to Accept; default 18 s
}

func (l Limits) withDefaults() Limits {
	atLeast(&l.Request, 15*time.Second)
	atLeast(&l.Discard, 5*time.Second)
	atLeast(&l.Silent, 18*time.Second)
	return l
}

// atLeast gives a limit that is 0 or less its default.
func atLeast(d *time.Duration, value time.Duration) {
	if *d <= 0 {
		*d = value
	}
}

// SetTimeouts replaces Telegram's limits, for the phases that begin from now on.
func (l *Line) SetTimeouts(t Timeouts) {
	t = t.withDefaults()
	l.limits.Store(&t)
}

func (l *Line) timeouts() Timeouts { return *l.limits.Load() }

// reached is how long a device of the callee is looked for.
func (l *Line) reached() time.Duration {
	limit := l.timeouts().Receive
	if own := l.opts.Limits.Reached; own > 0 {
		limit = min(limit, own)
	}
	return limit
}

// silent is how long a caller may wait who hears no ringing. The last tenth of the caller's own limit is left for our
// acceptance to travel.
func (l *Line) silent() time.Duration {
	theirs := l.timeouts().Receive
	return min(l.opts.Limits.Silent, theirs-theirs/10)
}
