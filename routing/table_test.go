package routing

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

var trunks = map[string]TrunkKind{"pbx": PBX, "branch": PBX, "sales": Account, "support": Account}

// in is a target that every call from an account can have.
var in = RuleTarget{Trunk: "pbx", Context: "tgtrunk-in"}

func table(t *testing.T, rules ...Rule) *Table {
	t.Helper()
	tab, err := NewTable(Config{Trunks: trunks, Rules: rules})
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

func TestRouteFromPBX(t *testing.T) {
	tab := table(t,
		Rule{Name: "alias", From: "pbx", Match: Match{Dialled: "*8001"}, Targets: []RuleTarget{{Trunk: "sales", Number: "@boss"}}},
		Rule{Name: "boss only", From: "pbx", Match: Match{Prefix: "9", Strip: true, Caller: "101"}, Targets: []RuleTarget{{Trunk: "support"}}},
		Rule{Name: "prefix", From: "pbx", Match: Match{Prefix: "tg-", Strip: true}, Targets: []RuleTarget{{Trunk: "support", Timeout: 20 * time.Second}}},
		Rule{Name: "ids", From: "pbx", Match: Match{Prefix: "*99"}, Numbers: long, Targets: []RuleTarget{{Trunk: "support"}}},
		Rule{Name: "all", From: "pbx", Numbers: german, Targets: []RuleTarget{{Trunk: "sales"}, {Trunk: "support", Variables: map[string]string{"X": "1"}}}},
	)
	for _, test := range []struct {
		dialled, caller string
		rule, trunk     string
		number          Number
	}{
		{"*8001", "100", "alias", "sales", name("boss")},
		{"9*123456", "101", "boss only", "support", id(123456)},
		{"9123456789", "100", "all", "sales", phone("+9123456789")}, // another caller
		{"tg-*123456", "", "prefix", "support", id(123456)},
		{"tg-durov", "", "prefix", "support", name("durov")},
		{"*99123456", "", "ids", "support", id(123456)},
		{"*123456", "", "all", "sales", id(123456)},
		{"030123456", "", "all", "sales", phone("+4930123456")},
	} {
		plan, err := tab.Route(Request{Trunk: "pbx", Dialled: test.dialled, Caller: Party{Number: test.caller, Name: "A\"lice"}})
		if err != nil {
			t.Errorf("%q from %q: %v", test.dialled, test.caller, err)
			continue
		}
		first := plan.Targets[0]
		if plan.Rule != test.rule || first.Trunk != test.trunk || first.Number != test.number {
			t.Errorf("%q from %q goes by %q to %+v", test.dialled, test.caller, plan.Rule, first)
		}
		if first.Caller.Number != test.caller || first.Caller.Name != "A lice" {
			t.Errorf("%q: the caller became %+v", test.dialled, first.Caller)
		}
	}
	plan, _ := tab.Route(Request{Trunk: "pbx", Dialled: "030123456"})
	if len(plan.Targets) != 2 || plan.Targets[1].Trunk != "support" || plan.Targets[1].Variables["X"] != "1" {
		t.Errorf("targets %+v", plan.Targets)
	}
	plan, _ = tab.Route(Request{Trunk: "pbx", Dialled: "tg-durov"})
	if plan.Targets[0].Timeout != 20*time.Second {
		t.Errorf("timeout %v", plan.Targets[0].Timeout)
	}
}

func TestRouteFromAccount(t *testing.T) {
	tab := table(t,
		Rule{Name: "vip", From: "sales", Match: Match{Caller: "@VIP_user"}, Targets: []RuleTarget{{Trunk: "pbx", Endpoint: "PJSIP/100"}}},
		Rule{Name: "by id", From: "sales", Match: Match{Caller: "*777777"}, Targets: []RuleTarget{{Trunk: "pbx", Context: "in", Extension: "200"}}},
		Rule{Name: "by phone", From: "sales", Match: Match{Caller: "030123456"}, Numbers: german, Targets: []RuleTarget{{Trunk: "support", Number: "*55555"}}},
		Rule{Name: "all", From: "sales", Targets: []RuleTarget{in}},
	)
	for _, test := range []struct {
		caller Party
		rule   string
		want   Target
	}{
		{Party{UserID: 1234567, Username: "vip_USER"}, "vip", Target{Trunk: "pbx", Endpoint: "PJSIP/100"}},
		{Party{UserID: 777777}, "by id", Target{Trunk: "pbx", Context: "in", Extension: "200"}},
		{Party{UserID: 1234567, Phone: "4930123456"}, "by phone", Target{Trunk: "support", Number: id(55555)}},
		{Party{UserID: 1234567}, "all", Target{Trunk: "pbx", Context: "tgtrunk-in", Extension: "s"}},
		{Party{}, "all", Target{Trunk: "pbx", Context: "tgtrunk-in", Extension: "s"}},
	} {
		plan, err := tab.Route(Request{Trunk: "sales", Caller: test.caller})
		if err != nil {
			t.Errorf("%+v: %v", test.caller, err)
			continue
		}
		got := plan.Targets[0]
		got.Caller, got.ShownBy, got.Variables, got.Presented = Party{}, "", nil, nil
		if plan.Rule != test.rule || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%+v goes by %q to %+v, want %q %+v", test.caller, plan.Rule, got, test.rule, test.want)
		}
	}
}

