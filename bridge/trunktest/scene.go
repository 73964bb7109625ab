package trunktest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/routing"
)

func skippable(err error) bool { return errors.Is(err, errors.ErrUnsupported) }

// testCase is one thing that every trunk does. Cases return errors so that the suite itself can be tested.
type testCase struct {
	name string
	do   func(*scene) error
}

// scene is a running trunk in one case.
type scene struct {
	Fixture
	ctx    context.Context // of the whole case
	within time.Duration

	offers chan bridge.Offer
	stop   context.CancelFunc // of Run
	ran    chan error         // what Run returned

	mu   sync.Mutex
	legs []*watched
}

// try runs one case: trunk up, case, trunk down, all legs ended, no goroutine left.
func (h Harness) try(t testing.TB, c testCase) error {
	f := h.Open(t)
	leaks := append([]goleak.Option{goleak.IgnoreCurrent()}, h.Leaks...)
	ctx, cancel := context.WithTimeout(context.Background(), 10*h.Within)
	defer cancel()
	s := &scene{Fixture: f, ctx: ctx, within: h.Within, offers: make(chan bridge.Offer, 16), ran: make(chan error, 1)}
	s.run()
	err := c.do(s)
	err = errors.Join(err, s.down())
	if err != nil {
		return err // with a leg or Run that hangs, goroutines are sure to be left
	}
	return h.noLeak(ctx, leaks)
}

