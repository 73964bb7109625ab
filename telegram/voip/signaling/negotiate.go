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
	URIAudioLevel  = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
	URIAbsSendTime = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
	URITransportCC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
	uriMID         = "urn:ietf:params:rtp-hdrext:sdes:mid"
)

// ErrNegotiator is the base of NewNegotiator's errors.
var ErrNegotiator = errors.New("bad negotiator options")

// NegotiatorOptions shapes a Negotiator. Role and SSRC are required. Feedback of codecs is left out: transport-cc is
// declined.
type NegotiatorOptions struct {
	Role       Role
	SSRC       uint32        // of the audio we send, not 0
	Codecs     []PayloadType // audio codecs we can send and receive, best first; default: OpusCodec. See Prefer
	Extensions []Extension   // RTP header extensions we write and read; default: none. sdes:mid is refused: it breaks web callers
	ExchangeID func() uint32 // makes the ids of our offers; default: random
	Unordered  bool          // messages may overtake each other on their way, as without SCTP they do
}

// Negotiator is the negotiation of the audio streams of one call. It does no I/O and is not safe for concurrent use.
//
// Each side describes only what it sends. A call has two exchanges: the caller's offer and the callee's answer, then
// the callee's offer and the caller's answer. When offers cross, the caller's wins: the caller ignores the callee's,
// the callee drops its own, answers, and offers again. Where messages are Unordered, an offer that the caller ignores may
// only have overtaken the answer before it, and nothing would ever follow: it is answered once that answer is there.
//
// Both directions have the same codec. The first answer decides it, the peer's or our own: the best one of ours that the
// other side knows. From then on nothing else is offered and accepted.
type Negotiator struct {
	o        NegotiatorOptions
	decided  bool               // o.Codecs is the call's one codec
	pending  string             // exchange of our offer that waits for its answer; empty: none
	settled  string             // exchange of our offer that was answered, accepted or not; empty: none
	dropped  []string           // exchanges of ours that lost against the caller's offer
	answered []string           // exchanges of the peer that we answered
	early    *NegotiateChannels // the peer's last offer that came while ours was pending; nil: none, or they are ordered
	outgoing Stream
	incoming Stream
}

// Stream is one direction of the call's audio.
type Stream struct {
	SSRC       uint32
	Accepted   bool        // outgoing: the peer answered our offer with a codec; incoming: we answered the peer's
	Payload    PayloadType // of the call's codec, under the number that this direction has for it
	Extensions []Extension // RTP header extensions both sides know
}

// OpusCodec is the Opus every engine offers: payload type 111, 48 kHz, 2 channels.
func OpusCodec() PayloadType {
	return PayloadType{
		ID: 111, Name: "opus", ClockRate: 48000, Channels: 2,
		Parameters: map[string]string{"minptime": "10", "useinbandfec": "1"},
	}
}

// PCMUCodec and PCMACodec are G.711, RFC 3551 section 6, under their static payload types. Web engines offer both, the
// native ones know neither and answer with what else they were offered.
func PCMUCodec() PayloadType { return PayloadType{ID: 0, Name: "PCMU", ClockRate: 8000, Channels: 1} }

// PCMACodec is described with PCMUCodec.
func PCMACodec() PayloadType { return PayloadType{ID: 8, Name: "PCMA", ClockRate: 8000, Channels: 1} }

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
	o.Extensions = slices.Clone(o.Extensions)
	ids := map[int]bool{}
	for _, e := range o.Extensions {
		if e.URI == uriMID || !usableExtension(e.ID) || ids[e.ID] {
			return nil, fmt.Errorf("%w: extension %d %s", ErrNegotiator, e.ID, e.URI)
		}
		ids[e.ID] = true
	}
	n := &Negotiator{o: o, outgoing: Stream{SSRC: o.SSRC}}
	if err := n.Prefer(o.Codecs); err != nil {
		return nil, err
	}
	return n, nil
}

// Prefer replaces the codecs, best first, as where the kind of peer has become known. It has no effect once an offer
// of ours is under way or the codec is decided. The error is an ErrNegotiator; then nothing has changed.
func (n *Negotiator) Prefer(codecs []PayloadType) error {
	ids := map[int]bool{}
	usable := make([]PayloadType, 0, len(codecs))
	for _, c := range codecs {
		if !usablePayloadType(c.ID) || ids[c.ID] || c.Name == "" || c.ClockRate <= 0 {
			return fmt.Errorf("%w: codec %q with payload type %d", ErrNegotiator, c.Name, c.ID)
		}
		ids[c.ID] = true
		c.Parameters = maps.Clone(c.Parameters)
		c.Feedback = nil
		usable = append(usable, c)
	}
	if len(usable) == 0 {
		return fmt.Errorf("%w: no codec", ErrNegotiator)
	}
	if n.pending == "" && !n.decided {
		n.o.Codecs = usable
	}
	return nil
}