func TestMatchers(t *testing.T) {
	to := func(trunk string) []RuleTarget { return []RuleTarget{{Trunk: trunk}} }
	tab := table(t,
		Rule{Name: "both", From: "pbx", Match: Match{Prefix: "9", Suffix: "#", Strip: true}, Targets: to("sales")},
		Rule{Name: "suffix", From: "pbx", Match: Match{Suffix: "*2", Strip: true}, Targets: to("support")},
		Rule{Name: "kept", From: "pbx", Match: Match{Suffix: "_b"}, Targets: to("support")},
		Rule{Name: "two variables", From: "pbx", Match: Match{Variables: map[string]string{"TEAM": "a", "SHIFT": "night"}}, Targets: to("support")},
		Rule{Name: "variable", From: "pbx", Match: Match{Variables: map[string]string{"TEAM": "a"}}, Targets: to("support")},
		Rule{Name: "all", From: "pbx", Targets: to("sales")},
		Rule{Name: "german", From: "sales", Match: Match{Variables: map[string]string{"TGTRUNK_LANG": "de"}}, Targets: []RuleTarget{in}},
		Rule{Name: "in", From: "sales", Targets: []RuleTarget{in}},
	)
	for _, test := range []struct {
		dialled   string
		variables map[string]string
		rule      string
		number    Number
	}{
		{"9*123456#", nil, "both", id(123456)},
		{"*123456*2", nil, "suffix", id(123456)},
		{"anna_b", nil, "kept", name("anna_b")},
		{"*123456", map[string]string{"TEAM": "a", "SHIFT": "night"}, "two variables", id(123456)},
		{"*123456", map[string]string{"TEAM": "a", "SHIFT": "day"}, "variable", id(123456)},
		{"*123456", map[string]string{"TEAM": "b"}, "all", id(123456)},
		{"*123456", nil, "all", id(123456)},
	} {
		plan, err := tab.Route(Request{Trunk: "pbx", Dialled: test.dialled, Variables: test.variables})
		if err != nil || plan.Rule != test.rule || plan.Targets[0].Number != test.number {
			t.Errorf("%q with %v: %+v, %v; want %q %+v", test.dialled, test.variables, plan, err, test.rule, test.number)
		}
	}
	for lang, want := range map[string]string{"de": "german", "en": "in", "": "in"} {
		plan, err := tab.Route(Request{Trunk: "sales", Caller: Party{UserID: 123456}, Variables: map[string]string{"TGTRUNK_LANG": lang}})
		if err != nil || plan.Rule != want {
			t.Errorf("language %q goes by %q, %v", lang, plan.Rule, err)
		}
	}
	if _, err := tab.Route(Request{Trunk: "pbx", Dialled: "9"}); err == nil {
		t.Error("9 is a number")
	}
	if got := tab.Variables("pbx"); !reflect.DeepEqual(got, []string{"SHIFT", "TEAM"}) {
		t.Errorf("the PBX is asked for %v", got)
	}
}

