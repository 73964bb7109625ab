package voip

import (
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/turn/v5"

	"github.com/tgtrunk/tgtrunk/telegram/voip/signaling"
)

// startTURN runs a TURN and STUN server on loopback.
func startTURN(t *testing.T) Server {
	t.Helper()
	return startLossyTURN(t, nil)
}

// lossyRelays are the relay sockets of a TURN server that loses packets between them.
type lossyRelays struct {
	turn.RelayAddressGenerator
	lose func(from netip.AddrPort) bool
}

func (g *lossyRelays) AllocatePacketConn(c turn.AllocateListenerConfig) (net.PacketConn, net.Addr, error) {
	conn, at, err := g.RelayAddressGenerator.AllocatePacketConn(c)
	if err != nil {
		return nil, nil, err
	}
	return &lossySocket{conn, g.lose}, at, nil
}

// lossySocket loses what it should have read.
type lossySocket struct {
	net.PacketConn
	lose func(from netip.AddrPort) bool
}

func (s *lossySocket) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := s.PacketConn.ReadFrom(b)
		if at, ok := from.(*net.UDPAddr); err != nil || !ok || !s.lose(at.AddrPort()) {
			return n, from, err
		}
	}
}

// startLossyTURN runs a server that asks for every packet between its relayed addresses whether it is lost; nil: none
// is. What its clients say to the server itself is not lost.
func startLossyTURN(t *testing.T, lose func(from netip.AddrPort) bool) Server {
	t.Helper()
	var relay turn.RelayAddressGenerator = &turn.RelayAddressGeneratorStatic{RelayAddress: net.ParseIP("127.0.0.1"), Address: "127.0.0.1"}
	if lose != nil {
		relay = &lossyRelays{relay, lose}
	}
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const user, password, realm = "user", "secret", "tgtrunk"
	s, err := turn.NewServer(turn.ServerConfig{
		Realm: realm,
		AuthHandler: func(r *turn.RequestAttributes) (string, []byte, bool) {
			return r.Username, turn.GenerateAuthKey(r.Username, realm, password), r.Username == user
		},
		PacketConnConfigs: []turn.PacketConnConfig{{
			PacketConn:            conn,
			RelayAddressGenerator: relay,
		}},
		LoggerFactory: pionLogs{testLog(t)},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return Server{ID: 1, Host: "127.0.0.1", Port: conn.LocalAddr().(*net.UDPAddr).Port, Username: user, Password: password, TURN: true}
}

func TestRelayOnlyPerVersion(t *testing.T) {
	server := startTURN(t)
	for _, version := range everyVersion() {
		t.Run(version, func(t *testing.T) {
			p := newPair(t, pairOptions{version: version, relayOnly: true, servers: []Server{server}})
			p.establish(t)
			p.exchange(t, version)
			for _, s := range []*side{p.caller, p.callee} {
				if st := s.Stats(); st.Local != "relay" || st.Remote != "relay" && st.Remote != "prflx" {
					t.Errorf("pair %s-%s", st.Local, st.Remote)
				}
			}
		})
	}
}

// spy collects the JSON messages a session sends.
func spy(e *Engine) func() []string {
	var mu sync.Mutex
	var all []string
	e.signal.channel = &spyChannel{Channel: e.signal.channel, see: func(m []byte) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, string(m))
	}}
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), all...)
	}
}

type spyChannel struct {
	signaling.Channel
	see  func([]byte)
	drop func([]byte) bool
	edit func([]byte) []byte
}

func (c *spyChannel) Send(m []byte) error {
	if c.edit != nil {
		m = c.edit(m)
	}
	if c.see != nil {
		c.see(m)
	}
	if c.drop != nil && c.drop(m) {
		return nil
	}
	return c.Channel.Send(m)
}

// TestRelayOnlyTellsNoAddress: of either dialect; a session description names nobody's address at all.
func TestRelayOnlyTellsNoAddress(t *testing.T) {
	for _, version := range []string{"13.0.0", "11.0.0"} {
		t.Run(version, func(t *testing.T) {
			server := startTURN(t)
			server.STUN = true
			var sent [2]func() []string
			p := newPair(t, pairOptions{version: version, relayOnly: true, servers: []Server{server}, prepare: func(a, b *Engine) {
				sent[0], sent[1] = spy(a), spy(b)
			}})
			p.establish(t)
			for _, messages := range sent {
				candidates := 0
				for _, m := range messages() {
					candidates += strings.Count(m, "candidate:")
					if n := strings.Count(m, "candidate:"); n != strings.Count(m, "typ relay raddr 0.0.0.0 rport 0") {
						t.Errorf("signalled: %s", m)
					}
					if strings.Contains(m, "c=IN IP4") && strings.Count(m, "IN IP4 ") != strings.Count(m, "IN IP4 0.0.0.0")+1 {
						t.Errorf("described: %s", m) // one is the origin's 127.0.0.1
					}
				}
				if candidates == 0 {
					t.Error("no candidate was signalled")
				}
			}
		})
	}
}

func TestServerReflexive(t *testing.T) {
	// On loopback nothing is translated, so the mapped address is that of the socket; what is tested is the question.
	n := loopbackNet(t, 1)
	server := startTURN(t)
	got, err := n.shards[0].mappedAddress(t.Context(), mustAddrPort(server.String()), time.Second)
	if err != nil || got != n.Addresses()[0] {
		t.Fatalf("mapped address %v, %v; socket is %v", got, err, n.Addresses()[0])
	}
}

func TestServerReflexiveCandidate(t *testing.T) {
	server := startTURN(t)
	server.STUN = true
	// Bound to the wildcard, the hosts without loopback: the server sees an address that is no host candidate.
	n, err := ListenNet(NetOptions{Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	if routed, err := hostAddresses(false); err != nil || len(routed) == 0 || routed[0].IsLoopback() {
		t.Skip("this machine has no address but loopback")
	}
	var sent func() []string
	p := newPair(t, pairOptions{callerNet: n, servers: []Server{server}, prepare: func(a, b *Engine) { sent = spy(a) }})
	p.establish(t)
	until(t, 5*time.Second, "server reflexive candidate", func() bool {
		return strings.Contains(strings.Join(sent(), "\n"), "typ srflx")
	})
}

func TestDirectWinsOverRelay(t *testing.T) {
	p := newPair(t, pairOptions{servers: []Server{startTURN(t)}})
	p.establish(t)
	if st := p.caller.Stats(); st.Local != "host" {
		t.Errorf("pair %s-%s", st.Local, st.Remote)
	}
	p.exchange(t, "direct")
}

func TestDeadTURNServerDoesNotHoldTheEnd(t *testing.T) {
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0") // takes requests and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	server := Server{Host: "127.0.0.1", Port: conn.LocalAddr().(*net.UDPAddr).Port, Username: "u", Password: "p", TURN: true, STUN: true}
	for name, wait := range map[string]time.Duration{"at once": 0, "while it waits": 1700 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, pairOptions{servers: []Server{server}})
			<-time.After(wait)
			p.caller.stop(t) // checks how long it takes
			p.callee.stop(t)
		})
	}
}

func TestSilencedTURNServerDoesNotHoldTheEnd(t *testing.T) {
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	server := startTURN(t)
	p := newPair(t, pairOptions{relayOnly: true, servers: []Server{server}})
	p.establish(t)
	p.caller.stop(t)
	p.callee.stop(t)
}
