package voip

import (
	"github.com/pion/ice/v4"
)

// A call that goes directly needs no TURN allocation of its own, which would cost it 64 kB for a read buffer, a socket
// and a goroutine. It is given up when a direct pair has been in use for a while and the peer has a relay too: if either
// side moves to another network, its packets still reach us from there. An ICE restart makes new allocations.

// stable begins to wait for the moment when relays of ours are of no use any more, after every change of the pair.
func (s *session) stable(local ice.Candidate) {
	s.timers.spare.Stop()
	if local.Type() != ice.CandidateTypeRelay {
		s.timers.spare.Reset(s.times.spare)
	}
}

// spareRelays gives up our TURN allocations if they are of no use, and looks again later otherwise.
func (s *session) spareRelays() {
	if s.phase.restarting || !s.phase.connected || !s.hold.peerRelay || !s.direct() {
		s.timers.spare.Reset(s.times.spare)
		return
	}
	if n := s.ice.relays.release(); n > 0 {
		s.log.Debug("gave up relays that the call does not need", "relays", n)
	}
}

// direct asks the agent: it may have selected a pair with a relay of ours, of which we have not been told yet.
func (s *session) direct() bool {
	pair, err := s.ice.agent.GetSelectedCandidatePair()
	return err == nil && pair != nil && pair.Local.Type() != ice.CandidateTypeRelay
}
