package signaling

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Description is an SDP session description, RFC 8866, as the reference engines and other users of JSEP (RFC 9429)
// write them: what of it an audio call needs.
type Description struct {
	ID       uint64   // of the session, the same in all descriptions of one side
	Version  uint64   // counts the descriptions of one side
	Bundle   []string // mids that share one transport, RFC 9143
	Sections []Section
}

// Section is one media section of a Description.
type Section struct {
	MediaLine
	MID        string
	Endpoint   Endpoint
	Direction  Direction
	RTCPMux    bool
	Codecs     []PayloadType // in order of preference; parameters without a name have the empty one
	Extensions []Extension
	Source
	SCTP
	Candidates []string // "candidate:…"
}

// MediaLine is the m= line of a Section.
type MediaLine struct {
	Kind     string // KindAudio, KindVideo, KindData, or what else is offered
	Protocol string
	Formats  []string
	Rejected bool // port 0
}

// Source is the stream that the describing side sends in a Section.
type Source struct {
	SSRC  uint32 // the first one; 0: not said
	CName string // of SSRC
	MSID  string // media stream and track, RFC 8830; empty: none
}

// SCTP is the data channel's association, RFC 8841.
type SCTP struct {
	SCTPPort   int // 0: not said
	MaxMessage int // bytes; 0: not said
}

// The kinds of a Section.
const (
	KindAudio = "audio"
	KindVideo = "video"
	KindData  = "application"
)

const (
	protocolRTP  = "UDP/TLS/RTP/SAVPF"
	protocolSCTP = "UDP/DTLS/SCTP"
	formatSCTP   = "webrtc-datachannel"
)

// Endpoint is what one side tells of its ICE agent and its certificate. Where Bundle holds, it is the same in all
// sections.
type Endpoint struct {
	UFrag, Pwd  string
	Fingerprint Fingerprint // the first one of several
}

// Direction says which way a Section's media goes, as seen by who describes it; RFC 8866 section 6.7.
type Direction string

// The directions. What is not said is SendRecv.
const (
	SendRecv Direction = "sendrecv"
	SendOnly Direction = "sendonly"
	RecvOnly Direction = "recvonly"
	Inactive Direction = "inactive"
)

// Sends says whether the describing side sends.
func (d Direction) Sends() bool { return d == SendRecv || d == SendOnly }

// Receives says whether the describing side receives.
func (d Direction) Receives() bool { return d == SendRecv || d == RecvOnly }

func directionOf(sends, receives bool) Direction {
	switch {
	case sends && receives:
		return SendRecv
	case sends:
		return SendOnly
	case receives:
		return RecvOnly
	}
	return Inactive
}

// Endpoint returns the endpoint of the whole session: that of the first section in the bundle.
func (d Description) Endpoint() Endpoint {
	for _, s := range d.Sections {
		if d.carries(s) {
			return s.Endpoint
		}
	}
	return Endpoint{}
}

// carries says whether a section of d has media on the common transport.
func (d Description) carries(s Section) bool { return !s.Rejected && slices.Contains(d.Bundle, s.MID) }

// String prints the description, lines in the order and with the constant parts of the reference engines.
func (d Description) String() string {
	var b printer
	b.line("v=0")
	b.line("o=- %d %d IN IP4 127.0.0.1", d.ID, d.Version)
	b.line("s=-")
	b.line("t=0 0")
	if len(d.Bundle) > 0 {
		b.line("a=group:BUNDLE %s", strings.Join(d.Bundle, " "))
	}
	for _, s := range d.Sections {
		b.section(s)
	}
	return b.String()
}

type printer struct{ strings.Builder }

func (b *printer) line(format string, args ...any) { fmt.Fprintf(b, format+"\r\n", args...) }

func (b *printer) section(s Section) {
	port := 9 // discard: the candidates say where
	if s.Rejected {
		port = 0
	}
	b.line("m=%s %d %s %s", s.Kind, port, s.Protocol, strings.Join(s.Formats, " "))
	b.line("c=IN IP4 0.0.0.0")
	if s.RTCPMux {
		b.line("a=rtcp:9 IN IP4 0.0.0.0")
	}
	for _, c := range s.Candidates {
		b.line("a=%s", c)
	}
	b.endpoint(s.Endpoint)
	if s.MID != "" {
		b.line("a=mid:%s", s.MID)
	}
	for _, e := range s.Extensions {
		b.line("a=extmap:%d %s", e.ID, e.URI)
	}
	if s.Kind != KindData {
		b.line("a=%s", s.Direction)
	}
	if s.MSID != "" {
		b.line("a=msid:%s", s.MSID)
	}
	if s.RTCPMux {
		b.line("a=rtcp-mux")
	}
	for _, c := range s.Codecs {
		b.codec(c)
	}
	if s.SSRC != 0 {
		b.line("a=ssrc:%d cname:%s", s.SSRC, s.CName)
	}
	if s.SCTPPort != 0 {
		b.line("a=sctp-port:%d", s.SCTPPort)
	}
	if s.MaxMessage != 0 {
		b.line("a=max-message-size:%d", s.MaxMessage)
	}
}

func (b *printer) endpoint(t Endpoint) {
	if t.UFrag == "" && t.Pwd == "" {
		return // of a rejected section
	}
	b.line("a=ice-ufrag:%s", t.UFrag)
	b.line("a=ice-pwd:%s", t.Pwd)
	b.line("a=ice-options:trickle renomination")
	if t.Fingerprint.Fingerprint != "" {
		b.line("a=fingerprint:%s %s", t.Fingerprint.Hash, t.Fingerprint.Fingerprint)
	}
	if t.Fingerprint.Setup != "" {
		b.line("a=setup:%s", t.Fingerprint.Setup)
	}
}

func (b *printer) codec(c PayloadType) {
	channels := ""
	if c.Channels > 1 {
		channels = fmt.Sprintf("/%d", c.Channels)
	}
	b.line("a=rtpmap:%d %s/%d%s", c.ID, c.Name, c.ClockRate, channels)
	for _, f := range c.Feedback {
		b.line("a=rtcp-fb:%d %s", c.ID, strings.TrimSuffix(f.Type+" "+f.Subtype, " "))
	}
	if len(c.Parameters) == 0 {
		return
	}
	var list []string
	for _, name := range slices.Sorted(maps.Keys(c.Parameters)) {
		switch value := c.Parameters[name]; {
		case name == "":
			list = append(list, value)
		case value == "":
			list = append(list, name)
		default:
			list = append(list, name+"="+value)
		}
	}
	b.line("a=fmtp:%d %s", c.ID, strings.Join(list, ";"))
}

// audioSection is a section of Opus audio as we describe it.
func audioSection(mid string, d Direction, codecs []PayloadType) Section {
	s := Section{MediaLine: MediaLine{Kind: KindAudio, Protocol: protocolRTP}, MID: mid, Direction: d, RTCPMux: true, Codecs: codecs}
	for _, c := range codecs {
		s.Formats = append(s.Formats, strconv.Itoa(c.ID))
	}
	return s
}

// dataSection is the section of the data channel.
func dataSection(mid string) Section {
	return Section{
		MediaLine: MediaLine{Kind: KindData, Protocol: protocolSCTP, Formats: []string{formatSCTP}},
		MID:       mid, Direction: SendRecv, SCTP: SCTP{SCTPPort: 5000, MaxMessage: 262_144},
	}
}

// refused is what an answer says of a section that is not taken, RFC 3264 section 6.
func refused(s Section) Section {
	line := s.MediaLine
	line.Rejected = true
	return Section{MediaLine: line, MID: s.MID, Direction: Inactive}
}
