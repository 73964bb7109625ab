package bridge

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/routing"
)

// Router decides where calls go; *routing.Table is one. Its errors carry their verdict (CauseFromError).
type Router interface {
	Route(routing.Request) (routing.Plan, error)
}

// Reader is a Router that looks for a number in only a part of what was dialled: Reads returns that part, "" where it looks
// for none. Memory is asked for it.
type Reader interface {
	Reads(routing.Request) string
}

// Memory remembers what PBX links are shown of Telegram users, so that calls back find them. Both methods are called from
// the calls' goroutines and return within about a second.
type Memory interface {
	// Remember notes what the trunk was shown.
	Remember(ctx context.Context, trunk string, shown routing.Presented)
	// Recall returns what the trunk was shown that a dialled text may mean, what was shown last first.
	Recall(ctx context.Context, trunk, dialled string) []routing.Presented
}

// Options are what an Exchange is made of. Connect is needed, the rest has defaults.
type Options struct {
	// Connect joins the audio of two legs until stop is called (media.Connect); log has the call's attributes. An error
	// ends the call with MediaFailed.
	Connect func(log *slog.Logger, a, b media.Flow) (stop func(), err error)
	// Records takes the record of every call when it has ended, from the call's goroutine: it should not block.
	Records func(Record)
	// Watch hears of the edges of calls, from the call's goroutine: it must not block, and what the unfinished record
	// points to is the call's as soon as it returns. nil for nobody.
	Watch func(Edge, Record)
	// Memory of the numbers that PBX links are shown; nil for none.
	Memory Memory
	// Logger; by default nothing is logged.
	Logger *slog.Logger
	// MaxCalls is how many calls may live at once; further offers end with Congestion. 0 means any number.
	MaxCalls int
	// IgnoreDigitsFrom names trunks whose parties' DTMF digits are not passed on.
	IgnoreDigitsFrom []string
	Timeouts         Timeouts
}

// Edge is a moment in a call that others may want to know of. The end is told by Options.Records.
type Edge uint8

// The edges.
const (
	CallStarted   Edge = iota + 1 // there is a route for it
	CallConnected                 // both sides hear each other
)

// Timeouts limit the phases of a call. A zero field means its default.
type Timeouts struct {
	Ring     time.Duration // one target, from dialling until it answers, where the target says nothing; 60 s
	Media    time.Duration // from the answer until audio flows, beyond what a leg may take itself; 75 s
	Setup    time.Duration // from the offer until audio flows, over all targets; what those may take together (Timeouts.setup)
	Drain    time.Duration // how long live calls may go on at shutdown; 5 s, negative: not at all
	Alarm    time.Duration // a teardown that takes longer is logged as an error; 10 s
	Teardown time.Duration // a leg that takes longer to end is given up; 60 s
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Records == nil {
		o.Records = func(Record) {}
	}
	t := &o.Timeouts
	t.Ring = cmp.Or(t.Ring, time.Minute)
	t.Media = cmp.Or(t.Media, 75*time.Second) // Telegram: 30 s until the other side's first word, 30 s from there
	t.Drain = cmp.Or(t.Drain, 5*time.Second)
	t.Alarm = cmp.Or(t.Alarm, 10*time.Second)
	t.Teardown = cmp.Or(t.Teardown, time.Minute)
	return o
}

// Exchange takes the offers of its trunks and runs their calls. Its methods are safe for concurrent use.
type Exchange struct {
	o       Options             // set once
	ignored map[string]struct{} // set once: Options.IgnoreDigitsFrom
	router  atomic.Pointer[Router]
	work    sync.WaitGroup // one per call, refused ones too

	mu       sync.Mutex // guards what follows
	started  bool
	draining bool
	trunks   map[string]*station
	calls    map[string]*call // admitted and not ended
	empty    chan struct{}    // closed when draining and no call is left
}

// New returns an exchange that routes with r.
func New(r Router, o Options) (*Exchange, error) {
	switch {
	case r == nil:
		return nil, errors.New("make exchange: no router")
	case o.Connect == nil:
		return nil, errors.New("make exchange: no way to connect audio")
	case o.MaxCalls < 0:
		return nil, fmt.Errorf("make exchange: at most %d calls", o.MaxCalls)
	}
	x := &Exchange{
		o: o.withDefaults(), ignored: map[string]struct{}{},
		trunks: map[string]*station{}, calls: map[string]*call{}, empty: make(chan struct{}),
	}
	for _, name := range o.IgnoreDigitsFrom {
		x.ignored[name] = struct{}{}
	}
	x.router.Store(&r)
	return x, nil
}

