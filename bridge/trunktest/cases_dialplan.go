package trunktest

import (
	"context"
	"errors"
	"fmt"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/routing"
)

// aCaller makes a case of a call whose channel has variables.
func aCaller(name string, variables map[string]string, do func(Dialplan, *watched, bridge.Offer) error) testCase {
	return testCase{"dialplan: " + name, func(s *scene) error {
		plan, ok := s.Fixture.(Dialplan)
		if !ok {
			return fmt.Errorf("a trunk without a dialplan: %w", errors.ErrUnsupported)
		}
		ctx, cancel := context.WithTimeout(s.ctx, s.within)
		defer cancel()
		far, err := plan.CallWith(ctx, variables)
		if err != nil {
			return fmt.Errorf("make the far side call: %w", err)
		}
		w, o, err := s.offered(ctx)
		if err != nil {
			return err
		}
		return steps(
			func() error { return do(plan, w, o) },
			func() error { return w.hangup(bridge.Busy) },
			func() error { return w.bothEnded(far, bridge.Busy) },
			w.orderAll,
		)
	}}
}

// dialplanCases are what a PBX's dialplan tells the trunk, and is told by it.
func dialplanCases() []testCase {
	asked := map[string]string{routing.VarTimeout: "17", routing.VarReachedIn: "9", AskedVariable: "support"}
	return []testCase{
		aCaller("what a caller's channel has is known of the call", asked, func(_ Dialplan, _ *watched, o bridge.Offer) error {
			for name, want := range asked {
				if got := o.Variables[name]; got != want {
					return fmt.Errorf("the offer says %s is %q, want %q", name, got, want)
				}
			}
			return nil
		}),
		aCaller("what a channel has not is not made up", nil, func(_ Dialplan, _ *watched, o bridge.Offer) error {
			for name := range asked {
				if got, set := o.Variables[name]; set {
					return fmt.Errorf("the offer says %s is %q, which nobody has set", name, got)
				}
			}
			return nil
		}),
		aCaller("what is found out reaches the channel", nil, annotated),
	}
}

// annotated orders variables, before and after ringing; the last value of each stands, and what is no name of a variable
// is left out.
func annotated(plan Dialplan, w *watched, o bridge.Offer) error {
	leg, ok := w.Leg.(bridge.Annotator)
	if !ok {
		return errors.New("the leg takes no variables (bridge.Annotator)")
	}
	annotate := func(variables map[string]string) error {
		return w.s.prompt("Annotate", func() { leg.Annotate(variables) })
	}
	return steps(
		func() error {
			return annotate(map[string]string{"TGTRUNK_PRESENCE": "offline", "TGTRUNK_PRESENCE_AGE": "90", "TGTRUNK BAD": "x"})
		},
		w.ring,
		func() error {
			return annotate(map[string]string{"TGTRUNK_BUDGET_LEFT": "7", "TGTRUNK_PRESENCE": "online"})
		},
		func() error {
			for name, want := range map[string]string{
				"TGTRUNK_PRESENCE": "online", "TGTRUNK_PRESENCE_AGE": "90", "TGTRUNK_BUDGET_LEFT": "7", "TGTRUNK_LEG": w.ID(),
			} {
				if err := w.s.shows(plan, o, name, want); err != nil {
					return err
				}
			}
			return nil
		},
	)
}

// shows waits until a channel has a variable with this value.
func (s *scene) shows(plan Dialplan, o bridge.Offer, name, want string) error {
	ctx, cancel := context.WithTimeout(s.ctx, s.within)
	defer cancel()
	for {
		got, err := plan.Variable(ctx, o, name)
		switch {
		case err != nil:
			return fmt.Errorf("read %s of the caller's channel: %w", name, err)
		case got == want:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("the caller's channel has %s %q, want %q", name, got, want)
		}
	}
}
