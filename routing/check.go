package routing

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// RuleError says what is wrong with a rule of the configuration.
type RuleError struct {
	Rule    string
	Line    int // in the configuration file; 0 where unknown
	Problem string
}

// Error returns the problem with the rule's line and name.
func (e *RuleError) Error() string {
	return "check route " + strconv.Quote(e.Rule) + at(e.Line) + ": " + e.Problem
}

func at(line int) string {
	if line == 0 {
		return ""
	}
	return " (line " + strconv.Itoa(line) + ")"
}

const (
	reservedVariables = "TGTRUNK_"
	maxTimeout        = 10 * time.Minute // Telegram's own limit of a ringing call is 90 s
	maxReachedIn      = 20 * time.Second // Telegram's own: call_receive_timeout_ms of help.getConfig
)

// problem is what is wrong with a rule.
type problem struct {
	text string
	line int // 0: that of the rule
}

// check returns the rule with everything read that Route needs, and what is wrong with it.
func (t *Table) check(r Rule) (checked rule, problems []problem) {
	refuse := func(format string, args ...any) {
		problems = append(problems, problem{text: fmt.Sprintf(format, args...)})
	}
	if r.Name == "" {
		r.Name = r.From + "/" + strconv.Itoa(r.Line)
	}
	if !plain(r.Name) {
		refuse("its name contains control characters")
	}
	from, known := t.kinds[r.From]
	if !known {
		refuse("there is no trunk %q for calls to come from", r.From)
	}
	checked = rule{Rule: r, fixed: make([]Number, len(r.Targets))}
	var err error
	if checked.numbers, err = NewNumbers(r.Numbers); err != nil {
		problems = append(problems, numberProblems(err)...)
	}
	if checked.names, err = newNames(r.Names); err != nil {
		refuse("%v", err)
	}
	for _, p := range checkMatch(r.Match, from) {
		refuse("%s", p)
	}
	if reading, err := checked.numbers.Read(r.Match.Caller); err == nil { // not every caller is a number: extension 101
		checked.caller = reading.Number
	}
	if from == Account && !r.Callers.everybody() {
		refuse("its callers are extensions of a PBX, and calls from a Telegram account have none; use caller")
	}
	if len(r.Targets) == 0 {
		refuse("it has no target")
	}
	for i, target := range r.Targets {
		number, wrong := t.checkTarget(checked, from, target)
		checked.fixed[i] = number
		for _, p := range wrong {
			refuse("target %d: %s", i+1, p)
		}
	}
	return checked, problems
}

// numberProblems gives each caller-ID rule its own line.
func numberProblems(err error) (out []problem) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // errors.Join of NewNumbers
		for _, err := range joined.Unwrap() {
			out = append(out, numberProblems(err)...)
		}
		return out
	}
	p := problem{text: err.Error()}
	if rule, ok := err.(*CallerRuleError); ok { //nolint:errorlint // NewNumbers wraps nothing
		p.line = rule.Line
	}
	return []problem{p}
}

func checkMatch(m Match, from TrunkKind) (problems []string) {
	refuse := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if from == Account && m.Dialled+m.Prefix+m.Suffix != "" {
		refuse("it can never match: calls from a Telegram account carry no dialled number")
	}
	if m.Dialled != "" && m.Prefix+m.Suffix != "" {
		refuse("it matches a whole dialled number and a prefix or suffix; one of them is enough")
	}
	if m.Strip && m.Prefix+m.Suffix == "" {
		refuse("there is no prefix or suffix to strip")
	}
	for _, text := range []string{m.Dialled, m.Prefix, m.Suffix} {
		if text == "" {
			continue
		}
		if p := unclean(text); p != "" {
			refuse("it can never match %q: %s", text, p)
		}
	}
	if !plain(m.Caller) {
		refuse("its caller contains control characters")
	}
	for name, value := range m.Variables {
		switch {
		case !variableName(name):
			refuse("variable name %q is not letters, digits and underscores", name)
		case value == "" || !plain(value):
			refuse("the value of variable %q is empty or contains control characters", name)
		}
	}
	return problems
}

