package routing

import (
	"fmt"
	"strconv"
	"strings"
)

// Range is one extension or several in a row, such as 201 or 200-299.
type Range struct{ First, Last string }

const maxExtension = 32 // characters

// ParseRange reads "201" or "200-299". Extensions of a range are digits, and all as long as the first.
func ParseRange(text string) (Range, error) {
	first, last, several := strings.Cut(text, "-")
	if !several {
		last = first
	}
	switch {
	case !IsExtension(first) || !IsExtension(last):
		return Range{}, fmt.Errorf("extension %q: write digits and letters, or a range such as 200-299", text)
	case several && (len(first) != len(last) || strings.Trim(first+last, "0123456789") != "" || last < first):
		return Range{}, fmt.Errorf("range %q: write two numbers of the same length, the smaller first", text)
	}
	return Range{first, last}, nil
}

// IsExtension reports whether a text can be an extension of every PBX: 1 to 32 letters, digits, '_', '*' and '#'.
func IsExtension(text string) bool {
	return text != "" && len(text) <= maxExtension && strings.Trim(strings.ToLower(text), "abcdefghijklmnopqrstuvwxyz0123456789_*#") == ""
}

// Has reports whether an extension is in the range.
func (r Range) Has(text string) bool {
	if r.First == r.Last {
		return text == r.First
	}
	return len(text) == len(r.First) && strings.Trim(text, "0123456789") == "" && r.First <= text && text <= r.Last
}

// String is the range as ParseRange reads it.
func (r Range) String() string {
	if r.First == r.Last {
		return r.First
	}
	return r.First + "-" + r.Last
}

// Callers says which extensions of a PBX may call by a rule, or by an account. The zero Callers lets everybody.
type Callers struct {
	Allow []Range // only these, and no call without a caller number; empty: all
	Deny  []Range // not these, whatever Allow says
}

func (c Callers) everybody() bool { return len(c.Allow)+len(c.Deny) == 0 }

// refuse says why a caller number may not call; "" where it may. It does not hold the number.
func (c Callers) refuse(number string) string {
	number = SanitizeName(number)
	for _, r := range c.Deny {
		if r.Has(number) {
			return fmt.Sprintf("callers.deny has %q", r.String())
		}
	}
	for _, r := range c.Allow {
		if r.Has(number) {
			return ""
		}
	}
	switch {
	case len(c.Allow) == 0:
		return ""
	case number == "":
		return "the call has no caller number, and callers.allow is only for some"
	}
	return "callers.allow does not have it"
}

// Denied is a target that a caller may not have.
type Denied struct {
	Trunk string
	Why   string // without the caller's number
}

// DeniedError says that the caller may not make a call which there would be a route for.
type DeniedError struct {
	Rule string
	Line int      // of the rule in the configuration file; 0 where unknown
	Why  string   // where the rule itself does not let the caller
	By   []Denied // else the accounts that do not
}

// Error says who does not let the caller, and why.
func (e *DeniedError) Error() string {
	text := "find route: route " + strconv.Quote(e.Rule) + at(e.Line)
	if e.Why != "" {
		return text + " does not let this extension call: " + e.Why
	}
	for i, d := range e.By {
		if i > 0 {
			text += ","
		}
		text += " account " + strconv.Quote(d.Trunk) + " does not let this extension call: " + d.Why
	}
	return text
}

// Reason is the value that callers see in TGTRUNK_REASON: there is no route for them.
func (e *DeniedError) Reason() string { return "NO_ROUTE" }

// lets returns an error where the rule does not let the caller of a PBX's call.
func (t *Table) lets(r rule, q Request) error {
	if t.kinds[q.Trunk] != PBX {
		return nil
	}
	if why := r.Callers.refuse(q.Caller.Number); why != "" {
		return &DeniedError{Rule: r.Name, Line: r.Line, Why: why}
	}
	return nil
}

// denies says why the account of a target does not let the caller of a PBX's call; "" where it does.
func (t *Table) denies(trunk string, q Request) string {
	if t.kinds[q.Trunk] != PBX {
		return ""
	}
	return t.callers[trunk].refuse(q.Caller.Number)
}
