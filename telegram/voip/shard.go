package voip

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
)

// maxPacket is the longest UDP payload that is read: more than any path's MTU.
const maxPacket = 4096

// shard is one shared socket, its reader and the calls on it. A call lives in one shard.
//
// The reader tells calls apart by the remote address, which belongs to the call that first sent a check there. Where
// a second call meets the same address it sends from a socket of its own instead, so that the other side can tell
// the two apart. Where the other side sends the packets of several calls from one address all the same, checks are
// told apart by their user name, media by their SSRC, and what remains is tried.
type shard struct {
	net       *Net
	socket    *socket
	calls     atomic.Int64
	vaults    atomic.Int64 // calls without DTLS and SRTP
	strangers atomic.Uint64
	ended     chan struct{} // closed when nothing is read any more

	mu       sync.RWMutex
	claims   map[netip.AddrPort]*claim
	byUfrag  map[string]*link
	bindings map[transaction]chan<- netip.AddrPort // requests to STUN servers
	listed   []netip.AddrPort                      // host addresses as last listed
}

// claim is a remote address with the calls that have to do with it. They are mostly one and the same.
type claim struct {
	owner    *link   // sends checks there from the shared socket: answers are for it
	visitors []*link // were sent checks from there: media is for them
}

// receivers are the calls that media from the address may be for.
func (c *claim) receivers() []*link {
	if len(c.visitors) == 0 && c.owner != nil {
		return []*link{c.owner}
	}
	return c.visitors
}

// transaction is a STUN transaction id, RFC 5389 section 6.
type transaction [12]byte

func newShard(n *Net, at *net.UDPAddr) (*shard, error) {
	sock, err := openSocket(at)
	if err != nil {
		return nil, err
	}
	return &shard{
		net: n, socket: sock, ended: make(chan struct{}),
		claims: make(map[netip.AddrPort]*claim), byUfrag: make(map[string]*link),
		bindings: make(map[transaction]chan<- netip.AddrPort),
	}, nil
}

func (s *shard) read() {
	defer close(s.ended)
	err := s.socket.readAll(s.take)
	if !errors.Is(err, net.ErrClosed) {
		s.net.log.Error("call socket failed", "local", s.socket.local, "error", err)
		_ = s.socket.conn.Close()
	}
}

// hosts lists the addresses of our own under which the socket can be reached, and remembers them.
func (s *shard) hosts() []netip.AddrPort {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.listed
}

