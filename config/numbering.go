package config

import (
	"cmp"
	"errors"
	"maps"

	"github.com/tgtrunk/tgtrunk/routing"
)

// numbering checks what the whole file says of numbers and names. What is wrong with it is said once and not again for
// every route, so it is taken out.
func (c *checker) numbering() {
	n := &c.config.Numbering
	c.oldPrefix(n.Numbers)
	before := len(c.problems)
	_, err := routing.NewNumbers(n.rules(c.lines()))
	for _, err := range unjoin(err) {
		c.numberProblem(err)
	}
	if len(c.problems) > before {
		n.CallerID, n.Numbers, n.Aliases = nil, nil, nil
	}
	for _, err := range unjoin(n.names().Check()) {
		c.problem(at("caller_name"), "%v", err)
		n.CallerName = nil
	}
}

func (c *checker) numberProblem(err error) {
	p := Problem{Path: c.config.Path, Line: lineOf(c.root, "numbers"), Text: err.Error()}
	var rule *routing.CallerRuleError
	var alias *routing.AliasError
	switch {
	case errors.As(err, &rule):
		p.Line = rule.Line
		if p.Line == 0 {
			p.Line = lineOf(c.root, "caller_id")
		}
	case errors.As(err, &alias):
		p.Line = lineOf(c.root, "aliases", alias.Dialled)
	}
	c.problems = append(c.problems, p)
}

// lines returns where the rules of caller_id stand, at the root or below a way.
func (c *checker) lines(way ...any) func(i int) int {
	return func(i int) int { return lineOf(c.root, append(way[:len(way):len(way)], "caller_id", i)...) }
}

// oldPrefix refuses a key that has been replaced.
func (c *checker) oldPrefix(n *Numbers, way ...any) {
	if n == nil || n.UserIDPrefix == nil {
		return
	}
	prefix := *n.UserIDPrefix
	n.UserIDPrefix = nil
	c.problem(append(way, "numbers", "user_id_prefix"),
		`user_id_prefix has become a rule: write caller_id: ["+{phone}", "%s{userid}", "{username}"] beside numbers`, prefix)
}

// over fills what a route does not say itself from what the whole file says.
func (n Numbering) over(whole Numbering) Numbering {
	if n.CallerID == nil {
		n.CallerID = whole.CallerID
	}
	n.CallerName, n.Numbers = cmp.Or(n.CallerName, whole.CallerName), cmp.Or(n.Numbers, whole.Numbers)
	aliases := maps.Clone(whole.Aliases)
	if aliases == nil {
		aliases = map[string]string{}
	}
	maps.Copy(aliases, n.Aliases)
	n.Aliases = aliases
	return n
}

// rules are the number rules; line says where a rule of caller_id stands.
func (n Numbering) rules(line func(int) int) routing.NumberRules {
	out := routing.NumberRules{Aliases: n.Aliases}
	if p := n.Numbers; p != nil {
		out.InternationalPrefix, out.CountryCode = p.InternationalPrefix, p.Country
		out.NationalPrefix, out.NationalDigits = p.NationalPrefix, p.NationalDigits
	}
	if n.CallerID != nil {
		out.CallerID = make([]routing.CallerRule, len(n.CallerID))
	}
	for i, text := range n.CallerID {
		out.CallerID[i] = routing.CallerRule{Text: text, Line: line(i)}
	}
	return out
}

func (n Numbering) names() routing.NameRules {
	if n.CallerName == nil {
		return routing.NameRules{}
	}
	return routing.NameRules{
		Templates: n.CallerName.Show, Charset: n.CallerName.Charset, Emoji: n.CallerName.Emoji, Length: n.CallerName.Length,
	}
}
