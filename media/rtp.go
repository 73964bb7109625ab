package media

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"
)

const (
	rtpReadBuffer  = 4 << 20 // bytes in the kernel; it silently gives less where net.core.rmem_max is small
	rtpMaxDatagram = 1 << 16
	// A PBX goes on sending for a moment after its call has ended; that is nobody's mistake.
	rtpFarewell     = 5 * time.Second
	rtpStrangerLogs = 10 * time.Second
	rtpReadFailures = 10          // in a row, before the reader begins to pause
	rtpReadPause    = time.Second // between attempts then
)

// RTPOptions say where an RTPPort listens.
type RTPOptions struct {
	Listen    string       // "ip:port"; port 0 takes any free one
	Advertise string       // "ip" or "ip:port" the PBX is told to send to, where that is not the local address
	Log       *slog.Logger // default: discard
}

// RTPPort is one UDP socket that carries the RTP of all calls of a PBX link, told apart by the address they come
// from. One goroutine reads it, and handles each packet to its end.
type RTPPort struct {
	conn      *net.UDPConn
	local     netip.AddrPort
	advertise netip.AddrPort
	log       *slog.Logger
	quit      chan struct{} // closed when Close begins
	done      chan struct{} // closed when the reader has ended

	mu     sync.Mutex // guards changes of flows, and closed
	closed bool
	flows  atomic.Pointer[map[netip.AddrPort]*rtpFlow] // never changed, only replaced

	strangers atomic.Uint64
	malformed atomic.Uint64

	reader rtpReader
}

// rtpReader is what only the port's goroutine touches.
type rtpReader struct {
	packet rtp.Packet // the one in hand
	audio  Packet     // the same, as the sink gets it
	warned time.Time  // last log line about a stranger
	unsaid uint64     // strangers since then
}

// ListenRTP opens the socket and starts its reader, which Close ends.
func ListenRTP(o RTPOptions) (*RTPPort, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	listen, err := netip.ParseAddrPort(o.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for RTP: want ip:port: %w", err)
	}
	network := "udp4" // or else IPv4 peers would appear with mapped IPv6 addresses
	if listen.Addr().Is6() && !listen.Addr().Is4In6() {
		network = "udp6"
	}
	conn, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(listen))
	if err != nil {
		return nil, fmt.Errorf("listen for RTP: %w", err)
	}
	p := &RTPPort{conn: conn, quit: make(chan struct{}), done: make(chan struct{})}
	p.local = plainAddr(conn.LocalAddr().(*net.UDPAddr).AddrPort())
	p.log = o.Log.With("rtp", p.local.String())
	if p.advertise, err = advertised(o.Advertise, p.local); err != nil {
		return nil, errors.Join(fmt.Errorf("listen for RTP: %w", err), conn.Close())
	}
	if err := conn.SetReadBuffer(rtpReadBuffer); err != nil {
		p.log.Warn("enlarge receive buffer", "err", err)
	}
	p.flows.Store(&map[netip.AddrPort]*rtpFlow{})
	go p.read()
	return p, nil
}

func advertised(want string, local netip.AddrPort) (netip.AddrPort, error) {
	if want == "" {
		return local, nil
	}
	if addr, err := netip.ParseAddr(want); err == nil {
		return netip.AddrPortFrom(addr, local.Port()), nil
	}
	both, err := netip.ParseAddrPort(want)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("advertise %q: want ip or ip:port", want)
	}
	return both, nil
}

