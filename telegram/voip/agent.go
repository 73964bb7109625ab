package voip

import (
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"
)

// timeouts bound the phases of a call. Tests shorten them.
type timeouts struct {
	peer         time.Duration // until the peer's InitialSetup; a web caller sends it when its user has allowed the microphone
	connect      time.Duration // from there until ICE and DTLS are up
	disconnected time.Duration // silence until Reconnecting
	failed       time.Duration // from Reconnecting to Failed
	roam         time.Duration // silence of the selected pair after which another one may take its place
	keepalive    time.Duration
	glance       time.Duration // how often the kind of the peer's engine is looked at before the first offer
	late         time.Duration // by how much the offer to a web callee is delayed
	codec        time.Duration // how long a call whose codec is not decided is not called established
	spare        time.Duration // how long a direct pair must hold until our TURN allocations are given up
	teardown     time.Duration // how long TURN servers may take to take leave
}

func defaultTimeouts() timeouts {
	return timeouts{
		peer:         40 * time.Second,
		connect:      25 * time.Second,
		disconnected: 5 * time.Second,
		failed:       15 * time.Second,
		roam:         3 * time.Second,
		keepalive:    2 * time.Second,
		glance:       20 * time.Millisecond,
		late:         1500 * time.Millisecond,
		codec:        2 * time.Second,
		spare:        10 * time.Second,
		teardown:     300 * time.Millisecond,
	}
}

const (
	iceCheckEvery = 100 * time.Millisecond
	iceChecks     = 300 // per pair: go on as long as the whole phase lasts, the peer may join in late
)

// agentOptions is what newAgent needs.
type agentOptions struct {
	ufrag, pwd string
	p2p        bool
	servers    []Server
	reflectors *reflectors
	link       *link // nil without P2P
	net        *relayNet
	times      timeouts
	roaming    *roaming
	log        *slog.Logger
}

// newAgent makes the call's ICE agent. With P2P it gathers host and server reflexive candidates on the shared socket,
// and relay candidates in any case.
func newAgent(o agentOptions) (*ice.Agent, error) {
	none, soon := time.Duration(0), 300*time.Millisecond
	// A peer's checks overtake its candidates, which travel through Telegram, and are as good. But they may come from the
	// peer's relay, too: the direct ones get until the second round of checks.
	unsignalled := iceCheckEvery
	checks, every, gather := uint16(iceChecks), iceCheckEvery, bindingTimeout
	// The options that replace AgentConfig do not reach the TURN client's logger.
	c := &ice.AgentConfig{ //nolint:staticcheck // see above
		Urls:       append(serverURLs(o.servers, o.p2p), o.reflectors.urls()...),
		LocalUfrag: o.ufrag, LocalPwd: o.pwd,
		MulticastDNSMode:    ice.MulticastDNSModeDisabled,
		NetworkTypes:        []ice.NetworkType{ice.NetworkTypeUDP4, ice.NetworkTypeUDP6},
		CandidateTypes:      []ice.CandidateType{ice.CandidateTypeRelay},
		DisconnectedTimeout: &o.times.disconnected, FailedTimeout: &o.times.failed, KeepaliveInterval: &o.times.keepalive,
		CheckInterval: &every, MaxBindingRequests: &checks, STUNGatherTimeout: &gather,
		HostAcceptanceMinWait: &none, SrflxAcceptanceMinWait: &soon,
		PrflxAcceptanceMinWait: &unsignalled,
		RelayAcceptanceMinWait: &none,
		DisableActiveTCP:       true,
		BindingRequestHandler:  o.roaming.check,
		Net:                    o.net,
		ProxyDialer:            o.reflectors,
		LoggerFactory:          pionLogs{o.log},
	}
	if o.p2p {
		hosts, err := o.link.shard.listHosts()
		if err != nil {
			return nil, err
		}
		wait := time.Second // direct pairs first
		c.RelayAcceptanceMinWait = &wait
		c.CandidateTypes = append(c.CandidateTypes, ice.CandidateTypeHost, ice.CandidateTypeServerReflexive)
		c.UDPMux = &hostMux{o.link, hosts}
		c.UDPMuxSrflx = &mappedMux{hostMux{o.link, hosts[:min(1, len(hosts))]}}
	}
	a, err := ice.NewAgent(c) //nolint:staticcheck // see above
	if err != nil {
		return nil, fmt.Errorf("make ice agent: %w", err)
	}
	return a, nil
}

// serverURLs lists the servers an agent can use. TURN needs credentials; STUN is of no use without P2P.
func serverURLs(servers []Server, p2p bool) []*stun.URI {
	var list []*stun.URI
	for _, s := range servers {
		if s.reflector() || s.Host == "" || s.Port <= 0 || s.Port > 65535 {
			continue
		}
		if s.TURN && s.Username != "" && s.Password != "" {
			list = append(list, &stun.URI{Scheme: stun.SchemeTypeTURN, Host: s.Host, Port: s.Port,
				Username: s.Username, Password: s.Password, Proto: stun.ProtoTypeUDP})
		}
		if s.STUN && p2p {
			list = append(list, &stun.URI{Scheme: stun.SchemeTypeSTUN, Host: s.Host, Port: s.Port, Proto: stun.ProtoTypeUDP})
		}
	}
	return list
}

// reflector says whether the entry is an MTProto reflector.
func (s Server) reflector() bool { return s.PeerTag != "" || s.Username == "reflector" }

// peerTag is the reflector's, in either way of writing.
func (s Server) peerTag() string {
	if s.PeerTag != "" {
		return s.PeerTag
	}
	return s.Password
}

// String names the server without its credentials.
func (s Server) String() string { return net.JoinHostPort(s.Host, strconv.Itoa(s.Port)) }
