package pbx

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"
)

// Redial keeps one connection to a PBX after the other.
type Redial struct {
	Min, Max time.Duration // the first and the longest pause between two attempts, before jitter; Min doubles up to Max
	Log      *slog.Logger
	Level    slog.Level // of Text
	Text     string     // what is logged, with the error, once for each new reason of an outage; the repetitions only at debug
}

// Outage is what has been seen since a connection was lost, or since the first attempt.
type Outage struct {
	Since    time.Time
	Attempts int   // that have failed, the loss included
	Err      error // of the last
}

// Run connects until ctx ends. Session connects, serves until the connection breaks, and returns since when that was good,
// zero where it never was, and why it broke. Lost is called after each, before the pause.
func (r Redial) Run(ctx context.Context, session func(context.Context) (since time.Time, err error), lost func(Outage)) {
	var outage Outage
	pause, said := r.Min, ""
	for ctx.Err() == nil {
		since, err := session(ctx)
		if ctx.Err() != nil {
			return
		}
		if outage.Since.IsZero() || !since.IsZero() {
			outage, said = Outage{Since: time.Now()}, ""
		}
		// One that does not stand for long is not tried any faster.
		if !since.IsZero() && time.Since(since) > r.Max {
			pause = r.Min
		}
		outage.Attempts, outage.Err = outage.Attempts+1, err
		if text := err.Error(); text != said {
			said = text
			r.Log.Log(ctx, r.Level, r.Text, "error", err)
		} else {
			r.Log.Debug("still the same, trying again", "attempts", outage.Attempts)
		}
		lost(outage)
		// Half to one and a half of the pause: links that lost the same PBX do not come back in step.
		if !Sleep(ctx, pause/2+rand.N(pause)) {
			return
		}
		pause = min(2*pause, r.Max)
	}
}

// Open calls open until it succeeds, at the pace of Run and with its log, or fails with ctx's error. A socket of ours may be
// taken for a moment only, as by the process before this one; for good it is the administrator who sets it free.
func Open[T any](ctx context.Context, r Redial, open func() (T, error)) (opened T, err error) {
	trying, done := context.WithCancel(ctx)
	defer done()
	err = ctx.Err()
	r.Run(trying, func(context.Context) (time.Time, error) {
		if opened, err = open(); err == nil {
			done()
		}
		return time.Time{}, err
	}, func(Outage) {})
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return opened, err
}

// Sleep waits and reports true, or false when ctx ends first.
func Sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
