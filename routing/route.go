package routing

import (
	"cmp"
	"maps"
	"strconv"
	"strings"
	"time"
)

// Variables that Route sets for a PBX, beside those the offering trunk and the rule give. Those about a user describe
// the Telegram user who calls; one that is not known is not set.
const (
	VarUserID   = "TGTRUNK_USER_ID"  // digits
	VarUserID2  = "TGTRUNK_USERID"   // the same under its other name: what VarUserID says, where that is set
	VarUsername = "TGTRUNK_USERNAME" // without '@'
	VarPhone    = "TGTRUNK_PHONE"    // E.164 with '+'
	VarName     = "TGTRUNK_NAME"     // display name, sanitised
	VarNumber   = "TGTRUNK_NUMBER"   // the caller-id number: dialling it calls the user back
	VarAccount  = "TGTRUNK_ACCOUNT"  // name of the account's trunk
	VarDialled  = "TGTRUNK_DIALLED"  // what was dialled, sanitised
	VarRule     = "TGTRUNK_RULE"     // the rule that decided
	// VarTimeout is read, not set: seconds that a call from a PBX may ring, instead of what its rule says.
	VarTimeout = "TGTRUNK_TIMEOUT"
	// VarReachedIn is read, not set: seconds until a device of the called Telegram user must have the call.
	VarReachedIn = "TGTRUNK_REACHED_IN"
)

const maxVariable = 256 // bytes of a variable's value that came from outside

// NoRouteError says that no rule takes a call.
type NoRouteError struct{ Trunk string }

// Error names the trunk whose call has no route.
func (e *NoRouteError) Error() string {
	return "find route: no rule takes this call from trunk " + strconv.Quote(e.Trunk)
}

// Reason is the value that callers see in TGTRUNK_REASON.
func (e *NoRouteError) Reason() string { return "NO_ROUTE" }

// Route decides where a call goes: the first rule of its trunk that matches, and no other. The error is a
// *NumberError where what was dialled is no number, a *NoRouteError where no rule takes the call, a *DeniedError where the
// caller may not make it.
func (t *Table) Route(q Request) (Plan, error) {
	if q.Dialled != "" {
		if problem := unclean(q.Dialled); problem != "" {
			return Plan{}, (*Numbers)(nil).orDefault().fail(q.Dialled, 0, problem)
		}
	}
	for _, r := range t.rules[q.Trunk] {
		if r.matches(q) {
			if err := t.lets(r, q); err != nil {
				return Plan{}, err
			}
			return t.plan(r, q)
		}
	}
	return Plan{}, &NoRouteError{Trunk: q.Trunk}
}

// Reads returns the text in which Route looks for a number: what was dialled, without what the call's rule strips. It is ""
// where nothing is read: no rule takes the call, or the rule says itself whom to call. Request.Remembered is of this text.
func (t *Table) Reads(q Request) string {
	for _, r := range t.rules[q.Trunk] {
		if !r.matches(q) {
			continue
		}
		for i, target := range r.Targets {
			if t.kinds[target.Trunk] == Account && r.fixed[i].Kind == 0 {
				return r.Match.stripped(q.Dialled)
			}
		}
		return ""
	}
	return ""
}

func (r rule) matches(q Request) bool {
	return r.Match.takes(q.Dialled) && r.takesFacts(q) && r.takesCaller(q.Caller)
}

// takes reports whether the dialled text fits. Prefix and suffix stand beside each other, they do not share characters.
func (m Match) takes(dialled string) bool {
	return (m.Dialled == "" || m.Dialled == dialled) && len(dialled) >= len(m.Prefix)+len(m.Suffix) &&
		strings.HasPrefix(dialled, m.Prefix) && strings.HasSuffix(dialled, m.Suffix)
}

// stripped is what is left of a dialled text that fits.
func (m Match) stripped(dialled string) string {
	if m.Strip {
		return strings.TrimSuffix(strings.TrimPrefix(dialled, m.Prefix), m.Suffix)
	}
	return dialled
}

func (r rule) takesFacts(q Request) bool {
	for name, value := range r.Match.Variables {
		if q.Variables[name] != value {
			return false
		}
	}
	return true
}

func (r rule) takesCaller(p Party) bool {
	if r.Match.Caller == "" || r.Match.Caller == p.Number {
		return true
	}
	for _, n := range p.numbers() {
		if n.Key() == r.caller.Key() {
			return true
		}
	}
	reading, err := r.numbers.Read(p.Number)
	return err == nil && reading.Number.Key() == r.caller.Key()
}

