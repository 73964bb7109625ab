package signaling

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// RTP header extensions of the engines' offers.
const (
	URIAudioLevel   = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
	URIAbsSendTime  = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
	URITransportCC  = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
	uriMID          = "urn:ietf:params:rtp-hdrext:sdes:mid"
	feedbackTransCC = "transport-cc"
)

// transportCCID is the id of the transport-wide sequence number in our offers, the same as the native engine's.
const transportCCID = 3

// ErrNegotiator is the base of NewNegotiator's errors.
var ErrNegotiator = errors.New("bad negotiator options")

// NegotiatorOptions shapes a Negotiator. Role and SSRC are required.
type NegotiatorOptions struct {
	Role        Role
	SSRC        uint32        // of the audio we send, not 0
	Codecs      []PayloadType // audio codecs we can send and receive, best first; default: OpusCodec. Feedback is left to TransportCC
	Extensions  []Extension   // RTP header extensions we write and read; default: none. sdes:mid is refused: it breaks web callers
	TransportCC bool          // offer and accept transport-wide congestion control, feedback and header extension
	ExchangeID  func() uint32 // makes the ids of our offers; default: random
}

// Negotiator is the negotiation of the audio streams of one call. It does no I/O and is not safe for concurrent use.
//
// Each side describes only what it sends. A call has two exchanges: the caller's offer and the callee's answer, then
// the callee's offer and the caller's answer. When offers cross, the caller's wins: the caller ignores the callee's,
// the callee drops its own, answers, and offers again.
type Negotiator struct {
	o        NegotiatorOptions
	pending  string   // exchange of our offer that waits for its answer; empty: none
	settled  string   // exchange of our offer that was answered, accepted or not; empty: none
	dropped  []string // exchanges of ours that lost against the caller's offer
	answered []string // exchanges of the peer that we answered
	outgoing Stream
	incoming Stream
}

// Stream is one direction of the call's audio.
type Stream struct {
	SSRC       uint32
	Accepted   bool          // outgoing: the peer answered our offer with a codec; incoming: we answered the peer's
	Payload    PayloadType   // what is, or will most probably be, sent
	Payloads   []PayloadType // all that the answer holds, Payload first; the sender may switch between them
	Extensions []Extension   // RTP header extensions both sides know
}

// OpusCodec is the Opus every engine offers: payload type 111, 48 kHz, 2 channels.
func OpusCodec() PayloadType {
	return PayloadType{
		ID: 111, Name: "opus", ClockRate: 48000, Channels: 2,
		Parameters: map[string]string{"minptime": "10", "useinbandfec": "1"},
	}
}

// NewNegotiator makes a Negotiator; it fails on a missing role or SSRC, on codecs with bad or equal numbers, and on
// extensions that cannot be used.
func NewNegotiator(o NegotiatorOptions) (*Negotiator, error) {
	if o.Role != Caller && o.Role != Callee || o.SSRC == 0 {
		return nil, fmt.Errorf("%w: role and ssrc are needed", ErrNegotiator)
	}
	if o.Codecs == nil {
		o.Codecs = []PayloadType{OpusCodec()}
	}
	if o.ExchangeID == nil {
		o.ExchangeID = rand.Uint32
	}
	o.Codecs = slices.Clone(o.Codecs)
	o.Extensions = slices.Clone(o.Extensions)
	ids := map[int]bool{}
	for i, c := range o.Codecs {
		if !usablePayloadType(c.ID) || ids[c.ID] || c.Name == "" || c.ClockRate <= 0 {
			return nil, fmt.Errorf("%w: codec %q with payload type %d", ErrNegotiator, c.Name, c.ID)
		}
		ids[c.ID] = true
		o.Codecs[i].Parameters = maps.Clone(c.Parameters)
		o.Codecs[i].Feedback = nil
		if o.TransportCC {
			o.Codecs[i].Feedback = []Feedback{{Type: feedbackTransCC}}
		}
	}
	if o.TransportCC {
		o.Extensions = append(o.Extensions, Extension{ID: transportCCID, URI: URITransportCC})
	}
	ids = map[int]bool{}
	for _, e := range o.Extensions {
		if e.URI == uriMID || !usableExtension(e.ID) || ids[e.ID] {
			return nil, fmt.Errorf("%w: extension %d %s", ErrNegotiator, e.ID, e.URI)
		}
		ids[e.ID] = true
	}
	return &Negotiator{o: o, outgoing: Stream{SSRC: o.SSRC}}, nil
}

