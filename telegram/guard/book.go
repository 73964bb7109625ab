package guard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tgtrunk/tgtrunk/store"
)

const (
	bookKey  = "strangers"
	day      = 24 * time.Hour
	attempts = 100 // to write the book while others do
)

// book is what is counted of an account's calls to strangers. It is one value of the store, written only over the
// version that was read, so that two processes never count past each other.
type book struct {
	Since     time.Time   `json:"since"` // the account was first seen
	Calls     []entry     `json:"calls,omitempty"`
	Declines  []time.Time `json:"declines,omitempty"` // instant ones, since the last answer
	PeerFlood time.Time   `json:"peer_flood,omitzero"`
	Declined  time.Time   `json:"declined,omitzero"` // until when the Breaker has stopped calls
}

// entry is one call to a stranger.
type entry struct {
	At time.Time `json:"at"`
	ID int64     `json:"id"`
	By string    `json:"by,omitempty"` // the extension that called
}

func (e entry) counts(now time.Time) bool { return now.Sub(e.At) < day }

// tidy drops what does not count any more.
func (b *book) tidy(now time.Time, within time.Duration) {
	b.Calls = slices.DeleteFunc(b.Calls, func(e entry) bool { return !e.counts(now) })
	b.Declines = slices.DeleteFunc(b.Declines, func(at time.Time) bool { return now.Sub(at) >= within })
}

// allowed is how many strangers may be called in 24 hours at the account's age; -1 any number.
func (l Limits) allowed(b book, now time.Time) int {
	if l.PerDay < 0 {
		return -1
	}
	age := 0
	if !b.Since.IsZero() {
		age = max(0, int(now.Sub(b.Since)/day)) // somebody may have set the clock back
	}
	if l.WarmUp <= 0 || age >= l.WarmUp {
		return l.PerDay
	}
	return (l.PerDay*(age+1) + l.WarmUp - 1) / l.WarmUp
}

// of is how many calls of an extension count now, and when it may call again once quota of them must have passed.
func (b book) of(by string, quota int, now time.Time) (spent int, again time.Time) {
	var at []time.Time
	for _, c := range b.Calls {
		if c.By == by && c.counts(now) {
			at = append(at, c.At)
		}
	}
	if len(at) >= quota && quota > 0 {
		again = at[len(at)-quota].Add(day)
	}
	return len(at), again
}

// leftFor is how many strangers an extension may call now; -1 any number.
func (l Limits) leftFor(by string, b book, now time.Time) int {
	left := l.left(b, now)
	if l.PerCaller <= 0 {
		return left
	}
	spent, _ := b.of(by, l.PerCaller, now)
	if own := max(0, l.PerCaller-spent); left < 0 || own < left {
		return own
	}
	return left
}

// left is how many strangers may be called now; -1 any number.
func (l Limits) left(b book, now time.Time) int {
	allowed := l.allowed(b, now)
	switch {
	case b.PeerFlood.After(now), b.Declined.After(now):
		return 0
	case allowed < 0:
		return -1
	}
	spent := 0 // the book may be somebody else's: it is only looked at
	for _, c := range b.Calls {
		if c.counts(now) {
			spent++
		}
	}
	return max(0, allowed-spent)
}

// refuse says why an extension may call no stranger now; nil where it may.
func (l Limits) refuse(b book, now time.Time, by string) *Refusal {
	allowed, last := l.allowed(b, now), len(b.Calls)-1
	switch {
	case b.PeerFlood.After(now):
		return &Refusal{Why: PeerFlood, Wait: b.PeerFlood.Sub(now)}
	case b.Declined.After(now):
		return &Refusal{Why: Declines, Wait: b.Declined.Sub(now)}
	case allowed == 0:
		return &Refusal{Why: Budget}
	case allowed > 0 && len(b.Calls) >= allowed:
		return &Refusal{Why: Budget, Wait: b.Calls[len(b.Calls)-allowed].At.Add(day).Sub(now)}
	}
	if spent, again := b.of(by, l.PerCaller, now); l.PerCaller > 0 && spent >= l.PerCaller {
		return &Refusal{Why: Quota, Wait: again.Sub(now)}
	}
	if last >= 0 && now.Sub(b.Calls[last].At) < l.Gap {
		return &Refusal{Why: Gap, Wait: l.Gap - now.Sub(b.Calls[last].At)}
	}
	return nil
}

// change edits the account's book as one step, whoever else does. Where edit fails nothing is written.
func (g *Guard) change(ctx context.Context, edit func(*book, time.Time) error) (book, error) {
	key, loaded := g.key(bookKey)
	if !loaded {
		return book{}, errors.New("count strangers: the guard knows no account")
	}
	for range attempts {
		e, err := g.find(ctx, key)
		if err != nil {
			return book{}, fmt.Errorf("count strangers: %w", err)
		}
		b, now := g.decode(e), time.Now()
		before, err := json.Marshal(b)
		if err != nil {
			return book{}, fmt.Errorf("count strangers: %w", err)
		}
		if b.Since.IsZero() {
			b.Since = now
		}
		b.tidy(now, g.o.Limits.Breaker.Within)
		refused := edit(&b, now)
		g.saw(b)
		if refused != nil {
			return b, refused
		}
		after, err := json.Marshal(b)
		if err != nil {
			return book{}, fmt.Errorf("count strangers: %w", err)
		}
		if e.Version != 0 && string(before) == string(after) {
			return b, nil
		}
		_, err = g.o.Store.Put(ctx, key, after, store.Put{Version: e.Version, Create: e.Version == 0})
		if err == nil {
			return b, nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return book{}, fmt.Errorf("count strangers: %w", err)
		}
	}
	return book{}, fmt.Errorf("count strangers: %w", errBusy)
}

func (g *Guard) decode(e store.Entry) book {
	var b book
	if len(e.Value) == 0 {
		return b
	}
	if err := json.Unmarshal(e.Value, &b); err != nil {
		g.o.Log.Error("book of strangers cannot be read, beginning a new one", "key", e.Key, "error", err)
		return book{}
	}
	return b
}

func (g *Guard) saw(b book) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.book = b
}
