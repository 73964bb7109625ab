package signaling

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// Role says which half of the call we are.
type Role uint8

// The two halves of a call.
const (
	Caller Role = iota + 1 // admin_id of the phoneCall, "outgoing" in the engines
	Callee                 // participant_id
)

// String returns "caller" or "callee".
func (r Role) String() string {
	switch r {
	case Caller:
		return "caller"
	case Callee:
		return "callee"
	}
	return "unknown"
}

// Key is the shared secret of a call: the Diffie-Hellman result, 256 bytes, big endian, zero-padded on the left.
type Key [256]byte

// Errors of Open and Channel.Send.
var (
	ErrVersion = errors.New("unsupported library version")
	ErrConfig  = errors.New("incomplete signaling configuration")
	ErrTooLong = errors.New("message is longer than the framing carries")
	ErrFull    = errors.New("too many messages wait to be sent")
	ErrClosed  = errors.New("channel has ended")
)

// Config is what Open needs. NoSCTP, Timers and Log may be left out; everything else is required. Transmit and Deliver
// are each called by one goroutine at a time, in order, while Run runs; the bytes are theirs to keep.
type Config struct {
	Version  string               // negotiated library version, one of Versions or ReferenceVersions
	Role     Role                 // our half of the call
	Key      *Key                 // secret of the call
	Transmit func(packet []byte)  // hands one packet to phone.sendSignalingData
	Deliver  func(message []byte) // takes one received message, inflated JSON
	NoSCTP   bool                 // V3 without SCTP (network_signaling_nosctp); the peer's is taken either way
	Timers   SCTPTimers           // V3 only, from custom parameters
	Log      *slog.Logger         // bound attributes (call…) come from the caller
}

// Channel carries JSON messages to the other engine of the call and back.
// Send, Receive, Peer and Stats may be called from any goroutine, also before Run and after it.
type Channel interface {
	// Send queues one JSON message and never blocks. It fails with ErrTooLong, ErrFull or ErrClosed.
	Send(message []byte) error
	// Receive takes one packet of updatePhoneCallSignalingData and keeps nothing of it. It never blocks; what
	// cannot be used is dropped and counted. Packets that come before Run are kept for it.
	Receive(packet []byte)
	// Peer tells what the packets received so far betray of the other engine.
	Peer() Peer
	// Stats returns the counters so far.
	Stats() Stats
	// Run drives timers, transmission and delivery until ctx ends, which is the ordinary end: it returns nil.
	// It must be called once; nothing outlives it and no callback is called after it returned, so it waits for a
	// Transmit or Deliver that runs when ctx ends.
	Run(ctx context.Context) error
}

// Peer is a family of call engines.
type Peer uint8

// The families of engines, as far as they can be told apart by their SCTP (V3 only).
const (
	PeerUnknown Peer = iota
	PeerNative       // the C++ engine of the phone and desktop applications
	PeerWeb          // the engines of Telegram Web A and Web K: never retransmit, fragile in renegotiation
)

// String returns "unknown", "native" or "web".
func (p Peer) String() string {
	switch p {
	case PeerNative:
		return "native"
	case PeerWeb:
		return "web"
	}
	return "unknown"
}

// Stats counts what a Channel did.
type Stats struct {
	MessagesSent     uint64 // accepted by Send and handed to Transmit at least once (V3: to SCTP)
	MessagesReceived uint64 // given to Deliver
	PacketsSent      uint64 // given to Transmit
	PacketsReceived  uint64 // given to Receive, usable or not
	Resent           uint64 // V2: messages sent again; V3: packets with a DATA chunk sent again
	Repeated         uint64 // V2: messages received again and dropped, which is normal
	Associations     uint64 // V3: SCTP handshakes begun
	Drops            Drops
}

// Drops counts packets, records and messages that were not used, by reason.
type Drops struct {
	Short          uint64 // less than the smallest packet of the framing
	Long           uint64 // above 128 KiB
	Authentication uint64 // message key does not fit: damaged, or of another call
	Replay         uint64 // counter seen before or too old
	Syntax         uint64 // record structure, SCTP chunk structure or checksum
	Foreign        uint64 // SCTP of another association, port, stream or payload protocol
	Inflate        uint64 // not gzip after all, or above 2 MiB
	Overflow       uint64 // a queue was full, or Run had ended
}

// framing is how JSON messages become packets.
type framing uint8

const (
	framingRaw   framing = iota + 1 // V1
	framingAcked                    // V2
	framingSCTP                     // V3
)

// versions lists what Open takes, newest first.
func versions() []version {
	return []version{
		{"13.0.0", framingSCTP, false},
		{"12.0.0", framingSCTP, false},
		{"11.0.0", framingSCTP, true},
		{"10.0.0", framingAcked, true},
		{"9.0.0", framingAcked, false},
		{"8.0.0", framingAcked, false},
		{"7.0.0", framingRaw, false},
	}
}

type version struct {
	name      string
	framing   framing
	reference bool // offers and answers instead of NegotiateChannels
}

// Versions returns the supported library versions but for ReferenceVersions, newest first.
func Versions() []string { return namesOf(false) }

// ReferenceVersions returns the library versions of the reference engines, newest first. They exchange session
// descriptions (Offer, Answer, Candidate, see OfferAnswer) in the place of InitialSetup, Candidates and
// NegotiateChannels.
func ReferenceVersions() []string { return namesOf(true) }

func namesOf(reference bool) []string {
	var names []string
	for _, v := range versions() {
		if v.reference == reference {
			names = append(names, v.name)
		}
	}
	return names
}

// Open makes the channel of a call. The error is ErrVersion or ErrConfig.
func Open(c Config) (Channel, error) {
	if c.Key == nil || c.Transmit == nil || c.Deliver == nil || (c.Role != Caller && c.Role != Callee) {
		return nil, fmt.Errorf("open signaling: %w: role, key, transmit and deliver are needed", ErrConfig)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	for _, v := range versions() {
		if v.name == c.Version {
			return newChannel(c, v.framing), nil
		}
	}
	return nil, fmt.Errorf("open signaling: %w %q, supported are %s", ErrVersion, c.Version, strings.Join(slices.Concat(Versions(), ReferenceVersions()), ", "))
}
