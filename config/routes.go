package config

import (
	"cmp"
	"errors"
	"strconv"

	"github.com/tgtrunk/tgtrunk/routing"
)

// routes builds the routing table; package routing judges the routes, and each problem gets its line.
func (c *checker) routes() {
	if len(c.config.Routes) == 0 {
		c.problem(at("routes"), "no route: no call could go anywhere; list at least one under routes")
		return
	}
	rules := make([]routing.Rule, len(c.config.Routes))
	for i, r := range c.config.Routes {
		c.oldPrefix(r.Numbers, "routes", i)
		lines := c.lines("routes", i)
		if r.CallerID == nil {
			lines = c.lines()
		}
		numbering := r.over(c.config.Numbering)
		rules[i] = r.rule(i, lineOf(c.root, "routes", i))
		rules[i].Numbers, rules[i].Names = numbering.rules(lines), numbering.names()
		rules[i].Callers = c.callers(r.Callers, "routes", i)
		c.offline(i)
	}
	functions := map[string]bool{}
	for _, p := range c.config.PBX {
		functions[p.Name] = p.Asterisk != nil
	}
	callers := map[string]routing.Callers{}
	for i, a := range c.config.Accounts {
		callers[a.Name] = c.callers(a.Callers, "accounts", i)
	}
	table, err := routing.NewTable(routing.Config{Trunks: c.trunks, Lines: c.trunkLines(), Rules: rules, Functions: functions, Callers: callers})
	for _, err := range unjoin(err) {
		problem := Problem{Path: c.config.Path, Text: err.Error()}
		var rule *routing.RuleError
		if errors.As(err, &rule) {
			problem.Line, problem.Text = rule.Line, "route "+rule.Rule+": "+rule.Problem
		}
		c.problems = append(c.problems, problem)
	}
	c.config.Table = table
}

// ruleName is the name of the route that stands in place i.
func ruleName(r Route, i int) string { return cmp.Or(r.Name, "route-"+strconv.Itoa(i+1)) }

func (r Route) rule(i, line int) routing.Rule {
	rule := routing.Rule{
		Name: ruleName(r, i), Line: line, From: r.From,
		Match: routing.Match{
			Dialled: r.Dialled, Prefix: r.Prefix, Suffix: r.Suffix, Strip: r.Strip, Caller: r.Caller, Variables: r.Variable,
		},
	}
	for n, t := range append([]Target{r.Target}, r.Otherwise...) {
		pool := n + 1
		if len(t.To) < 2 {
			pool = 0
		}
		for _, to := range t.To.orNone() {
			rule.Targets = append(rule.Targets, routing.RuleTarget{
				Trunk: to, Number: t.Number, Context: t.Context, Extension: t.Extension, Endpoint: t.Endpoint,
				Timeout: t.Timeout, ReachedIn: t.ReachedIn, Variables: t.Variables, Pool: pool, Offline: routing.Offline(t.Offline),
			})
		}
	}
	return rule
}

// trunkLines says where the accounts stand in the file.
func (c *checker) trunkLines() map[string]int {
	lines := map[string]int{}
	for i, a := range c.config.Accounts {
		lines[a.Name] = lineOf(c.root, "accounts", i, "name")
	}
	return lines
}

// unjoin returns the errors that errors.Join has put together, however deep.
func unjoin(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error }) //nolint:errorlint // what a join wraps is looked at by itself
	if !ok {
		if err == nil {
			return nil
		}
		return []error{err}
	}
	var out []error
	for _, err := range joined.Unwrap() {
		out = append(out, unjoin(err)...)
	}
	return out
}
