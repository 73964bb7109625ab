package config

import (
	"slices"

	"github.com/tgtrunk/tgtrunk/routing"
)

// Callers says which extensions of a PBX may call by an account, or by a route.
type Callers struct {
	Allow []string `yaml:"allow"` // 201, or 200-299; empty: all
	Deny  []string `yaml:"deny"`  // the same, and before allow
}

// callers reads who may call.
func (c *checker) callers(from Callers, way ...any) (out routing.Callers) {
	read := func(key string, texts []string) (ranges []routing.Range) {
		for i, text := range texts {
			r, err := routing.ParseRange(text)
			if err != nil {
				c.problem(append(slices.Clone(way), "callers", key, i), "callers.%s: %v", key, err)
			}
			ranges = append(ranges, r)
		}
		return ranges
	}
	if from.Allow != nil && len(from.Allow) == 0 {
		c.problem(append(slices.Clone(way), "callers", "allow"), "callers.allow is empty: list who may call, or leave it out")
	}
	return routing.Callers{Allow: read("allow", from.Allow), Deny: read("deny", from.Deny)}
}

// offline sees to it that an account which is to write to people who could not be reached can.
func (c *checker) offline(i int) {
	r := c.config.Routes[i]
	check := func(t Target, way ...any) {
		if t.Offline != string(routing.OfflineMessage) {
			return
		}
		for _, a := range c.config.Accounts {
			if slices.Contains(t.To, a.Name) && a.Chat == nil {
				c.problem(append(way, "offline"), "route %s: offline is %s, and account %s writes to nobody: give it a section chat",
					ruleName(r, i), t.Offline, a.Name)
			}
		}
	}
	check(r.Target, "routes", i)
	for n, t := range r.Otherwise {
		check(t, "routes", i, "otherwise", n)
	}
}