// Open returns the flow of one call: what comes from remote is its audio, and what it is given goes there with this
// payload type. A second Open for the same remote takes over, and closes the first flow.
func (p *RTPPort) Open(remote netip.AddrPort, f Format, payloadType uint8) (Flow, error) {
	if err := checkFormat(f); err != nil {
		return nil, fmt.Errorf("open RTP flow: %w", err)
	}
	remote = plainAddr(remote)
	if !remote.IsValid() || remote.Port() == 0 || remote.Addr().IsUnspecified() ||
		remote.Addr().Is4() != p.local.Addr().Is4() {
		return nil, fmt.Errorf("open RTP flow: no address to talk to: %s", remote)
	}
	if payloadType > 127 {
		return nil, fmt.Errorf("open RTP flow: payload type %d is over 127", payloadType)
	}
	flow := newRTPFlow(p, remote, f, payloadType)
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, fmt.Errorf("open RTP flow: %w", ErrClosed)
	}
	flows := p.living(time.Now())
	before := flows[remote]
	flows[remote] = flow
	p.flows.Store(&flows)
	p.mu.Unlock()
	if before != nil && before.end() {
		p.log.Warn("another call took over the audio of an address", "remote", remote.String())
	}
	return flow, nil
}

// living returns a copy of the flows without those that ended a while ago. p.mu is held.
func (p *RTPPort) living(now time.Time) map[netip.AddrPort]*rtpFlow {
	flows := maps.Clone(*p.flows.Load())
	maps.DeleteFunc(flows, func(_ netip.AddrPort, f *rtpFlow) bool {
		return f.endedFor(now) > rtpFarewell
	})
	return flows
}

// LocalAddr returns the address the socket is bound to.
func (p *RTPPort) LocalAddr() netip.AddrPort { return p.local }

// Advertised returns the address to tell the PBX: Advertise, or the local address.
func (p *RTPPort) Advertised() netip.AddrPort { return p.advertise }

// Strangers returns how many packets came from an address without a flow.
func (p *RTPPort) Strangers() uint64 { return p.strangers.Load() }

// Malformed returns how many packets from the address of a flow were not RTP.
func (p *RTPPort) Malformed() uint64 { return p.malformed.Load() }

// Close closes the socket and every flow, and returns when the reader has ended. It is idempotent, and must not be
// called from within a Sink.
func (p *RTPPort) Close() error {
	p.mu.Lock()
	first := !p.closed
	p.closed = true
	flows := *p.flows.Load()
	p.mu.Unlock()
	var err error
	if first {
		close(p.quit)
		err = p.conn.Close()
	}
	<-p.done
	for _, f := range flows {
		f.end()
	}
	if err != nil {
		return fmt.Errorf("close RTP port: %w", err)
	}
	return nil
}

// read is the port's goroutine.
func (p *RTPPort) read() {
	defer close(p.done)
	buffer := make([]byte, rtpMaxDatagram)
	for failures := 0; ; {
		n, from, err := p.conn.ReadFromUDPAddrPort(buffer)
		if err == nil {
			failures = 0
			p.handle(buffer[:n], from, time.Now())
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		// One error may be the echo of a packet to a PBX that is gone; many are a network that is down.
		p.log.Warn("read RTP", "err", err)
		if failures++; failures > rtpReadFailures {
			select {
			case <-p.quit:
				return
			case <-time.After(rtpReadPause):
			}
		}
	}
}

// handle takes one datagram. It runs in the reader, and allocates nothing.
func (p *RTPPort) handle(datagram []byte, from netip.AddrPort, now time.Time) {
	flow := (*p.flows.Load())[plainAddr(from)]
	if flow == nil {
		p.stranger(from, now)
		return
	}
	if isRTCP(datagram) {
		return
	}
	if len(datagram) < 1 || datagram[0]>>6 != 2 || p.reader.packet.Unmarshal(datagram) != nil {
		p.malformed.Add(1)
		return
	}
	flow.receive(&p.reader.packet, &p.reader.audio, now)
}

func (p *RTPPort) stranger(from netip.AddrPort, now time.Time) {
	p.strangers.Add(1)
	r := &p.reader
	if r.unsaid++; now.Sub(r.warned) < rtpStrangerLogs {
		return
	}
	p.log.Warn("dropping packets from an address without a call", "last", from.String(), "packets", r.unsaid)
	r.warned, r.unsaid = now, 0
}

// isRTCP tells RTCP on the same port apart by its second byte (RFC 5761 §4).
func isRTCP(datagram []byte) bool {
	return len(datagram) >= 2 && datagram[0]>>6 == 2 && datagram[1] >= 192 && datagram[1] <= 223
}

func plainAddr(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
