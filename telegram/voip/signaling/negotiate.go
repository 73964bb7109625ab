package signaling

// NegotiatorOptions shapes a Negotiator. Role and SSRC are required.
type NegotiatorOptions struct {
	Role        Role
	SSRC        uint32        // of the audio we send, not 0
	Codecs      []PayloadType // audio codecs we can send and receive, best first; default: OpusCodec
	TransportCC bool          // offer and accept transport-wide congestion control
	ExchangeID  func() uint32 // makes the ids of our offers; default: random
}

// Negotiator is the negotiation of the audio streams of one call. It does no I/O and is not safe for concurrent use.
//
// Each side describes only what it sends. A call has two exchanges: the caller's offer and the callee's answer, then
// the callee's offer and the caller's answer.
type Negotiator struct{}

// Stream is one direction of the call's audio.
type Stream struct {
	SSRC       uint32
	Accepted   bool          // outgoing: the peer answered our offer with a codec; incoming: we answered the peer's
	Payload    PayloadType   // what is, or will most probably be, sent
	Payloads   []PayloadType // all that the answer holds, Payload first; the peer may switch between them
	Extensions []Extension   // RTP header extensions both sides know
}

// OpusCodec is the Opus every engine offers: payload type 111, 48 kHz, 2 channels.
func OpusCodec() PayloadType { return PayloadType{} }

// NewNegotiator makes a Negotiator; it fails on a missing role or SSRC and on codecs with equal numbers.
func NewNegotiator(o NegotiatorOptions) (*Negotiator, error) { return &Negotiator{}, nil }

// Offer returns the offer of our audio when one is due: a caller's at once, a callee's after it has answered the
// caller's first offer, either one only until it has been answered. ok is false when nothing is to be sent now.
func (n *Negotiator) Offer() (offer NegotiateChannels, ok bool) { return }

// Handle takes a received message. When reply is true, answer must be sent; after that Offer may have become due.
func (n *Negotiator) Handle(m NegotiateChannels) (answer NegotiateChannels, reply bool) { return }

// Outgoing is our audio, Incoming the peer's, as negotiated so far.
func (n *Negotiator) Outgoing() Stream { return Stream{} }

// Incoming is the peer's audio as negotiated so far.
func (n *Negotiator) Incoming() Stream { return Stream{} }
