package trunktest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/media"
)

func cases() []testCase { return slices.Concat(offerCases(), dialCases(), runCases(), dialplanCases()) }

// orders given to a leg, each of which must return at once.

func (w *watched) ring() error { return w.s.prompt("Ring", w.Ring) }

// search is an order that not every leg has.
func (w *watched) search() error {
	if leg, can := w.Leg.(bridge.Searcher); can {
		return w.s.prompt("Search", leg.Search)
	}
	return nil
}

func (w *watched) answer() error { return w.s.prompt("Answer", w.Answer) }
func (w *watched) hangup(r bridge.Reason) error {
	return w.s.prompt("Hangup", func() { w.Hangup(bridge.CauseOf(r)) })
}

// endedFor waits for the end and checks that it came for one of the reasons.
func (w *watched) endedFor(reasons ...bridge.Reason) error {
	end, err := w.ended()
	if err == nil && !slices.Contains(reasons, end.Cause.Reason) {
		err = fmt.Errorf("leg %s ended for %v (%w), expected one of %v", w.ID(), end.Cause, end.Err, reasons)
	}
	return err
}

// bothEnded waits for the end on both sides.
func (w *watched) bothEnded(far Far, reasons ...bridge.Reason) error {
	if err := w.endedFor(reasons...); err != nil {
		return err
	}
	return w.s.far("has no call any more", far.Ended)
}

// steps runs what must succeed one after the other.
func steps(all ...func() error) error {
	for _, step := range all {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// together runs both at once and waits for both.
func together(a, b func() error) error {
	done := make(chan error, 1)
	go func() { done <- a() }()
	err := b()
	return errors.Join(<-done, err)
}

// orderAll gives every order there is to a leg that has ended, and checks that nothing comes of it.
func (w *watched) orderAll() error {
	before, _, _ := w.snapshot()
	err := w.s.prompt("an order after the end", func() {
		w.Ring()
		w.Answer()
		if t, ok := w.Leg.(bridge.ToneSender); ok {
			t.SendDigit('5')
		}
		if h, ok := w.Leg.(bridge.Holder); ok {
			h.Hold(true)
		}
		if a, ok := w.Leg.(bridge.Annotator); ok {
			a.Annotate(map[string]string{"TGTRUNK_PRESENCE": "online"})
		}
		w.Hangup(bridge.CauseOf(bridge.Normal))
	})
	if after, _, _ := w.snapshot(); len(after) != len(before) {
		return fmt.Errorf("leg %s has events after its end: %s", w.ID(), describe(after[len(before):]))
	}
	return err
}

// usable checks the flow of a leg that is up, and that it can be used as its calls use it.
func (w *watched) usable() (media.Flow, error) {
	up, err := until[bridge.Media](w)
	if err != nil {
		return nil, err
	}
	if up.Flow == nil {
		return nil, fmt.Errorf("leg %s has Media without a flow", w.ID())
	}
	f := up.Flow.Format()
	if f.Rate <= 0 || f.Codec.String() == media.Codec(0).String() {
		return nil, fmt.Errorf("leg %s has a flow of format %+v", w.ID(), f)
	}
	up.Flow.Attach(media.SinkFunc(func(*media.Packet) {}))
	up.Flow.Attach(nil)
	up.Flow.Stats()
	return up.Flow, nil
}

// spent checks that the flow of a leg that has ended does no harm.
func spent(f media.Flow) error {
	f.WriteAudio(&media.Packet{Payload: make([]byte, 160)})
	f.Attach(nil)
	f.Stats()
	if err := errors.Join(f.Close(), f.Close()); err != nil {
		return fmt.Errorf("close the flow of a leg that has ended: %w", err)
	}
	return nil
}

// connected brings an offered call to where audio can flow.
func (s *scene) connected() (*watched, Far, error) {
	w, far, err := s.call()
	if err != nil {
		return nil, nil, err
	}
	err = steps(
		w.ring,
		func() error { return s.far("hears ringing", far.Rings) },
		w.answer,
		func() error { return s.far("is answered", far.Answered) },
		func() error { _, err := w.usable(); return err },
	)
	return w, far, err
}

// answered brings a dialled call to where audio can flow.
func (s *scene) answered(ctx context.Context) (*watched, Far, error) {
	w, far, err := s.dial(ctx, Answers)
	if err != nil {
		return nil, nil, err
	}
	err = steps(
		func() error { _, err := until[bridge.Answered](w); return err },
		func() error { _, err := w.usable(); return err },
		func() error { return s.far("is in the call", far.Answered) },
	)
	return w, far, err
}

// ringing brings a dialled call to where the far phone rings.
func (s *scene) ringing(ctx context.Context) (*watched, Far, error) {
	w, far, err := s.dial(ctx, RingsOn)
	if err != nil {
		return nil, nil, err
	}
	err = steps(
		func() error { return s.far("is rung", far.Rings) },
		func() error { return w.untilRings() },
	)
	return w, far, err
}

// untilRings waits for Reached or Ringing: either makes the caller hear ringing.
func (w *watched) untilRings() error {
	if _, err := until[bridge.Ringing](w); err != nil && !has[bridge.Reached](w) {
		return err
	}
	return nil
}
