package config

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/goccy/go-yaml/ast"

	"github.com/tgtrunk/tgtrunk/routing"
)

// The values of an account's `calls`.
const (
	CallsMulti  = "multi"  // several incoming calls at once; callers see "contacting" until the answer, within 20 s
	CallsSingle = "single" // real ringing up to 90 s; one incoming call at a time, others get busy
	CallsAuto   = "auto"   // multi for calls that are answered soon, ringing for others
)

// The values of an account's `p2p`.
const (
	P2PAuto  = "auto"  // direct audio where Telegram allows it
	P2PNever = "never" // audio through relays only: nobody learns the server's address
)

// The values of an account's `privacy`.
const (
	PrivacyKeep    = "keep"    // as the account's owner has set it
	PrivacyGateway = "gateway" // calls from everybody, direct calls as p2p says, invitations to groups from nobody
)

// patienceOfCallers is how long a Telegram user's app waits for a call that does not ring.
const patienceOfCallers = 20 * time.Second

// The values of an account's `prefer`.
const (
	PreferAuto = "auto" // G.711 with web clients, Opus with all others
	PreferOpus = "opus"
	PreferG711 = "g711" // with everybody who takes it
)

var (
	namePattern    = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)
	apiHashPattern = regexp.MustCompile(`^[0-9a-f]{32}$`)
	phonePattern   = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)
)

// checker collects everything that is wrong with a decoded configuration.
type checker struct {
	config   *Config
	root     ast.Node
	trunks   map[string]routing.TrunkKind
	problems Problems
}

func (c *checker) problem(way []any, format string, args ...any) {
	c.problems = append(c.problems, Problem{
		Path: c.config.Path, Line: lineOf(c.root, way...), Text: fmt.Sprintf(format, args...),
	})
}

func at(way ...any) []any { return way }

// named is the name of a field as it stands in the file, without the lists it is in: guard.strangers.gap.
func named(way []any) string {
	var keys []string
	for _, step := range way {
		if key, ok := step.(string); ok {
			keys = append(keys, key)
		} else {
			keys = nil
		}
	}
	return strings.Join(keys, ".")
}

func (c *checker) all() {
	c.trunks = map[string]routing.TrunkKind{}
	c.general()
	c.store()
	for i := range c.config.Accounts {
		c.account(i)
	}
	for i := range c.config.PBX {
		c.pbx(i)
	}
	for i := range c.config.Accounts {
		c.codec(i)
	}
	if len(c.config.Accounts) == 0 {
		c.problem(at("accounts"), "no account: list at least one Telegram account under accounts")
	}
	if len(c.config.PBX) == 0 {
		c.problem(at("pbx"), "no PBX: list at least one link under pbx")
	}
	c.numbering()
	c.routes()
}

func (c *checker) general() {
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.config.Log.Level) {
		c.problem(at("log", "level"), "log level %q: use debug, info, warn or error", c.config.Log.Level)
	}
	if !slices.Contains([]string{"text", "json"}, c.config.Log.Format) {
		c.problem(at("log", "format"), "log format %q: use text or json", c.config.Log.Format)
	}
	if writtenZero(c.root, at("limits", "calls")) {
		c.config.Limits.Calls = 0
	}
	if c.config.Limits.Calls < 1 {
		c.problem(at("limits", "calls"), "limit of %d calls: use 1 or more", c.config.Limits.Calls)
	}
	c.guard(c.config.Guard, "guard")
	c.lookups()
	c.records()
	c.webhook()
	if c.config.Metrics.Listen != "" {
		c.address(at("metrics", "listen"), c.config.Metrics.Listen)
	}
	c.address(at("telegram", "listen"), c.config.Telegram.Listen)
	if strings.HasSuffix(c.config.Telegram.Listen, ":65535") {
		c.problem(at("telegram", "listen"), "address %q: use a lower port: calls need the next one, too", c.config.Telegram.Listen)
	}
	server := &c.config.Telegram.Server
	switch {
	case server.Address == "" && server.PublicKey != "":
		c.problem(at("telegram", "server"), "a public_key without an address: name the server, or remove the key to use Telegram itself")
	case server.Address != "":
		c.address(at("telegram", "server", "address"), server.Address)
		key, err := readPublicKey(server.PublicKey)
		if err != nil {
			c.problem(at("telegram", "server", "public_key"), "public key of the server: %v", err)
		}
		server.Key = key
	}
}

