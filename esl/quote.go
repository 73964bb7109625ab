package esl

import (
	"maps"
	"slices"
	"strings"
)

// FreeSWITCH takes the arguments of its commands apart with switch_separate_string (switch_utils.c): an apostrophe begins
// and ends a quotation, a backslash escapes, and what is left over is stripped of both. Where a text is taken apart more
// than once it must be quoted as often, inside out.

// maxPairs is how many variables one uuid_setvar_multi takes; those beyond 64 it would drop.
const maxPairs = 50

var escaper = strings.NewReplacer(`\`, `\\`, `'`, `\'`)

// quote writes a text so that it comes out of one separation unchanged.
func quote(s string) string {
	if onlyRunes(s, func(r rune) bool { return isDialChar(r) || r == ':' || r == '/' || r == '@' }) {
		return s
	}
	return "'" + escaper.Replace(s) + "'"
}

// originate is the command that dials and parks whoever answers, and the variables that the dial string cannot carry.
func originate(set map[string]string, dialString string) (line string, left map[string]string) {
	text, left := joinVariables(set)
	return "originate " + quote("{"+text+"}"+dialString) + " &park()", left
}

// joinVariables writes variables as originate takes them in front of a dial string: they are separated by spaces with
// the rest of the command, then by commas, then by equals signs. Those that cannot be written so are left out, and
// returned: braces are counted before any quotation is looked at, and what looks like a variable is refused.
func joinVariables(set map[string]string) (text string, left map[string]string) {
	pairs := make([]string, 0, len(set))
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if value := set[name]; strings.ContainsAny(value, "{}[]<>$") || strings.Contains(value, ":_:") {
			if left == nil {
				left = map[string]string{}
			}
			left[name] = value
			continue
		}
		pairs = append(pairs, quote(name+"="+quote(set[name])))
	}
	return strings.Join(pairs, ","), left
}
