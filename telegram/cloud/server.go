package cloud

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"net"
)

// serviceUser is the account that Telegram itself writes from (login codes).
const serviceUser = 777000

// Server is one simulated Telegram.
type Server struct {
	opts     Options
	listener net.Listener
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
	l, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return &Server{opts: o, listener: l}, nil
}

// Addr is where clients connect to.
func (s *Server) Addr() *net.TCPAddr { return s.listener.Addr().(*net.TCPAddr) }

// PublicKey is what clients must be given as Telegram's key.
func (s *Server) PublicKey() *rsa.PublicKey { return &s.opts.Key.PublicKey }

// DC is the number of the data centre the server says it is.
func (s *Server) DC() int { return s.opts.DC }

// Control commands the server.
func (s *Server) Control() *Control { return &Control{s: s} }

// Run serves until ctx ends, and returns nil then. Nothing outlives it; a Server runs once.
func (s *Server) Run(ctx context.Context) error {
	<-ctx.Done()
	return s.listener.Close()
}