// Codec returns the call's codec under our number; ok is false until it is decided.
func (n *Negotiator) Codec() (codec PayloadType, ok bool) {
	return clonePayloads(n.o.Codecs)[0], n.decided
}

// Open says whether an answer may still decide for one codec or another.
func (n *Negotiator) Open() bool { return !n.decided && len(n.o.Codecs) > 1 }

// Settle decides the codec before an answer has: it is the last one of ours, the one that every peer knows.
func (n *Negotiator) Settle() { n.decide(len(n.o.Codecs) - 1) }

func (n *Negotiator) decide(i int) {
	if !n.decided {
		n.decided, n.o.Codecs = true, []PayloadType{n.o.Codecs[i]}
	}
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
		if early := n.early; early != nil {
			n.early = nil
			return n.Handle(*early)
		}
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
			if n.o.Unordered {
				n.early = &m
			}
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

// accept takes the answer to our offer: what it says of our ssrc. What is sent is the best of ours that it holds, whatever
// its order is: an offerer may send all of them.
func (n *Negotiator) accept(m NegotiateChannels) {
	n.settled = m.ExchangeID
	n.outgoing = Stream{SSRC: n.o.SSRC}
	i := slices.IndexFunc(m.Contents, func(c Content) bool { return c.Type == TypeAudio && c.SSRC == n.o.SSRC })
	if i < 0 {
		return
	}
	c := m.Contents[i]
	n.outgoing.take(n.match(c.PayloadTypes, func(our, their PayloadType) bool { return our.ID == their.ID }))
	for _, our := range n.o.Extensions {
		if slices.Contains(c.Extensions, our) {
			n.outgoing.Extensions = append(n.outgoing.Extensions, our)
		}
	}
}

// answer echoes the offered audio with the call's codec and the extensions that we know, under the offerer's numbers.
// Only the first audio content is taken; video is refused by being left out.
func (n *Negotiator) answer(offer NegotiateChannels) NegotiateChannels {
	answer := NegotiateChannels{ExchangeID: offer.ExchangeID}
	n.incoming = Stream{}
	i := slices.IndexFunc(offer.Contents, func(c Content) bool { return c.Type == TypeAudio && c.SSRC != 0 })
	if i < 0 {
		return answer
	}
	c := offer.Contents[i]
	n.incoming.SSRC = c.SSRC
	n.incoming.take(n.match(c.PayloadTypes, func(_, their PayloadType) bool { return usablePayloadType(their.ID) }))
	for _, e := range c.Extensions {
		if usableExtension(e.ID) && slices.ContainsFunc(n.o.Extensions, func(our Extension) bool { return our.URI == e.URI }) {
			n.incoming.Extensions = append(n.incoming.Extensions, e)
		}
	}
	if n.incoming.Accepted {
		echo := clonePayloads([]PayloadType{n.incoming.Payload})
		// As they say it: no channels and one channel are the same, but not to a comparison of texts.
		j := slices.IndexFunc(c.PayloadTypes, func(p PayloadType) bool { return p.ID == echo[0].ID })
		echo[0].Channels = c.PayloadTypes[j].Channels
		answer.Contents = []Content{{
			Type: TypeAudio, SSRC: n.incoming.SSRC,
			PayloadTypes: echo, Extensions: slices.Clone(n.incoming.Extensions),
		}}
	}
	return answer
}

// match finds the best codec of ours in a peer's list and decides for it; ok is false where there is none.
func (n *Negotiator) match(list []PayloadType, usable func(our, their PayloadType) bool) (both PayloadType, ok bool) {
	for i, our := range n.o.Codecs {
		for _, their := range list {
			if sameCodec(our, their) && usable(our, their) {
				n.decide(i)
				return n.common(our, their), true
			}
		}
	}
	return PayloadType{}, false
}

// common is our codec as the peer knows it: its number and spelling.
func (n *Negotiator) common(our, their PayloadType) PayloadType {
	return PayloadType{
		ID: their.ID, Name: their.Name, ClockRate: our.ClockRate, Channels: our.Channels,
		Parameters: maps.Clone(our.Parameters),
	}
}

func (s *Stream) take(p PayloadType, ok bool) { s.Payload, s.Accepted = p, ok }

func (s Stream) clone() Stream {
	if s.Accepted {
		s.Payload = clonePayloads([]PayloadType{s.Payload})[0]
	}
	s.Extensions = slices.Clone(s.Extensions)
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
