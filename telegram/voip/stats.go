package voip

import (
	"time"

	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/telegram/voip/signaling"
)

// Stats is what an Engine has seen and done so far.
type Stats struct {
	State       State
	Version     string // library version of the call
	Local       string // type of the selected local candidate: "host", "srflx", "prflx", "relay"; "" until there is one
	Remote      string // the same of the peer
	Relay       string // what the selected path goes over: "direct", "turn", "reflector-udp", "reflector-tcp"; "" until there is one
	SRTPProfile string // as in RFC 5764 and RFC 7714, or "MTProto" without DTLS; "" until media is encrypted
	Media       media.Stats
	Signaling   signaling.Stats
	Timings     Timings
	Drops       Drops
}

// Timings are the moments of the set-up, zero until they come.
type Timings struct {
	Started   time.Time // Run was called
	Signaling time.Time // the peer's credentials came first
	ICE       time.Time // first selected pair
	DTLS      time.Time // handshake done, or not needed
	FirstIn   time.Time // first audio packet received
	FirstOut  time.Time // first audio packet sent
}

// Drops counts what was thrown away besides the strangers of media.Stats.
type Drops struct {
	Early      uint64 `json:"early"`      // RTP that came before the keys or the peer's offer
	Unsent     uint64 `json:"unsent"`     // packets to send before the call was established and our offer answered, too long, or written twice
	Candidates uint64 `json:"candidates"` // remote candidates that cannot be used
	Messages   uint64 `json:"messages"`   // signalling messages that could not be read, or were not expected
	Packets    uint64 `json:"packets"`    // signalling packets that could not be sent
	Reports    uint64 `json:"reports"`    // RTCP that could not be read
}
