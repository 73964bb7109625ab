package voip

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tgtrunk/tgtrunk/telegram/voip/signaling"
)

// descriptions is the dialect of the reference engines: session descriptions, offered and answered, and candidates.
type descriptions struct {
	*session
	talk  *signaling.OfferAnswer
	mid   string   // of the section that candidates are for
	mline int      // its place
	early []string // candidates of credentials that the peer has not told yet
}

func newDescriptions(s *session) (*descriptions, error) {
	talk, err := signaling.NewOfferAnswer(signaling.OfferAnswerOptions{
		Role: s.c.Role, SSRC: s.flow.out.ssrc, CName: rand.Text()[:16],
		Endpoint: signaling.Endpoint{
			UFrag: s.ice.local.ufrag, Pwd: s.ice.local.pwd,
			Fingerprint: signaling.Fingerprint{Hash: "sha-256", Fingerprint: s.net.identity.fingerprint},
		},
	})
	if err != nil {
		return nil, err
	}
	return &descriptions{session: s, talk: talk}, nil
}

func (s *descriptions) begin() { s.offer() }

// renewed offers the new credentials, or when the peer has answered what was offered before.
func (s *descriptions) renewed() {
	s.talk.Restart(s.ice.local.ufrag, s.ice.local.pwd)
	s.offer()
}

func (s *descriptions) offer() {
	if d, due := s.talk.Offer(); due {
		s.describe(d, func(sdp string) signaling.Message { return signaling.Offer{SDP: sdp} })
	}
}

// describe sends a description, and the candidates that waited for its credentials.
func (s *descriptions) describe(d signaling.Description, in func(sdp string) signaling.Message) {
	s.send(in(d.String()))
	if i := slices.IndexFunc(d.Sections, func(s signaling.Section) bool { return !s.Rejected }); i >= 0 {
		s.mid, s.mline = d.Sections[i].MID, i
	}
	s.hold.told = s.hold.told || d.Endpoint().UFrag == s.ice.local.ufrag
	s.sendCandidates()
}

// stream is odd for the DTLS server, RFC 8832 section 6.
func (s *descriptions) stream() uint16 {
	if s.peer.client {
		return 0
	}
	return 1
}

// candidates sends one candidate a message. Its credentials tell it from those before and after an ICE restart.
func (s *descriptions) candidates(list []string) {
	for _, c := range list {
		if !strings.Contains(c, " generation ") {
			c += " generation 0"
		}
		s.send(signaling.Candidate{SDP: c + " ufrag " + s.ice.local.ufrag, MID: s.mid, MLine: s.mline})
	}
}

// agreed implements dialect: there is Opus and nothing else.
func (s *descriptions) agreed() bool { return true }

func (s *descriptions) take(m signaling.Message) error {
	switch m := m.(type) {
	case signaling.Offer:
		return s.takeDescription(m.SDP, s.takeOffer)
	case signaling.Answer:
		return s.takeDescription(m.SDP, s.takeAnswer)
	case signaling.Candidate:
		s.takeCandidates([]string{m.SDP})
	default:
		s.dropMessage(fmt.Sprintf("%T is of other library versions", m), nil)
	}
	return nil
}

// takeDescription does what offers and answers have in common.
func (s *descriptions) takeDescription(sdp string, take func(signaling.Description) error) error {
	d, err := signaling.ParseDescription(sdp)
	if err == nil {
		err = s.usable(d)
	}
	if err != nil {
		s.dropMessage("unreadable session description", err)
		return nil
	}
	before := s.peer.credentials
	switch err := take(d); {
	case errors.Is(err, errImpatient):
		return nil
	case errors.Is(err, signaling.ErrGlare):
		s.log.Debug("peer's offer collides with ours: ignored")
		return nil
	case errors.Is(err, signaling.ErrUnexpected), errors.Is(err, signaling.ErrUnusable):
		s.dropMessage("session description", err)
		return nil
	case err != nil:
		return err
	}
	if s.peer.credentials != before {
		early := s.early
		s.early = nil
		s.takeCandidates(slices.DeleteFunc(early, func(line string) bool { return !s.current(line) }))
	}
	for _, section := range d.Sections {
		s.takeCandidates(section.Candidates)
	}
	s.heed(s.talk.Incoming(), s.talk.Outgoing())
	s.offer() // what had to wait for this
	return nil
}

