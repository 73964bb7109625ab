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
	case signaling.InitialSetup:
		return s.takeSetup(m)
	case signaling.Candidates:
		s.takeCandidates(m)
	case signaling.NegotiateChannels:
		s.takeNegotiate(m)
	case signaling.MediaState:
		s.events.put(PeerMediaState{
			Muted:      m.Muted,
			LowBattery: m.LowBattery,
			Video:      m.VideoState == signaling.VideoActive || m.ScreencastState == signaling.VideoActive,
		})
	case signaling.Unknown:
		s.dropMessage("unknown type "+m.Type, nil)
	}
	return nil
}

// takeSetup handles InitialSetup. The first one starts ICE; the same credentials again change nothing; new ones are an
// ICE restart. The callee answers every one of them.
func (s *session) takeSetup(m signaling.InitialSetup) error {
	peer, err := readSetup(m, s.safe.vault == nil)
	if err != nil {
		s.dropMessage("unusable InitialSetup", err)
		return nil
	}
	first, old := !s.peer.known, s.peer
	if !first && peer.print != old.print {
		s.log.Warn("peer changes its fingerprint during the call: ignored")
		peer.print = old.print
	}
	s.peer = peer
	switch {
	case first:
		s.note(func(f *Stats) { f.Timings.Signaling = time.Now() })
		s.timers.limit.Reset(s.times.connect)
		err = s.startChecks()
	case s.phase.restarting:
		err = s.join()
	case peer.credentials != old.credentials:
		err = s.restart(peer.credentials)
	}
	if err != nil {
		return err
	}
	if s.c.Role == signaling.Callee || !s.hold.setupSent {
		s.sendSetup()
	}
	held := s.hold.negotiates
	s.hold.negotiates = nil
	for _, n := range held {
		s.takeNegotiate(n)
	}
	s.sendCandidates()
	return nil
}

// readSetup checks what we need of an InitialSetup; without DTLS that is no fingerprint.
func readSetup(m signaling.InitialSetup, dtls bool) (peerSetup, error) {
	if !dtls && m.UFrag != "" && m.Pwd != "" {
		return peerSetup{known: true, credentials: credentials{m.UFrag, m.Pwd}}, nil
	}
	if m.UFrag == "" || m.Pwd == "" || len(m.Fingerprints) == 0 {
		return peerSetup{}, fmt.Errorf("credentials or fingerprint missing")
	}
	f := m.Fingerprints[0]
	print, err := parseFingerprint(f.Hash, f.Fingerprint)
	if err != nil {
		return peerSetup{}, err
	}
	return peerSetup{known: true, credentials: credentials{m.UFrag, m.Pwd}, setup: f.Setup, print: print}, nil
}

// takeCandidates gives the peer's candidates to ICE, or keeps them until its InitialSetup.
func (s *session) takeCandidates(m signaling.Candidates) {
	for _, line := range m.Candidates {
		c, err := s.readCandidate(line)
		if err == nil && s.hold.remotes >= maxRemoteCandidates {
			err = fmt.Errorf("%w: too many", errCandidate)
		}
		if err != nil {
			s.dropCandidate(err)
			continue
		}
		s.hold.remotes++
		s.hold.peerRelay = s.hold.peerRelay || c.Type() == ice.CandidateTypeRelay
		s.hold.remote = append(s.hold.remote, c)
	}
	if s.peer.known && !s.phase.restarting {
		s.addRemotes()
	}
}

func (s *session) readCandidate(line string) (ice.Candidate, error) {
	if isReflectorCandidate(line) {
		return s.ice.reflectors.remote(line)
	}
	return parseCandidate(line)
}

// takeNegotiate answers offers and takes answers. As callee we say nothing before the caller's InitialSetup, which
// web callers would throw away.
func (s *session) takeNegotiate(m signaling.NegotiateChannels) {
	if !s.peer.known && s.c.Role == signaling.Callee {
		if len(s.hold.negotiates) < maxHeld {
			s.hold.negotiates = append(s.hold.negotiates, m)
		} else {
			s.dropMessage("too many before InitialSetup", nil)
		}
		return
	}
	s.prefer()
	answer, reply := s.talk.Handle(m)
	s.decided()
	if in := s.talk.Incoming(); in.Accepted {
		s.flow.expect(in.SSRC, uint8(in.Payload.ID))
	}
	if out := s.talk.Outgoing(); out.Accepted {
		s.flow.permit(uint8(out.Payload.ID))
	}
	if reply {
		s.send(answer)
	}
	if s.c.Role == signaling.Callee || s.hold.offerSent {
		s.sendOffer()
	}
}

// maxHeld bounds the messages kept until the caller's InitialSetup.
const maxHeld = 8

// considerOffer sends the caller's first offer: at once, but to a web callee some time later. That one would answer an
// offer that comes before its microphone is open without ever offering its own audio.
func (s *session) considerOffer() {
	if s.hold.offerSent {
		return
	}
	wait := s.offerWait()
	if wait > 0 {
		s.timers.offer.Reset(wait)
		return
	}
	s.hold.offerSent = true
	s.sendOffer()
}

func (s *session) offerWait() time.Duration {
	if !s.signal.sctp {
		return 0
	}
	switch s.signal.channel.Peer() {
	case signaling.PeerNative:
		return 0
	case signaling.PeerWeb:
		if s.timers.since.IsZero() {
			s.timers.since = time.Now()
		}
		return s.times.late - time.Since(s.timers.since)
	}
	if s.peer.known {
		return 0
	}
	return s.times.glance
}

func (s *session) sendOffer() {
	s.prefer()
	if offer, due := s.talk.Offer(); due {
		s.send(offer)
	}
}

// sendSetup sends our InitialSetup, and the candidates that waited for it.
func (s *session) sendSetup() {
	setup := "passive"
	if s.c.Role == signaling.Caller {
		setup = "actpass"
	}
	s.send(signaling.InitialSetup{
		UFrag: s.ice.local.ufrag, Pwd: s.ice.local.pwd, Renomination: true,
		Fingerprints: []signaling.Fingerprint{{Hash: "sha-256", Setup: setup, Fingerprint: s.net.identity.fingerprint}},
	})
	s.hold.setupSent = true
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
