package trunktest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/routing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// brokenTrunk is a trunk whose legs, and whose Run, are changed on their way to the suite.
type brokenTrunk struct {
	bridge.Trunk
	leg func(bridge.Leg) bridge.Leg
	run func(ctx context.Context, run func(context.Context) error) error
}

func (b *brokenTrunk) Dial(ctx context.Context, t routing.Target) bridge.Leg {
	return b.leg(b.Trunk.Dial(ctx, t))
}

func (b *brokenTrunk) Run(ctx context.Context, accept func(bridge.Offer)) error {
	run := func(ctx context.Context) error {
		return b.Trunk.Run(ctx, func(o bridge.Offer) {
			o.Leg = b.leg(o.Leg)
			accept(o)
		})
	}
	if b.run == nil {
		return run(ctx)
	}
	return b.run(ctx, run)
}

// brokenLeg is a leg whose events, hang-up and id are changed on their way to the suite.
type brokenLeg struct {
	bridge.Leg
	events <-chan bridge.Event
	hangup func(bridge.Cause)
	id     func() string
}

func (b *brokenLeg) Events() <-chan bridge.Event { return b.events }
func (b *brokenLeg) Hangup(c bridge.Cause)       { b.hangup(c) }
func (b *brokenLeg) ID() string                  { return b.id() }

// passing hands the events on until the leg's channel closes; change may replace each by any number.
func passing(l bridge.Leg, change func(bridge.Event) []bridge.Event, closes bool) *brokenLeg {
	out := make(chan bridge.Event, 256)
	go func() {
		for e := range l.Events() {
			for _, e := range change(e) {
				out <- e
			}
		}
		if !closes {
			<-time.After(2 * time.Second) // longer than the suite waits
		}
		close(out)
	}()
	return &brokenLeg{Leg: l, events: out, hangup: l.Hangup, id: l.ID}
}

func same(e bridge.Event) []bridge.Event { return []bridge.Event{e} }

func isEnd(e bridge.Event) bool { _, ok := e.(bridge.Ended); return ok }

// faults are trunks that break one promise each, with a word of what the suite must say.
var faults = map[string]struct {
	says string
	leg  func(bridge.Leg) bridge.Leg
	run  func(context.Context, func(context.Context) error) error
}{
	"ends twice": {says: "events after Ended", leg: func(l bridge.Leg) bridge.Leg {
		return passing(l, func(e bridge.Event) []bridge.Event {
			if isEnd(e) {
				return []bridge.Event{e, e}
			}
			return same(e)
		}, true)
	}},
	"closes without an end": {says: "without Ended", leg: func(l bridge.Leg) bridge.Leg {
		return passing(l, func(e bridge.Event) []bridge.Event {
			if isEnd(e) {
				return nil
			}
			return same(e)
		}, true)
	}},
	"never closes": {says: "does not end and close", leg: func(l bridge.Leg) bridge.Leg {
		return passing(l, same, false)
	}},
	"ends without a reason": {says: "without a reason", leg: func(l bridge.Leg) bridge.Leg {
		return passing(l, func(e bridge.Event) []bridge.Event {
			if isEnd(e) {
				return []bridge.Event{bridge.Ended{}}
			}
			return same(e)
		}, true)
	}},
	"never has media": {says: "no bridge.Media comes", leg: func(l bridge.Leg) bridge.Leg {
		return passing(l, func(e bridge.Event) []bridge.Event {
			if _, ok := e.(bridge.Media); ok {
				return nil
			}
			return same(e)
		}, true)
	}},
	"blocks in Hangup": {says: "Hangup blocked", leg: func(l bridge.Leg) bridge.Leg {
		b := passing(l, same, true)
		b.hangup = func(c bridge.Cause) {
			<-time.After(150 * time.Millisecond)
			l.Hangup(c)
		}
		return b
	}},
	"does not hang up": {says: "does not end", leg: func(l bridge.Leg) bridge.Leg {
		b := passing(l, same, true)
		b.hangup = func(bridge.Cause) {}
		return b
	}},
	"has no ids": {says: "no id", leg: func(l bridge.Leg) bridge.Leg {
		b := passing(l, same, true)
		b.id = func() string { return "" }
		return b
	}},
	"has one id": {says: "two legs have the id", leg: func(l bridge.Leg) bridge.Leg {
		b := passing(l, same, true)
		b.id = func() string { return "leg" }
		return b
	}},
	"returns an error at the end": {says: "Run returned an error", run: func(ctx context.Context, run func(context.Context) error) error {
		return errors.Join(run(ctx), ctx.Err())
	}},
	"does not return at the end": {says: "Run does not return", run: func(ctx context.Context, run func(context.Context) error) error {
		err := run(ctx)
		<-time.After(900 * time.Millisecond)
		return err
	}},
	"leaks a goroutine": {says: "found unexpected goroutines", run: func(ctx context.Context, run func(context.Context) error) error {
		go func() { <-time.After(2 * time.Second) }()
		return run(ctx)
	}},
}

// The suite finds every broken promise in at least one of its cases.
func TestSuiteFindsFaults(t *testing.T) {
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			leg := fault.leg
			if leg == nil {
				leg = func(l bridge.Leg) bridge.Leg { return l }
			}
			h := Harness{Within: 500 * time.Millisecond, Open: func(testing.TB) Fixture {
				return newWorld(func(t bridge.Trunk) bridge.Trunk { return &brokenTrunk{t, leg, fault.run} })
			}}
			if err := firstFailure(t, h, fault.says); err != nil {
				t.Error(err)
			}
		})
	}
	// What the broken trunks have leaked on purpose lasts for two seconds.
	for begun := time.Now(); goleak.Find() != nil && time.Since(begun) < 5*time.Second; {
	}
}

// firstFailure tries the cases until one fails with the words.
func firstFailure(t *testing.T, h Harness, words string) error {
	other := ""
	for _, c := range cases() {
		err := h.try(t, c)
		if err != nil && strings.Contains(err.Error(), words) {
			return nil
		}
		if err != nil && other == "" {
			other = c.name + ": " + err.Error()
		}
	}
	return fmt.Errorf("no case says %q; the first failure is: %s", words, other)
}
