package ari

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge/pbx"
	"github.com/tgtrunk/tgtrunk/media"
)

// Options says how to reach one Asterisk and how to behave towards it.
type Options struct {
	Name     string       // the trunk's name in the configuration; required
	URL      string       // base of the REST interface, "http://127.0.0.1:8088/ari"; required, http or https, no user info
	Username string       // section name of the user in ari.conf; required
	Password string       // its password; never logged, never part of an error
	App      string       // Stasis application this process serves alone; default "tgtrunk"
	Media    MediaOptions // how audio travels

	// Variables are those of a caller's channel that routes ask for (routing.Table.Variables): each is a request a call.
	Variables []string

	Ringback pbx.Ringback // what callers at the PBX hear until they are answered; default pbx.Signal

	Context        string        // dialplan context for targets that name only an extension; default "from-telegram"
	DialTimeout    time.Duration // how long a dialled target may ring if it says nothing itself; default 60 s
	RequestTimeout time.Duration // deadline of every request to Asterisk; default 5 s
	Log            *slog.Logger  // nil discards
}

// MediaOptions says how the audio of the calls travels between this process and Asterisk.
type MediaOptions struct {
	// Listen is ip:port of our one RTP socket; port 0 takes any, and no ip means 0.0.0.0. The default is 127.0.0.1:0
	// where Asterisk itself is addressed as loopback, and 0.0.0.0:0 otherwise.
	Listen string
	// Advertise is the host Asterisk sends RTP to. The default is the host of Listen or, where that names no address,
	// our address on the way to Asterisk.
	Advertise string
	// Law is the G.711 law of Local channels we create and of channels that have neither law: media.PCMU (default) or
	// media.PCMA.
	Law media.Codec
}

const (
	defaultApp            = "tgtrunk"
	defaultContext        = "from-telegram"
	defaultDialTimeout    = 60 * time.Second
	defaultRequestTimeout = 5 * time.Second
)

// withDefaults returns the options with every default filled in, or an error that names each wrong field.
func (o Options) withDefaults() (Options, error) {
	if o.App == "" {
		o.App = defaultApp
	}
	if o.Context == "" {
		o.Context = defaultContext
	}
	if o.Ringback == "" {
		o.Ringback = pbx.Signal
	}
	if o.DialTimeout == 0 {
		o.DialTimeout = defaultDialTimeout
	}
	if o.RequestTimeout == 0 {
		o.RequestTimeout = defaultRequestTimeout
	}
	if o.Media.Law == 0 {
		o.Media.Law = media.PCMU
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	host, err := checkURL(o.URL)
	switch {
	case o.Media.Listen == "" && isLoopback(host):
		o.Media.Listen = "127.0.0.1:0"
	case o.Media.Listen == "":
		o.Media.Listen = "0.0.0.0:0"
	case strings.HasPrefix(o.Media.Listen, ":"):
		o.Media.Listen = "0.0.0.0" + o.Media.Listen
	}
	return o, errors.Join(err, o.check())
}

func (o Options) check() error {
	var wrong []error
	report := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	if o.Name == "" {
		report("name is empty")
	}
	if o.Username == "" || strings.Contains(o.Username, ":") {
		report("username %q: want the name of a user in ari.conf, without ':'", o.Username)
	}
	if o.Password == "" {
		report("password is empty")
	}
	if strings.ContainsAny(o.App, ",: \t\r\n") || !printable(o.App) {
		report("app %q: want a name without comma, colon and spaces", o.App)
	}
	if !validContext(o.Context) {
		report("context %q: want letters, digits, '-', '_' and '.'", o.Context)
	}
	if !o.Ringback.Valid() {
		report("ringback %q: want %s or %s", o.Ringback, pbx.Signal, pbx.Media)
	}
	if o.DialTimeout < time.Second {
		report("dial timeout %v: want at least 1s", o.DialTimeout)
	}
	if o.RequestTimeout < 0 {
		report("request timeout %v is negative", o.RequestTimeout)
	}
	if o.Media.Law != media.PCMU && o.Media.Law != media.PCMA {
		report("media law %v: want PCMU or PCMA", o.Media.Law)
	}
	for _, name := range o.Variables {
		if !validVariable(name) {
			report("variable %q: want the name of a channel variable", name)
		}
	}
	if _, err := netip.ParseAddrPort(o.Media.Listen); err != nil {
		report("media listen address %q: want ip:port", o.Media.Listen)
	}
	if strings.ContainsAny(o.Media.Advertise, " /,@") {
		report("media advertise %q: want a host name or an address without port", o.Media.Advertise)
	}
	return errors.Join(wrong...)
}

// checkURL returns the host of a usable base URL.
func checkURL(raw string) (string, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		// The text of url's error holds the URL, which may hold a password by mistake.
		return "", errors.New("url does not parse: want http://host:8088/ari")
	case u.User != nil:
		return "", errors.New("url contains user info: give username and password as their own options")
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return "", fmt.Errorf("url %q: want http://host:8088/ari", raw)
	case u.RawQuery != "" || u.Fragment != "":
		return "", errors.New("url contains a query or a fragment: want http://host:8088/ari")
	}
	return u.Hostname(), nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