// SetRouter makes every call offered from now on go by r; calls that live keep the route they have.
func (x *Exchange) SetRouter(r Router) { x.router.Store(&r) }

func (x *Exchange) route(ctx context.Context, q routing.Request) (routing.Plan, error) {
	router := *x.router.Load()
	text := q.Dialled
	if r, ok := router.(Reader); ok && text != "" {
		text = r.Reads(q)
	}
	if x.o.Memory != nil && text != "" {
		q.Remembered = x.o.Memory.Recall(ctx, q.Trunk, text)
	}
	plan, err := router.Route(q)
	if err == nil && len(plan.Targets) == 0 {
		err = &routing.NoRouteError{Trunk: q.Trunk}
	}
	plan.Targets = x.arrange(plan.Targets)
	return plan, err
}

// Run runs the trunks and their calls until ctx ends or every trunk has failed. At the end of ctx no new call is taken;
// those that live may go on for Timeouts.Drain, then they are hung up, then the trunks are stopped. A trunk that fails
// for good does not end the others (see Health). The error is nil after an orderly end, and joins those of the trunks
// when all have failed. An Exchange runs once.
func (x *Exchange) Run(ctx context.Context, trunks ...Trunk) error {
	if err := x.open(trunks); err != nil {
		return err
	}
	// The trunks outlive ctx by the time it takes to drain, and end before Run returns.
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var running sync.WaitGroup
	for _, s := range x.trunks {
		running.Go(func() { x.serve(life, s) })
	}
	down := make(chan struct{})
	go func() { running.Wait(); close(down) }()
	select {
	case <-ctx.Done():
	case <-down:
	}
	x.drain()
	stop()
	<-down
	x.work.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return x.failures()
}

// accept takes an offer. It does not block.
func (x *Exchange) accept(ctx context.Context, o Offer) {
	c := &call{id: newID(), x: x, offer: o, orders: make(chan Cause, 1)}
	x.mu.Lock()
	defer x.mu.Unlock()
	refused := x.draining || x.o.MaxCalls > 0 && len(x.calls) >= x.o.MaxCalls
	if !refused {
		x.calls[c.id] = c
	}
	x.work.Go(func() {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		c.run(ctx, refused)
		x.leave(c)
	})
}

func newID() string {
	var b [8]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

// leave forgets a call that has ended.
func (x *Exchange) leave(c *call) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, admitted := x.calls[c.id]; !admitted {
		return
	}
	delete(x.calls, c.id)
	if x.draining && len(x.calls) == 0 {
		close(x.empty)
	}
}

// drain takes no more calls, lets those that live go on for a while, and then ends them.
func (x *Exchange) drain() {
	x.mu.Lock()
	x.draining = true
	live := len(x.calls)
	x.mu.Unlock()
	if live == 0 {
		return
	}
	x.o.Logger.Info("waiting for calls to end", "calls", live, "at_most", x.o.Timeouts.Drain)
	grace := time.NewTimer(x.o.Timeouts.Drain)
	defer grace.Stop()
	select {
	case <-x.empty:
		return
	case <-grace.C:
	}
	for _, id := range x.live() {
		x.Hangup(id, CauseOf(Congestion)) // Normal for those that are up
	}
	<-x.empty // bounded: a call gives up legs that do not end (Timeouts.Teardown)
}

// live returns the ids of the calls that live.
func (x *Exchange) live() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	ids := make([]string, 0, len(x.calls))
	for id := range x.calls {
		ids = append(ids, id)
	}
	return ids
}

// Calls returns how many calls live.
func (x *Exchange) Calls() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.calls)
}

// Hangup ends a live call, both legs with that cause. It reports whether there is such a call.
func (x *Exchange) Hangup(id string, cause Cause) bool {
	x.mu.Lock()
	c := x.calls[id]
	x.mu.Unlock()
	if c == nil {
		return false
	}
	select {
	case c.orders <- cause:
	default: // it is being ended already
	}
	return true
}
