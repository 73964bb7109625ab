package config

import (
	"crypto/rsa"
	"time"

	"github.com/tgtrunk/tgtrunk/routing"
)

// Config is one tgtrunk.yaml, checked and with defaults filled in.
type Config struct {
	Path  string         `yaml:"-"` // the file it came from
	Table *routing.Table `yaml:"-"` // what Routes say

	Data     string    `yaml:"data"` // directory of the store: Telegram sessions, peers
	Log      Log       `yaml:"log"`
	Telegram Telegram  `yaml:"telegram"`
	Guard    Guard     `yaml:"guard"`
	Accounts []Account `yaml:"accounts"`
	PBX      []PBX     `yaml:"pbx"`
	Routes   []Route   `yaml:"routes"`
	Limits   Limits    `yaml:"limits"`
	Records  Records   `yaml:"records"`
	Metrics  Metrics   `yaml:"metrics"`
}

// Log says what is logged and how.
type Log struct {
	Level  string `yaml:"level"`  // debug, info, warn, error
	Format string `yaml:"format"` // text or json
}

// Telegram holds what all accounts share.
type Telegram struct {
	Listen string `yaml:"listen"` // UDP host:port for direct call media; port 0 picks one
	Server Server `yaml:"server"` // another server than Telegram's own, such as `tgtrunk cloud`
}

// Server names an MTProto server. The zero value is Telegram itself.
type Server struct {
	Address   string         `yaml:"address"`    // host:port
	DC        int            `yaml:"dc"`         // datacentre number it answers as
	PublicKey string         `yaml:"public_key"` // PEM file with the server's RSA key
	Key       *rsa.PublicKey `yaml:"-"`          // read from PublicKey
}

// Account is one Telegram account, a trunk.
type Account struct {
	Name       string        `yaml:"name"`
	APIID      int           `yaml:"api_id"`
	APIHash    Secret        `yaml:"api_hash"`
	Phone      string        `yaml:"phone"`
	Calls      string        `yaml:"calls"` // multi or single, see docs/configuration.md
	ReachedIn  time.Duration `yaml:"reached_in"`
	AnsweredIn time.Duration `yaml:"answered_in"`
}

// PBX is one link to a PBX, a trunk.
type PBX struct {
	Name     string    `yaml:"name"`
	Asterisk *Asterisk `yaml:"asterisk"`
}

// Asterisk is a link over ARI.
type Asterisk struct {
	URL      string        `yaml:"url"`
	Username string        `yaml:"username"`
	Password Secret        `yaml:"password"`
	App      string        `yaml:"app"`
	RTP      RTP           `yaml:"rtp"`
	Timeout  time.Duration `yaml:"timeout"`
}

// RTP says where the PBX's audio arrives.
type RTP struct {
	Listen    string `yaml:"listen"`    // UDP host:port; port 0 picks one
	Advertise string `yaml:"advertise"` // host the PBX sends to, where it is not the listen host
}

// Route says which calls go where.
type Route struct {
	Name      string  `yaml:"name"`
	From      string  `yaml:"from"`    // trunk the call comes from
	Dialled   string  `yaml:"dialled"` // takes only calls to exactly this,
	Prefix    string  `yaml:"prefix"`  // or only those that begin so
	Strip     bool    `yaml:"strip"`   // take the prefix off
	Caller    string  `yaml:"caller"`  // takes only calls from this caller
	Numbers   Numbers `yaml:"numbers"`
	Target    `yaml:",inline"`
	Otherwise []Target `yaml:"otherwise"` // tried in order when the target before fails
}

// Target is where a route leads.
type Target struct {
	To        Names             `yaml:"to"`         // trunk to dial, or several that are equals
	Number    string            `yaml:"number"`     // account: call this instead of what was dialled
	Context   string            `yaml:"context"`    // pbx: dialplan context and
	Extension string            `yaml:"extension"`  // extension to enter, or
	Endpoint  string            `yaml:"endpoint"`   // an endpoint to ring
	Timeout   time.Duration     `yaml:"timeout"`    // how long it may ring
	ReachedIn time.Duration     `yaml:"reached_in"` // account: until a device has the call, instead of the account's
	Variables map[string]string `yaml:"variables"`  // pbx: channel variables
}

// Numbers says how dialled text is read and callers are shown; see routing.NumberRules.
type Numbers struct {
	UserIDPrefix        string `yaml:"user_id_prefix"`
	InternationalPrefix string `yaml:"international_prefix"`
	Country             string `yaml:"country"`
	NationalPrefix      string `yaml:"national_prefix"`
	NationalDigits      int    `yaml:"national_digits"`
}

// Limits protects the machine and the account.
type Limits struct {
	Calls int `yaml:"calls"` // calls at once; further ones are refused with Q.850 34
}

// Records says where the line that remains of each call goes.
type Records struct {
	File string `yaml:"file"` // one JSON line a call is appended; empty: none
}

// Metrics says where figures for Prometheus are served.
type Metrics struct {
	Listen string `yaml:"listen"` // TCP host:port; empty: nowhere
}

func (c *Config) fillDefaults() {
	setDefault(&c.Data, "/var/lib/tgtrunk")
	setDefault(&c.Log.Level, "info")
	setDefault(&c.Log.Format, "text")
	setDefault(&c.Telegram.Listen, ":0")
	setDefault(&c.Telegram.Server.DC, 1)
	setDefault(&c.Limits.Calls, 200)
	for i := range c.Accounts {
		a := &c.Accounts[i]
		setDefault(&a.Calls, CallsMulti)
		setDefault(&a.ReachedIn, 15*time.Second)
		setDefault(&a.AnsweredIn, 90*time.Second)
	}
	for i := range c.PBX {
		if a := c.PBX[i].Asterisk; a != nil {
			setDefault(&a.App, "tgtrunk")
			setDefault(&a.RTP.Listen, "127.0.0.1:0")
			setDefault(&a.Timeout, 5*time.Second)
		}
	}
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
