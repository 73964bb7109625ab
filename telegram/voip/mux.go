package voip

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"
)

// hostMux gives an ICE agent its host candidates: every address of the shared socket (ice.UDPMux).
type hostMux struct {
	link  *link
	hosts []netip.AddrPort
}

// mappedMux gives an ICE agent its server reflexive candidates, which are the shared socket as STUN servers see it
// (ice.UniversalUDPMux).
type mappedMux struct{ hostMux }

var (
	_ ice.UDPMux               = (*hostMux)(nil)
	_ ice.UniversalUDPMux      = (*mappedMux)(nil)
	_ ice.AddrPortReaderWriter = (*port)(nil)

	errUnsupported = errors.New("not supported")
	errNotMapped   = errors.New("no address translation on the way to the stun server")
)

// GetListenAddresses implements ice.UDPMux.
func (m *hostMux) GetListenAddresses() []net.Addr {
	list := make([]net.Addr, 0, len(m.hosts))
	for _, h := range m.hosts {
		list = append(list, net.UDPAddrFromAddrPort(h))
	}
	return list
}

// GetConn implements ice.UDPMux.
func (m *hostMux) GetConn(ufrag string, a net.Addr) (net.PacketConn, error) {
	return m.link.open(ufrag, a, false)
}

// RemoveConnByUfrag implements ice.UDPMux.
func (m *hostMux) RemoveConnByUfrag(ufrag string) { m.link.forget(ufrag) }

// Close implements ice.UDPMux; the sockets outlive the agent.
func (m *hostMux) Close() error { return nil }

// GetConnForURL implements ice.UniversalUDPMux.
func (m *mappedMux) GetConnForURL(ufrag, _ string, a net.Addr) (net.PacketConn, error) {
	return m.link.open(ufrag, a, true)
}

// GetRelayedAddr implements ice.UniversalUDPMux. No agent calls it.
func (m *mappedMux) GetRelayedAddr(net.Addr, time.Duration) (*net.Addr, error) {
	return nil, errUnsupported
}

// GetXORMappedAddr implements ice.UniversalUDPMux.
func (m *mappedMux) GetXORMappedAddr(server net.Addr, limit time.Duration) (*stun.XORMappedAddress, error) {
	return m.GetXORMappedAddrContext(context.Background(), server, limit)
}

// GetXORMappedAddrContext is what ICE agents prefer to GetXORMappedAddr.
func (m *mappedMux) GetXORMappedAddrContext(ctx context.Context, server net.Addr, limit time.Duration) (*stun.XORMappedAddress, error) {
	udp, ok := server.(*net.UDPAddr)
	if !ok {
		return nil, errUnsupported
	}
	at := udp.AddrPort()
	a, err := m.link.shard.mappedAddress(ctx, netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), limit)
	if err != nil {
		return nil, err
	}
	for _, h := range m.link.shard.hosts() {
		if h == a {
			return nil, errNotMapped // the host candidate says it all
		}
	}
	return &stun.XORMappedAddress{IP: a.Addr().AsSlice(), Port: int(a.Port())}, nil
}

// open makes the port of a candidate.
func (l *link) open(ufrag string, a net.Addr, mapped bool) (*port, error) {
	udp, ok := a.(*net.UDPAddr)
	if !ok {
		return nil, errUnsupported
	}
	local := udp.AddrPort()
	p := &port{
		link: l, ufrag: ufrag, mapped: mapped,
		local:  netip.AddrPortFrom(local.Addr().Unmap(), local.Port()),
		queue:  make(chan datagram, 64),
		closed: make(chan struct{}),
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, net.ErrClosed
	}
	l.ports = append(l.ports, p)
	l.shard.register(ufrag, l)
	return p, nil
}

// forget ends a generation of candidates.
func (l *link) forget(ufrag string) {
	l.shard.unregister(ufrag)
	l.mu.Lock()
	var old, rest []*port
	for _, p := range l.ports {
		if p.ufrag == ufrag {
			old = append(old, p)
		} else {
			rest = append(rest, p)
		}
	}
	l.ports = rest
	l.mu.Unlock()
	for _, p := range old {
		_ = p.Close()
	}
}

// port is the net.PacketConn of one local candidate. Only STUN passes through it.
type port struct {
	link   *link
	ufrag  string
	local  netip.AddrPort
	mapped bool // server reflexive

	queue     chan datagram
	closed    chan struct{}
	closeOnce sync.Once
}

type datagram struct {
	b    []byte
	from netip.AddrPort
}

// deliver queues a copy of b; a full queue drops it, as a socket does.
func (p *port) deliver(b []byte, from netip.AddrPort) {
	select {
	case p.queue <- datagram{append([]byte(nil), b...), from}:
	default:
	}
}

// ReadFromAddrPort implements ice.AddrPortReaderWriter.
func (p *port) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	select {
	case d := <-p.queue:
		return copy(b, d.b), d.from, nil
	case <-p.closed:
		return 0, netip.AddrPort{}, net.ErrClosed
	}
}

// WriteToAddrPort implements ice.AddrPortReaderWriter.
func (p *port) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	select {
	case <-p.closed:
		return 0, net.ErrClosed
	default:
	}
	if reflected(to.Addr()) {
		return len(b), nil // not reached from here
	}
	if err := p.link.send(p, b, netip.AddrPortFrom(to.Addr().Unmap(), to.Port())); err != nil {
		return 0, err
	}
	return len(b), nil
}

// ReadFrom implements net.PacketConn.
func (p *port) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := p.ReadFromAddrPort(b)
	if err != nil {
		return 0, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// WriteTo implements net.PacketConn.
func (p *port) WriteTo(b []byte, to net.Addr) (int, error) {
	udp, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, errUnsupported
	}
	return p.WriteToAddrPort(b, udp.AddrPort())
}

// Close implements net.PacketConn.
func (p *port) Close() error {
	p.closeOnce.Do(func() { close(p.closed) })
	return nil
}

// LocalAddr implements net.PacketConn.
func (p *port) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(p.local) }

// SetDeadline implements net.PacketConn; an agent closes its ports instead.
func (p *port) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.PacketConn.
func (p *port) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.PacketConn.
func (p *port) SetWriteDeadline(time.Time) error { return nil }
