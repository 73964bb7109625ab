package memory_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/bridge/trunktest"
	"github.com/tgtrunk/tgtrunk/routing"
	"github.com/tgtrunk/tgtrunk/routing/memory"
	"github.com/tgtrunk/tgtrunk/store"
)

// service is an exchange between a PBX and an account with a real table and a real memory, over a store file.
type service struct {
	t             *testing.T
	office, sales *trunktest.Trunk
	records       chan bridge.Record
	stop          func()
}

func start(t *testing.T, path string, out ...routing.Match) *service {
	t.Helper()
	rules := []routing.Rule{{Name: "in", From: "sales", Targets: []routing.RuleTarget{{Trunk: "office", Context: "in"}}}}
	for _, match := range append(out, routing.Match{}) {
		rules = append(rules, routing.Rule{From: "office", Line: len(rules), Match: match, Targets: []routing.RuleTarget{{Trunk: "sales"}}})
	}
	table, err := routing.NewTable(routing.Config{
		Trunks: map[string]routing.TrunkKind{"office": routing.PBX, "sales": routing.Account}, Rules: rules,
	})
	if err != nil {
		t.Fatal(err)
	}
	keep, err := store.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := &service{
		t: t, office: trunktest.NewTrunk("office"), sales: trunktest.NewTrunk("sales"), records: make(chan bridge.Record, 8),
	}
	x, err := bridge.New(table, bridge.Options{
		Connect: trunktest.Cross, Records: func(r bridge.Record) { s.records <- r }, Memory: memory.New(memory.Options{Store: keep}),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- x.Run(ctx, s.office, s.sales) }()
	<-s.office.Up()
	<-s.sales.Up()
	s.stop = func() {
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		if err := keep.Close(); err != nil {
			t.Error(err)
		}
	}
	return s
}

// call makes a call between two trunks, which the called side refuses, and returns what was dialled and the record.
func (s *service) call(from, to *trunktest.Trunk, q routing.Request) (routing.Target, bridge.Record) {
	s.t.Helper()
	from.Offer(q)
	deadline := time.After(20 * time.Second)
	var target routing.Target
	select {
	case leg := <-to.Dialled():
		target = leg.Target
		leg.Emit(bridge.Ended{Cause: bridge.CauseOf(bridge.Busy)})
	case <-deadline:
		s.t.Fatal("nothing was dialled")
	}
	select {
	case r := <-s.records:
		return target, r
	case <-deadline:
		s.t.Fatal("the call left no record")
	}
	return target, bridge.Record{}
}

// A user calls in and is shown as *5000000201. Days later, after a restart, an employee calls back; whatever the PBX made
// of the number, the same user is called, by user-id.
func TestCallBackWithAChangedPrefix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tgtrunk.db")
	s := start(t, path)
	anna := routing.Party{UserID: 5000000201, Username: "anna_b", Name: "Anna"}
	shown, _ := s.call(s.sales, s.office, routing.Request{Caller: anna})
	if shown.Caller.Number != "*5000000201" {
		t.Fatalf("shown as %q", shown.Caller.Number)
	}
	s.call(s.sales, s.office, routing.Request{Caller: routing.Party{UserID: 777001, Phone: "79161234567"}})
	s.stop()

	s = start(t, path)
	defer s.stop()
	user := func(id int64) routing.Number { return routing.Number{Kind: routing.UserID, UserID: id} }
	phone := func(e164 string) routing.Number { return routing.Number{Kind: routing.Phone, Phone: e164} }
	for _, test := range []struct {
		dialled string
		number  routing.Number
		matched routing.Matched
	}{
		{"*5000000201", user(5000000201), routing.ByCallerID},
		{"5000000201", user(5000000201), routing.ByMemory},    // the PBX took the star off
		{"+75000000201", user(5000000201), routing.ByMemory},  // and made it national
		{"005000000201", user(5000000201), routing.ByMemory},  // or international
		{"85000000201", user(5000000201), routing.ByMemory},   // or put its trunk prefix before it
		{"5000000202", phone("+5000000202"), routing.ByPhone}, // somebody else
		{"+79161234567", phone("+79161234567"), routing.ByCallerID},
		{"89161234567", user(777001), routing.ByMemory}, // the Russian for +7 916 …
		{"+49161234567", phone("+49161234567"), routing.ByCallerID},
	} {
		target, record := s.call(s.office, s.sales, routing.Request{Dialled: test.dialled})
		if target.Number != test.number || record.Matched != test.matched {
			t.Errorf("%q calls %+v, matched by %q; want %+v by %q", test.dialled, target.Number, record.Matched, test.number, test.matched)
		}
		if test.number == user(5000000201) && test.matched == routing.ByMemory &&
			(len(target.Others) != 1 || target.Others[0].Username != "anna_b") {
			t.Errorf("%q: other ways %+v", test.dialled, target.Others)
		}
	}
}
