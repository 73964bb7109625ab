package mtserver

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/gotd/td/crypto"
	"github.com/gotd/td/proto"
)

// Options of a Server. Key and DC are mandatory.
type Options struct {
	Key         *rsa.PrivateKey
	DC          func(dc int) bool    // which dc of p_q_inner_data is accepted
	Idle        time.Duration        // without any packet until a connection is cut; default 10 min (official clients rest for 60 s and more)
	MaxConns    int                  // at a time; default 4096. More wait in the listener's queue
	MaxSessions int                  // remembered at a time; default 65536
	Log         *slog.Logger         // nil: discarded
	Linked      func(*Session, bool) // told when a session gets or loses its connection; must not block; may be nil
}

// Handler is the API above MTProto. Its methods are called concurrently and should not block.
type Handler interface {
	// Key finds an authorization key by its id, the low 64 bits of SHA1(key).
	Key(id int64) (*Key, bool)
	// NewKey keeps a key that was just made.
	NewKey(*Key) error
	// Invoke carries out a query, never twice for one msg_id, and replies before it returns.
	Invoke(context.Context, *Call)
	// Forget says that a session is gone for good.
	Forget(*Session)
}

// Call is a query to be carried out.
type Call struct {
	Query
	Session   *Session
	MsgID     int64
	log       *slog.Logger
	replied   bool
	postponed bool // see Postpone
}

// Server speaks MTProto on a listener.
type Server struct {
	opts    Options
	handler Handler
	log     *slog.Logger
	ids     *proto.MessageIDGen
	cipher  crypto.Cipher

	mu       sync.Mutex
	sessions map[sessionKey]*Session
}

type sessionKey struct {
	key     [8]byte
	session int64
}

// New makes a server; Serve runs it.
func New(o Options, h Handler) *Server {
	if o.Idle == 0 {
		o.Idle = 10 * time.Minute
	}
	if o.MaxConns == 0 {
		o.MaxConns = 4096
	}
	if o.MaxSessions == 0 {
		o.MaxSessions = 65536
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{
		opts: o, handler: h, log: o.Log, ids: proto.NewMessageIDGen(time.Now), cipher: crypto.NewServerCipher(rand.Reader),
		sessions: map[sessionKey]*Session{},
	}
}

// Serve accepts connections until ctx ends, then closes the listener and every connection and waits for them.
// One bad connection ends nothing but itself.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	all.Go(func() {
		<-ctx.Done()
		_ = l.Close()
	})
	all.Go(func() { s.sweep(ctx) })
	room := make(chan struct{}, s.opts.MaxConns)
	for number := uint64(1); ; number++ {
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		c, err := s.accept(ctx, l)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if ctx.Err() != nil {
			if c != nil {
				_ = c.Close()
			}
			return nil
		}
		all.Go(func() {
			defer func() { <-room }()
			s.conn(c, number).serve(ctx)
		})
	}
}

// accept waits for a connection and rides out temporary errors (no file descriptors left).
func (s *Server) accept(ctx context.Context, l net.Listener) (net.Conn, error) {
	wait := time.Millisecond
	for {
		c, err := l.Accept()
		if err == nil {
			return c, nil
		}
		if errors.Is(err, net.ErrClosed) {
			return nil, fmt.Errorf("accept: %w", err)
		}
		s.log.Warn("accept", "err", err)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
			wait = min(2*wait, time.Second)
		}
	}
}

func (s *Server) conn(c net.Conn, number uint64) *conn {
	return &conn{
		srv: s, net: c, number: number, log: s.log.With("conn", number, "remote", c.RemoteAddr().String()),
		out: make(chan outFrame, queueFrames), sessions: map[*Session]bool{},
	}
}

// session finds or begins a session; nil when there are too many.
func (s *Server) session(key *Key, id int64) *Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := sessionKey{key.ID, id}
	if known := s.sessions[k]; known != nil {
		return known
	}
	if len(s.sessions) >= s.opts.MaxSessions {
		return nil
	}
	n := &Session{id: id, key: key, srv: s, lostAt: time.Now(), came: history{seen: map[int64]*incoming{}}}
	s.sessions[k] = n
	return n
}

func (s *Server) destroy(key *Key, id int64) bool {
	s.mu.Lock()
	k := sessionKey{key.ID, id}
	gone := s.sessions[k]
	delete(s.sessions, k)
	s.mu.Unlock()
	if gone == nil {
		return false
	}
	s.handler.Forget(gone)
	return true
}

// sweep forgets sessions that nobody came back to.
func (s *Server) sweep(ctx context.Context) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			s.forget(now)
		}
	}
}

func (s *Server) forget(now time.Time) {
	var gone []*Session
	s.mu.Lock()
	for k, v := range s.sessions {
		if v.expired(now) {
			gone = append(gone, v)
			delete(s.sessions, k)
		}
	}
	s.mu.Unlock()
	for _, v := range gone {
		s.handler.Forget(v)
	}
}

func (s *Server) linked(session *Session, on bool) {
	if s.opts.Linked != nil {
		s.opts.Linked(session, on)
	}
}
