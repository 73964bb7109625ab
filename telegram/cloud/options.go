package cloud

import (
	"crypto/rsa"
	"fmt"
	"log/slog"
	"net/netip"
	"time"
)

// Options of a Server. The zero value listens on a free loopback port as DC 1 with a fresh key and no users.
type Options struct {
	Listen    string          // TCP host:port; default "127.0.0.1:0"
	Key       *rsa.PrivateKey // 2048 bits; nil: generated
	DC        int             // the DC this server says it is, 1..5; default 1. A client may name any of 1..5
	Test      bool            // says so in help.getConfig; clients of test DCs insist on it
	Users     []User          // see LoadUsers
	AuthKeys  KeyStore        // authorization keys and logins over restarts; nil: memory only
	Apps      map[int]string  // accepted api_id -> api_hash; empty: any positive id with a hash of 32 hex digits
	Public    netip.AddrPort  // what help.getConfig tells clients to connect to; zero: the address they connected to
	Relay     Relay           // servers given to calls
	NoP2P     bool            // p2p_allowed is never given, whatever the users' privacy says
	AllP2P    bool            // p2p_allowed is always given, also to a client that said udp_p2p=false
	Fresh     time.Duration   // how old a login must be to change privacy and other logins; Telegram's 24 h, default 0
	Timeouts  Timeouts        // server-side limits of a call
	Config    ClientConfig    // what help.getConfig says of calls, until Control.SetClientConfig
	KeepCalls int             // how many calls are remembered; the oldest that have ended are forgotten; default 1000
	Log       *slog.Logger    // nil: discarded
}

// Relay says which servers a call is given in phoneCall.connections.
type Relay struct {
	TURN            bool       // run a STUN and TURN server and give it out as phoneConnectionWebrtc
	Listen          string     // UDP host:port of the TURN server; default "127.0.0.1:0"
	Reflector       bool       // run a reflector and give it out as phoneConnection, once for UDP and once for TCP
	ReflectorListen string     // host:port of the reflector, UDP and TCP; default "127.0.0.1:0"
	Public          netip.Addr // address clients are told and relayed addresses are on; default: the listening address, or 127.0.0.1
}

// ClientConfig is what help.getConfig says of calls and of its own age; clients may be told nonsense. Zero fields get what
// Telegram has given for years, and an hour.
type ClientConfig struct {
	ReceiveMs, RingMs, ConnectMs, PacketMs int           // call_receive_timeout_ms and so on
	Expires                                time.Duration // from its date
}

func (c *ClientConfig) setDefaults() {
	def(&c.ReceiveMs, 20000)
	def(&c.RingMs, 90000)
	def(&c.ConnectMs, 30000)
	def(&c.PacketMs, 10000)
	def(&c.Expires, time.Hour)
}

// Timeouts after which the server ends a call by itself. The clients' own limits (help.getConfig) are shorter.
type Timeouts struct {
	Receive time.Duration // requested, not received by any device; default 30 s
	Ring    time.Duration // received, not accepted; default 100 s
	Confirm time.Duration // accepted, not confirmed; default 40 s
	Active  time.Duration // a call that nobody ended; default 12 h
}

func (o *Options) setDefaults() {
	def(&o.Listen, "127.0.0.1:0")
	def(&o.DC, 1)
	def(&o.KeepCalls, 1000)
	o.Config.setDefaults()
	def(&o.Relay.Listen, "127.0.0.1:0")
	def(&o.Relay.ReflectorListen, "127.0.0.1:0")
	def(&o.Timeouts.Receive, 30*time.Second)
	def(&o.Timeouts.Ring, 100*time.Second)
	def(&o.Timeouts.Confirm, 40*time.Second)
	def(&o.Timeouts.Active, 12*time.Hour)
	if o.AuthKeys == nil {
		o.AuthKeys = MemoryKeys()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

func (o *Options) check() error {
	if o.DC < 1 || o.DC > 5 {
		return fmt.Errorf("accept dc %d: want 1..5", o.DC)
	}
	if o.Key != nil && o.Key.N.BitLen() != 2048 {
		return fmt.Errorf("use key of %d bits: want 2048", o.Key.N.BitLen())
	}
	return checkUsers(o.Users)
}