// Prefix and suffix of one rule do not share characters.
func TestPrefixAndSuffixStandBesideEachOther(t *testing.T) {
	m := Match{Prefix: "12", Suffix: "23", Strip: true}
	for text, want := range map[string]bool{"1223": true, "123": false, "12x23": true, "12": false} {
		if got := m.takes(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	if got := m.stripped("12x23"); got != "x" {
		t.Errorf("%q is left", got)
	}
}

func TestMatchersThatCollide(t *testing.T) {
	to := []RuleTarget{{Trunk: "sales"}}
	variable := func(value string) map[string]string { return map[string]string{"V": value} }
	for _, test := range []struct {
		first, second Match
		says          string // "" where both are good
	}{
		{Match{Suffix: "#"}, Match{Suffix: "#"}, "collide"},
		{Match{Suffix: "#"}, Match{Suffix: "1#"}, "never reached"},
		{Match{Suffix: "1#"}, Match{Suffix: "#"}, ""},
		{Match{Suffix: "#"}, Match{Prefix: "1", Suffix: "#"}, "never reached"},
		{Match{Prefix: "1", Suffix: "#"}, Match{Suffix: "#"}, ""},
		{Match{Suffix: "#"}, Match{Prefix: "1"}, ""},
		{Match{Suffix: "#"}, Match{Dialled: "1#"}, "never reached"},
		{Match{Prefix: "12", Suffix: "23"}, Match{Dialled: "123"}, ""},
		{Match{Variables: variable("a")}, Match{Variables: variable("a")}, "collide"},
		{Match{Variables: variable("a")}, Match{Variables: variable("b")}, ""},
		{Match{Variables: variable("a")}, Match{}, ""},
		{Match{Variables: variable("a")}, Match{Variables: variable("a"), Prefix: "1"}, "never reached"},
		{Match{Prefix: "1"}, Match{Variables: variable("a"), Prefix: "1"}, "never reached"},
	} {
		_, err := NewTable(Config{Trunks: trunks, Rules: []Rule{
			{Line: 1, From: "pbx", Match: test.first, Targets: to}, {Line: 2, From: "pbx", Match: test.second, Targets: to},
		}})
		if test.says == "" && err != nil || test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)) {
			t.Errorf("%+v, %+v: %v, want %q", test.first, test.second, err, test.says)
		}
	}
}

func TestPlanSaysHow(t *testing.T) {
	tab := table(t,
		Rule{Name: "out", Line: 7, From: "pbx", Numbers: aliased, Targets: []RuleTarget{{Trunk: "sales"}, {Trunk: "branch", Context: "in"}}},
		Rule{Name: "in", From: "sales", Numbers: aliased, Targets: []RuleTarget{in}},
	)
	for dialled, want := range map[string]Matched{"7001": ByAlias, "*123456": ByCallerID, "004930123456": ByPhone, "anna_b": ByUsername} {
		plan, err := tab.Route(Request{Trunk: "pbx", Dialled: dialled})
		if err != nil || plan.Matched != want || plan.Line != 7 || plan.How == "" {
			t.Errorf("%q: %+v, %v", dialled, plan, err)
		}
		if plan.Targets[1].Presented != nil {
			t.Errorf("a call between PBXs is remembered: %+v", plan.Targets[1].Presented)
		}
	}
	shown := Presented{Number: "*5000000201", Own: "5000000201", Kind: UserID, UserID: 5000000201, Username: "anna_b"}
	plan, err := tab.Route(Request{Trunk: "sales", Caller: Party{UserID: 5000000201, Username: "anna_b"}})
	if err != nil || plan.Matched != "" || plan.Targets[0].Presented == nil || *plan.Targets[0].Presented != shown {
		t.Errorf("%+v, %v", plan, err)
	}
	plan, err = tab.Route(Request{Trunk: "pbx", Dialled: "5000000201", Remembered: []Presented{shown}})
	if err != nil || plan.Matched != ByMemory || plan.Targets[0].Number != id(5000000201) || plan.Targets[0].Others[0] != name("anna_b") {
		t.Errorf("%+v, %v", plan, err)
	}
}

