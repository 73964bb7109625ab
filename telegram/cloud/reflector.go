package cloud

import (
	"context"
	"log/slog"
	"net/netip"

	"github.com/gotd/td/tg"

	"github.com/tgtrunk/tgtrunk/telegram/cloud/reflector"
)

// reflectorID is the phoneConnection id of the reflector; its UDP and TCP entries share it.
const reflectorID = 7_000_000_001

// mirror is the reflector that calls are given. Nil: none.
type mirror struct {
	server *reflector.Server
	public netip.AddrPort
	log    *slog.Logger
}

// peerTags are the tags of a call at the reflector; nil: none.
type peerTags struct{ caller, callee reflector.Tag }

func newMirror(o Relay, log *slog.Logger) (*mirror, error) {
	server, err := reflector.Listen(reflector.Options{Listen: o.ReflectorListen, Log: log})
	if err != nil {
		return nil, err
	}
	return &mirror{server: server, public: publicAddr(o.Public, server.Addr()), log: log}, nil
}

// publicAddr is what clients are told of a server that listens at an address.
func publicAddr(public netip.Addr, at netip.AddrPort) netip.AddrPort {
	if !public.IsValid() {
		if public = at.Addr().Unmap(); public.IsUnspecified() {
			public = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		}
	}
	return netip.AddrPortFrom(public, at.Port())
}

// run serves until ctx ends.
func (m *mirror) run(ctx context.Context) error {
	if m == nil {
		<-ctx.Done()
		return nil
	}
	return m.server.Run(ctx)
}

// grant makes the tags of a call.
func (m *mirror) grant() *peerTags {
	if m == nil {
		return nil
	}
	caller, callee, err := m.server.Grant()
	if err != nil {
		m.log.Warn("call goes without reflector", "err", err)
		return nil
	}
	return &peerTags{caller, callee}
}

// forget ends a call's tags.
func (m *mirror) forget(t *peerTags) {
	if m != nil && t != nil {
		m.server.Revoke(t.caller)
	}
}

// connections are the entries that a side is given: the two differ in the first byte of the tag.
func (m *mirror) connections(t *peerTags, caller bool) []tg.PhoneConnectionClass {
	if m == nil || t == nil {
		return nil
	}
	tag := t.callee
	if caller {
		tag = t.caller
	}
	var list []tg.PhoneConnectionClass
	for _, tcp := range []bool{false, true} {
		c := &tg.PhoneConnection{TCP: tcp, ID: reflectorID, Port: int(m.public.Port()), PeerTag: tag[:]}
		if m.public.Addr().Is4() {
			c.IP = m.public.Addr().String()
		} else {
			c.Ipv6 = m.public.Addr().String()
		}
		list = append(list, c)
	}
	return list
}
