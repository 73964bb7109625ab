package bridge

import (
	"time"

	"github.com/tgtrunk/tgtrunk/routing"
)

// ring is how long a target may take until it answers.
func (t Timeouts) ring(target routing.Target) time.Duration {
	if target.Timeout > 0 {
		return target.Timeout
	}
	return t.Ring
}

// setup is how long all targets may take together, one after the other, until audio flows. It never comes before the
// limit of a target: what it ends is a call of which a leg does not end when told to.
func (t Timeouts) setup(targets []routing.Target) time.Duration {
	if t.Setup > 0 {
		return t.Setup
	}
	all := t.Media + t.Teardown
	for _, target := range targets {
		all += t.ring(target)
	}
	return all
}

// deadlines are the running limits of one call, kept on one timer. Not safe for concurrent use.
type deadlines struct {
	at    [timers]time.Time // zero: not running
	timer *time.Timer       // fires at the earliest; nil before the first set
}

// set starts the limit t, to pass after d.
func (d *deadlines) set(t timer, after time.Duration) {
	d.at[t] = time.Now().Add(after)
	d.rewind()
}

func (d *deadlines) clear(t timer) {
	d.at[t] = time.Time{}
	d.rewind()
}

func (d *deadlines) rewind() {
	var first time.Time
	for _, at := range d.at {
		if !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	switch {
	case first.IsZero():
		d.stop()
	case d.timer == nil:
		d.timer = time.NewTimer(time.Until(first))
	default:
		d.timer.Reset(time.Until(first))
	}
}

// passed returns one limit that has passed and clears it.
func (d *deadlines) passed() (timer, bool) {
	now := time.Now()
	for t, at := range d.at {
		if !at.IsZero() && !at.After(now) {
			d.clear(timer(t))
			return timer(t), true
		}
	}
	d.rewind()
	return 0, false
}

// fired is readable when a limit has passed; nil, and never readable, where none was ever set.
func (d *deadlines) fired() <-chan time.Time {
	if d.timer == nil {
		return nil
	}
	return d.timer.C
}

func (d *deadlines) stop() {
	if d.timer != nil {
		d.timer.Stop()
	}
}