func TestPresent(t *testing.T) {
	tab := table(t,
		Rule{Name: "vip", Line: 1, From: "sales", Match: Match{Caller: "@boss_b"}, Targets: []RuleTarget{in, {Trunk: "branch", Context: "in"}, in}},
		Rule{Name: "in", Line: 2, From: "sales", Numbers: long, Targets: []RuleTarget{in}},
		Rule{Name: "out", Line: 3, From: "pbx", Targets: []RuleTarget{{Trunk: "sales"}}},
	)
	got := tab.Present("sales", Party{UserID: 123456, Username: "boss_b", Name: "B\"oss"})
	want := []Presentation{
		{Route: "vip", Line: 1, From: "sales", To: "pbx", Takes: true, Number: Shown{"*123456", "*{userid}"}, Name: "B oss", NameBy: "{name}", CallsBack: true},
		{Route: "vip", Line: 1, From: "sales", To: "branch", Takes: true, Number: Shown{"*123456", "*{userid}"}, Name: "B oss", NameBy: "{name}"},
		{Route: "in", Line: 2, From: "sales", To: "pbx", Number: Shown{"*99123456", "*99{userid}"}, Name: "B oss", NameBy: "{name}"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	if got := tab.Present("pbx", Party{UserID: 123456}); got != nil {
		t.Errorf("a PBX presents %+v", got)
	}
}

func TestBetweenPBXs(t *testing.T) {
	tab := table(t, Rule{From: "pbx", Targets: []RuleTarget{{Trunk: "branch", Context: "in"}}})
	plan, err := tab.Route(Request{Trunk: "pbx", Dialled: "200"})
	if err != nil || plan.Targets[0].Extension != "200" || plan.Targets[0].Variables["TGTRUNK_DIALLED"] != "200" {
		t.Errorf("%+v, %v", plan, err)
	}
}

func TestNoRoute(t *testing.T) {
	tab := table(t, Rule{From: "pbx", Match: Match{Prefix: "tg-", Strip: true}, Targets: []RuleTarget{{Trunk: "sales"}}})
	for _, test := range []struct {
		q    Request
		want error
	}{
		{Request{Trunk: "pbx", Dialled: "durov"}, &NoRouteError{}},
		{Request{Trunk: "pbx"}, &NoRouteError{}},
		{Request{Trunk: "sales"}, &NoRouteError{}},
		{Request{Trunk: "nobody"}, &NoRouteError{}},
		{Request{Trunk: "pbx", Dialled: "tg-"}, &NumberError{}},
		{Request{Trunk: "pbx", Dialled: "tg-12"}, &NumberError{}},
		{Request{Trunk: "pbx", Dialled: "x\r\ny"}, &NumberError{}},
	} {
		plan, err := tab.Route(test.q)
		if reflect.TypeOf(err) != reflect.TypeOf(test.want) || len(plan.Targets) != 0 {
			t.Errorf("%+v: %+v, %v", test.q, plan, err)
		}
	}
}

func TestTableRefuses(t *testing.T) {
	toSales := []RuleTarget{{Trunk: "sales"}}
	good := Rule{Name: "good", Line: 10, From: "pbx", Match: Match{Prefix: "1"}, Targets: toSales}
	variables := func(name, value string) []RuleTarget {
		target := in
		target.Variables = map[string]string{name: value}
		return []RuleTarget{target}
	}
	for says, rule := range map[string]Rule{
		`route "x" (line 20): it has no target`:                                     {Name: "x", From: "pbx"},
		`no trunk "nobody" for calls to come from`:                                  {From: "nobody", Targets: []RuleTarget{in}},
		`target 1: there is no trunk "nobody" to dial`:                              {From: "pbx", Targets: []RuleTarget{{Trunk: "nobody"}}},
		`target 2: it sends the call back to the trunk "pbx"`:                       {From: "pbx", Targets: []RuleTarget{{Trunk: "sales"}, in}},
		`country code "x"`:                                                          {From: "pbx", Numbers: NumberRules{CountryCode: "x"}, Targets: toSales},
		`calls from a Telegram account carry no dialled number`:                     {From: "sales", Match: Match{Prefix: "1"}, Targets: []RuleTarget{in}},
		`it needs a number`:                                                         {From: "sales", Targets: []RuleTarget{{Trunk: "support"}}},
		`a whole dialled number and a prefix or suffix`:                             {From: "pbx", Match: Match{Dialled: "1", Prefix: "2"}, Targets: toSales},
		`no prefix or suffix to strip`:                                              {From: "pbx", Match: Match{Strip: true}, Targets: toSales},
		`it can never match "tg "`:                                                  {From: "pbx", Match: Match{Prefix: "tg "}, Targets: toSales},
		`its caller contains control characters`:                                    {From: "pbx", Match: Match{Caller: "1\n"}, Targets: toSales},
		`do not fit a Telegram account`:                                             {From: "pbx", Targets: []RuleTarget{{Trunk: "sales", Context: "in"}}},
		`number "*1": parse dialled number: a user-id has`:                          {From: "pbx", Targets: []RuleTarget{{Trunk: "sales", Number: "*1"}}},
		`number does not fit a PBX`:                                                 {From: "sales", Targets: []RuleTarget{{Trunk: "pbx", Context: "in", Number: "1"}}},
		`an endpoint and a dialplan context`:                                        {From: "sales", Targets: []RuleTarget{{Trunk: "pbx", Context: "in", Endpoint: "PJSIP/1"}}},
		`it needs a dialplan context or an endpoint`:                                {From: "sales", Targets: []RuleTarget{{Trunk: "pbx"}}},
		`"a b" contains spaces`:                                                     {From: "sales", Targets: []RuleTarget{{Trunk: "pbx", Context: "a b"}}},
		`timeout -1s is outside 0s to 10m0s`:                                        {From: "pbx", Targets: []RuleTarget{{Trunk: "sales", Timeout: -time.Second}}},
		`variable name "a b" is not`:                                                {From: "sales", Targets: variables("a b", "")},
		`variable "TGTRUNK_NAME" is set by the service`:                             {From: "sales", Targets: variables("TGTRUNK_NAME", "")},
		`value of variable "A" contains control`:                                    {From: "sales", Targets: variables("A", "x\n")},
		`its name contains control`:                                                 {Name: "a\nb", From: "pbx", Targets: toSales},
		`matches the same calls as route "good" (line 10): lines 10 and 20 collide`: {From: "pbx", Match: Match{Prefix: "1", Strip: true}, Targets: toSales},
		`is never reached: route "good" (line 10) before it takes all`:              {From: "pbx", Match: Match{Prefix: "12"}, Targets: toSales},
		`never reached: route "good"`:                                               {From: "pbx", Match: Match{Dialled: "123", Caller: "101"}, Targets: toSales},
	} {
		rule.Line = 20
		_, err := NewTable(Config{Trunks: trunks, Rules: []Rule{good, rule}})
		var wrong *RuleError
		if !errors.As(err, &wrong) || !strings.Contains(err.Error(), says) || wrong.Line != 20 {
			t.Errorf("got %v\nwant %s", err, says)
		}
	}
}

// Every mistake of the configuration is named at once.
func TestTableNamesEveryMistake(t *testing.T) {
	_, err := NewTable(Config{Trunks: trunks, Rules: []Rule{{Line: 1, From: "pbx"}, {Line: 2, From: "x", Targets: []RuleTarget{in}}}})
	if err == nil || !strings.Contains(err.Error(), "line 1") || !strings.Contains(err.Error(), "line 2") {
		t.Error(err)
	}
}

func TestRulesThatDoNotCollide(t *testing.T) {
	to := []RuleTarget{{Trunk: "sales"}}
	table(t,
		Rule{From: "pbx", Match: Match{Dialled: "12"}, Targets: to},
		Rule{From: "pbx", Match: Match{Prefix: "1", Caller: "101"}, Targets: to},
		Rule{From: "pbx", Match: Match{Prefix: "1", Caller: "102"}, Targets: to},
		Rule{From: "pbx", Match: Match{Prefix: "1"}, Targets: to},
		Rule{From: "branch", Match: Match{Prefix: "1"}, Targets: to},
		Rule{From: "pbx", Targets: to},
	)
}

func TestSameCallerInTwoForms(t *testing.T) {
	_, err := NewTable(Config{Trunks: trunks, Rules: []Rule{
		{Line: 1, From: "sales", Match: Match{Caller: "+4930123456"}, Targets: []RuleTarget{in}},
		{Line: 2, From: "sales", Match: Match{Caller: "004930123456"}, Targets: []RuleTarget{in}},
	}})
	if err == nil || !strings.Contains(err.Error(), "lines 1 and 2 collide") {
		t.Error(err)
	}
}

func TestTableWarns(t *testing.T) {
	tab := table(t,
		Rule{Line: 3, From: "pbx", Match: Match{Prefix: "*"}, Targets: []RuleTarget{{Trunk: "sales"}}},
		Rule{Line: 4, From: "pbx", Targets: []RuleTarget{{Trunk: "sales"}}},                 // the same warning once
		Rule{Line: 5, From: "branch", Targets: []RuleTarget{{Trunk: "pbx", Context: "in"}}}, // no account: no number
		Rule{Line: 6, From: "sales", Numbers: zero, Targets: []RuleTarget{in}},
	)
	got := tab.Warnings()
	if last := got[len(got)-1]; !strings.Contains(last.Text, "no route has from: support") {
		t.Errorf("an account without incoming calls: %+v", got)
	}
	if len(got) != 4 || got[0].Line != 3 || got[1].Line != 2 || got[2].Line != 2 || !strings.Contains(got[2].Text, "calling back fails") {
		t.Errorf("%+v", got)
	}
}

// FuzzRoute checks that whatever is dialled on whatever trunk, and whoever calls, a plan is complete and clean.
func FuzzRoute(f *testing.F) {
	f.Add("pbx", "*123456", "101", "Alice", int64(0), "", "")
	f.Add("sales", "", "", "\"Bob\"\r\n", int64(123456), "durov", "4930123456")
	f.Add("branch", "tg-@x${}", "", "", int64(-1), "", "\n")
	tab, err := NewTable(Config{Trunks: trunks, Rules: []Rule{
		{From: "pbx", Match: Match{Prefix: "tg-", Strip: true}, Targets: []RuleTarget{{Trunk: "sales"}, {Trunk: "support"}}},
		{From: "pbx", Match: Match{Caller: "101"}, Targets: []RuleTarget{{Trunk: "branch", Context: "in"}}},
		{From: "pbx", Numbers: german, Targets: []RuleTarget{{Trunk: "sales"}}},
		{From: "sales", Match: Match{Caller: "*12345"}, Targets: []RuleTarget{{Trunk: "support", Number: "durov"}}},
		{From: "sales", Targets: []RuleTarget{in, {Trunk: "branch", Endpoint: "PJSIP/1"}}},
		{From: "branch", Targets: []RuleTarget{{Trunk: "pbx", Context: "in"}}},
	}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, trunk, dialled, number, display string, user int64, username, phone string) {
		q := Request{
			Trunk: trunk, Dialled: dialled, Variables: map[string]string{display: number, "X": username},
			Caller: Party{UserID: user, Username: username, Phone: phone, Number: number, Name: display},
		}
		plan, err := tab.Route(q)
		if err != nil {
			var bad *NumberError
			var none *NoRouteError
			if !errors.As(err, &bad) && !errors.As(err, &none) {
				t.Fatal(err)
			}
			return
		}
		if plan.Rule == "" || len(plan.Targets) == 0 {
			t.Fatalf("%+v", plan)
		}
		for _, target := range plan.Targets {
			checkTargetComplete(t, target)
		}
	})
}

func checkTargetComplete(t *testing.T, target Target) {
	t.Helper()
	switch trunks[target.Trunk] {
	case Account:
		checkForm(t, target.Number)
	case PBX:
		if (target.Context == "" || target.Extension == "") && target.Endpoint == "" {
			t.Fatalf("nowhere to go: %+v", target)
		}
	default:
		t.Fatalf("unknown trunk: %+v", target)
	}
	texts := []string{target.Caller.Name, target.Caller.Number, target.Extension}
	for name, value := range target.Variables {
		if !variableName(name) {
			t.Fatalf("variable %q", name)
		}
		texts = append(texts, value)
	}
	for _, text := range texts {
		if !plain(text) || strings.ContainsAny(text, "\"<>`$,;|\\{}[]'") {
			t.Fatalf("unclean text %q in %+v", text, target)
		}
	}
}
