package routing

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"time"
)

// TrunkKind says what a trunk is, because that decides what a target needs.
type TrunkKind uint8

// The kinds of trunk.
const (
	PBX     TrunkKind = iota + 1 // calls come with a dialled text and enter a dialplan
	Account                      // a Telegram account: calls come without a dialled text and go to a Number
)

// String returns "PBX" or "Telegram account".
func (k TrunkKind) String() string {
	switch k {
	case PBX:
		return "PBX"
	case Account:
		return "Telegram account"
	}
	return "unknown trunk kind"
}

// Config is what a Table is built from.
type Config struct {
	Trunks map[string]TrunkKind // every trunk by its name
	Lines  map[string]int       // of the trunks in the configuration file, for warnings; nil where there is none
	Rules  []Rule               // in the order in which they are tried

	// Functions names the PBXs whose variables may be dialplan functions as well (DialplanFunction), as Asterisk's.
	Functions map[string]bool
	// Callers are the extensions of PBXs that may call by an account, by its name; one that is missing lets everybody.
	Callers map[string]Callers
}

// Rule sends the calls of one trunk that match to targets.
type Rule struct {
	Name    string // for log and record; "" gets one from From and Line
	Line    int    // in the configuration file, for messages; 0 where there is none
	From    string // trunk that the call comes from
	Match   Match
	Numbers NumberRules // how dialled numbers are read and callers are shown
	Names   NameRules   // how callers' names are shown
	Callers Callers     // of a PBX: who may call by this rule
	Targets []RuleTarget
}

// Match selects calls. Every field that is set must match; the zero Match takes every call of the trunk.
type Match struct {
	Dialled string // exactly what was dialled
	Prefix  string // what the dialled text begins with and
	Suffix  string // what it ends with; neither together with Dialled
	Strip   bool   // remove Prefix and Suffix before the rest is read as a number
	Caller  string // the caller: a PBX caller-id number, or any number form of a Telegram user (Rule.Numbers)
	// Variables must have these values in Request.Variables.
	Variables map[string]string
}

// RuleTarget is one destination. What it needs depends on the kind of its trunk:
// a Telegram account takes Number, a PBX takes Context with Extension, or Endpoint.
type RuleTarget struct {
	Trunk     string
	Number    string            // whom to call instead of who was dialled; needed where calls come without a dialled text
	Context   string            // dialplan context
	Extension string            // extension in it; "" is what was dialled, and DefaultExtension for a call from Telegram
	Endpoint  string            // endpoint to ring directly, such as PJSIP/100
	Timeout   time.Duration     // how long it may ring; 0 leaves it to the exchange
	ReachedIn time.Duration     // Telegram account: until a device has the call; 0 leaves it to the account
	Pool      int               // see Target.Pool
	Offline   Offline           // Telegram account: see Target.Offline
	Variables map[string]string // further channel variables
}

// DefaultExtension is entered where a call has no dialled text and its rule names no extension.
const DefaultExtension = "s"

// Warning is a habit of the configuration that works but surprises.
type Warning struct {
	Line int
	Text string
}

// Table is an immutable set of rules. It is safe for use by any number of goroutines.
type Table struct {
	rules    map[string][]rule // by the trunk the call comes from, in order
	kinds    map[string]TrunkKind
	writable map[string]bool    // Config.Functions
	callers  map[string]Callers // by account
	warnings []Warning
}

// rule is a checked Rule with what Route needs of it worked out.
type rule struct {
	Rule
	numbers *Numbers
	names   names
	caller  Number   // Match.Caller read as a number; zero where it is none
	fixed   []Number // RuleTarget.Number read, by target; zero where there is none
}

// Warnings returns what is worth telling the administrator when the table is loaded.
func (t *Table) Warnings() []Warning { return slices.Clone(t.warnings) }

// NewTable checks the rules and returns their table. The error joins a *RuleError for everything that is wrong.
func NewTable(c Config) (*Table, error) {
	t := &Table{rules: map[string][]rule{}, kinds: maps.Clone(c.Trunks), writable: maps.Clone(c.Functions), callers: maps.Clone(c.Callers)}
	var errs []error
	for _, r := range c.Rules {
		checked, problems := t.check(r)
		for _, p := range problems {
			errs = append(errs, &RuleError{Rule: checked.Name, Line: cmp.Or(p.line, r.Line), Problem: p.text})
		}
		for _, earlier := range t.rules[r.From] {
			if p := conflict(earlier, checked); p != "" {
				errs = append(errs, &RuleError{Rule: checked.Name, Line: r.Line, Problem: p})
				break
			}
		}
		t.rules[r.From] = append(t.rules[r.From], checked)
		t.warn(checked)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	t.warnCallback()
	t.warnUnrouted(c.Lines)
	return t, nil
}

// warn adds the warnings of one rule, each text once.
func (t *Table) warn(r rule) {
	if !t.readsNumbers(r) {
		return
	}
	for _, w := range r.numbers.Warnings() {
		if w.Line == 0 {
			w.Line = r.Line
		}
		t.addWarning(w)
	}
}

func (t *Table) addWarning(w Warning) {
	if !slices.ContainsFunc(t.warnings, func(o Warning) bool { return w.Text == o.Text }) {
		t.warnings = append(t.warnings, w)
	}
}

// Variables returns the names of the facts that rules for calls from the trunk ask for, sorted.
func (t *Table) Variables(trunk string) []string {
	asked := map[string]struct{}{}
	for _, r := range t.rules[trunk] {
		for name := range r.Match.Variables {
			asked[name] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(asked))
}

// readsNumbers reports whether number rules matter to the rule: an account is at one of its ends.
func (t *Table) readsNumbers(r rule) bool {
	return t.kinds[r.From] == Account ||
		slices.ContainsFunc(r.Targets, func(rt RuleTarget) bool { return t.kinds[rt.Trunk] == Account })
}