func (t *Table) plan(r rule, q Request) (Plan, error) {
	dialled := r.Match.stripped(q.Dialled)
	plan := Plan{Rule: r.Name, Line: r.Line, Targets: make([]Target, 0, len(r.Targets))}
	for i, rt := range r.Targets {
		if why := t.denies(rt.Trunk, q); why != "" {
			plan.Denied = append(plan.Denied, Denied{rt.Trunk, why})
			continue
		}
		target := Target{
			Trunk: rt.Trunk, Timeout: rt.Timeout, ReachedIn: rt.ReachedIn, Pool: rt.Pool, Number: r.fixed[i], Offline: rt.Offline,
		}
		target.Caller, target.ShownBy = t.caller(r, q)
		if t.kinds[q.Trunk] == PBX {
			setSeconds(&target.Timeout, q, VarTimeout, maxTimeout)
			setSeconds(&target.ReachedIn, q, VarReachedIn, maxReachedIn)
		}
		switch {
		case t.kinds[rt.Trunk] == PBX:
			target.Context, target.Endpoint = rt.Context, rt.Endpoint
			target.Extension = extension(rt, dialled)
			target.Variables = t.variables(r, rt, q, target.Caller)
			if t.kinds[q.Trunk] == Account {
				target.Presented = r.numbers.presented(target.Caller)
			}
		case target.Number.Kind == 0:
			reading, err := r.read(dialled, q.Remembered)
			if err != nil {
				return Plan{}, err
			}
			target.Number, target.Others = reading.Number, reading.Others
			plan.Matched, plan.How = reading.Matched, reading.How
		}
		if target.Variables == nil {
			target.Variables = maps.Clone(rt.Variables)
		}
		plan.Targets = append(plan.Targets, target)
	}
	if len(plan.Targets) == 0 {
		return Plan{}, &DeniedError{Rule: r.Name, Line: r.Line, By: plan.Denied}
	}
	plan.Targets = t.first(q, plan.Targets)
	return plan, nil
}

// first puts the place that an account has asked for before the rule's own targets, on the first PBX of them. A rule
// that rings an endpoint has no context, so that the place must bring one.
func (t *Table) first(q Request, targets []Target) []Target {
	if q.Place.Extension == "" || t.kinds[q.Trunk] != Account {
		return targets
	}
	for _, target := range targets {
		dialplan := cmp.Or(q.Place.Context, target.Context)
		if t.kinds[target.Trunk] != PBX || dialplan == "" {
			continue
		}
		target.Context, target.Extension, target.Endpoint, target.Pool = dialplan, q.Place.Extension, "", 0
		return append([]Target{target}, targets...)
	}
	return targets
}

// read says what a dialled text means, by what the PBX was shown before where that says more.
func (r rule) read(dialled string, known []Presented) (Reading, error) {
	reading, err := r.numbers.Read(dialled)
	if p, ok := recall(dialled, reading, err != nil, known); ok {
		return p.reading(), nil
	}
	return reading, err
}

func extension(rt RuleTarget, dialled string) string {
	switch {
	case rt.Endpoint != "":
		return ""
	case rt.Extension != "":
		return rt.Extension
	case dialled != "":
		return dialled
	}
	return DefaultExtension
}

// caller returns the calling party as the called side should see it, and the caller-ID rule that wrote its number.
func (t *Table) caller(r rule, q Request) (Party, string) {
	p := q.Caller
	if t.kinds[q.Trunk] != Account {
		p.Name, p.Number = SanitizeName(p.Name), SanitizeName(p.Number)
		return p, ""
	}
	if p.Phone != "" {
		p.Phone = "+" + strings.TrimPrefix(p.Phone, "+") // Telegram leaves the plus out
	}
	p.Name = r.names.show(q.Caller).text
	shown := r.numbers.CallerID(p)
	p.Number = shown.Number
	return p, shown.Rule
}

// variables returns the facts for a PBX channel: those of the offering trunk, then the rule's, then the table's own,
// the later winning.
func (t *Table) variables(r rule, rt RuleTarget, q Request, caller Party) map[string]string {
	out := make(map[string]string, len(q.Variables)+len(rt.Variables)+8)
	for name, value := range q.Variables {
		if variableName(name) && name != VarTimeout && name != VarReachedIn {
			out[name] = SanitizeText(value, maxVariable)
		}
	}
	maps.Copy(out, rt.Variables)
	set := func(name, value string) {
		delete(out, name)
		if value = SanitizeText(value, maxVariable); value != "" {
			out[name] = value
		}
	}
	set(VarRule, r.Name)
	set(VarDialled, q.Dialled)
	set(VarName, caller.Name)
	set(VarNumber, caller.Number)
	set(VarUsername, caller.Username)
	set(VarPhone, caller.Phone)
	set(VarUserID, "")
	set(VarUserID2, "") // whatever the offering side says: both names say the same, or neither is set
	if caller.UserID > 0 {
		set(VarUserID, strconv.FormatInt(caller.UserID, 10))
		set(VarUserID2, out[VarUserID])
	}
	if t.kinds[q.Trunk] == Account {
		set(VarAccount, q.Trunk)
	}
	return out
}

// setSeconds takes a limit from a variable of the call; a value that is no whole number of seconds up to most is as good
// as none.
func setSeconds(limit *time.Duration, q Request, name string, most time.Duration) {
	s, err := strconv.Atoi(q.Variables[name])
	if err == nil && s > 0 && s <= int(most/time.Second) {
		*limit = time.Duration(s) * time.Second
	}
}
