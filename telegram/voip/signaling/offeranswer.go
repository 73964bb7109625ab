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

// Errors of OfferAnswer.
var (
	ErrGlare      = errors.New("offer collides with ours and loses") // the peer will offer again
	ErrUnexpected = errors.New("answer to nothing")
	ErrUnusable   = errors.New("unusable session description")
)

// OfferAnswerOptions shapes an OfferAnswer. All fields but Codecs are required.
type OfferAnswerOptions struct {
	Role     Role
	SSRC     uint32        // of the audio we send, not 0
	CName    string        // its canonical name, RFC 7022
	Codecs   []PayloadType // audio codecs we can send and receive, best first; default: OpusCodec
	Endpoint Endpoint      // ours; Setup is left out
}

// OfferAnswer is the negotiation of one call of the reference engines (tgcalls v2/InstanceV2ReferenceImpl.cpp): offers
// and answers of RFC 3264 as in JSEP, RFC 9429. It does no I/O and is not safe for concurrent use.
//
// The caller offers first: its audio, and a data channel. The callee takes the audio and does not send in the same
// section, but offers a section of its own next. When offers cross, the callee's wins: the callee ignores the caller's,
// the caller drops its own, answers, and offers again what has not been said by then.
type OfferAnswer struct {
	o       OfferAnswerOptions
	id      uint64
	version uint64
	codecs  []PayloadType // ours, with the numbers that the call has agreed on

	agreed   []slot
	proposed []slot // of our offer that waits for its answer
	pending  bool   // there is one
	ours     ourEndpoint
	peer     peerEndpoint

	outgoing Stream
	incoming Stream
}

// ourEndpoint is what the peer knows and is to know of our ICE credentials.
type ourEndpoint struct {
	told    credentials // the peer has agreed to them
	offered credentials // in the offer that waits for its answer
	next    credentials // to be told
}

type credentials struct{ ufrag, pwd string }

// peerEndpoint is what the peer said of its transport.
type peerEndpoint struct {
	Endpoint
	decided   bool         // who is the DTLS client
	serves    bool         // the peer is the server
	offer     *Description // to be answered
	restarted bool         // it restarts ICE, or is the first one
}

// slot is a media section as both sides know it, by its place.
type slot struct {
	kind, mid string
	ours      bool // carries the audio we send
	rejected  bool
	section   Section // to be repeated when it is rejected
}

// NewOfferAnswer makes an OfferAnswer; it fails on what is missing.
func NewOfferAnswer(o OfferAnswerOptions) (*OfferAnswer, error) {
	t := o.Endpoint
	if o.Role != Caller && o.Role != Callee || o.SSRC == 0 || o.CName == "" ||
		t.UFrag == "" || t.Pwd == "" || t.Fingerprint.Fingerprint == "" {
		return nil, fmt.Errorf("%w: role, ssrc, cname and endpoint are needed", ErrNegotiator)
	}
	if o.Codecs == nil {
		o.Codecs = []PayloadType{OpusCodec()}
	}
	return &OfferAnswer{
		o: o, id: rand.Uint64() >> 1, version: 1, codecs: o.Codecs, outgoing: Stream{SSRC: o.SSRC},
		ours: ourEndpoint{next: credentials{t.UFrag, t.Pwd}},
	}, nil
}

// Restart says that our ICE credentials are new: an offer becomes due, unless the answer to an offer of the peer that
// restarts ICE, too, has told them by then.
func (n *OfferAnswer) Restart(ufrag, pwd string) { n.ours.next = credentials{ufrag, pwd} }

// Offer returns our offer when one is due and may be sent: a caller's at once; a callee's own audio once it has answered
// the caller; either one's new credentials.
func (n *OfferAnswer) Offer() (d Description, ok bool) {
	first := n.o.Role == Caller && len(n.agreed) == 0
	lacks := len(n.agreed) > 0 && !slices.ContainsFunc(n.agreed, func(s slot) bool { return s.ours })
	restart := len(n.agreed) > 0 && n.ours.next != n.ours.told
	if n.pending || n.peer.offer != nil || !first && !lacks && !restart {
		return Description{}, false
	}
	n.proposed = slices.Clone(n.agreed)
	if first || lacks {
		n.proposed = append(n.proposed, slot{kind: KindAudio, mid: n.freeMID(), ours: true})
	}
	if first {
		n.proposed = append(n.proposed, slot{kind: KindData, mid: n.freeMID()})
	}
	n.pending, n.ours.offered = true, n.ours.next
	return n.describe(n.ours.offered, "actpass", func(_ int, s slot) Section {
		switch {
		case s.kind == KindData:
			return dataSection(s.mid)
		case s.ours:
			return n.sending(audioSection(s.mid, SendRecv, clonePayloads(n.codecs)))
		}
		return audioSection(s.mid, RecvOnly, clonePayloads(n.codecs))
	}), true
}