// checkTarget returns the target's fixed number, if any, and what is wrong with the target.
func (t *Table) checkTarget(r rule, from TrunkKind, target RuleTarget) (number Number, problems []string) {
	refuse := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	kind, known := t.kinds[target.Trunk]
	switch {
	case !known:
		refuse("there is no trunk %q to dial", target.Trunk)
	case target.Trunk == r.From:
		refuse("it sends the call back to the trunk %q that the call comes from", target.Trunk)
	case kind == Account:
		number = checkAccountTarget(r, from, target, refuse)
	case kind == PBX:
		checkPBXTarget(target, refuse)
	}
	if target.Timeout < 0 || target.Timeout > maxTimeout {
		refuse("timeout %v is outside 0s to %v", target.Timeout, maxTimeout)
	}
	switch {
	case target.ReachedIn < 0 || target.ReachedIn > maxReachedIn:
		refuse("reached_in %v is outside 0s to %v", target.ReachedIn, maxReachedIn)
	case target.ReachedIn != 0 && kind == PBX:
		refuse("reached_in does not fit a PBX")
	}
	switch {
	case target.Offline != OfflineAccount && target.Offline != OfflineCall && target.Offline != OfflineMessage:
		refuse("offline is %s or %s, not %q", OfflineCall, OfflineMessage, target.Offline)
	case target.Offline != OfflineAccount && kind == PBX:
		refuse("offline does not fit a PBX")
	}
	for name, value := range target.Variables {
		switch function := strings.ContainsRune(name, '('); {
		case function && !t.writable[target.Trunk]:
			refuse("variable %q is a function of Asterisk's dialplan, and trunk %q is no Asterisk", name, target.Trunk)
		case function && !DialplanFunction(name):
			refuse("variable %q: the functions that may be set are %s, with an argument in parentheses", name,
				strings.Join(writableFunctions, ", "))
		case function && target.Endpoint == "" && !handedOver(name):
			refuse("variable %q would be of tgtrunk's half of the call, not of the dialplan's: give context %q a plain variable, "+
				"and let it say Set(%s=${THE_VARIABLE})", name, target.Context, name)
		case !function && !variableName(name):
			refuse("variable name %q is not letters, digits and underscores", name)
		case strings.HasPrefix(strings.ToUpper(name), reservedVariables):
			refuse("variable %q is set by the service itself", name)
		case !plain(value):
			refuse("the value of variable %q contains control characters", name)
		}
	}
	return number, problems
}

func checkAccountTarget(r rule, from TrunkKind, target RuleTarget, refuse func(string, ...any)) Number {
	if target.Context != "" || target.Extension != "" || target.Endpoint != "" {
		refuse("context, extension and endpoint do not fit a Telegram account")
	}
	if target.Number == "" {
		if from == Account {
			refuse("it needs a number: calls from a Telegram account carry no dialled number")
		}
		return Number{}
	}
	reading, err := r.numbers.Read(target.Number)
	if err != nil {
		refuse("number %q: %v", target.Number, err)
	}
	return reading.Number
}

func checkPBXTarget(target RuleTarget, refuse func(string, ...any)) {
	if target.Number != "" {
		refuse("number does not fit a PBX; use extension")
	}
	switch {
	case target.Endpoint != "" && (target.Context != "" || target.Extension != ""):
		refuse("it has an endpoint and a dialplan context; one of them is enough")
	case target.Endpoint == "" && target.Context == "":
		refuse("it needs a dialplan context or an endpoint")
	}
	for _, text := range []string{target.Context, target.Extension, target.Endpoint} {
		if !plain(text) || strings.ContainsFunc(text, unicode.IsSpace) {
			refuse("%q contains spaces or control characters", text)
		}
	}
}

// conflict says why the later rule never gets a call although both are good for themselves; "" if it does.
func conflict(earlier, later rule) string {
	switch {
	case earlier.sameMatch(later):
		return fmt.Sprintf("it matches the same calls as route %q%s: lines %d and %d collide",
			earlier.Name, at(earlier.Line), earlier.Line, later.Line)
	case earlier.covers(later):
		return fmt.Sprintf("it is never reached: route %q%s before it takes all of its calls", earlier.Name, at(earlier.Line))
	}
	return ""
}

func (r rule) sameMatch(o rule) bool {
	return r.Match.Dialled == o.Match.Dialled && r.Match.Prefix == o.Match.Prefix && r.Match.Suffix == o.Match.Suffix &&
		maps.Equal(r.Match.Variables, o.Match.Variables) && r.sameCaller(o)
}

func (r rule) sameCaller(o rule) bool {
	return r.Match.Caller == o.Match.Caller || r.caller.Kind != 0 && r.caller.Key() == o.caller.Key()
}

// covers reports whether every call that o matches matches r too.
func (r rule) covers(o rule) bool {
	if r.Match.Caller != "" && !r.sameCaller(o) {
		return false
	}
	for name, value := range r.Match.Variables {
		if o.Match.Variables[name] != value {
			return false
		}
	}
	switch m := r.Match; {
	case m.Dialled != "":
		return m.Dialled == o.Match.Dialled
	case o.Match.Dialled != "":
		return m.takes(o.Match.Dialled)
	}
	return strings.HasPrefix(o.Match.Prefix, r.Match.Prefix) && strings.HasSuffix(o.Match.Suffix, r.Match.Suffix)
}

// plain reports whether the text is valid UTF-8 without control characters.
func plain(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}

// variableName reports whether a channel variable can have that name in every PBX.
func variableName(name string) bool {
	for i := range len(name) {
		if c := name[i]; !isLetter(c) && c != '_' && (i == 0 || !isDigit(c)) {
			return false
		}
	}
	return name != "" && len(name) <= 64
}
