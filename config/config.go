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

	Data     string    `yaml:"data"` // short for store.path
	Store    Store     `yaml:"store"`
	Log      Log       `yaml:"log"`
	Telegram Telegram  `yaml:"telegram"`
	Guard    Guard     `yaml:"guard"`
	Lookups  Lookups   `yaml:"lookups"`
	Accounts []Account `yaml:"accounts"`
	PBX      []PBX     `yaml:"pbx"`
	Routes   []Route   `yaml:"routes"`
	Limits   Limits    `yaml:"limits"`
	Records  Records   `yaml:"records"`
	Webhook  *Webhook  `yaml:"webhook"`
	Metrics  Metrics   `yaml:"metrics"`

	Numbering `yaml:",inline"` // of every route that has none of its own
}

// Store says where Telegram sessions and what is known of peers are kept: in a directory or on a Redis server.
type Store struct {
	Path    string        `yaml:"path"`     // directory of a file for one process
	Redis   *Redis        `yaml:"redis"`    // or a server for several
	Key     Secret        `yaml:"key"`      // seals what is kept; empty: a file in the directory, made when first needed
	OldKeys []Secret      `yaml:"old_keys"` // open what was sealed before Key
	Lease   time.Duration `yaml:"lease"`    // how long an account stays with a process that is not heard of
}

// Redis names a server.
type Redis struct {
	URL      string        `yaml:"url"` // redis://HOST:PORT/DB, rediss:// with TLS, unix:///PATH
	Username string        `yaml:"username"`
	Password Secret        `yaml:"password"`
	Prefix   string        `yaml:"prefix"`  // of every key: one for each installation
	CA       string        `yaml:"ca"`      // PEM file with the authorities of the server's certificate
	Timeout  time.Duration `yaml:"timeout"` // deadline of every request
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
	DC        int            `yaml:"dc"`         // datacentre number it answers as; 0 for the default of package telegram
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
	MaxCalls     int           `yaml:"max_calls"`
	P2P          string        `yaml:"p2p"` // auto or never
	ReachedIn    time.Duration `yaml:"reached_in"`
	AnsweredIn   time.Duration `yaml:"answered_in"`
	AnswerWithin time.Duration `yaml:"answer_within"`
	Reference    bool          `yaml:"reference_engines"` // library versions 10.0.0 and 11.0.0, too
	Privacy      string        `yaml:"privacy"`           // keep or gateway
	Prefer       string        `yaml:"prefer"`            // codec: auto, opus or g711, see docs/configuration.md
	Guard        AccountGuard  `yaml:"guard"`             // where it differs from the file's own
	Chat         *Chat         `yaml:"chat"`              // nil: nobody is answered or written to
	Callers      Callers       `yaml:"callers"`           // extensions that may call by the account
}

// PBX is one link to a PBX, a trunk.
type PBX struct {
	Name       string      `yaml:"name"`
	Asterisk   *Asterisk   `yaml:"asterisk"`
	FreeSWITCH *FreeSWITCH `yaml:"freeswitch"`
}

// The values of a PBX's ringback.
const (
	RingbackSignal = "signal" // callers hear their own switch's tone
	RingbackMedia  = "media"  // callers hear tones of ours as early media
)

// Asterisk is a link over ARI.
type Asterisk struct {
	URL      string        `yaml:"url"`
	Username string        `yaml:"username"`
	Password Secret        `yaml:"password"`
	App      string        `yaml:"app"`
	RTP      RTP           `yaml:"rtp"`
	Ringback string        `yaml:"ringback"` // signal or media, see docs/configuration.md
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
	Codec    string        `yaml:"codec"`    // auto, l16, pcmu, pcma or opus
	Unicast  *bool         `yaml:"unicast"`  // whether audio may go without mod_verto
	Ringback string        `yaml:"ringback"` // signal or media
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
	Name      string            `yaml:"name"`
	From      string            `yaml:"from"`     // trunk the call comes from
	Dialled   string            `yaml:"dialled"`  // takes only calls to exactly this,
	Prefix    string            `yaml:"prefix"`   // or only those that begin so
	Suffix    string            `yaml:"suffix"`   // and end so
	Strip     bool              `yaml:"strip"`    // take prefix and suffix off
	Caller    string            `yaml:"caller"`   // takes only calls from this caller
	Variable  map[string]string `yaml:"variable"` // takes only calls that have these values
	Callers   Callers           `yaml:"callers"`  // refuses calls from other extensions
	Numbering `yaml:",inline"`
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
	Offline   string            `yaml:"offline"`    // account: call or message, instead of the account's chat.offline
	Variables map[string]string `yaml:"variables"`  // pbx: channel variables
}

