package telegram

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/store"
	"github.com/tgtrunk/tgtrunk/telegram/chat"
	"github.com/tgtrunk/tgtrunk/telegram/guard"
	"github.com/tgtrunk/tgtrunk/telegram/voip"
)

// CallMode says how incoming calls are taken.
type CallMode string

// The modes.
const (
	// Multi takes any number of incoming calls at once. Callers hear no ringing and give up after 20 s, because
	// phone.receivedCall, which makes their phones ring, marks the account busy for everybody else.
	Multi CallMode = "multi"
	// Single takes one incoming call at a time, which rings for up to 90 s. All others are refused.
	Single CallMode = "single"
	// Auto is Multi for calls that are answered soon. Others ring: when the account has no other call, and at the latest
	// when Limits.AnswerWithin has passed.
	Auto CallMode = "auto"
)

// P2PMode says whether the other side of a call may learn this machine's address.
type P2PMode string

// The modes.
const (
	P2PAuto  P2PMode = "auto"  // where Telegram allows it, as both users' privacy says
	P2PNever P2PMode = "never" // not even then: audio goes through Telegram's relays
)

// Limits of calls are our own; where Telegram's (help.getConfig) are shorter, those hold.
type Limits struct {
	ReachedIn    time.Duration // outgoing: until a device has the call; default 15 s
	AnsweredIn   time.Duration // outgoing: how long it rings where the target does not say; default 90 s
	AnswerWithin time.Duration // incoming, while its caller hears no ringing: until Answer; default 18 s, less than 20 s
}

func (l *Limits) setDefaults() {
	setDefault(&l.ReachedIn, 15*time.Second)
	setDefault(&l.AnsweredIn, 90*time.Second)
	setDefault(&l.AnswerWithin, 18*time.Second)
}

// patienceOfCallers is how long an official app waits for a call that no device has reported as received.
const patienceOfCallers = 20 * time.Second

// Lookups says how long the answers to questions are remembered. Telegram limits some of them to a few hundred a day.
type Lookups struct {
	Found    time.Duration // whose a username or a phone number is: usernames move; default 24 h
	Missing  time.Duration // that nobody has one: somebody may join Telegram; default 24 h
	NoDialog time.Duration // that the account has no way to a user-id; default 1 h
}

func (l *Lookups) setDefaults() {
	setDefault(&l.Found, 24*time.Hour)
	setDefault(&l.Missing, 24*time.Hour)
	setDefault(&l.NoDialog, time.Hour)
}

// Calls is how an account takes and places calls.
type Calls struct {
	Mode      CallMode        // default Multi
	P2P       P2PMode         // default P2PAuto
	Prefer    voip.Preference // codec; default PreferAuto
	PBX       media.Codec     // what the PBX side of a call speaks; 0: not known, taken for something else than G.711
	Reference bool            // offers library versions 10.0.0 and 11.0.0 besides, and takes them
	Most      int             // at once, incoming and outgoing; 0: any number
	Limits    Limits          //
}

func (c *Calls) check() (errs []error) {
	setDefault(&c.Mode, Multi)
	if c.Mode != Multi && c.Mode != Single && c.Mode != Auto {
		errs = append(errs, fmt.Errorf("call mode %q is none of %q, %q and %q", c.Mode, Multi, Single, Auto))
	}
	setDefault(&c.P2P, P2PAuto)
	if c.P2P != P2PAuto && c.P2P != P2PNever {
		errs = append(errs, fmt.Errorf("p2p mode %q is neither %q nor %q", c.P2P, P2PAuto, P2PNever))
	}
	if c.Most < 0 {
		errs = append(errs, fmt.Errorf("at most %d calls", c.Most))
	}
	c.Limits.setDefaults()
	if c.Limits.AnswerWithin >= patienceOfCallers {
		errs = append(errs, fmt.Errorf("limit of %v to answer within: callers give up after %v", c.Limits.AnswerWithin, patienceOfCallers))
	}
	return errs
}

// Options describes an account. Name, APIID, APIHash and Store are required.
type Options struct {
	Name     string        // of the trunk
	APIID    int           // of the application, from my.telegram.org
	APIHash  string        // secret
	Phone    string        // the account's number, E.164; only Login uses it, and may ask for it instead
	Store    store.Store   // keeps session, peers and update state under "telegram/<name>/"
	Lease    time.Duration // how long the account stays ours without word from the store; default 30 s
	Server   Server        // zero: Telegram
	Calls    Calls         // how calls are taken and placed
	Device   Device        // what the account's list of devices shows
	Net      *voip.Net     // shared sockets for media; nil: every call opens its own
	Log      *slog.Logger  // nil discards
	Guard    *guard.Limits // protect the account; nil: guard.Defaults
	Chat     *chat.Desk    // answers who writes to the account, and tells people of calls; nil: nothing is read or written
	Messages func(Message) // takes what Chat hands on (chat.Unmatched); must not block; nil: nobody does
	Privacy  PrivacyPreset // default PrivacyKeep
	Lookups  Lookups       // how long answers are remembered
	NoImport bool          // never look a phone number up by importing it as a contact for a moment
}

// Server is an MTProto server other than Telegram's own, such as the simulated one.
type Server struct {
	Addr      string         // host:port
	PublicKey *rsa.PublicKey // it proves itself with this key
	DC        int            // data centre it answers as; default 1, as of package cloud
}

// Device is what a client says of itself. Empty fields get the defaults, which should not change in the life of a
// session: Telegram warns the account's owner of devices it has not seen.
type Device struct {
	Model  string // default "tgtrunk"
	System string // default "server"
	App    string // version of the application, default "1.0"
}

func (o Options) withDefaults() (Options, error) {
	var errs []error
	if o.Name == "" {
		errs = append(errs, errors.New("name is missing"))
	}
	if o.APIID <= 0 || o.APIHash == "" {
		errs = append(errs, errors.New("api id or api hash is missing"))
	}
	if o.Store == nil {
		errs = append(errs, errors.New("store is missing"))
	}
	errs = append(errs, o.Calls.check()...)
	errs = append(errs, o.Server.check())
	setDefault(&o.Privacy, PrivacyKeep)
	if o.Privacy != PrivacyKeep && o.Privacy != PrivacyGateway {
		errs = append(errs, fmt.Errorf("privacy preset %q is neither %q nor %q", o.Privacy, PrivacyKeep, PrivacyGateway))
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Guard == nil {
		limits := guard.Defaults()
		o.Guard = &limits
	}
	o.Lookups.setDefaults()
	setDefault(&o.Server.DC, 1)
	setDefault(&o.Lease, 30*time.Second)
	setDefault(&o.Device.Model, "tgtrunk")
	setDefault(&o.Device.System, "server")
	setDefault(&o.Device.App, "1.0")
	if err := errors.Join(errs...); err != nil {
		return o, fmt.Errorf("account %q: %w", o.Name, err)
	}
	return o, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (s Server) check() error {
	if s.Addr == "" {
		if s.PublicKey != nil {
			return errors.New("server has a public key and no address")
		}
		return nil
	}
	_, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		return fmt.Errorf("server address: %w", err)
	}
	if n, err := strconv.Atoi(port); err != nil || n <= 0 || n > 65535 {
		return fmt.Errorf("server address %q: bad port", s.Addr)
	}
	if s.PublicKey == nil {
		return errors.New("server's public key is missing")
	}
	return nil
}