// Offer returns the offer of our audio when one is due: a caller's at once, a callee's after it has answered the
// caller's first offer, either one only until it has been answered. ok is false when nothing is to be sent now. The
// offer may be held back by not calling Offer.
func (n *Negotiator) Offer() (offer NegotiateChannels, ok bool) {
	if n.pending != "" || n.settled != "" || n.o.Role == Callee && len(n.answered) == 0 {
		return NegotiateChannels{}, false
	}
	n.pending = strconv.FormatUint(uint64(n.o.ExchangeID()), 10)
	return NegotiateChannels{ExchangeID: n.pending, Contents: []Content{{
		Type: TypeAudio, SSRC: n.o.SSRC, PayloadTypes: clonePayloads(n.o.Codecs), Extensions: slices.Clone(n.o.Extensions),
	}}}, true
}

// Handle takes a received message. When reply is true, answer must be sent; after that Offer may have become due.
// Answers to nothing, offers that lost, and repeated offers have no effect: an answer that its peer does not wait for
// would be taken for an offer.
func (n *Negotiator) Handle(m NegotiateChannels) (answer NegotiateChannels, reply bool) {
	switch {
	case m.ExchangeID == n.pending && n.pending != "":
		n.pending = ""
		n.accept(m)
		return NegotiateChannels{}, false
	case slices.Contains(n.dropped, m.ExchangeID):
		// The caller answered our offer although its own was pending, as web engines do with what they queued.
		if !n.outgoing.Accepted {
			n.accept(m)
		}
		return NegotiateChannels{}, false
	case slices.Contains(n.answered, m.ExchangeID), m.ExchangeID == n.settled, n.echoes(m):
		return NegotiateChannels{}, false
	}
	if n.pending != "" {
		if n.o.Role == Caller {
			return NegotiateChannels{}, false
		}
		n.dropped = remember(n.dropped, n.pending)
		n.pending = ""
	}
	n.answered = remember(n.answered, m.ExchangeID)
	return n.answer(m), true
}

// Outgoing is our audio as negotiated so far.
func (n *Negotiator) Outgoing() Stream { return n.outgoing.clone() }

// Incoming is the peer's audio as negotiated so far.
func (n *Negotiator) Incoming() Stream { return n.incoming.clone() }

// echoes reports whether a message describes our own stream, so that it cannot be an offer.
func (n *Negotiator) echoes(m NegotiateChannels) bool {
	return slices.ContainsFunc(m.Contents, func(c Content) bool { return c.SSRC == n.o.SSRC })
}

// accept takes the answer to our offer: what it says of our ssrc, in the answerer's order of preference.
func (n *Negotiator) accept(m NegotiateChannels) {
	n.settled = m.ExchangeID
	n.outgoing = Stream{SSRC: n.o.SSRC}
	for _, c := range m.Contents {
		if c.Type != TypeAudio || c.SSRC != n.o.SSRC {
			continue
		}
		for _, p := range c.PayloadTypes {
			i := slices.IndexFunc(n.o.Codecs, func(our PayloadType) bool { return our.ID == p.ID && sameCodec(our, p) })
			if i >= 0 {
				n.outgoing.Payloads = append(n.outgoing.Payloads, n.common(n.o.Codecs[i], p))
			}
		}
		for _, our := range n.o.Extensions {
			if slices.Contains(c.Extensions, our) {
				n.outgoing.Extensions = append(n.outgoing.Extensions, our)
			}
		}
		break
	}
	n.outgoing.settle()
}

