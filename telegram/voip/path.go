package voip

import "net/netip"

// path is one way to the peer: straight from a socket, or through the ICE agent where a relay is on our side.
type path struct {
	socket *socket
	to     netip.AddrPort
	relay  interface{ Write(b []byte) (int, error) }
}

// write sends a packet. What the network does not take is lost, as packets are.
func (p *path) write(b []byte) {
	if p.socket != nil {
		_ = p.socket.write(b, p.to)
		return
	}
	_, _ = p.relay.Write(b)
}
