package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tgtrunk/tgtrunk/routing"
)

// station is a trunk in the exchange.
type station struct {
	trunk Trunk
	up    bool  // its Run has not returned; guarded by Exchange.mu
	err   error // with which it returned; guarded by Exchange.mu
}

// HealthReporter is a Trunk that knows more of its state than that it runs: nil while calls can go out and come in.
// It does not block.
type HealthReporter interface{ Health() error }

// KindReporter is a Trunk that says what it is made of, so that records and events know it while its legs live.
type KindReporter interface{ Kind() Kind }

// kind is what the trunk of that name is made of; "" where it does not say.
func (x *Exchange) kind(name string) Kind {
	x.mu.Lock()
	s := x.trunks[name]
	x.mu.Unlock()
	if s == nil {
		return ""
	}
	if r, ok := s.trunk.(KindReporter); ok {
		return r.Kind()
	}
	return ""
}

// TrunkHealth is the state of one trunk.
type TrunkHealth struct {
	Name string
	Err  error // nil: it works
}

// errStopped is the health of a trunk that is not running.
var errStopped = errors.New("trunk is not running")

// Health returns the state of every trunk, by name.
func (x *Exchange) Health() []TrunkHealth {
	x.mu.Lock()
	out := make([]TrunkHealth, 0, len(x.trunks))
	var ask []Trunk
	for name, s := range x.trunks {
		switch {
		case s.up:
			ask = append(ask, s.trunk)
		case s.err != nil:
			out = append(out, TrunkHealth{name, s.err})
		default:
			out = append(out, TrunkHealth{name, errStopped})
		}
	}
	x.mu.Unlock()
	for _, t := range ask {
		h := TrunkHealth{Name: t.Name()}
		if r, ok := t.(HealthReporter); ok {
			h.Err = r.Health()
		}
		out = append(out, h)
	}
	slices.SortFunc(out, func(a, b TrunkHealth) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// open registers the trunks.
func (x *Exchange) open(trunks []Trunk) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.started {
		return errors.New("run exchange: it has run already")
	}
	if len(trunks) == 0 {
		return errors.New("run exchange: no trunk")
	}
	byName := map[string]*station{}
	for _, t := range trunks {
		if _, twice := byName[t.Name()]; twice {
			return fmt.Errorf("run exchange: two trunks are named %q", t.Name())
		}
		byName[t.Name()] = &station{trunk: t, up: true}
	}
	x.started, x.trunks = true, byName
	return nil
}

// serve runs one trunk to its end.
func (x *Exchange) serve(ctx context.Context, s *station) {
	name := s.trunk.Name()
	log := x.o.Logger.With("trunk", name)
	log.Info("trunk starts")
	err := s.trunk.Run(ctx, func(o Offer) {
		if o.Leg == nil {
			log.Error("trunk offers a call without a leg")
			return
		}
		o.Trunk = name
		x.accept(ctx, o)
	})
	x.mu.Lock()
	s.up, s.err = false, err
	x.mu.Unlock()
	switch {
	case err != nil:
		log.Error("trunk failed for good", "error", err)
	case ctx.Err() == nil:
		log.Error("trunk stopped by itself")
	default:
		log.Info("trunk stopped")
	}
}

// failures joins what ended the trunks.
func (x *Exchange) failures() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	errs := []error{errors.New("run exchange: every trunk has ended")}
	for name, s := range x.trunks {
		if s.err != nil {
			errs = append(errs, fmt.Errorf("trunk %q: %w", name, s.err))
		}
	}
	return errors.Join(errs...)
}

// dial places a call on the target's trunk.
func (x *Exchange) dial(ctx context.Context, t routing.Target) Leg {
	x.mu.Lock()
	s := x.trunks[t.Trunk]
	up := s != nil && s.up
	x.mu.Unlock()
	if !up {
		return newStillborn(t.Trunk)
	}
	return s.trunk.Dial(ctx, t)
}

// stillborn is the leg of a target whose trunk does not run.
type stillborn struct{ events chan Event }

func newStillborn(trunk string) stillborn {
	l := stillborn{make(chan Event, 1)}
	l.events <- Ended{Cause: CauseOf(AccountDown), Err: fmt.Errorf("dial on trunk %q: %w", trunk, errStopped)}
	close(l.events)
	return l
}

func (stillborn) ID() string             { return "none" }
func (l stillborn) Events() <-chan Event { return l.events }
func (stillborn) Ring()                  {}
func (stillborn) Answer()                {}
func (stillborn) Hangup(Cause)           {}
