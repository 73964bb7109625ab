package reflector

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Options of a Server. The zero value listens on a free loopback port.
type Options struct {
	Listen      string        // host:port for UDP and TCP; default "127.0.0.1:0"
	Idle        time.Duration // after which a silent leg is forgotten; default 60 s, six times the pace of hellos
	Calls       int           // pairs of tags at a time; default 4096
	Connections int           // over TCP at a time; default 4096
	NoUDP       bool          // UDP packets are thrown away, as where UDP is blocked
	Log         *slog.Logger  // nil: discarded

	// Lose is asked for every packet that is to be handed on, over UDP and TCP alike, and told where it came from; true
	// loses it. It must not block. Nil loses nothing.
	Lose func(from netip.AddrPort) bool
}

// legsPerSide bounds the random tags of one side of a call. The official engine has one for each address and protocol.
const legsPerSide = 16

// Server is one reflector.
type Server struct {
	opts Options
	log  *slog.Logger
	udp  *net.UDPConn
	tcp  *net.TCPListener

	connections atomic.Int64
	counts      counters

	mu    sync.Mutex
	calls map[name]*call
}

// call is the two sides of a pair of tags, by role. Guarded by Server.mu.
type call struct {
	sides [2]map[uint32]*leg
}

// leg is where a random tag is. Guarded by Server.mu.
type leg struct {
	at   netip.AddrPort // over UDP
	over *connection    // over TCP; nil: UDP
	seen time.Time
}

type counters struct{ udp, tcp, strange, lost atomic.Uint64 }

// Counts is what a server has carried.
type Counts struct {
	UDP, TCP uint64 // packets handed on, by the receiver's protocol
	Strange  uint64 // packets that are broken, or of nobody with a tag
	Lost     uint64 // packets for a tag that is not there, that the receiver was too slow for, or that Options.Lose took
}

// Listen opens the sockets, so that the address is known before Run.
func Listen(o Options) (*Server, error) {
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	if o.Idle <= 0 {
		o.Idle = time.Minute
	}
	if o.Calls <= 0 {
		o.Calls = 4096
	}
	if o.Connections <= 0 {
		o.Connections = 4096
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{opts: o, log: o.Log, calls: make(map[name]*call)}
	var err error
	for range 16 { // a port that is free for TCP need not be so for UDP
		if err = s.listen(o.Listen); err == nil {
			return s, nil
		}
	}
	return nil, fmt.Errorf("listen for reflector: %w", err)
}

func (s *Server) listen(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	s.tcp = l.(*net.TCPListener)
	at := l.Addr().(*net.TCPAddr)
	s.udp, err = net.ListenUDP("udp", &net.UDPAddr{IP: at.IP, Port: at.Port, Zone: at.Zone})
	if err != nil {
		_ = l.Close()
		return err
	}
	return nil
}

// Addr is where the server listens, for UDP and TCP alike.
func (s *Server) Addr() netip.AddrPort {
	a := s.tcp.Addr().(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// Close closes the sockets of a server that is not run.
func (s *Server) Close() {
	_ = s.tcp.Close()
	_ = s.udp.Close()
}

// Grant makes the tags of a call's two sides. It fails when there are as many calls as there may be.
func (s *Server) Grant() (caller, callee Tag, err error) {
	rand.Read(caller[:]) // never fails
	caller[0] = 0
	callee = caller
	callee[0] = 1
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.calls) >= s.opts.Calls {
		return Tag{}, Tag{}, fmt.Errorf("reflector is full: %d calls", len(s.calls))
	}
	s.calls[name(caller[1:tagLength])] = &call{sides: [2]map[uint32]*leg{{}, {}}}
	return caller, callee, nil
}

// Revoke ends the call of a tag: nothing is handed on any more, and its TCP connections are closed.
func (s *Server) Revoke(t Tag) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := name(t[1:tagLength])
	if c := s.calls[key]; c != nil {
		for _, side := range c.sides {
			for _, l := range side {
				l.close()
			}
		}
	}
	delete(s.calls, key)
}

func (l *leg) close() {
	if l.over != nil {
		l.over.close()
	}
}

// Counts returns what the server has carried so far.
func (s *Server) Counts() Counts {
	c := &s.counts
	return Counts{UDP: c.udp.Load(), TCP: c.tcp.Load(), Strange: c.strange.Load(), Lost: c.lost.Load()}
}

// Legs returns how many random tags are known.
func (s *Server) Legs() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, c := range s.calls {
		n += len(c.sides[0]) + len(c.sides[1])
	}
	return n
}

// forget drops the legs that have been silent.
func (s *Server) forget(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.calls {
		for _, side := range c.sides {
			for tag, l := range side {
				if now.Sub(l.seen) > s.opts.Idle {
					l.close()
					delete(side, tag)
				}
			}
		}
	}
}

// leave takes the legs of a connection that has ended off.
func (s *Server) leave(k *connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.calls {
		for _, side := range c.sides {
			for tag, l := range side {
				if l.over == k {
					delete(side, tag)
				}
			}
		}
	}
}

// take handles a packet that came over UDP (over nil) or TCP, and says whether its sender may be here.
func (s *Server) take(b []byte, from netip.AddrPort, over *connection) bool {
	p, err := parse(b)
	if err != nil {
		s.counts.strange.Add(1)
		return false
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.calls[p.call]
	if c == nil || !c.meet(p, leg{at: from, over: over, seen: now}) {
		s.counts.strange.Add(1)
		return false
	}
	if !p.data {
		s.put(&leg{at: from, over: over}, answer(p, from, now))
		return true
	}
	to := c.sides[1-p.role][p.to]
	if to == nil || s.opts.Lose != nil && s.opts.Lose(from) {
		s.counts.lost.Add(1)
		return true
	}
	b[0] = 1 - p.role // the receiver knows its own tag only
	s.put(to, b)
	return true
}

// meet learns where a sender is. A tag moves to where it was heard last.
func (c *call) meet(p packet, at leg) bool {
	side := c.sides[p.role]
	l := side[p.own]
	if l == nil {
		if len(side) >= legsPerSide {
			return false
		}
		l = &leg{}
		side[p.own] = l
	}
	*l = at
	return true
}

// put sends to a leg.
func (s *Server) put(l *leg, b []byte) {
	if l.over != nil {
		if l.over.put(b) {
			s.counts.tcp.Add(1)
		} else {
			s.counts.lost.Add(1)
		}
		return
	}
	if _, err := s.udp.WriteToUDPAddrPort(b, l.at); err != nil {
		s.counts.lost.Add(1)
		return
	}
	s.counts.udp.Add(1)
}
