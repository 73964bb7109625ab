package guard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/tgtrunk/tgtrunk/store"
)

// Store is what the guard needs of a store; store.Store has it all.
type Store interface {
	Get(ctx context.Context, key string) (store.Entry, error)
	Put(ctx context.Context, key string, value []byte, how store.Put) (version uint64, err error)
	Scan(ctx context.Context, prefix string, each func(store.Entry) error) error
}

// Limits of one account. Defaults returns those that suit most; a zero duration or count turns that limit off, but
// PerDay, where 0 forbids strangers.
type Limits struct {
	Retry     time.Duration // a flood wait up to this long is sat through, once a request
	PeerFlood time.Duration // no strangers for so long after PEER_FLOOD
	Private   time.Duration // how long it is remembered that somebody takes no calls
	PerDay    int           // calls to strangers in any 24 hours; negative: any number
	PerCaller int           // of those, as many for one extension at the most
	WarmUp    int           // days in which the budget of a new account grows to PerDay
	Gap       time.Duration // between two calls to strangers
	Breaker   Breaker
	Pace      Pace
}

// Breaker stops calls to strangers when they decline. Answered calls to strangers make it forget.
type Breaker struct {
	Declines int           // so many instant declines
	Within   time.Duration // in so long
	Pause    time.Duration // stop for so long
}

// Pace is how fast an account may call, whomever: Telegram bans accounts from calling that do so too intensely. Calls are
// let go at once, one after Per/Calls comes back; a zero field turns it off.
type Pace struct {
	Calls int
	Per   time.Duration
}

// InstantDecline is how soon after the first ring a declined call counts for the Breaker.
const InstantDecline = 10 * time.Second

// Defaults returns the limits that suit most accounts: Telegram does not say its own.
func Defaults() Limits {
	return Limits{
		Retry: 5 * time.Second, PeerFlood: 24 * time.Hour, Private: time.Hour, PerDay: 30, WarmUp: 14,
		Gap: 10 * time.Second, Breaker: Breaker{Declines: 5, Within: time.Hour, Pause: 6 * time.Hour},
		Pace: Pace{Calls: 10, Per: 30 * time.Second},
	}
}

// Signal is what an error of Telegram's means for the guard.
type Signal struct {
	Wait      time.Duration // > 0: leave the method alone for so long
	PeerFlood bool          // leave strangers alone
}

// Options shape a Guard. Store and Read are required.
type Options struct {
	Store  Store
	Read   func(error) Signal // the zero Signal for nil and errors that do not matter here
	Limits Limits
	Log    *slog.Logger // nil discards
}

// Guard protects one account. Its methods may be called from any goroutine.
type Guard struct {
	o    Options
	pace *rate.Limiter // nil: any

	mu      sync.Mutex // guards what follows
	prefix  string     // of the account's keys; "" before Load
	floods  map[string]time.Time
	retries map[string]uint64
	book    book // as it was seen last
}

// New makes a guard that knows nothing; Load tells it whom it protects.
func New(o Options) *Guard {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Guard{o: o, pace: o.Limits.Pace.limiter(), floods: map[string]time.Time{}, retries: map[string]uint64{}}
}

// Load reads what is known of an account, whose keys begin with prefix, and notes when it was first seen.
func (g *Guard) Load(ctx context.Context, prefix string) error {
	floods := map[string]time.Time{}
	under := prefix + floodKeys
	err := g.o.Store.Scan(ctx, under, func(e store.Entry) error {
		var until time.Time
		if err := until.UnmarshalText(e.Value); err != nil {
			g.o.Log.Warn("ignored unreadable flood wait", "key", e.Key, "error", err)
			return nil
		}
		floods[strings.TrimPrefix(e.Key, under)] = until
		return nil
	})
	if err != nil {
		return fmt.Errorf("load flood waits: %w", err)
	}
	g.mu.Lock()
	if g.prefix == prefix { // a reconnect: what came meanwhile counts
		maps.Copy(floods, g.floods)
	}
	g.prefix, g.floods = prefix, floods
	g.mu.Unlock()
	_, err = g.change(ctx, func(*book, time.Time) error { return nil })
	return err
}

// Status is what a guard has to say for itself.
type Status struct {
	Left    int               // strangers that may be called now; -1: any number
	Allowed int               // strangers in 24 hours, at the account's age; -1: any number
	Bans    []Ban             // those that have not passed
	Retries map[string]uint64 // flood waits that were sat through, by method
}

// Ban is something that the account must not do for a while.
type Ban struct {
	Why    Why
	Method string // Flood: the TL method
	Until  time.Time
}

// Status returns what the guard knows, without asking the store.
func (g *Guard) Status() Status {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	s := Status{Left: g.o.Limits.left(g.book, now), Allowed: g.o.Limits.allowed(g.book, now), Retries: maps.Clone(g.retries)}
	for method, until := range g.floods {
		if until.After(now) {
			s.Bans = append(s.Bans, Ban{Flood, method, until})
		}
	}
	for why, until := range map[Why]time.Time{PeerFlood: g.book.PeerFlood, Declines: g.book.Declined} {
		if until.After(now) {
			s.Bans = append(s.Bans, Ban{why, "", until})
		}
	}
	return s
}

// Left is how many strangers an extension may call now, -1 any number, without asking the store.
func (g *Guard) Left(by string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.o.Limits.leftFor(by, g.book, time.Now())
}

func (g *Guard) key(rest string) (string, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.prefix + rest, g.prefix != ""
}

// find reads a value that may be missing.
func (g *Guard) find(ctx context.Context, key string) (store.Entry, error) {
	e, err := g.o.Store.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return store.Entry{Key: key}, nil
	}
	return e, err
}
