package voip

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/pion/transport/v4"
	"github.com/pion/transport/v4/stdnet"
)

// The sizes of a UDP socket's kernel buffers that are asked for; the kernel may grant less (net.core.rmem_max).
const socketBuffer = 4 << 20

// NetOptions shapes a Net.
type NetOptions struct {
	Listen   string       // UDP address, "" for any port of every interface; with several shards a fixed port is the first of as many
	Shards   int          // sockets; default min(2, GOMAXPROCS)
	Loopback bool         // offer loopback addresses like any other; without it only where there is no other
	Log      *slog.Logger // nil discards
}

// Net is the UDP sockets that all direct calls of the process share, with the DTLS certificate and the report timer
// that go with them, and what is logged once for all calls. A relayed call opens sockets of its own.
type Net struct {
	loopback bool
	log      *slog.Logger
	identity *identity
	reports  *reporter
	stack    transport.Net // opens the sockets of TURN allocations
	shards   []*shard
	told     toldKeys

	closed    chan struct{}
	closeOnce sync.Once
	running   sync.WaitGroup
}

// ListenNet opens the sockets and starts their readers.
func ListenNet(o NetOptions) (*Net, error) {
	if o.Shards <= 0 {
		o.Shards = min(2, runtime.GOMAXPROCS(0))
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	address, err := listenAddress(o.Listen)
	if err != nil {
		return nil, err
	}
	id, err := newIdentity()
	if err != nil {
		return nil, err
	}
	stack, err := stdnet.NewNet()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	n := &Net{stack: stack, loopback: o.Loopback, log: o.Log, identity: id, reports: newReporter(), closed: make(chan struct{})}
	for i := range o.Shards {
		at := *address
		if at.Port != 0 {
			at.Port += i
		}
		s, err := newShard(n, &at)
		if err != nil {
			n.closeSockets()
			return nil, fmt.Errorf("listen for calls on %v, socket %d of %d: %w", &at, i+1, o.Shards, err)
		}
		n.shards = append(n.shards, s)
	}
	for _, s := range n.shards {
		n.running.Go(s.read)
	}
	n.running.Go(func() { n.reports.run(n.closed) })
	return n, nil
}

func listenAddress(s string) (*net.UDPAddr, error) {
	if s == "" {
		return &net.UDPAddr{}, nil
	}
	a, err := net.ResolveUDPAddr("udp", s)
	if err != nil {
		return nil, fmt.Errorf("listen for calls on %q: %w", s, err)
	}
	return a, nil
}

// Close closes the sockets. Engines that still run on them fail with ErrNetClosed.
func (n *Net) Close() {
	n.closeOnce.Do(func() {
		close(n.closed)
		n.closeSockets()
	})
	n.running.Wait()
}

func (n *Net) closeSockets() {
	for _, s := range n.shards {
		_ = s.socket.conn.Close()
	}
}

// Strangers returns how many packets came from addresses that no call knows.
func (n *Net) Strangers() uint64 {
	var sum uint64
	for _, s := range n.shards {
		sum += s.strangers.Load()
	}
	return sum
}

// Addresses returns the addresses the sockets are bound to.
func (n *Net) Addresses() []netip.AddrPort {
	var all []netip.AddrPort
	for _, s := range n.shards {
		all = append(all, s.socket.local)
	}
	return all
}

// pick returns the shard with the fewest calls.
func (n *Net) pick() *shard {
	return slices.MinFunc(n.shards, func(a, b *shard) int { return int(a.calls.Load() - b.calls.Load()) })
}

// owns says whether an address is one of our own sockets, that is, whether the peer is another call of this process.
func (n *Net) owns(a netip.AddrPort) bool {
	for _, s := range n.shards {
		if s.socket.local.Port() != a.Port() {
			continue
		}
		if a.Addr().IsLoopback() || slices.Contains(s.hosts(), a) {
			return true
		}
	}
	return false
}

// hostAddresses lists the addresses of the interfaces that are up: no link-local and no multicast ones, loopback only
// where it is wanted or there is no other.
func hostAddresses(loopback bool) ([]netip.Addr, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	var routed, local []netip.Addr
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 {
			continue
		}
		addresses, err := i.Addrs()
		if err != nil {
			continue // the interface has gone meanwhile
		}
		for _, a := range addresses {
			prefix, err := netip.ParsePrefix(a.String())
			if err != nil {
				continue
			}
			switch ip := prefix.Addr().Unmap(); {
			case ip.IsLoopback():
				local = append(local, ip)
			case ip.IsGlobalUnicast():
				routed = append(routed, ip)
			}
		}
	}
	if loopback || len(routed) == 0 {
		routed = append(routed, local...)
	}
	return routed, nil
}

// socket is a UDP socket with its address.
type socket struct {
	conn  *net.UDPConn
	local netip.AddrPort
	dual  bool // carries both families
}

func openSocket(at *net.UDPAddr) (*socket, error) {
	network := "udp"
	if at.IP.To4() != nil {
		network = "udp4" // even for the wildcard
	}
	conn, err := net.ListenUDP(network, at)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the address
	}
	// Smaller buffers than asked for are no error: the kernel has its limits.
	_ = conn.SetReadBuffer(socketBuffer)
	_ = conn.SetWriteBuffer(socketBuffer)
	local := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	dual := local.Addr().Is6() && local.Addr().IsUnspecified()
	return &socket{conn: conn, local: netip.AddrPortFrom(local.Addr().Unmap(), local.Port()), dual: dual}, nil
}

// canReach says whether the socket can send to addresses of ip's family.
func (s *socket) canReach(ip netip.Addr) bool {
	return s.dual || ip.Is4() == s.local.Addr().Is4()
}

func (s *socket) write(b []byte, to netip.AddrPort) error {
	_, err := s.conn.WriteToUDPAddrPort(b, to)
	return err
}

// readAll hands every packet to take until the socket is closed. A packet that cannot be read is no reason to stop,
// a row of them is.
func (s *socket) readAll(take func(b []byte, from netip.AddrPort)) error {
	const row = 64
	buf := make([]byte, maxPacket)
	failed := 0
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			if failed++; errors.Is(err, net.ErrClosed) || failed == row {
				return err
			}
			continue
		}
		failed = 0
		if n > 0 {
			take(buf[:n], netip.AddrPortFrom(from.Addr().Unmap(), from.Port()))
		}
	}
}

// bindingTimeout bounds the wait for a STUN server.
const bindingTimeout = 3 * time.Second
