package trunktest

import (
	"context"
	"strconv"
	"sync"
	"testing"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/routing"
)

// world is the far side of a fake trunk.
type world struct {
	trunk   *Trunk
	wrapped bridge.Trunk // what the suite sees; trunk, or a broken one around it

	mu      sync.Mutex
	parties map[string]*party // called ones, by extension
	callers map[*Leg]*party
}

// party is one person at the far end.
type party struct {
	behaviour Behaviour
	mu        sync.Mutex
	leg       *Leg
	rings     chan struct{}
	answered  chan struct{}
}

func newParty(b Behaviour) *party {
	return &party{behaviour: b, rings: make(chan struct{}), answered: make(chan struct{})}
}

func newWorld(wrap func(bridge.Trunk) bridge.Trunk) *world {
	w := &world{trunk: NewTrunk("fake"), parties: map[string]*party{}, callers: map[*Leg]*party{}}
	w.wrapped = wrap(w.trunk)
	w.trunk.OnDial = w.onDial
	w.trunk.Script = w.script
	return w
}

func (w *world) Trunk() bridge.Trunk { return w.wrapped }

func (w *world) Call(ctx context.Context) (Far, error) {
	p := newParty(0)
	if err := await(ctx, w.trunk.Up()); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	p.leg = w.trunk.Offer(routing.Request{})
	w.callers[p.leg] = p
	return p, nil
}

func (w *world) Target(b Behaviour) (routing.Target, Far, error) {
	<-w.trunk.Up() // Run has been called
	w.mu.Lock()
	defer w.mu.Unlock()
	p := newParty(b)
	extension := strconv.Itoa(len(w.parties))
	w.parties[extension] = p
	return routing.Target{Trunk: "fake", Context: "world", Extension: extension}, p, nil
}

func (w *world) onDial(l *Leg) {
	w.mu.Lock()
	p := w.parties[l.Target.Extension]
	w.mu.Unlock()
	p.mu.Lock()
	p.leg = l
	p.mu.Unlock()
	switch p.behaviour {
	case Answers:
		l.Emit(bridge.Reached{})
		p.Answer()
	case RingsOn:
		l.Emit(bridge.Ringing{})
		close(p.rings)
	case IsBusy:
		l.Emit(bridge.Ended{Cause: bridge.CauseOf(bridge.Busy)})
	case Declines:
		l.Emit(bridge.Ended{Cause: bridge.CauseOf(bridge.Declined)})
	case Unreachable:
		l.Emit(bridge.Ended{Cause: bridge.CauseOf(bridge.Unreachable)})
	}
}

func (w *world) script(l *Leg, o Order) {
	w.mu.Lock()
	p := w.callers[l]
	w.mu.Unlock()
	switch {
	case p != nil && o.Verb == Ring:
		p.once(p.rings)
	case p != nil && o.Verb == Answer:
		p.once(p.answered)
	}
	Obey(l, o)
}

// once closes a channel that may be closed.
func (p *party) once(c chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-c:
	default:
		close(c)
	}
}

func (p *party) Rings(ctx context.Context) error    { return await(ctx, p.rings) }
func (p *party) Answered(ctx context.Context) error { return await(ctx, p.answered) }

func await(ctx context.Context, c <-chan struct{}) error {
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *party) Ended(ctx context.Context) error {
	p.mu.Lock()
	l := p.leg
	p.mu.Unlock()
	if l == nil {
		return nil
	}
	return await(ctx, l.Done())
}

func (p *party) Answer() error {
	p.leg.Emit(bridge.Answered{})
	p.leg.Emit(bridge.Media{Flow: p.leg.Flow})
	p.once(p.answered)
	return nil
}

func (p *party) Hangup() error {
	reason := bridge.Normal
	if p.behaviour == RingsOn {
		select {
		case <-p.answered:
		default:
			reason = bridge.Declined
		}
	}
	p.leg.Emit(bridge.Ended{Cause: bridge.CauseOf(reason)})
	return nil
}

func sane(t bridge.Trunk) bridge.Trunk { return t }

func TestFakePassesTheSuite(t *testing.T) {
	Run(t, Harness{Open: func(testing.TB) Fixture { return newWorld(sane) }})
}
