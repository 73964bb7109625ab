package routing

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestFactsForThePBX(t *testing.T) {
	target := in
	target.Variables = map[string]string{"DEPARTMENT": "sales, Berlin", "TG_LANG": "none"}
	tab := table(t, Rule{Name: "r", From: "sales", Targets: []RuleTarget{target}})
	plan, err := tab.Route(Request{
		Trunk:  "sales",
		Caller: Party{UserID: 123456, Username: "durov", Phone: "4930123456", Name: "Pa\"vel\r\nDurov \u202e👍"},
		Variables: map[string]string{
			"TG_LANG": "de", "TG_PREMIUM": "1", "bad name": "x", "TG_BIO": "a\r\nb${X}", "TGTRUNK_USER_ID": "1", "TGTRUNK_USERID": "2", "TGTRUNK_DIALLED": "forged",
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := plan.Targets[0]
	want := map[string]string{
		"TGTRUNK_USER_ID": "123456", "TGTRUNK_USERID": "123456", "TGTRUNK_USERNAME": "durov", "TGTRUNK_PHONE": "+4930123456", "TGTRUNK_NAME": "Pa vel Durov 👍",
		"TGTRUNK_NUMBER": "+4930123456", "TGTRUNK_ACCOUNT": "sales", "TGTRUNK_RULE": "r",
		"DEPARTMENT": "sales, Berlin", "TG_LANG": "none", "TG_PREMIUM": "1", "TG_BIO": "a b X",
	}
	if !reflect.DeepEqual(got.Variables, want) {
		t.Errorf("variables\n got %v\nwant %v", got.Variables, want)
	}
	if got.Caller.Number != "+4930123456" || got.Caller.Name != "Pa vel Durov 👍" {
		t.Errorf("caller %+v", got.Caller)
	}

	plan, _ = tab.Route(Request{Trunk: "sales", Caller: Party{UserID: 123456, Username: "durov"}})
	if rule := plan.Targets[0].ShownBy; rule != "*{userid}" {
		t.Errorf("the number is by rule %q", rule)
	}
	if c := plan.Targets[0].Caller; c.Number != "*123456" || c.Name != "@durov" {
		t.Errorf("a caller without a name and a phone is shown as %+v", c)
	}
}

func TestTimeoutOfTheCall(t *testing.T) {
	tab := table(t,
		Rule{From: "pbx", Targets: []RuleTarget{{Trunk: "sales", Timeout: time.Minute}}},
		Rule{From: "sales", Targets: []RuleTarget{in}},
	)
	for value, want := range map[string]time.Duration{"20": 20 * time.Second, "": time.Minute, "0": time.Minute, "-1": time.Minute, "x": time.Minute, "601": time.Minute, "99999999999999999999": time.Minute, "9223372037": time.Minute, "18446744074": time.Minute} {
		plan, err := tab.Route(Request{Trunk: "pbx", Dialled: "durov", Variables: map[string]string{VarTimeout: value}})
		if err != nil || plan.Targets[0].Timeout != want {
			t.Errorf("%q: %v, %v", value, plan.Targets[0].Timeout, err)
		}
	}
	plan, _ := tab.Route(Request{Trunk: "sales", Variables: map[string]string{VarTimeout: "20"}})
	if target := plan.Targets[0]; target.Timeout != 0 || target.Variables[VarTimeout] != "" {
		t.Errorf("a Telegram user sets the timeout: %+v", target)
	}
}

// Limits of a route, and of one call by its variables.
func TestReachedIn(t *testing.T) {
	tab := table(t, Rule{Name: "r", From: "pbx", Targets: []RuleTarget{{Trunk: "sales", ReachedIn: 8 * time.Second, Pool: 1}, {Trunk: "support", Pool: 1}}})
	for value, want := range map[string][2]time.Duration{
		"": {8 * time.Second, 0}, "5": {5 * time.Second, 5 * time.Second}, "21": {8 * time.Second, 0}, "-1": {8 * time.Second, 0}, "x": {8 * time.Second, 0},
	} {
		plan, err := tab.Route(Request{Trunk: "pbx", Dialled: "durov", Variables: map[string]string{VarReachedIn: value}})
		if err != nil {
			t.Fatal(err)
		}
		for i, target := range plan.Targets {
			if target.ReachedIn != want[i] || target.Pool != 1 {
				t.Errorf("%q: target %d is %+v", value, i, target)
			}
		}
	}
	for _, bad := range []RuleTarget{{Trunk: "sales", ReachedIn: 21 * time.Second}, {Trunk: "branch", Context: "c", ReachedIn: time.Second}} {
		if _, err := NewTable(Config{Trunks: trunks, Rules: []Rule{{From: "pbx", Targets: []RuleTarget{bad}}}}); err == nil || !strings.Contains(err.Error(), "reached_in") {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// A place that an account asks for is tried first, in the context of the rule where it brings none; the rule's own
// targets stand in.
func TestPlaceThatAnAccountAsksFor(t *testing.T) {
	table, err := NewTable(Config{
		Trunks: map[string]TrunkKind{"sales": Account, "office": PBX, "branch": PBX},
		Rules: []Rule{
			{From: "sales", Match: Match{Caller: "@endpoint"}, Targets: []RuleTarget{{Trunk: "branch", Endpoint: "PJSIP/1"}}},
			{From: "sales", Targets: []RuleTarget{{Trunk: "office", Context: "in", Extension: "100", Timeout: 9, Variables: map[string]string{"V": "1"}}, {Trunk: "branch", Endpoint: "PJSIP/1"}}},
			{From: "office", Targets: []RuleTarget{{Trunk: "sales"}}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	type at struct{ trunk, context, extension, endpoint string }
	for _, test := range []struct {
		q    Request
		want []at
	}{
		{Request{Trunk: "sales", Place: Place{Extension: "201"}}, []at{{"office", "in", "201", ""}, {"office", "in", "100", ""}, {"branch", "", "", "PJSIP/1"}}},
		{Request{Trunk: "sales", Place: Place{"chat", "201"}}, []at{{"office", "chat", "201", ""}, {"office", "in", "100", ""}, {"branch", "", "", "PJSIP/1"}}},
		{Request{Trunk: "sales", Place: Place{Context: "chat"}}, []at{{"office", "in", "100", ""}, {"branch", "", "", "PJSIP/1"}}},
		{Request{Trunk: "sales", Caller: Party{Username: "endpoint"}, Place: Place{"chat", "201"}}, []at{{"branch", "chat", "201", ""}, {"branch", "", "", "PJSIP/1"}}},
		{Request{Trunk: "sales", Caller: Party{Username: "endpoint"}, Place: Place{Extension: "201"}}, []at{{"branch", "", "", "PJSIP/1"}}},
		{Request{Trunk: "office", Dialled: "durov", Place: Place{"chat", "201"}}, []at{{"sales", "", "", ""}}},
	} {
		plan, err := table.Route(test.q)
		var got []at
		for _, target := range plan.Targets {
			got = append(got, at{target.Trunk, target.Context, target.Extension, target.Endpoint})
		}
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%+v: %v, %v, want %v", test.q, got, err, test.want)
		}
	}
	plan, _ := table.Route(Request{Trunk: "sales", Place: Place{Extension: "201"}})
	if first := plan.Targets[0]; first.Timeout != 9 || first.Variables["V"] != "1" {
		t.Errorf("the place lost what the rule says: %+v", first)
	}
}