func (c *checker) name(way []any, kind routing.TrunkKind, name string) {
	switch previous := c.trunks[name]; {
	case name == "":
		c.problem(way, "%v without a name", kind)
	case !namePattern.MatchString(name):
		c.trunks[name] = kind // the routes that mention it are not wrong as well
		c.problem(way, "name %q: use up to 32 of a-z, 0-9, '-' and '_', a letter or digit first", name)
	case previous != 0:
		c.problem(way, "name %q is already that of another %v: trunks have names of their own", name, previous)
	default:
		c.trunks[name] = kind
	}
}

func (c *checker) account(i int) {
	a := &c.config.Accounts[i]
	c.name(at("accounts", i, "name"), routing.Account, a.Name)
	if a.APIID <= 0 {
		c.problem(at("accounts", i, "api_id"), "account %s: api_id is missing; Telegram gives it at my.telegram.org", a.Name)
	}
	if !apiHashPattern.MatchString(a.APIHash.Reveal()) {
		c.problem(at("accounts", i, "api_hash"), "account %s: api_hash is 32 digits 0-9 a-f; Telegram gives it at my.telegram.org", a.Name)
	}
	if a.Phone != "" && !phonePattern.MatchString(a.Phone) {
		c.problem(at("accounts", i, "phone"), "account %s: write the phone as + and 7 to 15 digits", a.Name)
	}
	if !slices.Contains([]string{CallsMulti, CallsSingle, CallsAuto}, a.Calls) {
		c.problem(at("accounts", i, "calls"), "account %s: calls is %s, %s or %s, not %q", a.Name, CallsMulti, CallsSingle, CallsAuto, a.Calls)
	}
	c.count(at("accounts", i, "max_calls"), a.MaxCalls, 1, 1000)
	if a.P2P != P2PAuto && a.P2P != P2PNever {
		c.problem(at("accounts", i, "p2p"), "account %s: p2p is %s or %s, not %q", a.Name, P2PAuto, P2PNever, a.P2P)
	}
	if a.Privacy != PrivacyKeep && a.Privacy != PrivacyGateway {
		c.problem(at("accounts", i, "privacy"), "account %s: privacy is %s or %s, not %q", a.Name, PrivacyKeep, PrivacyGateway, a.Privacy)
	}
	if a.AnswerWithin >= patienceOfCallers {
		c.problem(at("accounts", i, "answer_within"),
			"account %s: answer_within %v: callers who hear no ringing give up after %v; use less, or calls: %s", a.Name, a.AnswerWithin, patienceOfCallers, CallsSingle)
	} else {
		c.duration(at("accounts", i, "answer_within"), a.AnswerWithin, 2*time.Second, patienceOfCallers)
	}
	if a.Prefer != PreferAuto && a.Prefer != PreferOpus && a.Prefer != PreferG711 {
		c.problem(at("accounts", i, "prefer"), "account %s: prefer is %s, %s or %s, not %q", a.Name, PreferAuto, PreferOpus, PreferG711, a.Prefer)
	}
	c.duration(at("accounts", i, "reached_in"), a.ReachedIn, time.Second, 20*time.Second)
	c.duration(at("accounts", i, "answered_in"), a.AnsweredIn, time.Second, 90*time.Second)
	if a.Guard.override != nil {
		c.guard(a.Guard.Guard, "accounts", i, "guard")
	}
	c.chat(i)
}

func (c *checker) pbx(i int) {
	p := &c.config.PBX[i]
	c.name(at("pbx", i, "name"), routing.PBX, p.Name)
	switch {
	case p.Asterisk == nil && p.FreeSWITCH == nil:
		c.problem(at("pbx", i), "pbx %s: say what it is, with a section asterisk or freeswitch", p.Name)
	case p.Asterisk != nil && p.FreeSWITCH != nil:
		c.problem(at("pbx", i), "pbx %s: it is either asterisk or freeswitch; give each a name of its own", p.Name)
	case p.Asterisk != nil:
		c.asterisk(i, p)
	default:
		c.freeswitch(i, p)
	}
}