// Numbering says how people are written between a PBX and Telegram. A key that a route has replaces that of the whole
// file, but for aliases, which are added to it.
type Numbering struct {
	CallerID   []string          `yaml:"caller_id"`   // see routing.CallerRule
	CallerName *CallerName       `yaml:"caller_name"` // see routing.NameRules
	Numbers    *Numbers          `yaml:"numbers"`     // how phone numbers are dialled; see routing.NumberRules
	Aliases    map[string]string `yaml:"aliases"`     // what is dialled, to a number in any form
}

// CallerName says how callers' names are shown.
type CallerName struct {
	Show    []string `yaml:"show"`    // templates, the first that can be filled in
	Charset string   `yaml:"charset"` // utf8 or ascii
	Emoji   string   `yaml:"emoji"`   // keep or strip
	Length  int      `yaml:"length"`  // characters at most
}

// Numbers says how phone numbers are dialled without "+".
type Numbers struct {
	InternationalPrefix string `yaml:"international_prefix"`
	Country             string `yaml:"country"`
	NationalPrefix      string `yaml:"national_prefix"`
	NationalDigits      int    `yaml:"national_digits"`

	UserIDPrefix *string `yaml:"user_id_prefix"` // refused: it has become a rule of caller_id
}

// Limits protects the machine and the account.
type Limits struct {
	Calls int `yaml:"calls"` // calls at once; further ones are refused with Q.850 34
}

// Metrics says where figures for Prometheus are served.
type Metrics struct {
	Listen string `yaml:"listen"` // TCP host:port; empty: nowhere
}

func (c *Config) fillDefaults() {
	c.Store.fillDefaults(c.Data)
	setDefault(&c.Log.Level, "info")
	setDefault(&c.Log.Format, "text")
	setDefault(&c.Telegram.Listen, ":0")
	setDefault(&c.Limits.Calls, 200)
	c.Lookups.fillDefaults()
	c.Records.fillDefaults()
	c.Webhook.fillDefaults()
	for i := range c.Accounts {
		a := &c.Accounts[i]
		setDefault(&a.Calls, CallsMulti)
		setDefault(&a.MaxCalls, 10)
		setDefault(&a.P2P, P2PAuto)
		setDefault(&a.AnswerWithin, 18*time.Second)
		setDefault(&a.Prefer, PreferAuto)
		setDefault(&a.Privacy, PrivacyKeep)
		setDefault(&a.ReachedIn, 15*time.Second)
		setDefault(&a.AnsweredIn, 90*time.Second)
		a.Guard.fillDefaults(c.Guard)
	}
	for i := range c.PBX {
		if a := c.PBX[i].Asterisk; a != nil {
			setDefault(&a.App, "tgtrunk")
			setDefault(&a.Ringback, RingbackSignal)
			setDefault(&a.RTP.Listen, "127.0.0.1:0")
			setDefault(&a.Timeout, 5*time.Second)
		}
		if f := c.PBX[i].FreeSWITCH; f != nil {
			setDefault(&f.App, "tgtrunk")
			setDefault(&f.Ringback, RingbackSignal)
			setDefault(&f.RTP.Listen, "127.0.0.1:0")
			setDefault(&f.Codec, "auto")
			setDefault(&f.Timeout, 5*time.Second)
			if f.Unicast == nil {
				f.Unicast = new(true)
			}
		}
	}
}

func (s *Store) fillDefaults(data string) {
	setDefault(&s.Lease, 30*time.Second)
	if r := s.Redis; r != nil {
		setDefault(&r.Prefix, "tgtrunk")
		setDefault(&r.Timeout, 5*time.Second)
		return
	}
	setDefault(&s.Path, data)
	setDefault(&s.Path, "/var/lib/tgtrunk")
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
