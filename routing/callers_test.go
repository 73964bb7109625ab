package routing

import (
	"errors"
	"strings"
	"testing"
)

func ranges(t *testing.T, texts ...string) (out []Range) {
	t.Helper()
	for _, text := range texts {
		r, err := ParseRange(text)
		if err != nil {
			t.Fatal(err)
		}
		if r.String() != text {
			t.Errorf("%q is written %q", text, r)
		}
		out = append(out, r)
	}
	return out
}

func TestRanges(t *testing.T) {
	for text, has := range map[string]string{"201": "201", "200-299": "250", "0200-0299": "0299", "boss": "boss", "*55": "*55"} {
		r := ranges(t, text)[0]
		if !r.Has(has) {
			t.Errorf("%s does not have %s", text, has)
		}
		for _, other := range []string{"", "20", "2011", "300", "+201", "2x1", "199", "Boss", "２０１"} {
			if r.Has(other) {
				t.Errorf("%s has %q", text, other)
			}
		}
	}
	for _, bad := range []string{"", "-", "200-", "299-200", "20-200", "a-b", "+49", "1@x", "1/2", strings.Repeat("1", 33)} {
		if r, err := ParseRange(bad); err == nil {
			t.Errorf("%q is %v", bad, r)
		}
	}
}

// Who may call is the route's to say, and the account's.
func TestCallers(t *testing.T) {
	everybody := Callers{}
	allow := Callers{Allow: ranges(t, "200-299", "boss")}
	both := Callers{Allow: ranges(t, "200-299"), Deny: ranges(t, "250-259", "201")}
	for _, test := range []struct {
		callers Callers
		caller  string
		why     string // "" where the call goes
	}{
		{everybody, "", ""}, {everybody, "+49301234", ""},
		{allow, "200", ""}, {allow, "boss", ""}, {allow, "300", "callers.allow does not have it"},
		{allow, "", "no caller number"}, {allow, "+200", "does not have it"}, {allow, "0200", "does not have it"},
		{both, "249", ""}, {both, "255", `callers.deny has "250-259"`}, {both, "201", `callers.deny has "201"`}, {both, "100", "does not have it"},
		{Callers{Deny: both.Deny}, "100", ""}, {Callers{Deny: both.Deny}, "", ""}, {Callers{Deny: both.Deny}, " 201 ", "callers.deny"},
	} {
		q := Request{Trunk: "pbx", Dialled: "durov", Caller: Party{Number: test.caller}}
		byRule := table(t, Rule{Name: "out", Line: 7, From: "pbx", Match: Match{Prefix: "d"}, Callers: test.callers, Targets: []RuleTarget{{Trunk: "sales"}}},
			Rule{Name: "later", From: "pbx", Targets: []RuleTarget{{Trunk: "support"}}}) // who is denied does not get on to it
		byAccount, err := NewTable(Config{
			Trunks: trunks, Rules: []Rule{{Name: "out", Line: 7, From: "pbx", Targets: []RuleTarget{{Trunk: "sales"}}}},
			Callers: map[string]Callers{"sales": test.callers},
		})
		if err != nil {
			t.Fatal(err)
		}
		for by, tab := range map[string]*Table{"route": byRule, "account": byAccount} {
			plan, err := tab.Route(q)
			var denied *DeniedError
			switch {
			case test.why == "" && (err != nil || len(plan.Targets) != 1):
				t.Errorf("%s, %q: %+v, %v", by, test.caller, plan, err)
			case test.why != "" && (!errors.As(err, &denied) || !strings.Contains(err.Error(), test.why) || !strings.Contains(err.Error(), `"out" (line 7)`)):
				t.Errorf("%s, %q: %+v, %v, want %s", by, test.caller, plan, err, test.why)
			case test.why != "" && (denied.Reason() != "NO_ROUTE" || test.caller == "255" && strings.Contains(err.Error(), "255")):
				t.Errorf("%s, %q: %s, %v", by, test.caller, denied.Reason(), err)
			}
		}
	}
}

// An account that does not let the caller is left out; what else the route has is tried.
func TestDeniedByOneAccount(t *testing.T) {
	tab, err := NewTable(Config{
		Trunks: trunks, Callers: map[string]Callers{"sales": {Deny: ranges(t, "300")}, "support": {Allow: ranges(t, "300")}},
		Rules: []Rule{
			{Name: "out", From: "pbx", Targets: []RuleTarget{{Trunk: "sales", Pool: 1}, {Trunk: "support", Pool: 1}, {Trunk: "branch", Context: "pstn"}}},
			{Name: "in", From: "sales", Targets: []RuleTarget{in}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for caller, want := range map[string]string{"300": "support branch", "200": "sales branch", "": "sales branch"} {
		plan, err := tab.Route(Request{Trunk: "pbx", Dialled: "durov", Caller: Party{Number: caller}})
		var to []string
		for _, target := range plan.Targets {
			to = append(to, target.Trunk)
		}
		if got := strings.Join(to, " "); err != nil || got != want || len(plan.Denied) != 1 || plan.Denied[0].Why == "" {
			t.Errorf("%q goes to %s, denied %+v, %v", caller, got, plan.Denied, err)
		}
	}
	// Calls of Telegram users are no business of the lists.
	if plan, err := tab.Route(Request{Trunk: "sales", Caller: Party{UserID: 300, Number: "300"}}); err != nil || len(plan.Denied) != 0 {
		t.Errorf("%+v, %v", plan, err)
	}
}

func TestCallersAndOfflineThatMakeNoSense(t *testing.T) {
	for want, r := range map[string]Rule{
		"its callers are extensions":            {From: "sales", Callers: Callers{Deny: ranges(t, "1")}, Targets: []RuleTarget{in}},
		"offline does not fit a PBX":            {From: "pbx", Targets: []RuleTarget{{Trunk: "branch", Context: "c", Offline: OfflineCall}}},
		`offline is call or message, not "sms"`: {From: "pbx", Targets: []RuleTarget{{Trunk: "sales", Offline: "sms"}}},
	} {
		if _, err := NewTable(Config{Trunks: trunks, Rules: []Rule{r}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	plan, err := table(t, Rule{From: "pbx", Targets: []RuleTarget{{Trunk: "sales", Offline: OfflineMessage}}}).Route(Request{Trunk: "pbx", Dialled: "durov"})
	if err != nil || plan.Targets[0].Offline != OfflineMessage {
		t.Errorf("%+v, %v", plan, err)
	}
}

// Whatever is read as a range is written so that it is read as the same, and has its ends.
func FuzzParseRange(f *testing.F) {
	for _, text := range []string{"201", "200-299", "*55", "boss", "0-9", "a-b", "-", "１-２"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRange(text)
		if err != nil {
			return
		}
		again, err := ParseRange(r.String())
		if err != nil || again != r || !r.Has(r.First) || !r.Has(r.Last) || r.Has(r.Last+"0") {
			t.Errorf("%q is %+v, %+v, %v", text, r, again, err)
		}
	})
}