// answer echoes the offered audio with the codecs and extensions that we know, under the offerer's numbers. Only the
// first audio content is taken; video is refused by being left out.
func (n *Negotiator) answer(offer NegotiateChannels) NegotiateChannels {
	answer := NegotiateChannels{ExchangeID: offer.ExchangeID}
	n.incoming = Stream{}
	var echo []PayloadType
	for _, c := range offer.Contents {
		if c.Type != TypeAudio || c.SSRC == 0 {
			continue
		}
		n.incoming.SSRC = c.SSRC
		n.incoming.Payloads = n.intersect(c.PayloadTypes)
		echo = clonePayloads(n.incoming.Payloads)
		for i := range echo { // as they say it: none and one are the same, but not to a comparison of texts
			j := slices.IndexFunc(c.PayloadTypes, func(p PayloadType) bool { return p.ID == echo[i].ID })
			echo[i].Channels = c.PayloadTypes[j].Channels
		}
		for _, e := range c.Extensions {
			if usableExtension(e.ID) && slices.ContainsFunc(n.o.Extensions, func(our Extension) bool { return our.URI == e.URI }) {
				n.incoming.Extensions = append(n.incoming.Extensions, e)
			}
		}
		break
	}
	n.incoming.settle()
	if n.incoming.Accepted {
		answer.Contents = []Content{{
			Type: TypeAudio, SSRC: n.incoming.SSRC,
			PayloadTypes: echo, Extensions: slices.Clone(n.incoming.Extensions),
		}}
	}
	return answer
}

// intersect lists the offered codecs that we know, in our order, with their numbers and our parameters.
func (n *Negotiator) intersect(offered []PayloadType) []PayloadType {
	var both []PayloadType
	for _, our := range n.o.Codecs {
		for _, p := range offered {
			taken := slices.ContainsFunc(both, func(b PayloadType) bool { return b.ID == p.ID })
			if usablePayloadType(p.ID) && sameCodec(our, p) && !taken {
				both = append(both, n.common(our, p))
				break
			}
		}
	}
	return both
}

// common is our codec as the peer knows it: its number and spelling, and of the feedback what both have.
func (n *Negotiator) common(our, their PayloadType) PayloadType {
	c := PayloadType{
		ID: their.ID, Name: their.Name, ClockRate: our.ClockRate, Channels: our.Channels,
		Parameters: maps.Clone(our.Parameters),
	}
	for _, f := range our.Feedback {
		if slices.Contains(their.Feedback, f) {
			c.Feedback = append(c.Feedback, f)
		}
	}
	return c
}

func (s *Stream) settle() {
	if s.Accepted = len(s.Payloads) > 0; s.Accepted {
		s.Payload = s.Payloads[0]
	}
}

func (s Stream) clone() Stream {
	s.Payloads = clonePayloads(s.Payloads)
	s.Extensions = slices.Clone(s.Extensions)
	if len(s.Payloads) > 0 {
		s.Payload = s.Payloads[0]
	}
	return s
}

func clonePayloads(list []PayloadType) []PayloadType {
	list = slices.Clone(list)
	for i := range list {
		list[i].Feedback = slices.Clone(list[i].Feedback)
		list[i].Parameters = maps.Clone(list[i].Parameters)
	}
	return list
}

// sameCodec compares as RFC 8866 section 6.6 does; no channels and one channel are the same, and Opus, which always
// says 2 (RFC 7587), may leave them out.
func sameCodec(a, b PayloadType) bool {
	channels := max(a.Channels, 1) == max(b.Channels, 1) || a.Channels == 0 || b.Channels == 0
	return strings.EqualFold(a.Name, b.Name) && a.ClockRate == b.ClockRate && channels
}

// usablePayloadType refuses what is taken for RTCP where both share a port, RFC 5761 section 4.
func usablePayloadType(id int) bool { return id >= 0 && id <= 127 && (id < 64 || id > 95) }

// usableExtension allows one-byte headers only, RFC 8285 section 4.2.
func usableExtension(id int) bool { return id >= 1 && id <= 14 }

// remember appends to a list of exchanges of which only the latest matter.
func remember(list []string, id string) []string {
	const limit = 64
	list = append(list, id)
	return list[max(len(list)-limit, 0):]
}
