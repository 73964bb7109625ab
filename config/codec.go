package config

import "slices"

// SpeaksG711 reports whether every PBX that has calls in common with an account takes and gives G.711. Where one does not,
// Telegram's side of the account's calls must not be G.711 either: nothing converts the rate, but Opus comes at any.
func (c *Config) SpeaksG711(account string) bool {
	return !slices.ContainsFunc(c.PBX, func(p PBX) bool { return !p.speaksG711() && c.meet(account, p.Name) })
}

// speaksG711 reports whether the link's legs are G.711, as Asterisk's always are.
func (p PBX) speaksG711() bool {
	return p.FreeSWITCH == nil || p.FreeSWITCH.Codec == codecPCMU || p.FreeSWITCH.Codec == codecPCMA
}

// mayBeL16 reports whether the link's legs may be L16 at 16 kHz.
func (p PBX) mayBeL16() bool {
	return p.FreeSWITCH != nil && (p.FreeSWITCH.Codec == codecL16 || p.FreeSWITCH.Codec == "auto")
}

// meet reports whether a route lets calls pass between two trunks.
func (c *Config) meet(a, b string) bool {
	return slices.ContainsFunc(c.Routes, func(r Route) bool { return r.From == a && r.leads(b) || r.From == b && r.leads(a) })
}

func (r Route) leads(trunk string) bool {
	return slices.ContainsFunc(append([]Target{r.Target}, r.Otherwise...), func(t Target) bool { return slices.Contains(t.To, trunk) })
}

// codec refuses a preference that calls would fail by.
func (c *checker) codec(i int) {
	a := &c.config.Accounts[i]
	if a.Prefer != PreferG711 {
		return
	}
	for _, p := range c.config.PBX {
		if p.mayBeL16() && c.config.meet(a.Name, p.Name) {
			c.problem(at("accounts", i, "prefer"),
				"account %s: prefer is %s, but calls of pbx %s may be L16 at 16 kHz, which is not converted to it: use prefer: %s, or codec: %s or %s there",
				a.Name, PreferG711, p.Name, PreferAuto, codecPCMU, codecPCMA)
		}
	}
}
