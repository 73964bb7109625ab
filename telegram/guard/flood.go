package guard

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/tgtrunk/tgtrunk/store"
)

const (
	floodKeys = "flood/"
	jitter    = 250 * time.Millisecond // on top of a flood wait: not all requests come back at once
	storeIn   = 2 * time.Second        // to note a ban
)

// Do makes a request of a TL method, unless the account must leave that method alone: then it fails at once with a
// *Refusal. A flood wait up to Limits.Retry is sat through while ctx and wanted live, and the request made once more; a
// longer one is remembered and makes the error a *Refusal around Telegram's own. wanted ends when nobody needs the
// answer any more, and may be ctx.
func (g *Guard) Do(ctx, wanted context.Context, method string, request func(context.Context) error) error {
	if wait := g.Flooded(method); wait > 0 {
		return &Refusal{Why: Flood, Method: method, Wait: wait}
	}
	err := request(ctx)
	said := g.o.Read(err)
	if said.Wait > 0 && said.Wait <= g.o.Limits.Retry {
		g.o.Log.Debug("sitting through a flood wait", "method", method, "wait", said.Wait)
		if !sleep(ctx, wanted, said.Wait+rand.N(jitter)) {
			return err
		}
		g.countRetry(method)
		err = request(ctx)
		said = g.o.Read(err)
	}
	if said.PeerFlood {
		g.limited(ctx)
	}
	if said.Wait > 0 {
		g.remember(ctx, method, said.Wait)
		return &Refusal{Why: Flood, Method: method, Wait: said.Wait, Err: err}
	}
	return err
}

// Flooded returns for how long a method must be left alone; 0 where it may be used.
func (g *Guard) Flooded(method string) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	until, ok := g.floods[method]
	if !ok {
		return 0
	}
	if wait := time.Until(until); wait > 0 {
		return wait
	}
	delete(g.floods, method)
	return 0
}

func (g *Guard) countRetry(method string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.retries[method]++
}

// remember keeps a flood wait, here and in the store.
func (g *Guard) remember(ctx context.Context, method string, wait time.Duration) {
	until := time.Now().Add(wait)
	g.mu.Lock()
	g.floods[method] = until
	g.mu.Unlock()
	g.o.Log.Warn("telegram wants this account to wait: what needs the method fails until then",
		"method", method, "wait", wait, "until", until.Format(time.RFC3339),
		"advice", "nothing is to be done; where it happens often, spread the calls over more accounts")
	key, loaded := g.key(floodKeys + method)
	if !loaded {
		return
	}
	text, err := until.MarshalText()
	if err == nil {
		ctx, cancel := aside(ctx)
		defer cancel()
		_, err = g.o.Store.Put(ctx, key, text, store.Put{TTL: wait})
	}
	if err != nil {
		g.o.Log.Warn("flood wait will be forgotten at a restart", "method", method, "error", err)
	}
}

// aside is a context to note something in, whatever becomes of the request.
func aside(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), storeIn)
}

// sleep reports whether the time has passed without either context ending; they may be the same.
func sleep(ctx, wanted context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
	case <-wanted.Done():
	}
	return false
}