func (h Harness) noLeak(ctx context.Context, leaks []goleak.Option) error {
	ctx, cancel := context.WithTimeout(ctx, h.Within)
	defer cancel()
	for {
		err := goleak.Find(leaks...)
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
}

func (s *scene) run() {
	ctx, stop := context.WithCancel(s.ctx)
	s.stop = stop
	go func() {
		s.ran <- s.Trunk().Run(ctx, func(o bridge.Offer) {
			if t, ok := o.Leg.(bridge.Taker); ok {
				t.Taken() // as of a call that has a route
			}
			select {
			case s.offers <- o:
			default:
				if o.Leg != nil {
					o.Leg.Hangup(bridge.CauseOf(bridge.Congestion))
				}
			}
		})
	}()
}

// down ends Run's ctx and checks the ends of Run and of all legs.
func (s *scene) down() error {
	s.stop()
	var errs []error
	select {
	case err := <-s.ran:
		s.ran <- err // for a second down
		if err != nil {
			errs = append(errs, fmt.Errorf("Run returned an error after its ctx ended: %w", err))
		}
	case <-time.After(s.within):
		errs = append(errs, errors.New("Run does not return after its ctx ended"))
	}
	s.mu.Lock()
	legs := s.legs
	s.mu.Unlock()
	for _, w := range legs {
		// Every leg has ended when Run returns; only the reading of its events may lag behind.
		if _, err := w.ended(); err != nil {
			errs = append(errs, fmt.Errorf("after Run returned: %w", err))
		}
	}
	return errors.Join(errs...)
}

// call makes the world call in and returns the offered leg and the caller.
func (s *scene) call() (*watched, Far, error) {
	ctx, cancel := context.WithTimeout(s.ctx, s.within)
	defer cancel()
	far, err := s.Call(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("make the far side call: %w", err)
	}
	w, _, err := s.offered(ctx)
	return w, far, err
}

// offered waits for an offer and watches its leg.
func (s *scene) offered(ctx context.Context) (*watched, bridge.Offer, error) {
	var none bridge.Offer
	select {
	case o := <-s.offers:
		switch {
		case o.Leg == nil:
			return nil, none, errors.New("the offer has no leg")
		case o.Leg.ID() == "":
			return nil, none, errors.New("the offered leg has no id")
		case o.Trunk != s.Trunk().Name():
			return nil, none, fmt.Errorf("the offer says trunk %q, the trunk's name is %q", o.Trunk, s.Trunk().Name())
		}
		return s.watch(o.Leg), o, nil
	case <-ctx.Done():
		return nil, none, errors.New("the far side calls and no offer comes")
	}
}

// dial dials a party that behaves so.
func (s *scene) dial(ctx context.Context, b Behaviour) (*watched, Far, error) {
	target, far, err := s.Target(b)
	if err != nil {
		return nil, nil, fmt.Errorf("make a far party that %v: %w", b, err)
	}
	w, err := s.dialTarget(ctx, target)
	return w, far, err
}

func (s *scene) dialTarget(ctx context.Context, target routing.Target) (*watched, error) {
	var leg bridge.Leg
	if err := s.prompt("Dial", func() { leg = s.Trunk().Dial(ctx, target) }); err != nil {
		return nil, err
	}
	switch {
	case leg == nil:
		return nil, errors.New("Dial returns no leg")
	case leg.ID() == "":
		return nil, errors.New("the dialled leg has no id")
	}
	return s.watch(leg), nil
}

// prompt runs an order, which must not block.
func (s *scene) prompt(name string, order func()) error {
	begin := time.Now()
	order()
	if took := time.Since(begin); took > s.within/5 {
		return fmt.Errorf("%s blocked for %v", name, took)
	}
	return nil
}

// far waits for something in the world.
func (s *scene) far(what string, wait func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(s.ctx, s.within)
	defer cancel()
	if err := wait(ctx); err != nil {
		return fmt.Errorf("wait until the far party %s: %w", what, err)
	}
	return nil
}

// watched is a leg whose events are read to the end, as its owner must.
type watched struct {
	bridge.Leg
	s *scene

	mu     sync.Mutex
	events []bridge.Event
	closed bool
	more   chan struct{} // replaced and closed at every event
}

func (s *scene) watch(leg bridge.Leg) *watched {
	w := &watched{Leg: leg, s: s, more: make(chan struct{})}
	events := leg.Events()
	go func() {
		for e := range events {
			w.note(e, false)
		}
		w.note(nil, true)
	}()
	s.mu.Lock()
	s.legs = append(s.legs, w)
	s.mu.Unlock()
	return w
}

func (w *watched) note(e bridge.Event, closed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if closed {
		w.closed = true
	} else {
		w.events = append(w.events, e)
	}
	close(w.more)
	w.more = make(chan struct{})
}

// snapshot returns the events so far, whether the channel is closed, and what is closed when there is more.
func (w *watched) snapshot() ([]bridge.Event, bool, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.events[:len(w.events):len(w.events)], w.closed, w.more
}

// ended waits for the end and checks how it came.
func (w *watched) ended() (bridge.Ended, error) {
	limit := time.NewTimer(w.s.within)
	defer limit.Stop()
	for {
		events, closed, more := w.snapshot()
		if closed {
			return lastOf(w.ID(), events)
		}
		select {
		case <-more:
		case <-limit.C:
			return bridge.Ended{}, fmt.Errorf("leg %s does not end and close its events; so far %s", w.ID(), describe(events))
		}
	}
}

// lastOf checks that exactly one Ended came, as the last event, with a cause.
func lastOf(id string, events []bridge.Event) (bridge.Ended, error) {
	for i, e := range events {
		end, last := e.(bridge.Ended)
		switch {
		case last && i < len(events)-1:
			return bridge.Ended{}, fmt.Errorf("leg %s has events after Ended: %s", id, describe(events))
		case last && end.Cause.Reason == "":
			return bridge.Ended{}, fmt.Errorf("leg %s ended without a reason: %s", id, describe(events))
		case last:
			return end, nil
		}
	}
	return bridge.Ended{}, fmt.Errorf("leg %s closed its events without Ended: %s", id, describe(events))
}

func describe(events []bridge.Event) string {
	text := ""
	for _, e := range events {
		text += fmt.Sprintf(" %T", e)
		if end, ok := e.(bridge.Ended); ok {
			text += fmt.Sprintf("{%v %v}", end.Cause, end.Err)
		}
	}
	if text == "" {
		return "no event"
	}
	return "events" + text
}

// until waits for an event of that type, past or to come.
func until[E bridge.Event](w *watched) (E, error) {
	var none E
	limit := time.NewTimer(w.s.within)
	defer limit.Stop()
	for {
		events, closed, more := w.snapshot()
		for _, e := range events {
			if e, ok := e.(E); ok {
				return e, nil
			}
		}
		if closed {
			return none, fmt.Errorf("leg %s ended without %T: %s", w.ID(), none, describe(events))
		}
		select {
		case <-more:
		case <-limit.C:
			return none, fmt.Errorf("no %T comes from leg %s; so far %s", none, w.ID(), describe(events))
		}
	}
}

// has reports whether an event of that type has come.
func has[E bridge.Event](w *watched) bool {
	events, _, _ := w.snapshot()
	for _, e := range events {
		if _, ok := e.(E); ok {
			return true
		}
	}
	return false
}
