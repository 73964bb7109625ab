package voip

import (
	"fmt"
	"time"

	"github.com/pion/ice/v4"

	"github.com/tgtrunk/tgtrunk/telegram/voip/signaling"
)

// take handles a message of the peer, from signalling or from the data channel.
func (s *session) take(message []byte) error {
	m, err := signaling.Parse(message)
	if err != nil {
		s.dropMessage("unreadable", err)
		return nil
	}
	switch m := m.(type) {
	case signaling.MediaState:
		s.events.put(PeerMediaState{
			Muted:      m.Muted,
			LowBattery: m.LowBattery,
			Video:      m.VideoState == signaling.VideoActive || m.ScreencastState == signaling.VideoActive,
		})
	case signaling.Unknown:
		s.dropMessage("unknown type "+m.Type, nil)
	default:
		return s.dialect.take(m)
	}
	return nil
}

// takeCandidate keeps a candidate of the peer for ICE.
func (s *session) takeCandidate(line string) {
	c, err := s.readCandidate(line)
	if err == nil && s.hold.remotes >= maxRemoteCandidates {
		err = fmt.Errorf("%w: too many", errCandidate)
	}
	if err != nil {
		s.dropCandidate(err)
		return
	}
	s.hold.remotes++
	s.hold.peerRelay = s.hold.peerRelay || c.Type() == ice.CandidateTypeRelay
	s.hold.remote = append(s.hold.remote, c)
}

func (s *session) readCandidate(line string) (ice.Candidate, error) {
	if isReflectorCandidate(line) {
		return s.ice.reflectors.remote(line)
	}
	return parseCandidate(line)
}

// met notes that the peer's credentials have come for the first time.
func (s *session) met() {
	s.note(func(f *Stats) { f.Timings.Signaling = time.Now() })
	s.timers.limit.Reset(s.times.connect)
}

// heed lets the flow do what has been negotiated.
func (s *session) heed(in, out signaling.Stream) {
	if in.Accepted {
		s.flow.expect(in.SSRC, uint8(in.Payload.ID))
	}
	if out.Accepted {
		s.flow.permit(uint8(out.Payload.ID))
	}
}

// tellState tells the peer whether we are muted: through the data channel, or through signalling when there is none.
// When the channel opens it is told again.
func (s *session) tellState() {
	message, err := signaling.Marshal(signaling.MediaState{
		Muted: s.muted.Load(), VideoState: signaling.VideoInactive, ScreencastState: signaling.VideoInactive,
	})
	if err != nil {
		s.log.Error("media state cannot be printed", "error", err)
		return
	}
	if s.safe.data != nil && s.safe.data.send(message) || !s.timers.beside {
		return
	}
	s.queue(message)
}

func (s *session) send(m signaling.Message) {
	message, err := signaling.Marshal(m)
	if err != nil {
		s.log.Error("signalling message cannot be printed", "error", err)
		return
	}
	s.queue(message)
}

func (s *session) queue(message []byte) {
	if err := s.signal.channel.Send(message); err != nil {
		s.log.Warn("signalling message cannot be sent", "error", err)
	}
}
