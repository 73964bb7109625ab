package voip

import (
	"net"
	"slices"
	"sync"

	"github.com/pion/stun/v4"
	"github.com/pion/transport/v4"
)

// relayNet is the network of one ICE agent: it opens the sockets of TURN allocations and can take them back. Without
// that an agent that ends waits for TURN servers that do not answer.
type relayNet struct {
	transport.Net

	mu      sync.Mutex
	aborted bool
	open    []*relaySocket
}

func newRelayNet(stack transport.Net) *relayNet { return &relayNet{Net: stack} }

// ListenPacket implements transport.Net.
func (n *relayNet) ListenPacket(network, address string) (net.PacketConn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.aborted {
		return nil, net.ErrClosed
	}
	conn, err := n.Net.ListenPacket(network, address)
	if err != nil {
		return nil, err
	}
	s := &relaySocket{PacketConn: conn, net: n}
	n.open = append(n.open, s)
	return s, nil
}

// abort ends all waiting for TURN servers, now and later.
func (n *relayNet) abort() {
	n.mu.Lock()
	n.aborted = true
	open := slices.Clone(n.open)
	n.mu.Unlock()
	for _, s := range open {
		s.abort()
	}
}

// release closes the sockets that are open and returns how many they were. Their allocations end by themselves, at the
// server's latest 10 minutes after the last refresh.
func (n *relayNet) release() int {
	n.mu.Lock()
	open := n.open
	n.open = nil
	n.mu.Unlock()
	for _, s := range open {
		s.release()
	}
	return len(open)
}

// forget drops a socket that is closed.
func (n *relayNet) forget(s *relaySocket) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.open = slices.DeleteFunc(n.open, func(o *relaySocket) bool { return o == s })
}

// relaySocket remembers the requests that were sent, so that it can refuse them in the server's place: pion's TURN
// client has no other way to be told to stop waiting.
type relaySocket struct {
	net.PacketConn
	net *relayNet

	mu      sync.Mutex
	aborted bool // no request is sent any more
	refuses bool // those that were sent are refused
	server  net.Addr
	asked   []*stun.Message // the last requests
}

const relayAsked = 32

// WriteTo implements net.PacketConn.
func (s *relaySocket) WriteTo(b []byte, to net.Addr) (int, error) {
	if class, id, ok := stunHeader(b); ok && class == stunRequest {
		m := &stun.Message{TransactionID: id}
		m.Type.ReadValue(uint16(b[0])<<8 | uint16(b[1]))
		s.mu.Lock()
		s.server = to
		if !slices.ContainsFunc(s.asked, func(a *stun.Message) bool { return a.TransactionID == id }) {
			s.asked = append(s.asked, m)[max(len(s.asked)+1-relayAsked, 0):]
		}
		aborted := s.aborted
		s.mu.Unlock()
		if aborted {
			return 0, net.ErrClosed
		}
	}
	return s.PacketConn.WriteTo(b, to)
}

// ReadFrom implements net.PacketConn.
func (s *relaySocket) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := s.PacketConn.ReadFrom(b)
	if err == nil {
		return n, from, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.refuses || len(s.asked) == 0 {
		return n, from, err
	}
	m := s.asked[0]
	s.asked = s.asked[1:]
	refusal, buildErr := stun.Build(stun.NewTransactionIDSetter(m.TransactionID),
		stun.NewType(m.Type.Method, stun.ClassErrorResponse),
		stun.ErrorCodeAttribute{Code: stun.CodeServerError, Reason: []byte("call has ended")})
	if buildErr != nil {
		return n, from, err
	}
	return copy(b, refusal.Raw), s.server, nil
}

// Close implements net.PacketConn. Agents close the sockets of a generation of candidates when they restart.
func (s *relaySocket) Close() error {
	s.net.forget(s)
	return s.PacketConn.Close() //nolint:wrapcheck // a socket like any other
}

func (s *relaySocket) abort() {
	s.mu.Lock()
	s.aborted, s.refuses = true, true
	s.mu.Unlock()
	_ = s.Close()
}

// release closes the socket. Requests fail from now on; none should be under way.
func (s *relaySocket) release() {
	s.mu.Lock()
	s.aborted = true
	s.mu.Unlock()
	_ = s.Close()
}
