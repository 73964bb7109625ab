package voip

import (
	"fmt"
	"strings"
	"time"

	"github.com/tgtrunk/tgtrunk/telegram/voip/signaling"
)

// channels is the dialect of the native engine and the web engines: InitialSetup, Candidates, NegotiateChannels.
type channels struct {
	*session
	talk      *signaling.Negotiator
	offerSent bool                          // our first offer has left, or need not any more
	early     []signaling.NegotiateChannels // came before the caller's InitialSetup
	since     time.Time                     // when the peer's engine was heard first
}

func newChannels(s *session) (*channels, error) {
	talk, err := signaling.NewNegotiator(signaling.NegotiatorOptions{Role: s.c.Role, SSRC: s.flow.out.ssrc, Unordered: !s.signal.sctp})
	if err != nil {
		return nil, err
	}
	return &channels{session: s, talk: talk}, nil
}

func (s *channels) begin() {
	if s.c.Role == signaling.Caller {
		s.sendSetup()
		s.offer()
	}
}

func (s *channels) renewed() { s.sendSetup() }

// stream is the data channel's, whoever opens it.
func (s *channels) stream() uint16 { return 0 }

func (s *channels) take(m signaling.Message) error {
	switch m := m.(type) {
	case signaling.InitialSetup:
		return s.takeSetup(m)
	case signaling.Candidates:
		s.takeCandidates(m)
	case signaling.NegotiateChannels:
		s.takeNegotiate(m)
	default:
		s.dropMessage(fmt.Sprintf("%T is of other library versions", m), nil)
	}
	return nil
}

// candidates sends one candidate a message, as the engines do.
func (s *channels) candidates(list []string) {
	for _, c := range list {
		s.send(signaling.Candidates{Candidates: []string{c}})
	}
}

// takeSetup handles InitialSetup. The first one starts ICE; the same credentials again change nothing; new ones are an
// ICE restart, unless there are too many. The callee answers every one of them that is not ignored.
func (s *channels) takeSetup(m signaling.InitialSetup) error {
	peer, err := s.readSetup(m)
	if err != nil {
		s.dropMessage("unusable InitialSetup", err)
		return nil
	}
	first, old := !s.peer.known, s.peer
	if !first && peer.print != old.print {
		s.log.Warn("peer changes its fingerprint during the call: ignored")
		peer.print = old.print
	}
	restarts := !first && !s.phase.restarting && peer.credentials != old.credentials
	if restarts && !s.mayRestart() {
		return nil
	}
	s.peer = peer
	switch {
	case first:
		s.met()
		err = s.startChecks()
	case s.phase.restarting:
		err = s.join()
	case restarts:
		err = s.restart(peer.credentials)
	}
	if err != nil {
		return err
	}
	if s.c.Role == signaling.Callee || !s.hold.told {
		s.sendSetup()
	}
	held := s.early
	s.early = nil
	for _, n := range held {
		s.takeNegotiate(n)
	}
	s.sendCandidates()
	return nil
}

// readSetup checks what we need of an InitialSetup; without DTLS that is no fingerprint.
func (s *channels) readSetup(m signaling.InitialSetup) (peerSetup, error) {
	if s.safe.vault != nil && m.UFrag != "" && m.Pwd != "" {
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
	return peerSetup{known: true, credentials: credentials{m.UFrag, m.Pwd}, client: s.client(f.Setup), print: print}, nil
}

// client says whether we are the DTLS client: as the peer says, else the caller is.
func (s *channels) client(setup string) bool {
	switch strings.ToLower(setup) {
	case "active":
		return false
	case "passive":
		return true
	}
	return s.c.Role == signaling.Caller
}

// takeCandidates gives the peer's candidates to ICE, or keeps them until its InitialSetup.
func (s *channels) takeCandidates(m signaling.Candidates) {
	for _, line := range m.Candidates {
		s.takeCandidate(line)
	}
	if s.peer.known && !s.phase.restarting {
		s.addRemotes()
	}
}

// takeNegotiate answers offers and takes answers. As callee we say nothing before the caller's InitialSetup, which
// web callers would throw away.
func (s *channels) takeNegotiate(m signaling.NegotiateChannels) {
	if !s.peer.known && s.c.Role == signaling.Callee {
		if len(s.early) < maxHeld {
			s.early = append(s.early, m)
		} else {
			s.dropMessage("too many before InitialSetup", nil)
		}
		return
	}
	s.prefer()
	answer, reply := s.talk.Handle(m)
	s.decided()
	s.heed(s.talk.Incoming(), s.talk.Outgoing())
	if reply {
		s.send(answer)
	}
	if s.c.Role == signaling.Callee || s.offerSent {
		s.sendOffer()
	}
	if s.phase.agreeing {
		s.report()
	}
}

// maxHeld bounds the messages kept until the caller's InitialSetup.
const maxHeld = 8

// offer sends the caller's first offer: at once, but to a web callee some time later. That one would answer an
// offer that comes before its microphone is open without ever offering its own audio.
func (s *channels) offer() {
	if s.offerSent {
		return
	}
	wait := s.offerWait()
	if wait > 0 {
		s.timers.offer.Reset(wait)
		return
	}
	s.offerSent = true
	s.sendOffer()
}

func (s *channels) offerWait() time.Duration {
	if !s.signal.sctp {
		return 0
	}
	switch s.signal.channel.Peer() {
	case signaling.PeerNative:
		return 0
	case signaling.PeerWeb:
		if s.since.IsZero() {
			s.since = time.Now()
		}
		return s.times.late - time.Since(s.since)
	}
	if s.peer.known {
		return 0
	}
	return s.times.glance
}

func (s *channels) sendOffer() {
	s.prefer()
	if offer, due := s.talk.Offer(); due {
		s.send(offer)
	}
}

// sendSetup sends our InitialSetup, and the candidates that waited for it.
func (s *channels) sendSetup() {
	setup := "passive"
	if s.c.Role == signaling.Caller {
		setup = "actpass"
	}
	s.send(signaling.InitialSetup{
		UFrag: s.ice.local.ufrag, Pwd: s.ice.local.pwd, Renomination: true,
		Fingerprints: []signaling.Fingerprint{{Hash: "sha-256", Setup: setup, Fingerprint: s.net.identity.fingerprint}},
	})
	s.hold.told = true
}
