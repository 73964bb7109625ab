package routing

import (
	"strings"
	"testing"
)

// TestFunctionsAsVariables: what a route may set, by the kind of PBX.
func TestFunctionsAsVariables(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ trunk, name, problem string }{
		{"asterisk PJSIP/100", "CDR(userfield)", ""},
		{"asterisk PJSIP/100", "PJSIP_HEADER(add,X-Case)", ""},
		{"asterisk PJSIP/100", "COLOUR", ""},
		{"asterisk PJSIP/100", "SHELL(reboot)", "the functions that may be set are"},
		{"asterisk", "CHANNEL(language)", ""},
		{"asterisk", "CDR(userfield)", "would be of tgtrunk's half of the call, not of the dialplan's: give context \"in\" a plain variable"},
		{"asterisk", "COLOUR", ""},
		{"asterisk", "SHELL(reboot)", "the functions that may be set are CALLERID, CDR, CHANNEL"},
		{"asterisk", "FILE(/etc/passwd)", "the functions that may be set are"},
		{"asterisk", "CDR(a)b", "the functions that may be set are"},
		{"asterisk", "CDR(${SHELL(reboot)})", "the functions that may be set are"},
		{"asterisk", "CDR(user field)", "the functions that may be set are"},
		{"asterisk", "CDR(", "the functions that may be set are"},
		{"asterisk", "CDR)", "is not letters, digits and underscores"},
		{"freeswitch", "CDR(userfield)", `is a function of Asterisk's dialplan, and trunk "freeswitch" is no Asterisk`},
		{"freeswitch", "COLOUR", ""},
	} {
		trunk, endpoint, _ := strings.Cut(c.trunk, " ")
		target := RuleTarget{Trunk: trunk, Endpoint: endpoint, Variables: map[string]string{c.name: "gold"}}
		if endpoint == "" {
			target.Context, target.Extension = "in", "1"
		}
		_, err := NewTable(Config{
			Trunks:    map[string]TrunkKind{"sales": Account, "asterisk": PBX, "freeswitch": PBX},
			Functions: map[string]bool{"asterisk": true},
			Rules:     []Rule{{From: "sales", Targets: []RuleTarget{target}}},
		})
		switch {
		case c.problem == "" && err != nil:
			t.Errorf("%s on %s: %v", c.name, c.trunk, err)
		case c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)):
			t.Errorf("%s on %s: error %v, want %q", c.name, c.trunk, err, c.problem)
		}
	}
}
