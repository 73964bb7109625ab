package voip

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/pion/stun/v4"
)

// stunClass is the class of a STUN message, RFC 5389 section 6.
type stunClass uint8

const (
	stunRequest stunClass = iota
	stunIndication
	stunSuccess
	stunFailure
)

const (
	stunCookie   = 0x2112A442
	stunHead     = 20
	stunUsername = 0x0006
)

var errNoMapping = errors.New("stun server gave no address")

// stunHeader reads the class and the transaction of a STUN message; ok says whether it is one.
func stunHeader(b []byte) (class stunClass, id transaction, ok bool) {
	if len(b) < stunHead || b[0] > 3 || binary.BigEndian.Uint32(b[4:]) != stunCookie {
		return 0, id, false
	}
	kind := binary.BigEndian.Uint16(b)
	return stunClass(kind>>4&1 | kind>>7&2), transaction(b[8:stunHead]), true
}

// stunUfrag returns the part of the USERNAME before the colon, which is the user fragment of the receiver
// (RFC 8445 section 7.2.2); nil where there is none.
func stunUfrag(b []byte) []byte {
	for rest := b[stunHead:]; len(rest) >= 4; {
		kind, length := binary.BigEndian.Uint16(rest), int(binary.BigEndian.Uint16(rest[2:]))
		if rest = rest[4:]; length > len(rest) {
			return nil
		}
		if kind == stunUsername {
			for i, c := range rest[:length] {
				if c == ':' {
					return rest[:i]
				}
			}
			return rest[:length]
		}
		rest = rest[min((length+3)&^3, len(rest)):]
	}
	return nil
}

// takeBinding gives a STUN server's answer to whoever asked.
func (s *shard) takeBinding(b []byte, id transaction) bool {
	s.mu.RLock()
	answer := s.bindings[id]
	s.mu.RUnlock()
	if answer == nil {
		return false
	}
	m := &stun.Message{Raw: append([]byte(nil), b...)}
	var mapped stun.XORMappedAddress
	if m.Decode() != nil || mapped.GetFrom(m) != nil {
		return true
	}
	ip, _ := netip.AddrFromSlice(mapped.IP)
	select {
	case answer <- netip.AddrPortFrom(ip.Unmap(), uint16(mapped.Port)):
	default: // answered already
	}
	return true
}

// mappedAddress asks a STUN server under which address it sees the shared socket.
func (s *shard) mappedAddress(ctx context.Context, server netip.AddrPort, limit time.Duration) (netip.AddrPort, error) {
	request, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.Fingerprint)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("build binding request: %w", err)
	}
	answer := make(chan netip.AddrPort, 1)
	s.mu.Lock()
	s.bindings[request.TransactionID] = answer
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.bindings, request.TransactionID)
	}()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	again := time.NewTicker(250 * time.Millisecond)
	defer again.Stop()
	for {
		if err := s.socket.write(request.Raw, server); err != nil {
			return netip.AddrPort{}, fmt.Errorf("ask stun server %v: %w", server, err)
		}
		select {
		case a := <-answer:
			if !a.IsValid() || a.Port() == 0 {
				return netip.AddrPort{}, fmt.Errorf("ask stun server %v: %w", server, errNoMapping)
			}
			return a, nil
		case <-again.C:
		case <-ctx.Done():
			return netip.AddrPort{}, fmt.Errorf("ask stun server %v: %w", server, ctx.Err())
		case <-s.net.closed:
			return netip.AddrPort{}, fmt.Errorf("ask stun server %v: %w", server, ErrNetClosed)
		}
	}
}
