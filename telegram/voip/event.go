package voip

// State is how far the transport of a call is. States are levels: the same one may be reported again.
type State uint8

// The states of a call's transport.
const (
	Connecting   State = iota + 1 // no audio yet
	Established                   // ICE and DTLS are up
	Reconnecting                  // was established; nothing has been heard of the peer for 5 s, or ICE restarts; another 15 s and it fails
	Failed                        // for good; Run returns
)

// String returns "connecting", "established", "reconnecting" or "failed".
func (s State) String() string {
	switch s {
	case Connecting:
		return "connecting"
	case Established:
		return "established"
	case Reconnecting:
		return "reconnecting"
	case Failed:
		return "failed"
	}
	return "unknown"
}

// Event is what an Engine reports: StateChanged or PeerMediaState.
type Event interface{ event() }

// StateChanged reports the state of the transport.
type StateChanged struct{ State State }

// PeerMediaState reports what the peer says of itself, through the data channel or signalling.
type PeerMediaState struct {
	Muted      bool // a muted native peer sends no audio at all, a muted web peer sends silence
	LowBattery bool
	Video      bool // the camera or the screen is being sent
}

func (StateChanged) event()   {}
func (PeerMediaState) event() {}
