package signaling

// Message is one of InitialSetup, Candidates, NegotiateChannels, Offer, Answer, Candidate, MediaState, Unknown.
type Message interface{ message() }

// InitialSetup carries the ICE credentials and the DTLS fingerprints of its sender.
type InitialSetup struct {
	UFrag, Pwd   string
	Renomination bool          // sender follows the ICE renomination attribute 0xC001
	Fingerprints []Fingerprint // receivers use the first one only
}

// Fingerprint is a certificate fingerprint with the DTLS role of its sender.
type Fingerprint struct {
	Hash        string // "sha-256"
	Setup       string // "actpass", "active" or "passive"
	Fingerprint string // upper-case hex pairs joined by ":"
}

// Candidates carries ICE candidates.
type Candidates struct {
	Candidates []string // an sdpString each, "candidate:…", RFC 5245 section 15.1
}

// NegotiateChannels is an offer of streams its sender will send, or the answer to one, told apart by ExchangeID.
type NegotiateChannels struct {
	ExchangeID string
	Contents   []Content
}

// Content is one media stream of an offer, or its echo in the answer.
type Content struct {
	Type         string // TypeAudio or TypeVideo
	SSRC         uint32 // of the offerer's sending stream, in the answer too
	SSRCGroups   []SSRCGroup
	PayloadTypes []PayloadType
	Extensions   []Extension
}

// The types of a Content.
const (
	TypeAudio = "audio"
	TypeVideo = "video"
)

// SSRCGroup ties streams together, RFC 5576 section 4.2.
type SSRCGroup struct {
	Semantics string // "FID" or "SIM"
	SSRCs     []uint32
}

// PayloadType is a codec with its RTP payload type number.
type PayloadType struct {
	ID         int // 0..127
	Name       string
	ClockRate  int // Hz
	Channels   int // 0 when not said
	Feedback   []Feedback
	Parameters map[string]string // fmtp
}

// Feedback is an RTCP feedback type, RFC 4585 section 4.2.
type Feedback struct{ Type, Subtype string }

// Extension is an RTP header extension, RFC 8285.
type Extension struct {
	ID  int
	URI string
}

// Offer carries the session description of an offer (reference engines); see ParseDescription.
type Offer struct{ SDP string }

// Answer carries the session description of an answer (reference engines).
type Answer struct{ SDP string }

// Candidate carries one ICE candidate (reference engines).
type Candidate struct {
	SDP   string // "candidate:…", RFC 5245 section 15.1; empty: there are no more
	MID   string // of the media section it is for
	MLine int    // the place of that section
}

// MediaState tells mute, battery and video of its sender.
type MediaState struct {
	Muted, LowBattery           bool
	VideoState, ScreencastState string // VideoInactive, VideoSuspended or VideoActive
	VideoRotation               int    // degrees: 0, 90, 180, 270
}

// The video states of a MediaState.
const (
	VideoInactive  = "inactive"
	VideoSuspended = "suspended"
	VideoActive    = "active"
)

// Unknown is a message of a type that this package does not know; receivers ignore it.
type Unknown struct{ Type string }

func (InitialSetup) message()      {}
func (Candidates) message()        {}
func (NegotiateChannels) message() {}
func (Offer) message()             {}
func (Answer) message()            {}
func (Candidate) message()         {}
func (MediaState) message()        {}
func (Unknown) message()           {}
