package routing

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Warnings says which habits of PBXs the rules collide with; calls still work as Read documents.
func (n *Numbers) Warnings() []Warning { return n.orDefault().warnings }

func (n *Numbers) warn() (out []Warning) {
	for _, r := range n.rules {
		add := func(format string, args ...any) {
			out = append(out, Warning{Line: r.line, Text: fmt.Sprintf("caller_id rule %q ", r.template) + fmt.Sprintf(format, args...)})
		}
		switch numeric := r.field.kind != Username; {
		case numeric && slices.Contains([]string{"*", "#", "**", "##"}, r.prefix):
			add("collides with the feature codes of most PBXs (*72, *97, …); a longer prefix such as *99 does not")
		case numeric && slices.Contains(codesBeforeNumbers(), r.prefix):
			add("collides with the feature code %s, which many PBXs take with a number behind it; another prefix such as *99 does not", r.prefix)
		case numeric && r.prefix == "0":
			add("collides with national numbers such as 030123456 and with an outside line on 0; a longer prefix such as *99 does not")
		}
		for _, f := range n.dialledForms() {
			if text, both := overlap(r.template, f.template); both && !f.same(r.template) {
				add("takes what could be %s: %s is read by the rule", f.what, text)
			}
		}
	}
	return out
}

// codesBeforeNumbers are feature codes that a number follows, as FreePBX has them from the start: call forwarding (always,
// busy, unanswered) and the intercom.
func codesBeforeNumbers() []string { return []string{"*72", "*90", "*52", "*80"} }

// dialledForm is one of the forms that Read knows without a rule, as a template: so collisions with it are found exactly
// as those between rules (overlap), and the warning names a text.
type dialledForm struct {
	template
	what string
}

// same reports whether the rule reads what it shares with the form to the same number.
func (f dialledForm) same(t template) bool {
	return f.field.name == t.field.name && strings.EqualFold(f.prefix, t.prefix) && strings.EqualFold(f.suffix, t.suffix)
}

func (n *Numbers) dialledForms() []dialledForm {
	r := n.phones
	out := []dialledForm{
		{template{prefix: "+", field: phoneField}, "a phone number in E.164"},
		{template{prefix: r.InternationalPrefix, field: phoneField}, "an international number"},
		{template{field: phoneField}, "a phone number without its plus"},
		{template{prefix: "@", field: usernameField}, "a username"},
		{template{field: usernameField}, "a username"},
	}
	if r.CountryCode == "" {
		return out
	}
	national := field{
		name: "{national}", kind: Phone, first: digits, rest: digits,
		min: minPhoneDigits - len(r.CountryCode), max: maxPhoneDigits - len(r.CountryCode),
	}
	if r.NationalDigits != 0 {
		national.min, national.max = r.NationalDigits, r.NationalDigits
		out = append(out, dialledForm{template{field: national}, "a national number of " + strconv.Itoa(r.NationalDigits) + " digits"})
	}
	if r.NationalPrefix != "" {
		out = append(out, dialledForm{template{prefix: r.NationalPrefix, field: national}, "a national number after " + r.NationalPrefix})
	}
	return out
}

// warnCallback adds a warning for every caller-ID rule by which a PBX is shown what, dialled from there, does not reach
// the same user. It tries one user for each rule; conditions on the caller and on variables count as met.
func (t *Table) warnCallback() {
	for _, r := range t.inOrder() {
		if t.kinds[r.From] != Account {
			continue
		}
		for _, target := range r.Targets {
			if t.kinds[target.Trunk] != PBX || !t.callsAccounts(target.Trunk) {
				continue // a PBX that only takes calls calls nobody back
			}
			for _, shown := range r.numbers.rules {
				if text, number := shown.sample(); !t.callsBack(target.Trunk, text, number) {
					line := shown.line
					if line == 0 {
						line = r.Line
					}
					t.addWarning(Warning{Line: line, Text: fmt.Sprintf(
						"route %q shows callers to %q by caller_id rule %q, and no route from there reads %s back: calling back fails",
						r.Name, target.Trunk, shown.template, text)})
				}
			}
		}
	}
}

// warnUnrouted adds a warning for every account whose incoming calls no rule takes.
func (t *Table) warnUnrouted(lines map[string]int) {
	for _, name := range slices.Sorted(maps.Keys(t.kinds)) {
		if t.kinds[name] == Account && len(t.rules[name]) == 0 {
			t.addWarning(Warning{Line: lines[name], Text: fmt.Sprintf(
				"no route has from: %s: calls to this account are left to its other devices", name)})
		}
	}
}

// sample returns what the rule shows of a made-up user.
func (r callerRule) sample() (text string, shown Number) {
	p := Party{UserID: 5000000201, Username: "a_user", Phone: "12025550123"}
	for _, n := range p.numbers() {
		if n.Kind == r.field.kind {
			shown = n
		}
	}
	return r.write(p.field(r.field.kind)), shown
}

func (t *Table) callsBack(trunk, dialled string, number Number) bool {
	for _, r := range t.rules[trunk] {
		if !r.Match.takes(dialled) {
			continue
		}
		for i, target := range r.Targets {
			if t.kinds[target.Trunk] != Account || r.fixed[i].Kind != 0 {
				continue
			}
			reading, err := r.numbers.Read(r.Match.stripped(dialled))
			if err == nil && reading.Number.Key() == number.Key() {
				return true
			}
		}
		if r.Match.Caller == "" && len(r.Match.Variables) == 0 {
			return false // it takes every such call
		}
	}
	return false
}

// callsAccounts reports whether dialled numbers of a trunk go to Telegram at all.
func (t *Table) callsAccounts(trunk string) bool {
	return slices.ContainsFunc(t.rules[trunk], func(r rule) bool {
		return slices.ContainsFunc(r.Targets, func(target RuleTarget) bool { return t.kinds[target.Trunk] == Account })
	})
}

// inOrder returns all rules in the order of the configuration.
func (t *Table) inOrder() []rule {
	var all []rule
	for _, rules := range t.rules {
		all = append(all, rules...)
	}
	slices.SortStableFunc(all, func(a, b rule) int { return cmp.Or(cmp.Compare(a.Line, b.Line), strings.Compare(a.Name, b.Name)) })
	return all
}
