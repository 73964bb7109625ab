package trunktest

import (
	"errors"
	"fmt"

	"github.com/tgtrunk/tgtrunk/bridge"
)

// Ends of a call by its far party: after it was up, and before.
var (
	farEnds    = []bridge.Reason{bridge.Normal}
	farCancels = []bridge.Reason{bridge.Normal, bridge.Cancelled}
)

// anOffer makes a case that begins with an offer nobody has touched.
func anOffer(name string, do func(*watched, Far) error) testCase {
	return testCase{"offer: " + name, func(s *scene) error {
		w, far, err := s.call()
		if err != nil {
			return err
		}
		return do(w, far)
	}}
}

// anOfferUp makes a case that begins with an offered call that is up.
func anOfferUp(name string, do func(*watched, Far) error) testCase {
	return testCase{"offer: " + name, func(s *scene) error {
		w, far, err := s.connected()
		if err != nil {
			return err
		}
		return do(w, far)
	}}
}

func offerCases() []testCase {
	return append(offerEarlyCases(),
		anOfferUp("up, the caller hangs up", func(w *watched, far Far) error {
			return steps(far.Hangup, func() error { return w.bothEnded(far, farEnds...) })
		}),
		anOfferUp("up, we hang up", func(w *watched, far Far) error {
			return steps(
				func() error { return w.hangup(bridge.Normal) },
				func() error { return w.bothEnded(far, bridge.Normal) },
			)
		}),
		anOfferUp("up, both hang up at once", func(w *watched, far Far) error {
			return steps(
				func() error { return together(far.Hangup, func() error { return w.hangup(bridge.Normal) }) },
				func() error { return w.bothEnded(far, farEnds...) },
			)
		}),
		anOfferUp("up, we hang up twice and the first cause counts", func(w *watched, far Far) error {
			return steps(
				func() error { return w.hangup(bridge.MediaFailed) },
				func() error { return w.hangup(bridge.Normal) },
				func() error { return w.bothEnded(far, bridge.MediaFailed) },
			)
		}),
		anOfferUp("up, ring and answer once more", func(w *watched, far Far) error {
			return steps(
				w.ring, w.answer,
				func() error { return w.hangup(bridge.Normal) },
				func() error { return w.bothEnded(far, bridge.Normal) },
			)
		}),
		anOfferUp("orders after the end are ignored", func(w *watched, far Far) error {
			return steps(far.Hangup, func() error { return w.bothEnded(far, farEnds...) }, w.orderAll)
		}),
		anOfferUp("the flow is harmless after the end", func(w *watched, far Far) error {
			flow, err := w.usable()
			return errors.Join(err, steps(
				far.Hangup,
				func() error { return w.bothEnded(far, farEnds...) },
				func() error { return spent(flow) },
			))
		}),
		testCase{"offer: one call after another", func(s *scene) error {
			seen := map[string]bool{}
			for range 3 {
				w, far, err := s.connected()
				if err != nil {
					return err
				}
				if seen[w.ID()] {
					return fmt.Errorf("two legs have the id %s", w.ID())
				}
				seen[w.ID()] = true
				if err := steps(far.Hangup, func() error { return w.bothEnded(far, farEnds...) }); err != nil {
					return err
				}
			}
			return nil
		}},
	)
}

// offerEarlyCases are those where the call ends before it is up.
func offerEarlyCases() []testCase {
	return []testCase{
		anOffer("the caller gives up at once", func(w *watched, far Far) error {
			return steps(far.Hangup, func() error { return w.bothEnded(far, farCancels...) }, w.neverUp)
		}),
		anOffer("the caller gives up while it rings", func(w *watched, far Far) error {
			return steps(
				w.ring,
				func() error { return w.s.far("hears ringing", far.Rings) },
				far.Hangup,
				func() error { return w.bothEnded(far, farCancels...) },
				w.neverUp,
			)
		}),
		anOffer("the caller gives up while we answer", func(w *watched, far Far) error {
			return steps(
				w.ring,
				func() error { return together(far.Hangup, w.answer) },
				func() error { return w.bothEnded(far, farCancels...) },
			)
		}),
		anOffer("refused at once", func(w *watched, far Far) error {
			return steps(
				func() error { return w.hangup(bridge.Busy) },
				func() error { return w.bothEnded(far, bridge.Busy) },
				w.neverUp,
			)
		}),
		anOffer("refused while it rings", func(w *watched, far Far) error {
			return steps(
				w.ring,
				func() error { return w.s.far("hears ringing", far.Rings) },
				func() error { return w.hangup(bridge.NoAnswer) },
				func() error { return w.bothEnded(far, bridge.NoAnswer) },
				w.neverUp,
			)
		}),
		anOffer("hung up while it is being answered", func(w *watched, far Far) error {
			return steps(
				w.ring, w.answer,
				func() error { return w.hangup(bridge.Normal) },
				func() error { return w.bothEnded(far, farEnds...) },
			)
		}),
		anOffer("both hang up before it rings", func(w *watched, far Far) error {
			return steps(
				func() error { return together(far.Hangup, func() error { return w.hangup(bridge.Declined) }) },
				func() error { return w.bothEnded(far, bridge.Declined, bridge.Normal, bridge.Cancelled) },
				w.neverUp,
			)
		}),
		anOffer("searched for, once and again, then it rings and is answered", func(w *watched, far Far) error {
			return steps(
				w.search, w.search, w.ring,
				func() error { return w.s.far("hears ringing", far.Rings) },
				w.search, w.answer,
				func() error { return w.s.far("is answered", far.Answered) },
				func() error { _, err := w.usable(); return err },
				w.search,
				func() error { return w.hangup(bridge.Normal) },
				func() error { return w.bothEnded(far, bridge.Normal) },
			)
		}),
		anOffer("answered without ringing", func(w *watched, far Far) error {
			return steps(
				w.answer,
				func() error { return w.s.far("is answered", far.Answered) },
				func() error { _, err := w.usable(); return err },
				func() error { return w.hangup(bridge.Normal) },
				func() error { return w.bothEnded(far, bridge.Normal) },
			)
		}),
	}
}

// neverUp checks that a leg that nobody answered had no audio.
func (w *watched) neverUp() error {
	if has[bridge.Answered](w) {
		events, _, _ := w.snapshot()
		return fmt.Errorf("leg %s was never answered but says so: %s", w.ID(), describe(events))
	}
	return nil
}