// usable checks the fingerprint, before anything is done with a description.
func (s *descriptions) usable(d signaling.Description) error {
	f := d.Endpoint().Fingerprint
	_, err := parseFingerprint(f.Hash, f.Fingerprint)
	return err
}

// errImpatient says that an offer is ignored.
var errImpatient = errors.New("peer restarts ice too often")

// takeOffer applies an offer and answers it.
func (s *descriptions) takeOffer(d signaling.Description) error {
	to := credentials{d.Endpoint().UFrag, d.Endpoint().Pwd}
	if s.peer.known && to != s.peer.credentials && !s.phase.restarting && !s.mayRestart() {
		return errImpatient
	}
	restarted, err := s.talk.TakeOffer(d)
	if err != nil {
		return err
	}
	if restarted && !s.phase.restarting {
		s.log.Info("peer restarts ice")
		if err := s.renew(); err != nil {
			return err
		}
		s.talk.Restart(s.ice.local.ufrag, s.ice.local.pwd)
	}
	if err := s.meet(restarted); err != nil {
		return err
	}
	if answer, ok := s.talk.Answer(); ok {
		s.describe(answer, func(sdp string) signaling.Message { return signaling.Answer{SDP: sdp} })
	}
	return nil
}

// takeAnswer applies the answer to our offer.
func (s *descriptions) takeAnswer(d signaling.Description) error {
	restarted, err := s.talk.TakeAnswer(d)
	if err != nil {
		return err
	}
	return s.meet(restarted)
}

// meet tells ICE the peer's credentials: the first ones, or those of a restart.
func (s *descriptions) meet(restarted bool) error {
	peer, err := s.readPeer()
	if err != nil {
		return err
	}
	first, old := !s.peer.known, s.peer
	if !first && peer.print != old.print {
		s.log.Warn("peer changes its fingerprint during the call: ignored")
		peer.print = old.print
	}
	if s.peer = peer; first {
		s.met()
		return s.startChecks()
	}
	if restarted {
		return s.join()
	}
	return nil
}

func (s *descriptions) readPeer() (peerSetup, error) {
	p := s.talk.Peer()
	print, err := parseFingerprint(p.Fingerprint.Hash, p.Fingerprint.Fingerprint)
	if err != nil {
		return peerSetup{}, err
	}
	return peerSetup{known: true, credentials: credentials{p.UFrag, p.Pwd}, client: s.talk.Client(), print: print}, nil
}

// takeCandidates gives the peer's candidates to ICE. Those of other credentials than the peer's wait for its next
// restart; there they are taken, or dropped.
func (s *descriptions) takeCandidates(lines []string) {
	for _, line := range lines {
		switch {
		case line == "": // there are no more, which says nothing where gathering goes on
		case s.current(line):
			s.takeCandidate(line)
		case len(s.early) < maxRemoteCandidates:
			s.early = append(s.early, line)
		default:
			s.dropCandidate(fmt.Errorf("%w: too many", errCandidate))
		}
	}
	if s.peer.known && !s.phase.restarting {
		s.addRemotes()
	}
}

// current says whether a candidate is of the credentials that the peer told last.
func (s *descriptions) current(line string) bool {
	ufrag := candidateUFrag(line)
	return s.peer.known && (ufrag == "" || ufrag == s.peer.credentials.ufrag)
}

// candidateUFrag returns whose credentials a candidate belongs to; empty where it does not say.
func candidateUFrag(line string) string {
	field := strings.Fields(line)
	for i := 8; i+1 < len(field); i += 2 { // name and value, RFC 8839 section 5.1
		if field[i] == "ufrag" {
			return field[i+1]
		}
	}
	return ""
}
