package voip

import (
	"net"
	"net/netip"
	"slices"
	"sync"
)

// link ties one call to its shard: the remote addresses it has to do with, and the ports its ICE agent reads from.
type link struct {
	shard *shard
	media *flow     // takes SRTP and SRTCP
	dtls  *dtlsPort // takes DTLS
	vault *vault    // takes everything but STUN; nil: there is none. Set once

	mu       sync.Mutex
	closed   bool
	remotes  map[netip.AddrPort]*remote
	ports    []*port
	asked    ring[*port]   // checks sent: whose the answers are
	came     ring[*socket] // checks received: where the answers go
	private  *socket       // for remote addresses that are another call's
	draining sync.WaitGroup
}

// remote says how to send to a remote address.
type remote struct {
	via     *socket // checks and everything else but answers; nil until the first check
	visited bool    // checks have come from there to the shared socket
}

// ring remembers something of the last connectivity checks.
type ring[T any] struct {
	entries [64]struct {
		id    transaction
		known bool
		value T
	}
	next int
}

func (r *ring[T]) put(id transaction, value T) {
	e := &r.entries[r.next]
	e.id, e.known, e.value = id, true, value
	r.next = (r.next + 1) % len(r.entries)
}

func (r *ring[T]) get(id transaction) (value T, ok bool) {
	for i := range r.entries {
		if e := &r.entries[i]; e.known && e.id == id {
			return e.value, true
		}
	}
	return value, false
}

func newLink(s *shard, f *flow, d *dtlsPort) *link {
	s.calls.Add(1)
	return &link{shard: s, media: f, dtls: d, remotes: make(map[netip.AddrPort]*remote)}
}

// entrust lets a vault take everything but STUN. It comes before the first packet.
func (l *link) entrust(v *vault) {
	l.vault = v
	l.shard.vaults.Add(1)
	v.flow.open(clearIn{})
}

// close takes the call off its shard. Packets that are being delivered meanwhile may still arrive at the flow.
func (l *link) close() {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.closed = true
	addresses := make([]netip.AddrPort, 0, len(l.remotes))
	for a := range l.remotes {
		addresses = append(addresses, a)
	}
	ports := slices.Clone(l.ports)
	if l.private != nil {
		_ = l.private.conn.Close()
	}
	l.mu.Unlock()
	for _, p := range ports {
		_ = p.Close()
	}
	l.shard.release(l, addresses)
	l.shard.calls.Add(-1)
	if l.vault != nil {
		l.shard.vaults.Add(-1)
	}
	l.draining.Wait()
}

// path returns how media goes to a remote address; nil when the address cannot be reached directly.
func (l *link) path(to netip.AddrPort) *socket {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.via(to)
}

// via returns the socket for a remote address and settles it at the first use. Guarded by l.mu.
func (l *link) via(to netip.AddrPort) *socket {
	if l.closed {
		return nil
	}
	r := l.remote(to)
	if r.via != nil {
		return r.via
	}
	if l.shard.claim(to, l) {
		r.via = l.shard.socket
	} else {
		r.via = l.own()
	}
	return r.via
}

func (l *link) remote(a netip.AddrPort) *remote {
	r := l.remotes[a]
	if r == nil {
		r = &remote{}
		l.remotes[a] = r
	}
	return r
}

// own returns the call's own socket, opened when it is needed first; the shared one where that fails. Guarded by l.mu.
func (l *link) own() *socket {
	if l.private != nil {
		return l.private
	}
	at := &net.UDPAddr{}
	if ip := l.shard.socket.local.Addr(); !ip.IsUnspecified() || !l.shard.socket.dual {
		at.IP = ip.AsSlice()
	}
	s, err := openSocket(at)
	if err != nil {
		l.shard.net.log.Warn("two calls share a remote address and there is no second socket", "error", err)
		return l.shard.socket
	}
	l.private = s
	l.draining.Go(func() {
		_ = s.readAll(func(b []byte, from netip.AddrPort) { l.take(b, from, s) })
	})
	return s
}

// take sorts a packet that came to the call's own socket.
func (l *link) take(b []byte, from netip.AddrPort, s *socket) {
	if _, _, ok := stunHeader(b); !ok && l.vault != nil {
		if !l.knows(from) || !l.vault.receive(b) {
			l.media.stranger()
		}
		return
	}
	switch first := b[0]; {
	case first >= 128 && first <= 191:
		if l.knows(from) {
			l.media.receive(b)
		} else {
			l.media.stranger()
		}
	case first >= 20 && first <= 63:
		if l.knows(from) {
			l.dtls.deliver(b)
		}
	default:
		kind, id, ok := stunHeader(b)
		switch {
		case !ok:
			l.media.stranger()
		case kind == stunSuccess || kind == stunFailure:
			l.takeResponse(b, id, from)
		default:
			l.takeRequest(b, id, from, s)
		}
	}
}

func (l *link) knows(a netip.AddrPort) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.remotes[a]
	return r != nil && r.via != nil
}

// takeResponse gives the answer to a check to the port that sent it. Of a check that is forgotten by now, as on a path of
// half a second with many candidates, the port is guessed: all share a socket, and the agent knows its transactions.
func (l *link) takeResponse(b []byte, id transaction, from netip.AddrPort) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, ok := l.asked.get(id)
	if !ok {
		p = l.host(from)
	}
	if p != nil {
		p.deliver(b, from)
	}
}

// host is the first port that can be reached from an address; nil where there is none. Guarded by l.mu.
func (l *link) host(from netip.AddrPort) *port {
	for _, p := range l.ports {
		if !p.mapped && p.local.Addr().Is4() == from.Addr().Is4() {
			return p
		}
	}
	return nil
}

// takeRequest gives a check to the first port of its family.
func (l *link) takeRequest(b []byte, id transaction, from netip.AddrPort, s *socket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.remotes) >= maxRemotes && l.remotes[from] == nil {
		return
	}
	p := l.host(from)
	if p == nil {
		return
	}
	if r := l.remote(from); !r.visited && s == l.shard.socket {
		r.visited = true
		l.shard.visit(from, l)
	}
	l.came.put(id, s)
	p.deliver(b, from)
}

// maxRemotes bounds what a peer can make a call remember.
const maxRemotes = 256

// send is what an ICE agent's port writes: checks and answers.
func (l *link) send(p *port, b []byte, to netip.AddrPort) error {
	l.mu.Lock()
	kind, id, ok := stunHeader(b)
	var s *socket
	switch {
	case ok && kind == stunRequest:
		l.asked.put(id, p)
	case ok:
		s, _ = l.came.get(id)
	}
	if s == nil {
		s = l.via(to)
	}
	l.mu.Unlock()
	if s == nil {
		return net.ErrClosed
	}
	return s.write(b, to)
}
