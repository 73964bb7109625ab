package guard

import (
	"context"
	"time"

	"golang.org/x/time/rate"
)

// limiter returns what holds calls to the pace, nil where there is none.
func (p Pace) limiter() *rate.Limiter {
	if p.Calls <= 0 || p.Per <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Every(p.Per/time.Duration(p.Calls)), p.Calls)
}

// keepPace waits for a call's turn for up to Limits.Retry while ctx lives, or refuses. It is in memory: one process at a
// time holds an account, and what the last one has called is forgotten within Pace.Per anyway.
func (g *Guard) keepPace(ctx context.Context) error {
	if g.pace == nil {
		return nil
	}
	turn := g.pace.Reserve()
	wait := turn.Delay()
	if wait <= 0 {
		return nil
	}
	if wait <= g.o.Limits.Retry && sleep(ctx, ctx, wait) {
		return nil
	}
	turn.Cancel()
	if ctx.Err() == nil {
		g.o.Log.Warn("calls come faster than this account may make them", "wait", wait,
			"advice", "add an account to the route, or raise guard.pace if Telegram has let you call faster")
	}
	return &Refusal{Why: Hurry, Wait: wait}
}

// Hurried reports whether a call would be refused now for coming too fast.
func (g *Guard) Hurried() bool {
	return g.pace != nil && g.pace.Tokens() < 1-g.o.Limits.Retry.Seconds()*float64(g.pace.Limit())
}
