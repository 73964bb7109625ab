package voip

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"

	"github.com/tgtrunk/tgtrunk/telegram/voip/signaling"
)

const (
	maxLegs = 16

	// tcpLater is by how much TCP begins after UDP where there is both: ways of both are relayed ones with the same priority, and the
	// first one that works is taken.
	tcpLater = 500 * time.Millisecond

	// rivalLater is by how much the next leg of a reflector begins where all of them must bear the same tag.
	rivalLater = 2 * time.Second

	// legHost begins the made-up addresses under which the ICE agent asks for legs, of a block that is never used.
	legHost = "240.0.0."
)

var errNoLeg = errors.New("no such reflector")

// reflectors are the call's legs: the relays of Telegram's own that a call is given besides TURN servers.
type reflectors struct {
	ctx        context.Context
	legs       []*leg
	role       Role
	standalone bool // candidates are not signalled, the tags are known beforehand
}

// reflectorOptions is what newReflectors needs.
type reflectorOptions struct {
	servers    []Server
	role       Role
	standalone bool
	take       func(b []byte) // takes DTLS, SRTP and SRTCP of the peer, and keeps nothing
	log        *slog.Logger
}

// newReflectors makes the legs and starts nothing. Servers that cannot be used are logged and left out.
func newReflectors(ctx context.Context, o reflectorOptions) *reflectors {
	r := &reflectors{ctx: ctx, role: o.role, standalone: o.standalone}
	for _, s := range o.servers {
		if !s.reflector() {
			continue
		}
		if err := r.add(s, o); err != nil {
			o.log.Warn("reflector cannot be used", "server", s, "id", s.ID, "err", err)
		}
	}
	return r
}

func (r *reflectors) add(s Server, o reflectorOptions) error {
	tag, err := parsePeerTag(s.peerTag())
	switch {
	case err != nil:
		return err
	case s.ID < 1 || s.ID > reflectorIDMax:
		return fmt.Errorf("%w: id out of 1..%d", ErrConfig, reflectorIDMax)
	case s.Host == "" || s.Port <= 0 || s.Port > 65535:
		return fmt.Errorf("%w: no address", ErrConfig)
	case len(r.legs) == maxLegs:
		return fmt.Errorf("%w: more than %d", ErrConfig, maxLegs)
	}
	l := &leg{
		server: s.String(), tcp: s.TCP, tag: tag, take: o.take, ready: make(chan struct{}), steady: helloSteady,
		local: end{ours: true, leg: uint8(len(r.legs)), id: uint8(s.ID), port: uint16(s.Port), tag: randomTag()},
		log:   o.log.With("reflector", s.ID, "server", s.String(), "tcp", s.TCP),
	}
	if s.TCP && slices.ContainsFunc(o.servers, func(s Server) bool { return s.reflector() && !s.TCP }) {
		l.wait = tcpLater
	}
	if r.standalone {
		l.local.tag = standaloneTag(r.role)
		for _, other := range r.legs {
			if other.local.id == l.local.id {
				l.rivals = append(l.rivals, other)
			}
		}
		l.wait = time.Duration(len(l.rivals)) * rivalLater
	}
	r.legs = append(r.legs, l)
	return nil
}

func randomTag() uint32 {
	var b [4]byte
	rand.Read(b[:]) // never fails
	return max(binary.LittleEndian.Uint32(b[:]), 1)
}

// standaloneTag is the tag of a side where the custom parameter network_standalone_reflectors is on.
func standaloneTag(role Role) uint32 {
	if role == signaling.Caller {
		return 1
	}
	return 2
}

// start starts the legs. They end with the context.
func (r *reflectors) start(group *sync.WaitGroup) {
	for _, l := range r.legs {
		group.Go(func() { l.run(r.ctx) })
	}
}

// urls are the servers under which the ICE agent finds the legs.
func (r *reflectors) urls() []*stun.URI {
	var list []*stun.URI
	for i, l := range r.legs {
		list = append(list, &stun.URI{Scheme: stun.SchemeTypeTURN, Proto: stun.ProtoTypeTCP,
			Host: legHost + strconv.Itoa(i), Port: int(l.local.port), Username: turnRealm, Password: turnRealm})
	}
	return list
}

// Dial implements proxy.Dialer, which an ICE agent asks for connections to TURN servers on TCP. It waits until the
// reflector has answered, so that there is no candidate before.
func (r *reflectors) Dial(_, address string) (net.Conn, error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !at.Addr().Is4() {
		return nil, fmt.Errorf("reach %s: %w", address, errNoLeg)
	}
	i := int(at.Addr().As4()[3])
	if i >= len(r.legs) || at.Addr().String() != legHost+strconv.Itoa(i) {
		return nil, fmt.Errorf("reach %s: %w", address, errNoLeg)
	}
	l := r.legs[i]
	number := l.ask()
	select {
	case <-l.ready:
	case <-r.ctx.Done():
		return nil, net.ErrClosed
	}
	a := newAllocation(r.ctx, l)
	l.attach(a, number)
	return a, nil
}

// at returns the leg of a local candidate, nil for any other candidate.
func (r *reflectors) at(c ice.Candidate) *leg {
	a, err := candidateAddress(c)
	if err != nil {
		return nil
	}
	e, ok := endAt(a)
	if !ok || !e.ours || int(e.leg) >= len(r.legs) {
		return nil
	}
	return r.legs[e.leg]
}

// signalled is the text of a leg's candidate. A TCP leg's priority is the lower one.
func (r *reflectors) signalled(l *leg, c ice.Candidate) string {
	priority := c.Priority()
	if l.tcp {
		priority -= 1 << 8
	}
	return l.local.candidate(c.Foundation(), priority)
}

// path returns the way to a peer's end from a leg.
func (r *reflectors) path(l *leg, remote ice.Candidate) (*path, error) {
	a, err := candidateAddress(remote)
	if err != nil {
		return nil, err
	}
	e, ok := endAt(a)
	if !ok || !l.reaches(e) {
		return nil, fmt.Errorf("%w: %v is not behind it", errNoLeg, a)
	}
	return &path{relay: reflectedPath{l, e.tag}}, nil
}

// remote reads the peer's candidate; only those of our own reflectors are of use.
func (r *reflectors) remote(line string) (ice.Candidate, error) {
	e, priority, err := parseReflectorCandidate(line)
	if err != nil {
		return nil, err
	}
	for _, l := range r.legs {
		if l.reaches(e) {
			return e.remoteCandidate(priority)
		}
	}
	return nil, fmt.Errorf("%w: %w: id %d, port %d", errCandidate, errNoLeg, e.id, e.port)
}

// standalonePriority is what the official engine gives such candidates, about.
const standalonePriority = 2 << 24

// known are the peer's candidates where they are not signalled.
func (r *reflectors) known() []ice.Candidate {
	if !r.standalone {
		return nil
	}
	other := signaling.Caller
	if r.role == signaling.Caller {
		other = signaling.Callee
	}
	seen := make(map[end]bool)
	var list []ice.Candidate
	for _, l := range r.legs {
		e := l.peer(standaloneTag(other))
		if seen[e] {
			continue
		}
		seen[e] = true
		if c, err := e.remoteCandidate(standalonePriority); err == nil {
			list = append(list, c)
		}
	}
	return list
}
