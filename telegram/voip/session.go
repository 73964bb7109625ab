package voip

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pion/ice/v4"

	"github.com/tgtrunk/tgtrunk/telegram/voip/signaling"
)

// session is a running engine. One goroutine, run, owns everything in it but for what says otherwise; pion's
// callbacks and the DTLS handshake post functions to it.
type session struct {
	*Engine
	ctx   context.Context
	net   *Net
	posts chan func() error
	group sync.WaitGroup // readers, handshake, data channel

	ice    iceParts
	safe   security
	peer   peerSetup
	hold   held
	phase  phase
	timers timers

	patience patience

	dialect dialect
}

// dialect is how the engines of some library versions agree on transport and media: channels or descriptions. The
// session's goroutine calls it.
type dialect interface {
	begin()                         // the call begins
	take(m signaling.Message) error // of the peer, but for MediaState
	candidates(list []string)       // signals candidates of ours: the peer has been told our credentials
	renewed()                       // tells the peer our new credentials, for a restart of ICE that we begin
	offer()                         // the first offer is due, or may be
	stream() uint16                 // number of the data channel, where we open it
	agreed() bool                   // the format of the flow is certain; whoever is told Established relies on it
}

// iceParts is the ICE agent with what belongs to it.
type iceParts struct {
	link       *link
	relays     *relayNet
	reflectors *reflectors
	agent      *ice.Agent
	roaming    *roaming
	conn       *ice.Conn   // what comes and goes through TURN servers
	local      credentials // ours
	abort      *time.Timer // gives TURN servers up when the call ends
}

// security is the DTLS association with what runs inside of it.
type security struct {
	port  *dtlsPort
	vault *vault       // in the place of DTLS and SRTP; nil: there is none
	keys  *secured     // nil until the handshake is done
	data  *dataChannel // nil until then
}

// credentials are the ICE user fragment and password of one side.
type credentials struct{ ufrag, pwd string }

// peerSetup is what the peer says of its transport.
type peerSetup struct {
	known       bool
	credentials credentials
	client      bool // we are the DTLS client
	print       fingerprint
}

// held is what waits for the right moment.
type held struct {
	told      bool            // the peer has been told our credentials: candidates may follow
	local     []string        // candidates to send
	remote    []ice.Candidate // candidates of the peer that came before its credentials
	remotes   int             // candidates of the peer in all
	peerRelay bool            // one of the peer's candidates is a relay's
}

// phase is how far the transport is.
type phase struct {
	connected   bool // ICE has a working pair
	shaking     bool // the DTLS handshake has begun
	established bool // was reported once
	agreeing    bool // everything is there but the codec
	hurried     bool // and that for long enough
	restarting  bool // we began an ICE restart and wait for the peer's credentials
}

type timers struct {
	limit  *time.Timer // ends the call when it is not established
	offer  *time.Timer // the caller's first offer is due, or may be
	state  *time.Timer // the media state was not sent through the data channel
	codec  *time.Timer // the codec ought to be decided
	spare  *time.Timer // relays may not be needed any more
	beside bool        // media states go through signalling
}

const (
	maxRemoteCandidates = 64 // of one generation
	channelPatience     = 3 * time.Second
)

func newSession(ctx context.Context, e *Engine, n *Net) (*session, error) {
	relays := newRelayNet(n.stack)
	port := newDTLSPort(&e.flow.out.path)
	s := &session{
		Engine: e, ctx: ctx, net: n, posts: make(chan func() error),
		ice: iceParts{
			link: newLink(n.pick(), e.flow, port), relays: relays, local: newCredentials(),
			abort:   time.AfterFunc(time.Hour, relays.abort),
			roaming: &roaming{role: e.c.Role, after: e.times.roam, log: e.log},
		},
		safe: security{port: port},
	}
	if e.clear {
		s.safe.vault = newVault(e.c.Key, e.c.Role, e.flow)
		s.ice.link.entrust(s.safe.vault)
	}
	s.ice.reflectors = newReflectors(ctx, reflectorOptions{
		servers: e.c.Servers, role: e.c.Role, standalone: e.signal.alone, take: s.takeRelayed, log: e.log,
	})
	s.ice.abort.Stop()
	context.AfterFunc(ctx, func() { s.ice.abort.Reset(e.times.teardown) })
	for _, t := range []**time.Timer{&s.timers.limit, &s.timers.offer, &s.timers.state, &s.timers.codec, &s.timers.spare} {
		*t = time.NewTimer(time.Hour)
		(*t).Stop()
	}
	err := s.chooseDialect()
	if err != nil {
		s.ice.link.close()
		return nil, fmt.Errorf("start call engine: %w", err)
	}
	s.ice.agent, err = newAgent(agentOptions{
		ufrag: s.ice.local.ufrag, pwd: s.ice.local.pwd, p2p: e.c.P2P, servers: e.c.Servers,
		link: s.ice.link, net: relays, reflectors: s.ice.reflectors, times: e.times, roaming: s.ice.roaming, log: e.log,
	})
	if err != nil {
		s.ice.link.close()
		return nil, fmt.Errorf("start call engine: %w", err)
	}
	return s, nil
}

