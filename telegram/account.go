package telegram

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/routing"
	"github.com/tgtrunk/tgtrunk/store"
	"github.com/tgtrunk/tgtrunk/telegram/guard"
)

const (
	firstRetry = time.Second
	lastRetry  = time.Minute
	lookAgain  = 5 * time.Second // whether somebody has logged the account in
	flushEvery = 2 * time.Second
	steadyFor  = time.Minute // a session that lived so long starts the retries anew
)

// Account is the bridge.Trunk of one Telegram account.
type Account struct {
	opts  Options
	owner string // of the lease: this process's Account, by a name that people can use
	log   *slog.Logger
	keep  keep
	peers *peers
	read  *progress
	guard *guard.Guard
	desk  *desk

	standing
	linked
	legs  legs
	login chan struct{} // holds a token when Login has succeeded

	unrouted unrouted

	heldBy string // the other holder that was reported last; Run only

	unreachedIn, commandIn time.Duration // shorter in tests
}

// linked is what is known of the account's devices.
type linked struct {
	seen      atomic.Pointer[[]LinkedDevice] // nil before the first look
	newDevice chan struct{}                  // holds a token when somebody has logged in
}

// legs are the account's legs that have not ended.
type legs struct {
	born    string // makes ids unique over restarts, and among processes that share the account
	counter atomic.Uint64
	live    atomic.Int64

	mu      sync.Mutex
	stopped bool // guarded by mu
	running sync.WaitGroup
}

// run lets a leg's goroutine go. It fails with ErrOffline after stop, and with ErrFull where so many legs live already;
// most is 0 for any number.
func (s *legs) run(most int, leg func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stopped:
		return ErrOffline
	case s.full(most):
		return ErrFull
	}
	s.live.Add(1)
	s.running.Go(func() {
		defer s.live.Add(-1)
		leg()
	})
	return nil
}

// linger lets go on what remains to be done for a leg that has ended, and counts no more; it is called by that leg's
// goroutine.
func (s *legs) linger(rest func()) { s.running.Go(rest) }

func (s *legs) full(most int) bool { return most > 0 && s.live.Load() >= int64(most) }

// stop takes no more legs and waits for those that there are.
func (s *legs) stop() {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	s.running.Wait()
}

// standing is whether calls can be made.
type standing struct {
	live    atomic.Pointer[session] // nil while calls cannot be made
	offline atomic.Bool             // the connection is being made anew
	health  atomic.Pointer[error]   // why live is nil
}

// New makes the trunk of an account; nothing happens until Run or Login.
func New(o Options) (*Account, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	o.Store = discreet{o.Store}
	k := keep{store: o.Store, name: o.Name, under: new(atomic.Pointer[store.Lease])}
	log := o.Log.With("trunk", o.Name)
	a := &Account{
		opts:   o,
		owner:  fmt.Sprintf("%s (%s)", store.ProcessName(), rand.Text()[:6]),
		log:    log,
		keep:   k,
		peers:  newPeers(k, log),
		read:   &progress{keep: k},
		guard:  guard.New(guard.Options{Store: o.Store, Read: signalOf, Limits: *o.Guard, Log: log}),
		login:  make(chan struct{}, 1),
		linked: linked{newDevice: make(chan struct{}, 1)},
		legs:   legs{born: strings.ToLower(rand.Text()[:8])},

		unreachedIn: unreachedIn, commandIn: commandIn,
	}
	a.peers.lookups = o.Lookups
	a.desk = newDesk(a, o.Chat)
	a.setHealth(ErrOffline)
	return a, nil
}

// Name implements bridge.Trunk.
func (a *Account) Name() string { return a.opts.Name }

// Kind implements bridge.KindReporter.
func (*Account) Kind() bridge.Kind { return bridge.Telegram }

// Health implements bridge.HealthReporter: it says why calls cannot be made; nil while they can.
func (s *standing) Health() error {
	if s.live.Load() == nil {
		return *s.health.Load()
	}
	if s.offline.Load() {
		return ErrOffline
	}
	return nil
}

func (s *standing) setHealth(err error) { s.health.Store(&err) }

// Run implements bridge.Trunk. It never gives up: an account that is logged out, or held by another process, waits
// until that changes, and says so in Health.
func (a *Account) Run(ctx context.Context, accept func(bridge.Offer)) error {
	retry := firstRetry
	for ctx.Err() == nil {
		retry = a.attempt(ctx, accept, retry)
	}
	a.setHealth(ErrOffline)
	a.legs.stop()
	return nil
}

// attempt is the account up to its next failure, and the wait after that; it returns how long to wait the next time.
func (a *Account) attempt(ctx context.Context, accept func(bridge.Offer), retry time.Duration) time.Duration {
	began := time.Now()
	err := a.hold(ctx, accept)
	if ctx.Err() != nil {
		return retry
	}
	a.setHealth(err)
	var held *store.HeldError
	if errors.As(err, &held) {
		a.standBy(ctx, held)
		return firstRetry
	}
	if errors.Is(err, ErrLoggedOut) {
		a.awaitLogin(ctx, err)
		return firstRetry
	}
	if time.Since(began) > steadyFor {
		retry = firstRetry
	}
	a.log.Warn("account is down, trying again", "error", err, "in", retry)
	sleep(ctx, retry)
	return min(2*retry, lastRetry)
}

// hold lives with the account's session, while this process has the account.
func (a *Account) hold(ctx context.Context, accept func(bridge.Offer)) error {
	return a.whileHeld(ctx, a.owner, func(ctx context.Context, f *fence) error {
		a.heldBy = ""
		version, err := a.keep.sessionVersion(ctx)
		if err != nil {
			return fmt.Errorf("look for a session: %w", err)
		}
		if version == 0 {
			return ErrLoggedOut
		}
		if err := a.connect(ctx, f, accept); err != nil {
			return err
		}
		return context.Cause(ctx)
	})
}

// awaitLogin waits until there is a session that has not failed yet.
func (a *Account) awaitLogin(ctx context.Context, why error) {
	a.log.Error("account is down until somebody logs it in", "error", why, "advice", "tgtrunk login --account "+a.opts.Name)
	failed, err := a.keep.sessionVersion(ctx)
	if err != nil {
		a.log.Warn("looking for a session failed", "error", err)
	}
	look := time.NewTicker(lookAgain)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.login:
			return
		case <-look.C:
			if now, err := a.keep.sessionVersion(ctx); err == nil && now != 0 && now != failed {
				return
			}
		}
	}
}

// Calls returns how many calls live on the account, and how many may; 0 for any number.
func (a *Account) Calls() (live, most int) { return int(a.legs.live.Load()), a.opts.Calls.Most }

// Dial implements bridge.Trunk.
func (a *Account) Dial(ctx context.Context, t routing.Target) bridge.Leg {
	l := a.newLeg()
	if err := a.legs.run(a.opts.Calls.Most, func() { l.dial(ctx, t) }); err != nil {
		l.pass(l.whoCalls(Peer{}))
		l.fail(err)
	}
	return l
}

func (a *Account) newLeg() *leg {
	id := fmt.Sprintf("%s-%s-%d", a.opts.Name, a.legs.born, a.legs.counter.Add(1))
	return newLeg(a, id)
}
