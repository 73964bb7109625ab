package config

import "time"

// Lookups says how long it is remembered what Telegram has answered about whom a number means.
type Lookups struct {
	FoundFor    time.Duration `yaml:"found_for"`     // whose a username or a phone number is
	MissingFor  time.Duration `yaml:"missing_for"`   // that nobody has it
	NoDialogFor time.Duration `yaml:"no_dialog_for"` // that an account has no way to a user-id
}

func (l *Lookups) fillDefaults() {
	setDefault(&l.FoundFor, 24*time.Hour)
	setDefault(&l.MissingFor, 24*time.Hour)
	setDefault(&l.NoDialogFor, time.Hour)
}

func (c *checker) lookups() {
	l := c.config.Lookups
	c.duration(at("lookups", "found_for"), l.FoundFor, time.Second, maxPause)
	c.duration(at("lookups", "missing_for"), l.MissingFor, time.Second, maxPause)
	c.duration(at("lookups", "no_dialog_for"), l.NoDialogFor, time.Second, maxPause)
}