func (s *session) chooseDialect() (err error) {
	if slices.Contains(signaling.ReferenceVersions(), s.c.Version) {
		s.dialect, err = newDescriptions(s)
	} else {
		s.dialect, err = newChannels(s)
	}
	return err
}

func newCredentials() credentials { return credentials{ufrag: rand.Text()[:8], pwd: rand.Text()} }

// run is the session's goroutine.
func (s *session) run() error {
	s.net.reports.add(s.flow, rand.Text()[:16])
	defer s.net.reports.remove(s.flow)
	s.state(Connecting)
	s.timers.limit.Reset(s.times.peer)
	if err := s.begin(); err != nil {
		return err
	}
	for {
		if err := s.step(); err != nil {
			return err
		}
	}
}

var errEnd = errors.New("call has ended")

// step handles one thing that happens.
func (s *session) step() error {
	select {
	case <-s.ctx.Done():
		return errEnd
	case <-s.ice.link.shard.ended:
		return ErrNetClosed
	case message := <-s.signal.inbox:
		return s.take(message)
	case post := <-s.posts:
		return post()
	case <-s.mute:
		s.tellState()
	case <-s.again:
		return s.beginRestart()
	case <-s.timers.offer.C:
		s.dialect.offer()
	case <-s.timers.state.C:
		s.timers.beside = true
		if s.muted.Load() {
			s.tellState()
		}
	case <-s.timers.codec.C:
		s.phase.hurried = true
		s.report()
	case <-s.timers.spare.C:
		s.spareRelays()
	case <-s.timers.limit.C:
		if !s.peer.known {
			return ErrNoPeer
		}
		return ErrNoConnect
	}
	return nil
}

// post lets the session's goroutine call f. It drops f when the session has ended.
func (s *session) post(f func() error) {
	select {
	case s.posts <- f:
	case <-s.ctx.Done():
	}
}

// begin starts gathering, and as caller the signalling.
func (s *session) begin() error {
	s.explainServers()
	_ = s.ice.agent.OnCandidate(func(c ice.Candidate) {
		if c != nil {
			s.post(func() error { s.gathered(c); return nil })
		}
	})
	_ = s.ice.agent.OnConnectionStateChange(func(state ice.ConnectionState) {
		s.post(func() error { return s.connection(state) })
	})
	_ = s.ice.agent.OnSelectedCandidatePairChange(func(local, remote ice.Candidate) {
		s.post(func() error { return s.selected(local, remote) })
	})
	s.ice.reflectors.start(&s.group)
	if err := s.ice.agent.GatherCandidates(); err != nil {
		return fmt.Errorf("gather candidates: %w", err)
	}
	s.dialect.begin()
	return nil
}

func (s *session) explainServers() {
	relays := len(s.ice.reflectors.legs)
	for _, server := range s.c.Servers {
		if server.TURN && !server.reflector() {
			relays++
		}
	}
	if relays == 0 && !s.c.P2P {
		s.log.Warn("peer to peer is not allowed and there is neither a reflector nor a TURN server: the call cannot connect")
	}
}