func (s *shard) listHosts() ([]netip.AddrPort, error) {
	local := s.socket.local
	list := []netip.AddrPort{local}
	if local.Addr().IsUnspecified() {
		all, err := hostAddresses(s.net.loopback)
		if err != nil {
			return nil, err
		}
		list = list[:0]
		for _, ip := range all {
			if s.socket.canReach(ip) {
				list = append(list, netip.AddrPortFrom(ip, local.Port()))
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listed = list
	return list, nil
}

// take sorts a packet by its first byte, RFC 7983, unless it is for a call without SRTP, whose packets begin with
// anything.
func (s *shard) take(b []byte, from netip.AddrPort) {
	if s.vaults.Load() > 0 && s.takeSealed(b, from) {
		return
	}
	switch first := b[0]; {
	case first >= 128 && first <= 191:
		s.takeMedia(b, from)
	case first <= 3:
		s.takeSTUN(b, from)
	case first >= 20 && first <= 63:
		s.takeDTLS(b, from)
	default:
		s.strangers.Add(1)
	}
}

// takeSealed gives a packet that is no STUN to the call without SRTP whose it is. It reports false when it may be
// another call's.
func (s *shard) takeSealed(b []byte, from netip.AddrPort) bool {
	if _, _, ok := stunHeader(b); ok {
		return false
	}
	s.mu.RLock()
	c := s.claims[from]
	if c == nil {
		s.mu.RUnlock()
		return false
	}
	owner, visitors := c.owner, c.visitors
	s.mu.RUnlock()
	if len(visitors) == 0 && owner != nil && owner.vault != nil {
		if !owner.vault.receive(b) {
			owner.media.stranger()
		}
		return true
	}
	others := false
	for _, v := range visitors {
		if v.vault == nil {
			others = true
		} else if v.vault.receive(b) {
			return true
		}
	}
	if others || len(visitors) == 0 {
		return false
	}
	visitors[0].media.stranger()
	return true
}

func (s *shard) takeMedia(b []byte, from netip.AddrPort) {
	s.mu.RLock()
	c := s.claims[from]
	if c == nil {
		s.mu.RUnlock()
		s.strangers.Add(1)
		return
	}
	owner, visitors := c.owner, c.visitors
	s.mu.RUnlock()
	switch len(visitors) {
	case 0:
		owner.media.receive(b)
	case 1:
		visitors[0].media.receive(b)
	default:
		s.takeShared(b, visitors)
	}
}

// takeShared finds the call of a packet by its SSRC. What nobody knows by that, such as a report, is tried on all calls
// at its address: decryption works in place and spoils what it cannot open, so everyone gets a copy.
func (s *shard) takeShared(b []byte, visitors []*link) {
	for _, v := range visitors {
		if v.media.knows(b) {
			v.media.receive(b)
			return
		}
	}
	var copied [maxPacket]byte
	for _, v := range visitors {
		if v.media.receive(copied[:copy(copied[:], b)]) {
			return
		}
	}
}

// takeDTLS gives a record to the call at its address. Where there are several, unencrypted records are for those
// whose handshake is not done; encrypted ones open for the right one only.
func (s *shard) takeDTLS(b []byte, from netip.AddrPort) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	c := s.claims[from]
	if c == nil {
		s.strangers.Add(1)
		return
	}
	to := c.receivers()
	plain := len(b) >= 5 && binary.BigEndian.Uint16(b[3:]) == 0 // epoch, RFC 6347 section 4.1
	for _, l := range to {
		if len(to) > 1 && plain && l.dtls.done.Load() {
			continue
		}
		l.dtls.deliver(b)
	}
}

func (s *shard) takeSTUN(b []byte, from netip.AddrPort) {
	kind, id, ok := stunHeader(b)
	if !ok {
		s.strangers.Add(1)
		return
	}
	if kind == stunSuccess || kind == stunFailure {
		if s.takeBinding(b, id) {
			return
		}
		if l := s.owner(from); l != nil {
			l.takeResponse(b, id, from)
			return
		}
	} else if l := s.called(b, from); l != nil {
		l.takeRequest(b, id, from, s.socket)
		return
	}
	s.strangers.Add(1)
}

func (s *shard) owner(from netip.AddrPort) *link {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if c := s.claims[from]; c != nil {
		return c.owner
	}
	return nil
}

// called finds the call a request is for: by the user name, which begins with our user fragment.
func (s *shard) called(b []byte, from netip.AddrPort) *link {
	ufrag := stunUfrag(b)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if l := s.byUfrag[string(ufrag)]; l != nil {
		return l
	}
	if c := s.claims[from]; c != nil && ufrag == nil { // an indication
		return c.owner
	}
	return nil
}

// claim makes l the owner of a remote address, unless it has one or is our own.
func (s *shard) claim(to netip.AddrPort, l *link) (owner bool) {
	if s.net.owns(to) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.at(to)
	if c.owner == nil {
		c.owner = l
	}
	return c.owner == l
}

// visit notes that a check for l has come from a remote address.
func (s *shard) visit(from netip.AddrPort, l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.at(from); !slices.Contains(c.visitors, l) {
		c.visitors = append(slices.Clone(c.visitors), l)
	}
}

func (s *shard) at(a netip.AddrPort) *claim {
	c := s.claims[a]
	if c == nil {
		c = &claim{}
		s.claims[a] = c
	}
	return c
}

// leave takes l off. The reader holds the visitors without the lock, so they are never changed in place.
func (c *claim) leave(l *link) {
	if c.owner == l {
		c.owner = nil
	}
	c.visitors = slices.DeleteFunc(slices.Clone(c.visitors), func(v *link) bool { return v == l })
}

// release takes l out of everything.
func (s *shard) release(l *link, addresses []netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range addresses {
		c := s.claims[a]
		if c == nil {
			continue
		}
		c.leave(l)
		if c.owner == nil && len(c.visitors) == 0 {
			delete(s.claims, a)
		}
	}
	for ufrag, other := range s.byUfrag {
		if other == l {
			delete(s.byUfrag, ufrag)
		}
	}
}

func (s *shard) register(ufrag string, l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byUfrag[ufrag] = l
}

func (s *shard) unregister(ufrag string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byUfrag, ufrag)
}
