package bridge_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/bridge/trunktest"
	"github.com/tgtrunk/tgtrunk/routing"
)

// able is a trunk that appraises calls.
type able struct {
	*trunktest.Trunk
	apt bridge.Aptitude
}

func (a able) Appraise(routing.Target) bridge.Aptitude { return a.apt }

// sick is a trunk that knows no more than that it is down.
type sick struct{ *trunktest.Trunk }

func (sick) Health() error { return errors.New("down") }

// fixed is a router with one plan.
type fixed routing.Plan

func (f fixed) Route(routing.Request) (routing.Plan, error) { return routing.Plan(f), nil }

func TestPool(t *testing.T) {
	met, known := bridge.Aptitude{Bond: bridge.Met, Load: 9}, bridge.Aptitude{Bond: bridge.Addressable, Load: 5}
	limited := bridge.Aptitude{Bond: bridge.Met, Limited: true}
	for name, test := range map[string]struct {
		a, b, c bridge.Aptitude
		want    []string
	}{
		"as written":                     {want: []string{"a", "b", "c"}},
		"who knows the person":           {b: known, c: met, want: []string{"c", "b", "a"}},
		"not if limited":                 {a: limited, b: known, want: []string{"b", "c", "a"}},
		"the least loaded":               {a: bridge.Aptitude{Load: 2}, b: bridge.Aptitude{Load: 1}, want: []string{"c", "b", "a"}},
		"the one with the most to spend": {a: bridge.Aptitude{Spare: 1}, b: bridge.Aptitude{Spare: 3}, c: bridge.Aptitude{Spare: 2}, want: []string{"b", "c", "a"}},
	} {
		t.Run(name, func(t *testing.T) {
			var trunks []bridge.Trunk
			plan := fixed{Rule: "pool", Targets: []routing.Target{{Trunk: "before"}}}
			for i, apt := range []bridge.Aptitude{test.a, test.b, test.c} {
				name := string(rune('a' + i))
				trunks = append(trunks, able{trunktest.NewTrunk(name), apt})
				plan.Targets = append(plan.Targets, routing.Target{Trunk: name, Pool: 1})
			}
			plan.Targets = append(plan.Targets, routing.Target{Trunk: "sick", Pool: 2}, routing.Target{Trunk: "nobody", Pool: 2}, routing.Target{Trunk: "before", Pool: 2})
			before := slices.Clone(plan.Targets)
			first := trunktest.NewTrunk("before")
			got := tried(t, plan, first, append(trunks, first, sick{trunktest.NewTrunk("sick")})...)
			want := append(append([]string{"before"}, test.want...), "before", "sick", "nobody")
			if !slices.Equal(got, want) {
				t.Errorf("tried %v, want %v", got, want)
			}
			for i, target := range plan.Targets {
				if target.Trunk != before[i].Trunk {
					t.Error("the router's own plan was changed")
				}
			}
		})
	}
}

// tried is the order in which the targets of a call are tried when all of them are limited.
func tried(t *testing.T, plan fixed, offering *trunktest.Trunk, trunks ...bridge.Trunk) []string {
	t.Helper()
	records := make(chan bridge.Record, 1)
	x, err := bridge.New(plan, bridge.Options{Connect: trunktest.Cross, Records: func(r bridge.Record) { records <- r }})
	if err != nil {
		t.Fatal(err)
	}
	for _, trunk := range trunks {
		switch trunk := trunk.(type) {
		case able:
			trunk.OnDial = refuse
		case sick:
			trunk.OnDial = refuse
		case *trunktest.Trunk:
			trunk.OnDial = refuse
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- x.Run(ctx, trunks...) }()
	<-offering.Up()
	offering.Offer(routing.Request{Dialled: "1"})
	r := <-records
	stop()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	var order []string
	for _, a := range r.Attempts {
		order = append(order, a.Trunk)
	}
	return order
}

func refuse(l *trunktest.Leg) { l.Emit(ended(bridge.Budget)) }

// Facts reach the record, also those of an attempt that fails.
func TestFactsAreRecorded(t *testing.T) {
	inLab(t, bridge.Options{}, func(l *lab) {
		a := l.offer()
		b := l.dialled(l.telegram)
		b.Emit(bridge.Facts{Variables: map[string]string{"TGTRUNK_PRESENCE": "online"}})
		b.Emit(bridge.Facts{Variables: map[string]string{"TGTRUNK_BUDGET_LEFT": "0"}})
		b.Emit(ended(bridge.Budget))
		l.hungUp(a, bridge.Budget)
		r := l.record()
		if f := r.Attempts[0].Facts; len(f) != 2 || f["TGTRUNK_PRESENCE"] != "online" || r.Q850 != 42 {
			t.Errorf("record %+v", r)
		}
	})
}
