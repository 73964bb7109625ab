package trunktest

import (
	"context"
	"strconv"
	"sync"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/routing"
)

// Verb is what a leg was ordered to do.
type Verb string

// The orders of a bridge.Leg.
const (
	Ring   Verb = "ring"
	Answer Verb = "answer"
	Hangup Verb = "hangup"
	Digit  Verb = "digit"
	Hold   Verb = "hold"
	Meet   Verb = "meet" // Introduce
)

// Order is one order that a fake leg was given.
type Order struct {
	Verb  Verb
	Cause bridge.Cause  // of a Hangup
	Digit byte          // of a Digit
	On    bool          // of a Hold
	Party routing.Party // of a Meet
}

// Trunk is a scripted bridge.Trunk: tests make its offers, and see and answer what is dialled on it.
type Trunk struct {
	name string
	// Script reacts to every order of every leg; by default Obey. Set before Run.
	Script func(*Leg, Order)
	// OnDial, if set, reacts to every leg that is dialled, before Dial returns. Set before Run.
	OnDial func(*Leg)
	// Made is what Kind says. Set before Run.
	Made bridge.Kind

	dialled chan *Leg
	failed  chan error
	up      chan struct{} // closed when Run takes offers

	mu     sync.Mutex // guards what follows
	accept func(bridge.Offer)
	legs   map[*Leg]struct{} // live
	made   int
}

// NewTrunk returns a trunk that obeys.
func NewTrunk(name string) *Trunk {
	return &Trunk{
		name: name, Script: Obey,
		dialled: make(chan *Leg, 64), failed: make(chan error, 1), up: make(chan struct{}),
		legs: map[*Leg]struct{}{},
	}
}

// Obey does what a well-behaved far end does: a leg told to answer has media, a leg told to hang up ends.
func Obey(l *Leg, o Order) {
	switch o.Verb {
	case Answer:
		l.Emit(bridge.Media{Flow: l.Flow})
	case Hangup:
		l.Emit(bridge.Ended{Cause: o.Cause})
	}
}

// Name returns the trunk's name.
func (t *Trunk) Name() string { return t.name }

// Kind implements bridge.KindReporter.
func (t *Trunk) Kind() bridge.Kind { return t.Made }

// Run takes offers until ctx ends, which ends all legs, or Fail is called. It runs once.
func (t *Trunk) Run(ctx context.Context, accept func(bridge.Offer)) error {
	t.mu.Lock()
	t.accept = accept
	t.mu.Unlock()
	close(t.up)
	var err error
	select {
	case <-ctx.Done():
	case err = <-t.failed:
	}
	t.mu.Lock()
	t.accept = nil
	var live []*Leg
	for l := range t.legs {
		live = append(live, l)
	}
	t.mu.Unlock()
	for _, l := range live {
		l.Emit(bridge.Ended{Cause: bridge.CauseOf(bridge.AccountDown)})
	}
	return err
}

// Fail makes Run return err.
func (t *Trunk) Fail(err error) { t.failed <- err }

// Up is closed as soon as Run takes offers.
func (t *Trunk) Up() <-chan struct{} { return t.up }

// Offer makes a call come in; nil while the trunk does not run.
func (t *Trunk) Offer(q routing.Request) *Leg {
	t.mu.Lock()
	accept := t.accept
	var l *Leg
	if accept != nil {
		l = t.leg(routing.Target{}) // under the same lock: Run ends what it finds
	}
	t.mu.Unlock()
	if l == nil {
		return nil
	}
	q.Trunk = t.name
	accept(bridge.Offer{Request: q, Leg: l})
	return l
}

// Dial makes a leg that the test finds in Dialled.
func (t *Trunk) Dial(ctx context.Context, target routing.Target) bridge.Leg {
	t.mu.Lock()
	l, running := t.leg(target), t.accept != nil
	t.mu.Unlock()
	if !running {
		l.Emit(bridge.Ended{Cause: bridge.CauseOf(bridge.AccountDown)})
		return l
	}
	context.AfterFunc(ctx, func() { l.Hangup(bridge.CauseOf(bridge.Cancelled)) })
	if t.OnDial != nil {
		t.OnDial(l)
	}
	select {
	case t.dialled <- l:
	default: // nobody looks
	}
	return l
}

// Dialled delivers the legs that were dialled, in order.
func (t *Trunk) Dialled() <-chan *Leg { return t.dialled }

// leg makes a leg; the caller holds mu.
func (t *Trunk) leg(target routing.Target) *Leg {
	t.made++
	l := &Leg{
		Target: target, Flow: NewFlow(), trunk: t, id: t.name + "-" + strconv.Itoa(t.made),
		events: make(chan bridge.Event, 256), orders: make(chan Order, 256), done: make(chan struct{}),
	}
	t.legs[l] = struct{}{}
	return l
}

// Leg is a scripted bridge.Leg that is a ToneSender, an Introducer and a Holder as well.
type Leg struct {
	Target routing.Target // of a dialled leg
	Flow   *Flow          // for the test's Media event

	trunk  *Trunk
	id     string
	events chan bridge.Event
	orders chan Order
	done   chan struct{}

	mu    sync.Mutex // guards what follows and the sending side of events
	ended bool
	hung  bool
}

// Emit makes the leg tell its call something. Nothing is told after Ended.
func (l *Leg) Emit(e bridge.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return
	}
	select {
	case l.events <- e:
	default: // a test that lets 256 events lie does not want them
	}
	if _, last := e.(bridge.Ended); !last {
		return
	}
	l.ended = true
	close(l.events)
	close(l.done)
	_ = l.Flow.Close()
	l.trunk.mu.Lock()
	delete(l.trunk.legs, l)
	l.trunk.mu.Unlock()
}

// Done is closed when the leg has ended.
func (l *Leg) Done() <-chan struct{} { return l.done }

// Orders delivers the orders given to the leg while it lived, in order.
func (l *Leg) Orders() <-chan Order { return l.orders }

func (l *Leg) order(o Order) {
	l.mu.Lock()
	late := l.ended || l.hung
	l.hung = l.hung || o.Verb == Hangup
	l.mu.Unlock()
	if late {
		return
	}
	select {
	case l.orders <- o:
	default: // nobody looks
	}
	l.trunk.Script(l, o)
}

// ID is unique among all fake legs of one trunk.
func (l *Leg) ID() string { return l.id }

// Events delivers what the test emits.
func (l *Leg) Events() <-chan bridge.Event { return l.events }

// Ring notes the order.
func (l *Leg) Ring() { l.order(Order{Verb: Ring}) }

// Answer notes the order.
func (l *Leg) Answer() { l.order(Order{Verb: Answer}) }

// Hangup notes the order; only the first counts.
func (l *Leg) Hangup(c bridge.Cause) { l.order(Order{Verb: Hangup, Cause: c}) }

// SendDigit notes the order.
func (l *Leg) SendDigit(digit byte) { l.order(Order{Verb: Digit, Digit: digit}) }

// Introduce notes the order.
func (l *Leg) Introduce(p routing.Party) { l.order(Order{Verb: Meet, Party: p}) }

// Hold notes the order.
func (l *Leg) Hold(on bool) { l.order(Order{Verb: Hold, On: on}) }