// freeMID is the next number that no section has.
func (n *OfferAnswer) freeMID() string {
	for i := len(n.proposed); ; i++ {
		mid := strconv.Itoa(i)
		if !slices.ContainsFunc(n.proposed, func(s slot) bool { return s.mid == mid }) {
			return mid
		}
	}
}

// describe makes our next description of the proposed sections.
func (n *OfferAnswer) describe(c credentials, setup string, section func(i int, s slot) Section) Description {
	n.version++
	d := Description{ID: n.id, Version: n.version, Bundle: []string{}}
	t := Endpoint{UFrag: c.ufrag, Pwd: c.pwd, Fingerprint: n.o.Endpoint.Fingerprint}
	t.Fingerprint.Setup = setup
	for i, slot := range n.proposed {
		if slot.rejected {
			d.Sections = append(d.Sections, refused(slot.section))
			continue
		}
		s := section(i, slot)
		s.Endpoint = t
		d.Bundle = append(d.Bundle, slot.mid)
		d.Sections = append(d.Sections, s)
	}
	return d
}

// sending adds what we send to a section.
func (n *OfferAnswer) sending(s Section) Section {
	s.MSID, s.SSRC, s.CName = "0 0", n.o.SSRC, n.o.CName
	return s
}

// TakeOffer takes an offer of the peer; Answer must follow. restarted says that the peer's ICE credentials are new, but
// for its first description. Errors are ErrGlare, which is part of the rules, and ErrUnusable; they change nothing.
func (n *OfferAnswer) TakeOffer(d Description) (restarted bool, err error) {
	if n.pending && n.o.Role == Callee {
		return false, ErrGlare
	}
	t := d.Endpoint()
	if err := n.check(d, t); err != nil {
		return false, err
	}
	client := t.Fingerprint.Setup != "active"
	if !n.peer.decided {
		n.peer.decided, n.peer.serves = true, client
	}
	n.pending, n.proposed = false, nil
	restarted = n.took(t)
	n.peer.restarted = restarted || len(n.agreed) == 0
	n.peer.offer = &d
	return restarted, nil
}

// took notes the peer's endpoint and says whether it restarts ICE.
func (n *OfferAnswer) took(t Endpoint) (restarted bool) {
	restarted = n.peer.UFrag != "" && (t.UFrag != n.peer.UFrag || t.Pwd != n.peer.Pwd)
	n.peer.Endpoint = t
	return restarted
}

// check says what is wrong with a description before anything is done with it.
func (n *OfferAnswer) check(d Description, t Endpoint) error {
	if t.UFrag == "" || t.Pwd == "" || t.Fingerprint.Fingerprint == "" {
		return fmt.Errorf("%w: no bundled section with credentials and fingerprint", ErrUnusable)
	}
	if len(d.Sections) < len(n.agreed) {
		return fmt.Errorf("%w: %d sections after %d", ErrUnusable, len(d.Sections), len(n.agreed))
	}
	for i, s := range n.agreed {
		if theirs := d.Sections[i]; !s.rejected && (theirs.Kind != s.kind || theirs.MID != s.mid) {
			return fmt.Errorf("%w: section %d becomes %s %q", ErrUnusable, i, theirs.Kind, theirs.MID)
		}
	}
	return nil
}

// Answer returns the answer to the offer taken last: audio is taken with the codecs that we know, the data channel as it
// is, and everything else, video among it, is rejected. ok is false when there is nothing to answer.
func (n *OfferAnswer) Answer() (d Description, ok bool) {
	if n.peer.offer == nil {
		return Description{}, false
	}
	offer := *n.peer.offer
	n.peer.offer = nil
	n.proposed = n.slotsOf(offer)
	if n.peer.restarted {
		n.ours.told = n.ours.next
	}
	setup := "passive"
	if n.peer.serves {
		setup = "active"
	}
	d = n.describe(n.ours.told, setup, func(i int, s slot) Section {
		if s.kind == KindData {
			return dataSection(s.mid)
		}
		theirs := offer.Sections[i]
		sends := s.ours && theirs.Direction.Receives()
		answer := audioSection(s.mid, directionOf(sends, theirs.Direction.Sends()), n.intersect(theirs.Codecs))
		if sends {
			answer = n.sending(answer)
		}
		return answer
	})
	n.settle(offer)
	return d, true
}

// slotsOf says what becomes of the sections of an offer.
func (n *OfferAnswer) slotsOf(offer Description) []slot {
	slots := make([]slot, 0, len(offer.Sections))
	for i, s := range offer.Sections {
		taken := offer.carries(s)
		switch s.Kind {
		case KindAudio:
			taken = taken && s.RTCPMux && s.Protocol == protocolRTP && len(n.intersect(s.Codecs)) > 0
		case KindData:
			taken = taken && strings.HasSuffix(s.Protocol, "/DTLS/SCTP") && slices.Contains(s.Formats, formatSCTP)
		default:
			taken = false
		}
		ours := i < len(n.agreed) && n.agreed[i].ours && n.agreed[i].mid == s.MID
		slots = append(slots, slot{kind: s.Kind, mid: s.MID, ours: ours, rejected: !taken, section: s})
	}
	return slots
}

