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
	Accounts []Account `yaml:"accounts"`
	PBX      []PBX     `yaml:"pbx"`
	Routes   []Route   `yaml:"routes"`
	Limits   Limits    `yaml:"limits"`
	Records  Records   `yaml:"records"`
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
	Name         string        `yaml:"name"`
	APIID        int           `yaml:"api_id"`
	APIHash      Secret        `yaml:"api_hash"`
	Phone        string        `yaml:"phone"`
	Calls        string        `yaml:"calls"` // multi, single or auto, see docs/configuration.md
	P2P          string        `yaml:"p2p"`   // auto or never
	ReachedIn    time.Duration `yaml:"reached_in"`
	AnsweredIn   time.Duration `yaml:"answered_in"`
	AnswerWithin time.Duration `yaml:"answer_within"`
}

// PBX is one link to a PBX, a trunk.
type PBX struct {
	Name       string      `yaml:"name"`
	Asterisk   *Asterisk   `yaml:"asterisk"`
	FreeSWITCH *FreeSWITCH `yaml:"freeswitch"`
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

// FreeSWITCH is a link over the event socket.
type FreeSWITCH struct {
	Address  string        `yaml:"address"` // host:port of the event socket
	Password Secret        `yaml:"password"`
	App      string        `yaml:"app"` // what the dialplan sets tgtrunk_app to
	Verto    Verto         `yaml:"verto"`
	Socket   Socket        `yaml:"socket"`
	RTP      RTP           `yaml:"rtp"`
	Codec    string        `yaml:"codec"`   // auto, l16, pcmu, pcma or opus
	Unicast  *bool         `yaml:"unicast"` // whether audio may go without mod_verto
	Timeout  time.Duration `yaml:"timeout"`
}

// Verto is the user of mod_verto that carries the audio.
type Verto struct {
	URL      string `yaml:"url"`
	Login    string `yaml:"login"` // user@domain
	Password Secret `yaml:"password"`
}

// Socket is where the dialplan's socket application connects to.
type Socket struct {
	Listen   string   `yaml:"listen"` // TCP host:port; empty is off
	Allow    []string `yaml:"allow"`  // addresses and networks that may connect
	Password Secret   `yaml:"password"`
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
	To        string            `yaml:"to"`        // trunk to dial
	Number    string            `yaml:"number"`    // account: call this instead of what was dialled
	Context   string            `yaml:"context"`   // pbx: dialplan context and
	Extension string            `yaml:"extension"` // extension to enter, or
	Endpoint  string            `yaml:"endpoint"`  // an endpoint to ring
	Timeout   time.Duration     `yaml:"timeout"`   // how long it may ring
	Variables map[string]string `yaml:"variables"` // pbx: channel variables
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
		setDefault(&a.P2P, P2PAuto)
		setDefault(&a.AnswerWithin, 18*time.Second)
		setDefault(&a.ReachedIn, 15*time.Second)
		setDefault(&a.AnsweredIn, 90*time.Second)
	}
	for i := range c.PBX {
		if a := c.PBX[i].Asterisk; a != nil {
			setDefault(&a.App, "tgtrunk")
			setDefault(&a.RTP.Listen, "127.0.0.1:0")
			setDefault(&a.Timeout, 5*time.Second)
		}
		if f := c.PBX[i].FreeSWITCH; f != nil {
			setDefault(&f.App, "tgtrunk")
			setDefault(&f.RTP.Listen, "127.0.0.1:0")
			setDefault(&f.Codec, "auto")
			setDefault(&f.Timeout, 5*time.Second)
			if f.Unicast == nil {
				f.Unicast = new(true)
			}
		}
	}
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
