package config

import (
	"slices"
	"time"
)

// Guard protects the accounts, each counted for itself, from Telegram's limits and from complaints. In it 0 turns a
// limit off; only strangers.per_day says none with 0, and any number with -1.
type Guard struct {
	Retry          time.Duration `yaml:"retry"`           // sit through flood waits up to this long, once a request
	PrivateFor     time.Duration `yaml:"private_for"`     // remember so long who takes no calls
	ImportContacts bool          `yaml:"import_contacts"` // as a last resort, find phone numbers by importing them
	Pace           Pace          `yaml:"pace"`
	Strangers      Strangers     `yaml:"strangers"`
}

// Pace is how fast an account may call, whomever.
type Pace struct {
	Calls int           `yaml:"calls"` // at once, and afterwards
	Per   time.Duration `yaml:"per"`   // as many in so long
}

// Strangers limits the calls to people who are no contacts of the account, have no dialogue with it and never called it.
type Strangers struct {
	PerDay       int           `yaml:"per_day"`       // in any 24 hours
	PerExtension int           `yaml:"per_extension"` // of those, as many for one extension at the most
	WarmUp       int           `yaml:"warm_up"`       // days in which a new account's budget grows to per_day
	Gap          time.Duration `yaml:"gap"`           // between two of them
	PeerFlood    time.Duration `yaml:"peer_flood"`    // none for so long after PEER_FLOOD
	Declines     Declines      `yaml:"declines"`
}

// Declines stops calls to strangers for a while when so many have declined at once.
type Declines struct {
	Count  int           `yaml:"count"`
	Within time.Duration `yaml:"within"`
	Pause  time.Duration `yaml:"pause"`
}

// defaultGuard is filled in before the file is read, so that a 0 in it is kept.
func defaultGuard() Guard {
	return Guard{
		Retry: 5 * time.Second, PrivateFor: time.Hour, ImportContacts: true, Pace: Pace{Calls: 10, Per: 30 * time.Second},
		Strangers: Strangers{
			PerDay: 30, WarmUp: 14, Gap: 10 * time.Second, PeerFlood: 24 * time.Hour,
			Declines: Declines{Count: 5, Within: time.Hour, Pause: 6 * time.Hour},
		},
	}
}

const (
	maxRetry = 10 * time.Second // a caller hears nothing meanwhile
	maxPause = 30 * 24 * time.Hour
)

// AccountGuard is the guard of one account: what it does not mention is as in the file's own.
type AccountGuard struct {
	Guard    `yaml:"-"`
	override func(any) error // decodes what is mentioned over something else; nil: nothing is
}

// UnmarshalYAML keeps what is mentioned until the file's own guard is known.
func (g *AccountGuard) UnmarshalYAML(decode func(any) error) error {
	g.override = decode
	return decode(new(Guard)) // so that mistakes are found with their lines
}

func (g *AccountGuard) fillDefaults(common Guard) {
	g.Guard = common
	if g.override != nil {
		_ = g.override(&g.Guard) // it has been decoded before
	}
}

// guard checks a guard that stands at some place of the file.
func (c *checker) guard(g Guard, way ...any) {
	below := func(rest ...any) []any { return append(slices.Clone(way), rest...) }
	c.duration(below("retry"), g.Retry, 0, maxRetry)
	c.duration(below("private_for"), g.PrivateFor, 0, maxPause)
	c.count(below("pace", "calls"), g.Pace.Calls, 0, 1000)
	c.duration(below("pace", "per"), g.Pace.Per, 0, time.Hour)
	s := g.Strangers
	strangers := func(rest ...any) []any { return append(below("strangers"), rest...) }
	c.count(strangers("per_extension"), s.PerExtension, 0, 1000)
	c.count(strangers("per_day"), s.PerDay, -1, 1000)
	c.count(strangers("warm_up"), s.WarmUp, 0, 365)
	c.duration(strangers("gap"), s.Gap, 0, time.Hour)
	c.duration(strangers("peer_flood"), s.PeerFlood, 0, maxPause)
	c.count(strangers("declines", "count"), s.Declines.Count, 0, 100)
	c.duration(strangers("declines", "within"), s.Declines.Within, 0, maxPause)
	c.duration(strangers("declines", "pause"), s.Declines.Pause, 0, maxPause)
}

func (c *checker) count(way []any, n, least, most int) {
	if least > 0 && writtenZero(c.root, way) {
		n = 0 // and not the default, as where it is left out
	}
	if n < least || n > most {
		c.problem(way, "%d is out of range: use %d to %d for %s", n, least, most, named(way))
	}
}
