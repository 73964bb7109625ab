package ari_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tgtrunk/tgtrunk/ari"
	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/bridge/trunktest"
	"github.com/tgtrunk/tgtrunk/lab"
	"github.com/tgtrunk/tgtrunk/routing"
)

// TestConformance puts the link through the suite for trunks, against a real Asterisk. The far parties are legs of a
// second link with an application of its own.
func TestConformance(t *testing.T) {
	a := sharedAsterisk(t)
	w := &world{t: t, a: a, waiting: map[string]*party{}}
	o := options(a)
	o.App, o.Name = "far", "far"
	w.far = startRig(t, a, o)
	var serving sync.WaitGroup
	quit := make(chan struct{})
	serving.Go(func() { w.serve(quit) })
	trunktest.Run(t, trunktest.Harness{
		Open: w.open, Within: 10 * time.Second,
		// Kept connections of the far link come and go.
		Leaks: []goleak.Option{
			goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
			goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
			goleak.IgnoreAnyFunction("github.com/tgtrunk/tgtrunk/ari_test.(*party).follow"),
		},
	})
	close(quit)
	serving.Wait()
	w.far.stop()
	w.parties.Wait()
	w.far.nothingLeft()
}

// world is a PBX full of far parties.
type world struct {
	t       *testing.T
	a       *lab.Asterisk
	far     *rig
	count   atomic.Int64
	parties sync.WaitGroup

	mu      sync.Mutex
	waiting map[string]*party // by the number they are called at
}

// serve gives calls to the parties they are for.
func (w *world) serve(quit <-chan struct{}) {
	for {
		select {
		case o := <-w.far.offers:
			w.mu.Lock()
			p := w.waiting[o.Dialled]
			w.mu.Unlock()
			p.take(o.Leg)
		case <-quit:
			return
		}
	}
}

func (w *world) open(t testing.TB) trunktest.Fixture {
	o := options(w.a)
	o.Variables = []string{trunktest.AskedVariable}
	link, err := ari.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{world: w, link: link}
}

type fixture struct {
	*world
	link *ari.Link
}

func (f *fixture) Trunk() bridge.Trunk { return f.link }

func (f *fixture) connected() error {
	for deadline := time.Now().Add(10 * time.Second); !f.link.Connected(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("the trunk does not connect")
		}
	}
	return nil
}

func (f *fixture) newParty(b trunktest.Behaviour) *party {
	p := &party{world: f.world, number: fmt.Sprintf("9%05d", f.count.Add(1)), behaviour: b, rings: make(chan struct{}),
		up: make(chan struct{}), over: make(chan struct{})}
	f.mu.Lock()
	f.waiting[p.number] = p
	f.mu.Unlock()
	return p
}

func (f *fixture) Call(ctx context.Context) (trunktest.Far, error) { return f.CallWith(ctx, nil) }

// Variable reads the variables that "core show channel" lists as NAME=value.
func (f *fixture) Variable(ctx context.Context, o bridge.Offer, name string) (string, error) {
	out, err := f.a.CLI(ctx, "core show channel "+o.Variables["PBX_CHANNEL"])
	for line := range strings.Lines(out) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+"="); ok {
			return value, err
		}
	}
	return "", err
}

func (f *fixture) CallWith(_ context.Context, variables map[string]string) (trunktest.Far, error) {
	if err := f.connected(); err != nil {
		return nil, err
	}
	p := f.newParty(0)
	p.follow(f.far.link.Dial(context.Background(), routing.Target{Context: "in", Extension: p.number, Variables: variables}))
	return p, nil
}

func (f *fixture) Target(b trunktest.Behaviour) (routing.Target, trunktest.Far, error) {
	if err := f.connected(); err != nil {
		return routing.Target{}, nil, err
	}
	p := f.newParty(b)
	return routing.Target{Context: "far", Extension: p.number}, p, nil
}

// party is the far end of one call.
type party struct {
	*world
	number    string
	behaviour trunktest.Behaviour
	rings     chan struct{} // closed when it rings
	up        chan struct{} // closed when it is in an answered call
	over      chan struct{} // closed when its call has ended

	mu  sync.Mutex
	leg bridge.Leg // nil until there is a call
}

// take is what a called party does.
func (p *party) take(leg bridge.Leg) {
	close(p.rings)
	p.follow(leg)
	switch p.behaviour {
	case trunktest.Answers:
		leg.Ring()
		leg.Answer()
	case trunktest.RingsOn:
		leg.Ring()
	case trunktest.IsBusy:
		leg.Hangup(bridge.CauseOf(bridge.Busy))
	case trunktest.Declines:
		leg.Hangup(bridge.CauseOf(bridge.Declined))
	case trunktest.Unreachable:
		leg.Hangup(bridge.CauseOf(bridge.Unreachable))
	}
}

// follow notes what happens to the party's leg.
func (p *party) follow(leg bridge.Leg) {
	p.mu.Lock()
	p.leg = leg
	p.mu.Unlock()
	p.parties.Go(func() {
		for e := range leg.Events() {
			switch e.(type) {
			case bridge.Ringing:
				close(p.rings)
			case bridge.Answered:
				close(p.up)
			}
		}
		close(p.over)
	})
}

func (p *party) current() bridge.Leg {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.leg
}

func waitFor(ctx context.Context, happened <-chan struct{}) error {
	select {
	case <-happened:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *party) Rings(ctx context.Context) error    { return waitFor(ctx, p.rings) }
func (p *party) Answered(ctx context.Context) error { return waitFor(ctx, p.up) }

// Ended waits until Asterisk has no channel of the call: a call that is cancelled at once may never reach the party.
func (p *party) Ended(ctx context.Context) error {
	for {
		if p.current() != nil {
			return waitFor(ctx, p.over)
		}
		out, err := p.a.CLI(ctx, "core show channels concise")
		if err != nil {
			return err
		}
		if !strings.Contains(out, p.number) {
			return nil
		}
	}
}

func (p *party) Answer() error {
	p.current().Answer()
	return nil
}

func (p *party) Hangup() error {
	reason := bridge.Normal
	if p.behaviour == trunktest.RingsOn {
		reason = bridge.Declined
	}
	p.current().Hangup(bridge.CauseOf(reason))
	return nil
}
