package routing

import (
	"maps"
	"slices"
)

// Presentation is how one rule for calls from an account shows a Telegram user to one PBX.
type Presentation struct {
	Route    string // the rule's name
	Line     int    // of it in the configuration file
	From, To string // account and PBX
	Takes    bool   // a call from this user goes by this rule, as far as the user decides that
	Number   Shown
	Name     string // sanitised
	NameBy   string // the template that made the name; "" where nothing is known
	// CallsBack says that the number, dialled at the PBX, reaches the same user, by rules and not by what is remembered.
	CallsBack bool
}

// Present returns how every rule for calls from an account would show a user, in the order of the rules.
func (t *Table) Present(account string, p Party) (out []Presentation) {
	if t.kinds[account] != Account {
		return nil
	}
	taken := false
	for _, r := range t.rules[account] {
		takes := !taken && r.takesCaller(p) && len(r.Match.Variables) == 0
		taken = taken || takes
		seen := map[string]bool{}
		for _, target := range r.Targets {
			if t.kinds[target.Trunk] != PBX || seen[target.Trunk] {
				continue
			}
			seen[target.Trunk] = true
			shown, name := r.numbers.CallerID(p), r.names.show(p)
			reading, err := r.numbers.Read(shown.Number)
			out = append(out, Presentation{
				Route: r.Name, Line: r.Line, From: account, To: target.Trunk, Takes: takes,
				Number: shown, Name: name.text, NameBy: name.template,
				CallsBack: err == nil && t.callsBack(target.Trunk, shown.Number, reading.Number),
			})
		}
	}
	return out
}

// Trunks returns the names of the trunks of a kind, sorted.
func (t *Table) Trunks(kind TrunkKind) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(t.kinds)) {
		if t.kinds[name] == kind {
			out = append(out, name)
		}
	}
	return out
}
