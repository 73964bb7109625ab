package voip

import (
	"log/slog"

	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/telegram/voip/signaling"
)

// Role says which half of the call we are.
type Role = signaling.Role

// Key is the shared secret of a call.
type Key = signaling.Key

// Server is one entry of phoneCall.connections: a STUN or TURN server, or both (phoneConnectionWebrtc), or an MTProto
// reflector (phoneConnection), which is an entry with a peer tag. As the official engines write it, with the user name
// "reflector" and the peer tag as password, it is understood as well.
type Server struct {
	ID       int64  `json:"id"`   // of a reflector: 1..255, its place among the ids of the call's reflectors in ascending order
	Host     string `json:"host"` // IP address or name
	Port     int    `json:"port"`
	Username string `json:"username"`
	Password string `json:"password"`
	TURN     bool   `json:"turn"`
	STUN     bool   `json:"stun"`
	PeerTag  string `json:"peer_tag,omitempty"` // of a reflector: 32 hexadecimal digits
	TCP      bool   `json:"tcp,omitempty"`      // reached by TCP; of reflectors only
}

// Config describes the call an Engine carries. Role, Key, Version and Send are required.
//
// Send is called in order by one goroutine and may block; the bytes are its to keep. It must return soon after the call
// has ended: Run waits for it.
type Config struct {
	Role             Role
	Key              *Key                      // secret of the call
	Version          string                    // negotiated one, of signaling.Versions or signaling.ReferenceVersions
	P2P              bool                      // false: only relay candidates are gathered and signalled
	Servers          []Server                  // from phoneCall.connections
	CustomParameters string                    // JSON text of phoneCall.custom_parameters, may be empty
	Send             func(packet []byte) error // phone.sendSignalingData
	Prefer           Preference                // codec of the audio
	Other            media.Codec               // what the other leg of the call speaks; 0: not known
	Net              *Net                      // shared sockets of the process; nil: the engine opens its own for the call
	Log              *slog.Logger              // bound attributes (call…) come from the caller; nil discards
}
