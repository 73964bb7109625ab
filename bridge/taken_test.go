package bridge_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/bridge/trunktest"
	"github.com/tgtrunk/tgtrunk/routing"
)

// eager is a trunk whose legs want to know that their calls have a route.
type eager struct {
	*trunktest.Trunk
	taken atomic.Int32
}

type eagerLeg struct {
	*trunktest.Leg
	trunk *eager
}

func (l *eagerLeg) Taken() { l.trunk.taken.Add(1) }

func (e *eager) Run(ctx context.Context, accept func(bridge.Offer)) error {
	return e.Trunk.Run(ctx, func(o bridge.Offer) {
		o.Leg = &eagerLeg{o.Leg.(*trunktest.Leg), e}
		accept(o)
	})
}

// TestTaken: an offer's leg hears that its call has a route; one without a route does not, nor does one without room.
func TestTaken(t *testing.T) {
	table, err := routing.NewTable(routing.Config{
		Trunks: map[string]routing.TrunkKind{"sales": routing.Account, "pbx": routing.PBX},
		Rules: []routing.Rule{{From: "sales", Match: routing.Match{Caller: "+4930123456"},
			Targets: []routing.RuleTarget{{Trunk: "pbx", Context: "in"}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	sales, pbx := &eager{Trunk: trunktest.NewTrunk("sales")}, trunktest.NewTrunk("pbx")
	x, err := bridge.New(table, bridge.Options{Connect: trunktest.Cross, MaxCalls: 1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- x.Run(ctx, sales, pbx) }()
	<-sales.Up()
	<-pbx.Up()
	<-sales.Offer(routing.Request{Caller: routing.Party{UserID: 5}}).Done()
	if n := sales.taken.Load(); n != 0 {
		t.Error("a call without a route was taken")
	}
	for x.Calls() != 0 { // the one before is leaving
		<-sales.Offer(routing.Request{Caller: routing.Party{UserID: 5}}).Done()
	}
	wanted := routing.Request{Caller: routing.Party{UserID: 6, Phone: "4930123456"}}
	up := sales.Offer(wanted)
	<-pbx.Dialled()
	if n := sales.taken.Load(); n != 1 {
		t.Errorf("a call with a route was taken %d times", n)
	}
	<-sales.Offer(wanted).Done()
	if n := sales.taken.Load(); n != 1 {
		t.Error("a call without room was taken")
	}
	up.Emit(bridge.Ended{Cause: bridge.CauseOf(bridge.Normal)})
	stop()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}
