package voip

import (
	"context"
	"fmt"
	"time"

	"github.com/tgtrunk/tgtrunk/telegram/voip/signaling"
)

// startChecks lets ICE begin: the caller controls.
func (s *session) startChecks() error {
	start := s.ice.agent.StartAccept
	if s.c.Role == signaling.Caller {
		start = s.ice.agent.StartDial
	}
	conn, err := start(s.peer.credentials.ufrag, s.peer.credentials.pwd)
	if err != nil {
		return fmt.Errorf("start ice: %w", err)
	}
	s.ice.conn = conn
	s.group.Go(s.readRelayed)
	s.addRemotes()
	return nil
}

// readRelayed takes what came through the ICE agent: what is no STUN and a TURN server on our side has forwarded.
func (s *session) readRelayed() {
	b := make([]byte, maxPacket)
	for {
		n, err := s.ice.conn.Read(b)
		if err != nil {
			return // the agent has been closed
		}
		s.takeRelayed(b[:n])
	}
}

// takeRelayed sorts a packet that a relay on our side has forwarded. It may be called from any goroutine.
func (s *session) takeRelayed(b []byte) {
	if len(b) == 0 {
		return
	}
	switch first := b[0]; {
	case s.safe.vault != nil:
		if !s.safe.vault.receive(b) {
			s.flow.stranger()
		}
	case first >= 128 && first <= 191:
		s.flow.receive(b)
	case first >= 20 && first <= 63:
		s.safe.port.deliver(b)
	default:
		s.flow.stranger()
	}
}

// handshake is a goroutine of its own.
func (s *session) handshake(client bool, print fingerprint) {
	ctx, cancel := context.WithTimeout(s.ctx, s.times.connect)
	defer cancel()
	result, err := shake(ctx, s.safe.port, client, s.net.identity, print, s.log)
	if err != nil {
		s.post(func() error { return err })
		return
	}
	select {
	case s.posts <- func() error { s.secured(result); return nil }:
	case <-s.ctx.Done():
		_ = result.conn.Close()
	}
}

// secured takes the keys of the completed handshake and opens the data channel.
func (s *session) secured(r *secured) {
	s.safe.keys = r
	s.flow.secure(r.in, r.out)
	s.note(func(f *Stats) {
		f.SRTPProfile = r.profile
		f.Timings.DTLS = time.Now()
	})
	data := &dataChannel{
		role: s.c.Role, stream: s.dialect.stream(), log: s.log,
		take: func(message []byte) { s.post(func() error { return s.take(message) }) },
		open: func() { s.post(func() error { s.tellState(); return nil }) },
	}
	s.safe.data = data
	s.group.Go(func() { data.run(r.conn) })
	s.report()
}

// restart answers the peer's ICE restart, RFC 8445 section 9. DTLS and the keys of SRTP stay.
func (s *session) restart(peer credentials) error {
	s.log.Info("peer restarts ice")
	if err := s.renew(); err != nil {
		return err
	}
	s.peer.credentials = peer
	return s.join()
}

// beginRestart restarts ICE on our part; the peer's answer completes it. A web engine takes new credentials only
// with a new exchange of channels, which a web callee refuses and a web caller is not owed: there the old path stays.
func (s *session) beginRestart() error {
	if !s.phase.established || s.phase.restarting {
		return nil
	}
	if s.signal.channel.Peer() == signaling.PeerWeb {
		s.log.Info("ice is not restarted: the peer is a web client")
		return nil
	}
	s.log.Info("restarting ice")
	s.phase.restarting = true
	if err := s.renew(); err != nil {
		return err
	}
	s.dialect.renewed()
	return nil
}

// renew gives us new credentials and candidates.
func (s *session) renew() error {
	s.ice.local = newCredentials()
	s.hold.local, s.hold.remote, s.hold.remotes, s.hold.peerRelay, s.hold.told = nil, nil, 0, false, false
	if err := s.ice.agent.Restart(s.ice.local.ufrag, s.ice.local.pwd); err != nil {
		return fmt.Errorf("restart ice: %w", err)
	}
	if err := s.ice.agent.GatherCandidates(); err != nil {
		return fmt.Errorf("gather candidates: %w", err)
	}
	return nil
}

// join tells the agent the peer's credentials of a restart.
func (s *session) join() error {
	s.phase.restarting = false
	if err := s.ice.agent.SetRemoteCredentials(s.peer.credentials.ufrag, s.peer.credentials.pwd); err != nil {
		return fmt.Errorf("restart ice: %w", err)
	}
	s.addRemotes()
	return nil
}

// addRemotes gives the agent the candidates that came early, and those that are known without being told.
func (s *session) addRemotes() {
	for _, c := range append(s.hold.remote, s.ice.reflectors.known()...) {
		if err := s.ice.agent.AddRemoteCandidate(c); err != nil {
			s.dropCandidate(err)
		}
	}
	s.hold.remote = nil
}
