package guard

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/tgtrunk/tgtrunk/store"
)

// Callee is whom the account is about to call. A stranger is no contact, has no dialogue with the account and has
// never called it.
type Callee struct {
	ID       int64
	Stranger bool
	By       string // the extension that calls; calls without one count as those of one extension
}

// Admit lets a call go and counts it, or fails with a *Refusal. left is how many strangers may be called after it, -1
// any number; it is valid beside a Refusal too. A gap and a pace up to Limits.Retry are waited for while ctx lives.
func (g *Guard) Admit(ctx context.Context, c Callee) (left int, err error) {
	if left, err = g.budget(ctx, c); err != nil {
		return left, err
	}
	if err := g.keepPace(ctx); err != nil {
		g.GiveBack(ctx, c)
		return g.Left(c.By), err
	}
	return left, nil
}

// budget is what Admit does about strangers.
func (g *Guard) budget(ctx context.Context, c Callee) (left int, err error) {
	for again := true; ; again = false {
		left, err = g.admit(ctx, c)
		var refused *Refusal
		if !again || !errors.As(err, &refused) || refused.Why != Gap || refused.Wait > g.o.Limits.Retry ||
			!sleep(ctx, ctx, refused.Wait) {
			return left, err
		}
	}
}

func (g *Guard) admit(ctx context.Context, c Callee) (int, error) {
	if err := g.private(ctx, c.ID); err != nil {
		return g.Left(c.By), err
	}
	if !c.Stranger {
		return g.Left(c.By), nil
	}
	b, err := g.change(ctx, func(b *book, now time.Time) error {
		if refused := g.o.Limits.refuse(*b, now, c.By); refused != nil {
			return refused
		}
		b.Calls = append(b.Calls, entry{At: now, ID: c.ID, By: c.By})
		return nil
	})
	if refused := new(Refusal); err != nil && !errors.As(err, &refused) {
		return g.Left(c.By), err // there is no book: what was seen last is nearer the truth
	}
	left := g.o.Limits.leftFor(c.By, b, time.Now())
	switch {
	case err != nil || left != 0:
	case g.o.Limits.left(b, time.Now()) != 0:
		g.o.Log.Warn("an extension has called as many strangers as it may: it calls no more of them for now, others do",
			"quota", g.o.Limits.PerCaller,
			"advice", "raise guard.strangers.per_extension if it may have more of the account's budget")
	default:
		g.o.Log.Warn("budget for calls to strangers is spent: they are refused, known people are called as before",
			"allowed", g.o.Limits.allowed(b, time.Now()), "next", b.Calls[0].At.Add(day).Format(time.RFC3339),
			"advice", "add an account to the route, or raise guard.strangers.per_day if Telegram has let you call more")
	}
	return left, err
}

// GiveBack takes a call to a stranger off the count: Telegram was never asked for it.
func (g *Guard) GiveBack(ctx context.Context, c Callee) {
	if !c.Stranger {
		return
	}
	ctx, cancel := aside(ctx)
	defer cancel()
	_, err := g.change(ctx, func(b *book, _ time.Time) error {
		for i := len(b.Calls) - 1; i >= 0; i-- {
			if b.Calls[i].ID == c.ID && b.Calls[i].By == c.By {
				b.Calls = append(b.Calls[:i:i], b.Calls[i+1:]...)
				break
			}
		}
		return nil
	})
	g.complain(err)
}

// Answered notes that a stranger has taken the account's call.
func (g *Guard) Answered(ctx context.Context, c Callee) {
	if !c.Stranger || g.o.Limits.Breaker.Declines <= 0 {
		return
	}
	ctx, cancel := aside(ctx)
	defer cancel()
	_, err := g.change(ctx, func(b *book, _ time.Time) error {
		b.Declines = nil
		return nil
	})
	g.complain(err)
}

// Declined notes that somebody has declined the account's call so long after the first ring.
func (g *Guard) Declined(ctx context.Context, c Callee, after time.Duration) {
	limit := g.o.Limits.Breaker
	if !c.Stranger || limit.Declines <= 0 || after > InstantDecline {
		return
	}
	ctx, cancel := aside(ctx)
	defer cancel()
	tripped := false
	b, err := g.change(ctx, func(b *book, now time.Time) error {
		b.Declines = append(b.Declines, now)
		if tripped = len(b.Declines) >= limit.Declines; tripped {
			b.Declines, b.Declined = nil, now.Add(limit.Pause)
		}
		return nil
	})
	if err == nil && tripped {
		g.o.Log.Error("strangers decline this account's calls: no stranger is called until then, known people are",
			"declines", limit.Declines, "within", limit.Within, "until", b.Declined.Format(time.RFC3339),
			"advice", "people who feel bothered report calls as spam; write to them first, or call those who expect it")
	}
	g.complain(err)
}

// limited notes PEER_FLOOD.
func (g *Guard) limited(ctx context.Context) {
	if g.o.Limits.PeerFlood <= 0 {
		return
	}
	ctx, cancel := aside(ctx)
	defer cancel()
	fresh := false
	b, err := g.change(ctx, func(b *book, now time.Time) error {
		fresh = !b.PeerFlood.After(now)
		b.PeerFlood = now.Add(g.o.Limits.PeerFlood)
		return nil
	})
	if err == nil && fresh {
		g.o.Log.Error("telegram limits this account towards strangers (PEER_FLOOD): none is called until then, known people are",
			"until", b.PeerFlood.Format(time.RFC3339),
			"advice", "ask @SpamBot from the account what is held against it, and appeal there; call fewer strangers afterwards")
	}
	g.complain(err)
}

func (g *Guard) complain(err error) {
	if err != nil {
		g.o.Log.Warn("account's calls to strangers are not counted right", "error", err)
	}
}

func privateKey(id int64) string { return "private/" + strconv.FormatInt(id, 10) }

// lookIn is how long a call waits to learn whether its callee takes any.
const lookIn = 500 * time.Millisecond

// private returns the *Refusal for somebody who is known to take no calls from the account. Where that cannot be looked up
// it is nil: Telegram refuses such a call itself.
func (g *Guard) private(ctx context.Context, id int64) error {
	key, loaded := g.key(privateKey(id))
	if !loaded || g.o.Limits.Private <= 0 {
		return nil
	}
	looking, cancel := context.WithTimeout(ctx, lookIn)
	defer cancel()
	e, err := g.find(looking, key)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("look who takes no calls: %w", ctx.Err())
	case err != nil:
		g.o.Log.Warn("whether somebody takes no calls is not known: telegram is asked", "error", err)
		return nil
	case e.Version == 0:
		return nil
	}
	return &Refusal{Why: Private, Wait: max(time.Until(e.Expires), 0)}
}

// Restricted notes that somebody's settings forbid calls from the account.
func (g *Guard) Restricted(ctx context.Context, id int64) {
	key, loaded := g.key(privateKey(id))
	if !loaded || g.o.Limits.Private <= 0 {
		return
	}
	ctx, cancel := aside(ctx)
	defer cancel()
	if _, err := g.o.Store.Put(ctx, key, []byte("USER_PRIVACY_RESTRICTED"), store.Put{TTL: g.o.Limits.Private}); err != nil {
		g.o.Log.Warn("privacy of a user will be asked for again", "error", err)
	}
}
