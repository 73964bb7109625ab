package trunktest

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/routing"
)

// Harness is what an adapter's test gives the suite.
type Harness struct {
	// Open makes a trunk, not yet running, and the world beyond it, for one case. What it holds is released by
	// t.Cleanup, after the trunk's Run has returned.
	Open func(t testing.TB) Fixture
	// Within is how long anything may take that must happen: an event, an end, a return of Run. Default 5 s.
	Within time.Duration
	// Leaks are options for the search for leaked goroutines, for those of the world. What ran before the trunk did is
	// ignored anyway.
	Leaks []goleak.Option
}

// Fixture is one trunk and the world beyond it.
type Fixture interface {
	// Trunk returns the trunk under test; always the same.
	Trunk() bridge.Trunk
	// Call makes a party of the world call in and returns once the call is on its way. The trunk runs.
	Call(ctx context.Context) (Far, error)
	// Target returns a target of the trunk that reaches a party who behaves so, and that party. It returns
	// errors.ErrUnsupported, wrapped or not, for a behaviour that this world does not know; its cases are skipped.
	Target(b Behaviour) (routing.Target, Far, error)
}

// Dialplan is a Fixture of a PBX, whose channels have variables. The cases about them are skipped for others.
type Dialplan interface {
	// CallWith is Call by a party whose channel has these variables when the dialplan hands it to the trunk.
	CallWith(ctx context.Context, variables map[string]string) (Far, error)
	// Variable returns a variable of the channel that was offered; "" where it is not set.
	Variable(ctx context.Context, o bridge.Offer, name string) (string, error)
}

// AskedVariable is a variable that routes ask for: the trunk of a Dialplan is made with it among those.
const AskedVariable = "DEPARTMENT"

// Far is the party at the other end of one call, in the world beyond the trunk. What waits returns an error when ctx
// ends first.
type Far interface {
	// Rings waits until the party that calls hears that it rings, or the phone of the party that is called rings.
	Rings(ctx context.Context) error
	// Answered waits until the party is in an answered call.
	Answered(ctx context.Context) error
	// Ended waits until there is no call any more for the party. It returns at once if there never was one.
	Ended(ctx context.Context) error
	// Answer picks up the phone of a party that RingsOn. It returns nil also when the call has just ended.
	Answer() error
	// Hangup ends the call from the party's side, whatever its state. It returns nil also when it has ended.
	Hangup() error
}

// Behaviour is what a called party does.
type Behaviour uint8

// The behaviours.
const (
	Answers     Behaviour = iota + 1 // rings briefly or not at all and answers
	RingsOn                          // rings until Far.Answer or the end
	IsBusy                           // refuses as busy
	Declines                         // refuses
	Unreachable                      // cannot be reached: no such number, or no device
)

// String names the behaviour.
func (b Behaviour) String() string {
	switch b {
	case Answers:
		return "answers"
	case RingsOn:
		return "rings on"
	case IsBusy:
		return "is busy"
	case Declines:
		return "declines"
	case Unreachable:
		return "is unreachable"
	}
	return "unknown behaviour"
}

// Run puts the trunk through every case of the suite, each a subtest with a fresh fixture.
func Run(t *testing.T, h Harness) {
	if h.Within <= 0 {
		h.Within = 5 * time.Second
	}
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			if err := h.try(t, c); skippable(err) {
				t.Skip(err)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}
