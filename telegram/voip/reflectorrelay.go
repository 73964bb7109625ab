package voip

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/stun/v4"
)

// allocation is a reflector leg in the shape that an ICE agent knows: the connection to a TURN server (RFC 8656) that
// lives in the same process, needs no password and lends the leg's made-up address. So the agent has a relay
// candidate, with a relay's low priority, and its checks come here as Send indications. Only STUN takes this way.
//
// It is the net.Conn that the agent's TURN client writes requests to and reads answers from.
type allocation struct {
	leg    *leg
	done   <-chan struct{} // the call has ended
	queue  chan []byte     // for the client
	closed chan struct{}
	once   sync.Once
}

const (
	turnLifetime = 3600 // seconds; refreshed by the client like any other
	turnRealm    = "reflector"
)

func newAllocation(ctx context.Context, l *leg) *allocation {
	return &allocation{leg: l, done: ctx.Done(), queue: make(chan []byte, 128), closed: make(chan struct{})}
}

// Read implements net.Conn: every call returns one message, and what has been answered is read before the end is.
func (a *allocation) Read(b []byte) (int, error) {
	select {
	case m := <-a.queue:
		return copy(b, m), nil
	default:
	}
	select {
	case m := <-a.queue:
		return copy(b, m), nil
	case <-a.closed:
	case <-a.done:
	}
	return 0, io.EOF
}

// Write implements net.Conn: it takes one message of the client.
func (a *allocation) Write(b []byte) (int, error) {
	select {
	case <-a.closed:
		return 0, io.ErrClosedPipe
	case <-a.done:
		return 0, io.ErrClosedPipe
	default:
	}
	m := &stun.Message{Raw: append([]byte(nil), b...)}
	if m.Decode() != nil {
		return len(b), nil //nolint:nilerr // a server drops what it cannot read, and the client's write has succeeded
	}
	switch {
	case m.Type.Class == stun.ClassIndication && m.Type.Method == stun.MethodSend:
		a.forward(m)
	case m.Type.Class == stun.ClassRequest:
		a.answer(m)
	}
	return len(b), nil
}

// forward sends what is in a Send indication through the reflector.
func (a *allocation) forward(m *stun.Message) {
	payload, err := m.Get(stun.AttrData)
	if err != nil || len(payload) == 0 {
		return
	}
	if to, ok := a.peer(m); ok {
		a.leg.send(to.tag, payload)
	}
}

// peer returns the end that a message names, if the leg reaches it.
func (a *allocation) peer(m *stun.Message) (e end, ok bool) {
	var address stun.XORMappedAddress
	if address.GetFromAs(m, stun.AttrXORPeerAddress) != nil {
		return e, false
	}
	ip, _ := netip.AddrFromSlice(address.IP)
	e, ok = endAt(netip.AddrPortFrom(ip, uint16(address.Port)))
	return e, ok && a.leg.reaches(e)
}

// answer replies to a request. Channels are refused: indications do for checks.
func (a *allocation) answer(m *stun.Message) {
	reply := []stun.Setter{stun.NewTransactionIDSetter(m.TransactionID)}
	refuse := func(code stun.ErrorCode, more ...stun.Setter) {
		reply = append(reply, stun.NewType(m.Type.Method, stun.ClassErrorResponse), code)
		reply = append(reply, more...)
	}
	grant := func(more ...stun.Setter) {
		reply = append(reply, stun.NewType(m.Type.Method, stun.ClassSuccessResponse))
		reply = append(reply, more...)
	}
	lifetime := stun.RawAttribute{Type: stun.AttrLifetime, Value: []byte{0, 0, turnLifetime >> 8, turnLifetime & 255}}
	switch m.Type.Method {
	case stun.MethodAllocate:
		if !m.Contains(stun.AttrUsername) { // clients ask twice and insist on being asked who they are
			refuse(stun.CodeUnauthorized, stun.NewRealm(turnRealm), stun.NewNonce(turnRealm))
			break
		}
		grant(xorAddress{stun.AttrXORRelayedAddress, a.leg.local.address()}, lifetime)
	case stun.MethodRefresh:
		grant(lifetime)
	case stun.MethodCreatePermission:
		if _, ok := a.peer(m); ok {
			grant()
		} else {
			refuse(stun.CodeForbidden)
		}
	default:
		refuse(stun.CodeForbidden)
	}
	a.put(reply)
}

// deliver tells the agent what has come from a peer.
func (a *allocation) deliver(payload []byte, from netip.AddrPort) {
	a.put([]stun.Setter{
		stun.TransactionID, stun.NewType(stun.MethodData, stun.ClassIndication),
		xorAddress{stun.AttrXORPeerAddress, from}, stun.RawAttribute{Type: stun.AttrData, Value: payload},
	})
}

// put queues a message for the client; a full queue drops it, as a socket does.
func (a *allocation) put(setters []stun.Setter) {
	m, err := stun.Build(setters...)
	if err != nil {
		return
	}
	select {
	case a.queue <- m.Raw:
	default:
	}
}

// xorAddress is an address attribute, RFC 8489 section 14.2.
type xorAddress struct {
	kind stun.AttrType
	at   netip.AddrPort
}

// AddTo implements stun.Setter.
func (x xorAddress) AddTo(m *stun.Message) error {
	a := stun.XORMappedAddress{IP: x.at.Addr().AsSlice(), Port: int(x.at.Port())}
	return a.AddToAs(m, x.kind)
}

// Close implements net.Conn; the leg stays for the next generation of candidates.
func (a *allocation) Close() error {
	a.once.Do(func() {
		close(a.closed)
		a.leg.detach(a)
	})
	return nil
}

// LocalAddr implements net.Conn. It becomes the related address of the candidate, which is not signalled.
func (a *allocation) LocalAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4zero} }

// RemoteAddr implements net.Conn.
func (a *allocation) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4zero} }

// SetDeadline implements net.Conn; the client closes it instead.
func (a *allocation) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn.
func (a *allocation) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn; writing never waits.
func (a *allocation) SetWriteDeadline(time.Time) error { return nil }
