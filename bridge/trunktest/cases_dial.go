package trunktest

import (
	"context"
	"fmt"

	"github.com/tgtrunk/tgtrunk/bridge"
)

// aDial makes a case that begins with a call that has just been dialled.
func aDial(name string, b Behaviour, do func(*watched, Far) error) testCase {
	return testCase{"dial: " + name, func(s *scene) error {
		w, far, err := s.dial(s.ctx, b)
		if err != nil {
			return err
		}
		return do(w, far)
	}}
}

// aDialRinging makes a case that begins with a dialled call that rings.
func aDialRinging(name string, do func(*watched, Far) error) testCase {
	return testCase{"dial: " + name, func(s *scene) error {
		w, far, err := s.ringing(s.ctx)
		if err != nil {
			return err
		}
		return do(w, far)
	}}
}

// aDialUp makes a case that begins with a dialled call that is up.
func aDialUp(name string, do func(*watched, Far) error) testCase {
	return testCase{"dial: " + name, func(s *scene) error {
		w, far, err := s.answered(s.ctx)
		if err != nil {
			return err
		}
		return do(w, far)
	}}
}

func dialCases() []testCase {
	return append(append(dialFailureCases(), dialEarlyCases()...),
		aDialUp("up, the called party hangs up", func(w *watched, far Far) error {
			return steps(far.Hangup, func() error { return w.bothEnded(far, farEnds...) })
		}),
		aDialUp("up, we hang up", func(w *watched, far Far) error {
			return steps(
				func() error { return w.hangup(bridge.Normal) },
				func() error { return w.bothEnded(far, bridge.Normal) },
			)
		}),
		aDialUp("up, both hang up at once", func(w *watched, far Far) error {
			return steps(
				func() error { return together(far.Hangup, func() error { return w.hangup(bridge.Normal) }) },
				func() error { return w.bothEnded(far, farEnds...) },
			)
		}),
		aDialUp("up, we hang up twice and the first cause counts", func(w *watched, far Far) error {
			return steps(
				func() error { return w.hangup(bridge.MediaFailed) },
				func() error { return w.hangup(bridge.Normal) },
				func() error { return w.bothEnded(far, bridge.MediaFailed) },
			)
		}),
		aDialUp("orders after the end are ignored", func(w *watched, far Far) error {
			return steps(far.Hangup, func() error { return w.bothEnded(far, farEnds...) }, w.orderAll)
		}),
		aDialUp("the flow is harmless after the end", func(w *watched, far Far) error {
			flow, err := w.usable()
			if err != nil {
				return err
			}
			return steps(
				func() error { return w.hangup(bridge.Normal) },
				func() error { return w.bothEnded(far, bridge.Normal) },
				func() error { return spent(flow) },
			)
		}),
		testCase{"dial: one call after another", func(s *scene) error {
			for range 3 {
				w, far, err := s.answered(s.ctx)
				if err != nil {
					return err
				}
				if err := steps(far.Hangup, func() error { return w.bothEnded(far, farEnds...) }); err != nil {
					return err
				}
			}
			return nil
		}},
	)
}

// dialFailureCases are those where the call never comes about.
func dialFailureCases() []testCase {
	return []testCase{
		aDial("busy", IsBusy, func(w *watched, far Far) error {
			return steps(func() error { return w.bothEnded(far, bridge.Busy) }, w.neverUp)
		}),
		// A Telegram client that declines says that it is busy.
		aDial("declined", Declines, func(w *watched, far Far) error {
			return steps(func() error { return w.bothEnded(far, bridge.Declined, bridge.Busy) }, w.neverUp)
		}),
		aDial("unreachable", Unreachable, func(w *watched, far Far) error {
			end, err := w.ended()
			if err != nil {
				return err
			}
			switch end.Cause.Reason {
			case bridge.Normal, bridge.Cancelled, bridge.Busy, bridge.Declined:
				return fmt.Errorf("leg %s ended for %v, which says that somebody was there", w.ID(), end.Cause)
			}
			return w.neverUp()
		}),
	}
}

// dialEarlyCases are those where we end the call before it is up.
func dialEarlyCases() []testCase {
	cancel := func(w *watched, far Far) error {
		return steps(
			func() error { return w.hangup(bridge.Cancelled) },
			func() error { return w.bothEnded(far, bridge.Cancelled) },
		)
	}
	return []testCase{
		aDial("cancelled at once", RingsOn, cancel),
		aDialRinging("cancelled while it rings", func(w *watched, far Far) error {
			return steps(func() error { return cancel(w, far) }, w.neverUp, w.orderAll)
		}),
		aDial("cancelled while it may be answered", Answers, func(w *watched, far Far) error {
			return steps(
				func() error { return w.hangup(bridge.Cancelled) },
				func() error { return w.bothEnded(far, bridge.Cancelled, bridge.Normal) },
			)
		}),
		aDialRinging("cancel races answer", func(w *watched, far Far) error {
			return steps(
				func() error { return together(far.Answer, func() error { return w.hangup(bridge.Cancelled) }) },
				func() error { return w.bothEnded(far, bridge.Cancelled, bridge.Normal) },
			)
		}),
		aDialRinging("cancelled right after the answer", func(w *watched, far Far) error {
			return steps(
				far.Answer,
				func() error { _, err := until[bridge.Answered](w); return err },
				func() error { return w.hangup(bridge.Normal) },
				func() error { return w.bothEnded(far, bridge.Normal) },
			)
		}),
		aDialRinging("both hang up while it rings", func(w *watched, far Far) error {
			return steps(
				func() error { return together(far.Hangup, func() error { return w.hangup(bridge.Cancelled) }) },
				func() error {
					return w.bothEnded(far, bridge.Cancelled, bridge.Declined, bridge.Busy, bridge.Normal)
				},
			)
		}),
		aDialRinging("refused while it rings", func(w *watched, far Far) error {
			return steps(
				far.Hangup,
				func() error { return w.bothEnded(far, bridge.Declined, bridge.Busy) },
				w.neverUp,
			)
		}),
		{"dial: its context ends while it rings", func(s *scene) error {
			ctx, stop := context.WithCancel(s.ctx)
			defer stop()
			w, far, err := s.ringing(ctx)
			if err != nil {
				return err
			}
			stop()
			if _, err := w.ended(); err != nil {
				return err
			}
			return s.far("has no call any more", far.Ended)
		}},
		{"dial: its context has ended before", func(s *scene) error {
			ctx, stop := context.WithCancel(s.ctx)
			stop()
			w, far, err := s.dial(ctx, RingsOn)
			if err != nil {
				return err
			}
			if _, err := w.ended(); err != nil {
				return err
			}
			return s.far("has no call", far.Ended)
		}},
	}
}