// TakeAnswer takes the answer to our offer. restarted says that it completes an ICE restart of ours. Errors are
// ErrUnexpected and ErrUnusable; they change nothing.
func (n *OfferAnswer) TakeAnswer(d Description) (restarted bool, err error) {
	if !n.pending {
		return false, ErrUnexpected
	}
	t := d.Endpoint()
	if err := n.check(d, t); err != nil {
		return false, err
	}
	if len(d.Sections) != len(n.proposed) {
		return false, fmt.Errorf("%w: %d sections answer %d", ErrUnusable, len(d.Sections), len(n.proposed))
	}
	for i, s := range n.proposed {
		if theirs := d.Sections[i]; theirs.Kind != s.kind || !theirs.Rejected && theirs.MID != s.mid {
			return false, fmt.Errorf("%w: section %d is answered as %s %q", ErrUnusable, i, theirs.Kind, theirs.MID)
		}
	}
	setup := t.Fingerprint.Setup
	if !n.peer.decided && setup != "active" && setup != "passive" {
		return false, fmt.Errorf("%w: answer with setup %q", ErrUnusable, setup)
	}
	if !n.peer.decided {
		n.peer.decided, n.peer.serves = true, setup == "passive"
	}
	for i, s := range d.Sections {
		n.proposed[i].section = s
		n.proposed[i].section.MID = n.proposed[i].mid
		n.proposed[i].rejected = n.proposed[i].rejected || !d.carries(s)
	}
	restarted = n.ours.told.ufrag != "" && n.ours.offered != n.ours.told
	n.pending, n.ours.told = false, n.ours.offered
	n.took(t)
	n.settle(d)
	return restarted, nil
}

// settle makes what was proposed agreed, and finds in the peer's description the audio of both directions.
func (n *OfferAnswer) settle(theirs Description) {
	n.agreed, n.proposed = n.proposed, nil
	n.outgoing, n.incoming = Stream{SSRC: n.o.SSRC}, Stream{}
	for i, s := range theirs.Sections {
		if n.agreed[i].rejected || s.Kind != KindAudio {
			continue
		}
		if known := n.intersect(s.Codecs); len(known) > 0 {
			n.codecs = known // a number means one thing in the whole bundle
		}
		if n.agreed[i].ours && s.Direction.Receives() {
			n.outgoing.take(first(n.preferred(s.Codecs)))
		}
		if s.Direction.Sends() && s.SSRC != 0 && n.incoming.SSRC == 0 {
			n.incoming.SSRC = s.SSRC
			n.incoming.take(first(n.intersect(s.Codecs)))
		}
	}
}

// intersect lists the peer's codecs that we know, in our order; preferred, in its own.
func (n *OfferAnswer) intersect(theirs []PayloadType) []PayloadType {
	var both []PayloadType
	for _, our := range n.o.Codecs {
		for _, p := range theirs {
			if usablePayloadType(p.ID) && sameCodec(our, p) {
				both = append(both, commonCodec(our, p))
				break
			}
		}
	}
	return both
}

func (n *OfferAnswer) preferred(theirs []PayloadType) []PayloadType {
	var both []PayloadType
	for _, p := range theirs {
		i := slices.IndexFunc(n.o.Codecs, func(our PayloadType) bool { return usablePayloadType(p.ID) && sameCodec(our, p) })
		if i >= 0 {
			both = append(both, commonCodec(n.o.Codecs[i], p))
		}
	}
	return both
}

// first is the best of a list.
func first(list []PayloadType) (best PayloadType, ok bool) {
	if len(list) == 0 {
		return PayloadType{}, false
	}
	return list[0], true
}

func commonCodec(our, their PayloadType) PayloadType {
	return PayloadType{
		ID: their.ID, Name: their.Name, ClockRate: our.ClockRate, Channels: our.Channels, Parameters: maps.Clone(our.Parameters),
	}
}

// Client says whether we are the DTLS client. It is known from the first description of the peer on.
func (n *OfferAnswer) Client() bool { return n.peer.serves }

// Peer is the endpoint of the peer as it said last.
func (n *OfferAnswer) Peer() Endpoint { return n.peer.Endpoint }

// Outgoing is our audio as negotiated so far.
func (n *OfferAnswer) Outgoing() Stream { return n.outgoing.clone() }

// Incoming is the peer's audio as negotiated so far.
func (n *OfferAnswer) Incoming() Stream { return n.incoming.clone() }
