package cloud

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/tgtrunk/tgtrunk/telegram/cloud/mtserver"
)

// serviceUser is the account that Telegram itself writes from (login codes).
const serviceUser = 777000

// epoch is where update numbers start counting seconds, see Server.base. It leaves room in 31 bits until 2088.
const epoch = 1_600_000_000

// Server is one simulated Telegram.
type Server struct {
	opts     Options
	log      *slog.Logger
	listener net.Listener
	mt       *mtserver.Server
	relay    *turnServer // nil: none
	mirror   *mirror     // nil: none
	keys     *keyring
	table    methods
	secret   [32]byte // access hashes come from it; made of the RSA key, so that they survive a restart
	links    links
	base     int // first pts and message id of this run

	mu      sync.Mutex
	stopped bool
	state
}

// state is all that changes, guarded by Server.mu.
type state struct {
	accounts  map[int64]*account
	byPhone   map[string]*account
	byName    map[string]*account
	codes     map[string]*loginCode  // by phone_code_hash
	tokens    map[string]*loginToken // by token
	exports   map[string]exported    // by bytes
	calls     map[int64]*call
	callOrder []*call
	randomIDs []randomID
	hold      bool     // a query is being carried out: pushes go to held
	held      []parcel // until it is answered
	anybody   fate     // for queries of devices that are not logged in
	custom    string   // custom_parameters of new calls
	config    ClientConfig
	feedback  feedback
	watch     func(Query) // nil: nobody looks
}

// New binds the sockets, so that addresses are known before Run.
func New(o Options) (*Server, error) {
	o.setDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.Key == nil {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return nil, fmt.Errorf("generate key: %w", err)
		}
		o.Key = key
	}
	s := &Server{
		opts: o, log: o.Log, links: links{live: map[int64]int{}}, secret: sha256.Sum256(x509.MarshalPKCS1PrivateKey(o.Key)), base: int(time.Now().Unix() - epoch),
		state: state{
			accounts: map[int64]*account{}, byPhone: map[string]*account{}, byName: map[string]*account{}, codes: map[string]*loginCode{},
			tokens: map[string]*loginToken{}, exports: map[string]exported{}, calls: map[int64]*call{}, config: o.Config,
		},
	}
	s.table = s.methods()
	if err := s.load(); err != nil {
		return nil, err
	}
	return s, s.bind()
}

// load makes the accounts and finds out who is still logged in.
func (s *Server) load() error {
	if err := s.addAccount(User{ID: serviceUser, FirstName: "Telegram", Phone: "42777", Privacy: Privacy{Calls: Nobody, Lookup: Nobody}}); err != nil {
		return err
	}
	for _, u := range s.opts.Users {
		if err := s.addAccount(u); err != nil {
			return err
		}
	}
	keys, err := newKeyring(s.opts.AuthKeys)
	if err != nil {
		return err
	}
	s.keys = keys
	for _, d := range keys.all() {
		if d.rec.Login == nil {
			continue
		}
		if d.user = s.accounts[d.rec.Login.User]; d.user != nil {
			d.user.devices[d] = true
			continue
		}
		d.rec.Login = nil // the user is no longer listed
		s.saveDevice(d)
	}
	return nil
}

func (s *Server) bind() error {
	l, err := net.Listen("tcp", s.opts.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	s.listener = l
	s.mt = mtserver.New(mtserver.Options{Key: s.opts.Key, DC: acceptDC, Linked: s.linked, Log: s.log}, s)
	if s.opts.Relay.TURN {
		if s.relay, err = newTURN(s.opts.Relay, s.log); err != nil {
			return errors.Join(err, l.Close())
		}
	}
	if s.opts.Relay.Reflector {
		if s.mirror, err = newMirror(s.opts.Relay, s.log); err != nil {
			return errors.Join(err, l.Close(), s.relay.close())
		}
	}
	return nil
}

// acceptDC takes 1..5, their test twins (+10000) and media-only connections (negative).
func acceptDC(dc int) bool {
	if dc < 0 {
		dc = -dc
	}
	return dc >= 1 && dc <= 5 || dc >= 10001 && dc <= 10005
}

// Addr is where clients connect to.
func (s *Server) Addr() *net.TCPAddr { return s.listener.Addr().(*net.TCPAddr) }

// RelayAddr is where the TURN server is, as calls are told; invalid when there is none.
func (s *Server) RelayAddr() netip.AddrPort {
	if s.relay == nil {
		return netip.AddrPort{}
	}
	return s.relay.public
}

// ReflectorAddr is where the reflector is, as calls are told; invalid when there is none.
func (s *Server) ReflectorAddr() netip.AddrPort {
	if s.mirror == nil {
		return netip.AddrPort{}
	}
	return s.mirror.public
}

// PublicKey is what clients must be given as Telegram's key.
func (s *Server) PublicKey() *rsa.PublicKey { return &s.opts.Key.PublicKey }

// DC is the number of the data centre the server says it is.
func (s *Server) DC() int { return s.opts.DC }

// Control commands the server.
func (s *Server) Control() *Control { return &Control{s: s} }

// Run serves until ctx ends, and returns nil then. Nothing outlives it; a Server runs once.
func (s *Server) Run(ctx context.Context) error {
	s.log.Info("simulated telegram runs", "addr", s.Addr().String(), "dc", s.opts.DC, "users", len(s.opts.Users))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var relayErr, mirrorErr error
	var relay sync.WaitGroup
	relay.Go(func() {
		if relayErr = s.relay.run(ctx); relayErr != nil {
			cancel()
		}
	})
	relay.Go(func() {
		if mirrorErr = s.mirror.run(ctx); mirrorErr != nil {
			cancel()
		}
	})
	err := s.mt.Serve(ctx, s.listener)
	cancel()
	relay.Wait()
	s.stop()
	return errors.Join(err, relayErr, mirrorErr)
}

// stop ends the timers of the calls.
func (s *Server) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	for _, c := range s.callOrder {
		if c.timer != nil {
			c.timer.Stop()
		}
	}
}

func (s *Server) now() time.Time { return time.Now() }
