package trunktest

import "fmt"

// stoppedWith makes a case in which Run's ctx ends while a call is as far as begin brings it.
func stoppedWith(name string, begin func(*scene) (*watched, Far, error)) testCase {
	return testCase{"run: stopped with " + name, func(s *scene) error {
		_, far, err := begin(s)
		if err != nil {
			return err
		}
		if err := s.down(); err != nil {
			return err
		}
		return s.far("has no call any more", far.Ended)
	}}
}

func runCases() []testCase {
	return []testCase{
		{"run: stopped without a call", func(*scene) error { return nil }},
		stoppedWith("an offer that nobody has touched", (*scene).call),
		stoppedWith("an offered call that is up", (*scene).connected),
		stoppedWith("a dialled call that has just begun", func(s *scene) (*watched, Far, error) {
			return s.dial(s.ctx, RingsOn)
		}),
		stoppedWith("a dialled call that rings", func(s *scene) (*watched, Far, error) { return s.ringing(s.ctx) }),
		stoppedWith("a dialled call that is up", func(s *scene) (*watched, Far, error) { return s.answered(s.ctx) }),
		{"run: dialled after it has stopped", func(s *scene) error {
			target, far, err := s.Target(RingsOn)
			if err != nil {
				return fmt.Errorf("make a far party: %w", err)
			}
			if err := s.down(); err != nil {
				return err
			}
			w, err := s.dialTarget(s.ctx, target)
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