// close ends what the session started. The context has ended.
func (s *session) close() {
	_ = s.flow.Close()
	if s.safe.keys != nil {
		_ = s.safe.keys.conn.Close()
	}
	_ = s.safe.port.Close()
	if s.safe.vault != nil {
		_ = s.safe.vault.port.Close()
	}
	s.ice.link.close()
	_ = s.ice.agent.GracefulClose()
	s.ice.relays.abort()
	s.ice.abort.Stop()
	s.group.Wait()
	for _, t := range []*time.Timer{s.timers.limit, s.timers.offer, s.timers.state, s.timers.codec, s.timers.spare} {
		t.Stop()
	}
}

// gathered signals a local candidate.
func (s *session) gathered(c ice.Candidate) {
	if !s.c.P2P && c.Type() != ice.CandidateTypeRelay {
		return
	}
	leg := s.ice.reflectors.at(c)
	switch {
	case leg == nil:
		s.hold.local = append(s.hold.local, formatCandidate(c))
	case !s.ice.reflectors.standalone:
		s.hold.local = append(s.hold.local, s.ice.reflectors.signalled(leg, c))
	}
	s.sendCandidates()
}

// sendCandidates signals what was gathered, once the peer knows whose it is.
func (s *session) sendCandidates() {
	if !s.hold.told {
		return
	}
	s.dialect.candidates(s.hold.local)
	s.hold.local = nil
}

// connection follows the state of the ICE agent.
func (s *session) connection(state ice.ConnectionState) error {
	switch state {
	case ice.ConnectionStateConnected:
		s.phase.connected = true
		s.report()
	case ice.ConnectionStateDisconnected, ice.ConnectionStateChecking:
		s.phase.connected = false
		if s.phase.established {
			s.state(Reconnecting)
		}
	case ice.ConnectionStateFailed:
		if s.phase.established {
			return ErrLost
		}
		return ErrNoConnect
	}
	return nil
}

// report says Established when everything is there.
func (s *session) report() {
	if !s.phase.connected || s.safe.keys == nil || !s.phase.established && !s.dialect.agreed() {
		return
	}
	s.timers.limit.Stop()
	if !s.phase.established {
		s.timers.state.Reset(channelPatience)
		s.log.Info("call transport established", "local", s.facts.Local, "remote", s.facts.Remote,
			"srtp", s.safe.keys.profile, "codec", s.flow.Format().Codec.String())
	}
	s.phase.established = true
	s.state(Established)
}

// selected points media to a new pair and starts DTLS at the first one.
func (s *session) selected(local, remote ice.Candidate) error {
	p, err := s.pathOf(local, remote)
	if err != nil {
		s.log.Warn("selected pair cannot be used", "error", err)
		return nil
	}
	s.flow.out.path.Store(p)
	s.ice.roaming.settle(local, remote)
	s.stable(local)
	s.note(func(f *Stats) {
		f.Local, f.Remote = local.Type().String(), remote.Type().String()
		f.Relay = s.relayOf(local, remote)
		if f.Timings.ICE.IsZero() {
			f.Timings.ICE = time.Now()
		}
	})
	if s.phase.shaking {
		return nil
	}
	s.phase.shaking = true
	if s.safe.vault != nil {
		s.secured(s.safe.vault.secured())
	} else {
		client, print := s.peer.client, s.peer.print
		s.group.Go(func() { s.handshake(client, print) })
	}
	return nil
}

// relayOf names what a pair goes over. A TURN server may be ours or the peer's.
func (s *session) relayOf(local, remote ice.Candidate) string {
	leg := s.ice.reflectors.at(local)
	switch {
	case leg != nil && leg.tcp:
		return "reflector-tcp"
	case leg != nil:
		return "reflector-udp"
	case local.Type() == ice.CandidateTypeRelay || remote.Type() == ice.CandidateTypeRelay:
		return "turn"
	}
	return "direct"
}

func (s *session) pathOf(local, remote ice.Candidate) (*path, error) {
	if leg := s.ice.reflectors.at(local); leg != nil {
		return s.ice.reflectors.path(leg, remote)
	}
	if local.Type() == ice.CandidateTypeRelay {
		return &path{relay: s.ice.conn}, nil
	}
	to, err := candidateAddress(remote)
	if err != nil {
		return nil, err
	}
	socket := s.ice.link.path(to)
	if socket == nil {
		return nil, fmt.Errorf("no socket for %v", to)
	}
	return &path{socket: socket, to: to}, nil
}
