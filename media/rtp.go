package media

import (
	"log/slog"
	"net/netip"
)

// RTPOptions say where an RTPPort listens.
type RTPOptions struct {
	Listen    string       // "ip:port"; port 0 takes any free one
	Advertise string       // ip or ip:port the PBX is told to send to, where that is not the local address
	Log       *slog.Logger // default: discard
}

// RTPPort is one UDP socket that carries the RTP of all calls of a PBX link.
type RTPPort struct{}

// ListenRTP opens the socket and starts its reader.
func ListenRTP(o RTPOptions) (*RTPPort, error) { return nil, ErrClosed }

// Open returns the flow of one call: what comes from remote is its audio, and what it is given goes there.
// A second Open for the same remote takes over; the first flow is closed.
func (p *RTPPort) Open(remote netip.AddrPort, f Format, payloadType uint8) (Flow, error) {
	return nil, ErrClosed
}

// LocalAddr returns the address the socket is bound to.
func (p *RTPPort) LocalAddr() netip.AddrPort { return netip.AddrPort{} }

// Advertised returns the address to tell the PBX: Advertise, or the local address.
func (p *RTPPort) Advertised() netip.AddrPort { return netip.AddrPort{} }

// Strangers returns how many packets came from an address without a flow.
func (p *RTPPort) Strangers() uint64 { return 0 }

// Malformed returns how many packets were not RTP.
func (p *RTPPort) Malformed() uint64 { return 0 }

// Close closes the socket and every flow, and returns when the reader has ended.
func (p *RTPPort) Close() error { return nil }