func (c *checker) asterisk(i int, p *PBX) {
	a := p.Asterisk
	link, err := url.Parse(a.URL)
	if err != nil || link.Host == "" || (link.Scheme != "http" && link.Scheme != "https") {
		c.problem(at("pbx", i, "asterisk", "url"), "pbx %s: url %q: write it as http://HOST:8088/ari", p.Name, a.URL)
	} else if link.User != nil {
		c.problem(at("pbx", i, "asterisk", "url"), "pbx %s: leave user and password out of the url; they have keys of their own", p.Name)
	} else if link.RawQuery != "" || link.Fragment != "" {
		c.problem(at("pbx", i, "asterisk", "url"), "pbx %s: leave ? and # out of the url: write it as http://HOST:8088/ari", p.Name)
	}
	if a.Username == "" {
		c.problem(at("pbx", i, "asterisk", "username"), "pbx %s: username is missing: the user of ari.conf", p.Name)
	} else if strings.Contains(a.Username, ":") {
		c.problem(at("pbx", i, "asterisk", "username"), "pbx %s: username %q: users of ari.conf have no colon", p.Name, a.Username)
	}
	if strings.ContainsFunc(a.App, func(r rune) bool { return r == ',' || r == ':' || r == ' ' || !unicode.IsPrint(r) }) {
		c.problem(at("pbx", i, "asterisk", "app"), "pbx %s: app %q: leave out commas, colons and spaces, as in Stasis(tgtrunk,…)", p.Name, a.App)
	}
	if a.Password.Reveal() == "" {
		c.problem(at("pbx", i, "asterisk", "password"), "pbx %s: password is missing: the one of ari.conf", p.Name)
	}
	c.rtp(at("pbx", i, "asterisk", "rtp", "listen"), p.Name, a.RTP)
	c.ringback(at("pbx", i, "asterisk", "ringback"), p.Name, a.Ringback)
	c.duration(at("pbx", i, "asterisk", "timeout"), a.Timeout, time.Second, time.Minute)
}

func (c *checker) ringback(way []any, pbx, value string) {
	if value != RingbackSignal && value != RingbackMedia {
		c.problem(way, "pbx %s: ringback is %s or %s, not %q", pbx, RingbackSignal, RingbackMedia, value)
	}
}

func (c *checker) rtp(way []any, pbx string, r RTP) {
	c.address(way, r.Listen)
	host, _, err := net.SplitHostPort(r.Listen)
	if err != nil {
		return
	}
	switch ip, err := netip.ParseAddr(host); {
	case host != "" && err != nil:
		c.problem(way, "pbx %s: rtp.listen %q: write an address of this machine, not a name: 127.0.0.1:0", pbx, r.Listen)
	case r.Advertise == "" && (host == "" || ip.IsUnspecified()):
		c.problem(way, "pbx %s: rtp listens on every address: add rtp.advertise, the host the PBX sends audio to", pbx)
	}
}

func (c *checker) duration(way []any, d, least, most time.Duration) {
	if least > 0 && writtenZero(c.root, way) {
		d = 0 // and not the default, as where it is left out
	}
	if d < least || d > most {
		c.problem(way, "%v is out of range: use %v to %v for %s", d, least, most, named(way))
	}
}

func (c *checker) address(way []any, address string) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		c.problem(way, "address %q: write it as HOST:PORT", address)
		return
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		c.problem(way, "address %q: port %q is no number from 0 to 65535", address, port)
	}
}

// readPublicKey reads a PEM file with an RSA public key (PKCS#1 or PKIX), or takes the public half of a private one.
func readPublicKey(path string) (*rsa.PublicKey, error) {
	if path == "" {
		return nil, errors.New("public_key is missing: the PEM file that `tgtrunk cloud` wrote beside its key")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s is no PEM file", path)
	}
	if key, err := x509.ParsePKCS1PublicKey(block.Bytes); err == nil {
		return key, nil
	}
	if key, err := x509.ParsePKIXPublicKey(block.Bytes); err == nil {
		if key, ok := key.(*rsa.PublicKey); ok {
			return key, nil
		}
	}
	return nil, fmt.Errorf("%s holds no RSA public key", path)
}
