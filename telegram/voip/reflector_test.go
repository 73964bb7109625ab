package voip

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/telegram/cloud/reflector"
	"github.com/tgtrunk/tgtrunk/telegram/voip/signaling"
)

// relays is what a test's reflector gives the two sides of one call.
type relays struct {
	*reflector.Server
	caller, callee reflector.Tag
}

func startReflector(t *testing.T, o reflector.Options) *relays {
	t.Helper()
	s, err := reflector.Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return grant(t, s)
}

// grant makes the tags of one more call at a reflector.
func grant(t *testing.T, s *reflector.Server) *relays {
	t.Helper()
	r := &relays{Server: s}
	var err error
	if r.caller, r.callee, err = s.Grant(); err != nil {
		t.Fatal(err)
	}
	return r
}

// servers are entries of the reflector for a side, one for each protocol.
func (r *relays) servers(id int64, tag reflector.Tag, protocols ...string) []Server {
	return r.through(r.Addr(), id, tag, protocols...)
}

func (r *relays) through(at netip.AddrPort, id int64, tag reflector.Tag, protocols ...string) []Server {
	var list []Server
	for _, p := range protocols {
		list = append(list, Server{ID: id, Host: at.Addr().String(), Port: int(at.Port()), PeerTag: hex.EncodeToString(tag[:]), TCP: p == "tcp"})
	}
	return list
}

// both are pairOptions for a relayed call over both protocols.
func (r *relays) both(version string) pairOptions {
	return pairOptions{version: version, relayOnly: true,
		mine: r.servers(1, r.caller, "udp", "tcp"), theirs: r.servers(1, r.callee, "udp", "tcp")}
}

func (p *pair) relayed(t *testing.T) {
	t.Helper()
	for _, s := range []*side{p.caller, p.callee} {
		if st := s.Stats(); st.Local != "relay" || st.Remote != "relay" && st.Remote != "prflx" {
			t.Errorf("pair %s-%s", st.Local, st.Remote)
		}
	}
}

func TestReflectorPerVersion(t *testing.T) {
	for _, version := range everyVersion() {
		for name, kind := range map[string]struct {
			mine, theirs []string
			blocked      bool
		}{
			"udp":         {mine: []string{"udp"}, theirs: []string{"udp"}},
			"tcp":         {mine: []string{"tcp"}, theirs: []string{"tcp"}},
			"udp to tcp":  {mine: []string{"udp"}, theirs: []string{"tcp"}},
			"tcp to udp":  {mine: []string{"tcp"}, theirs: []string{"udp"}},
			"both":        {mine: []string{"udp", "tcp"}, theirs: []string{"udp", "tcp"}},
			"udp blocked": {mine: []string{"udp", "tcp"}, theirs: []string{"udp", "tcp"}, blocked: true},
		} {
			t.Run(version+" "+name, func(t *testing.T) {
				t.Parallel()
				r := startReflector(t, reflector.Options{NoUDP: kind.blocked})
				p := newPair(t, pairOptions{version: version, relayOnly: true,
					mine: r.servers(1, r.caller, kind.mine...), theirs: r.servers(1, r.callee, kind.theirs...)})
				p.establish(t)
				p.exchange(t, name)
				p.relayed(t)
				switch c := r.Counts(); {
				case kind.blocked && c.TCP == 0, name == "both" && c.UDP < 20, c.Strange > 0:
					t.Errorf("reflector: %+v", c)
				}
			})
		}
	}
}

// A signalled candidate of a reflector has a name for an address, and none is signalled before the answer.
func TestReflectorTellsNoAddress(t *testing.T) {
	address := regexp.MustCompile(`\d+\.\d+\.\d+\.\d+|fd74|::|typ (host|srflx|prflx)`)
	name := regexp.MustCompile(`"candidate:\d+ 1 udp (\d+) reflector-7-\d+\.reflector (\d+) typ relay generation 0"`)
	for _, stun := range []bool{false, true} {
		t.Run(fmt.Sprint("with stun: ", stun), func(t *testing.T) {
			r := startReflector(t, reflector.Options{})
			o := pairOptions{relayOnly: true, mine: r.servers(7, r.caller, "udp", "tcp"), theirs: r.servers(7, r.callee, "udp", "tcp")}
			if stun {
				server := startTURN(t)
				server.STUN, server.TURN = true, false
				o.servers = []Server{server}
			}
			var sent [2]func() []string
			o.prepare = func(a, b *Engine) { sent[0], sent[1] = spy(a), spy(b) }
			p := newPair(t, o)
			p.establish(t)
			p.exchange(t, "quiet")
			for i, messages := range sent {
				candidates := 0
				until(t, 5*time.Second, "both candidates", func() bool {
					candidates = len(name.FindAllString(strings.Join(messages(), "\n"), -1))
					return candidates >= 2
				})
				for _, m := range messages() {
					if found := address.FindString(m); found != "" && !strings.Contains(m, `"fingerprints"`) {
						t.Errorf("side %d signalled %q: %s", i, found, m)
					}
					for _, c := range name.FindAllStringSubmatch(m, -1) {
						if len(c[1]) > 4 || c[2] != fmt.Sprint(r.Addr().Port()) {
							t.Errorf("priority %s, port %s", c[1], c[2])
						}
					}
					if strings.Contains(m, "fingerprints") && regexp.MustCompile(`\d+\.\d+\.\d+\.\d+`).MatchString(m) {
						t.Errorf("side %d signalled an address: %s", i, m)
					}
				}
			}
		})
	}
}

func TestReflectorWithTURNTellsRelaysOnly(t *testing.T) {
	r, server := startReflector(t, reflector.Options{}), startTURN(t)
	o := r.both("")
	o.servers = []Server{server}
	var sent [2]func() []string
	o.prepare = func(a, b *Engine) { sent[0], sent[1] = spy(a), spy(b) }
	p := newPair(t, o)
	p.establish(t)
	p.exchange(t, "both kinds")
	for _, messages := range sent {
		for _, m := range messages() {
			if strings.Contains(m, "sdpString") && !strings.Contains(m, " typ relay ") || strings.Contains(m, "fd74:") {
				t.Errorf("signalled: %s", m)
			}
		}
	}
}

func TestDirectWinsOverReflector(t *testing.T) {
	r := startReflector(t, reflector.Options{})
	o := r.both("")
	o.relayOnly = false
	p := newPair(t, o)
	p.establish(t)
	until(t, 5*time.Second, "legs", func() bool { return r.Legs() == 4 }) // gathered all the same
	p.exchange(t, "direct")
	for _, s := range []*side{p.caller, p.callee} {
		if st := s.Stats(); st.Local == "relay" {
			t.Errorf("pair %s-%s", st.Local, st.Remote)
		}
	}
}

// Where direct packets do not pass the reflector carries, although P2P is allowed.
func TestReflectorWhereDirectFails(t *testing.T) {
	r := startReflector(t, reflector.Options{})
	o := r.both("")
	o.relayOnly = false
	direct := func(m []byte) bool { return strings.Contains(string(m), "typ host") }
	o.prepare = func(a, b *Engine) {
		a.signal.channel = &spyChannel{Channel: a.signal.channel, drop: direct}
		b.signal.channel = &spyChannel{Channel: b.signal.channel, drop: direct}
	}
	p := newPair(t, o)
	p.establish(t)
	p.exchange(t, "relayed")
	p.relayed(t)
}

// The native engine's answers to checks from a signalled candidate never arrive, so that each side must accept checks
// of tags it has not been told of.
func TestReflectorPeerUnknown(t *testing.T) {
	for _, deaf := range []Role{signaling.Caller, signaling.Callee} {
		t.Run(deaf.String(), func(t *testing.T) {
			r := startReflector(t, reflector.Options{})
			o := r.both("")
			o.prepare = func(a, b *Engine) {
				teller := b
				if deaf == signaling.Callee {
					teller = a
				}
				teller.signal.channel = &spyChannel{Channel: teller.signal.channel, drop: func(m []byte) bool {
					return strings.Contains(string(m), `"Candidates"`)
				}}
			}
			p := newPair(t, o)
			p.establish(t)
			p.exchange(t, "unknown")
			s := p.caller
			if deaf == signaling.Callee {
				s = p.callee
			}
			if st := s.Stats(); st.Remote != "prflx" {
				t.Errorf("pair %s-%s", st.Local, st.Remote)
			}
		})
	}
}

func TestReflectorsSeveral(t *testing.T) {
	first, second := startReflector(t, reflector.Options{}), startReflector(t, reflector.Options{})
	dead, err := net.ListenPacket("udp4", "127.0.0.1:0") // never answers
	if err != nil {
		t.Fatal(err)
	}
	defer dead.Close()
	servers := func(a, b reflector.Tag) []Server {
		list := first.through(dead.LocalAddr().(*net.UDPAddr).AddrPort(), 1, a, "udp")
		list = append(list, first.servers(2, a, "udp")...)
		return append(list, second.servers(3, b, "udp", "tcp")...)
	}
	p := newPair(t, pairOptions{relayOnly: true, mine: servers(first.caller, second.caller), theirs: servers(first.callee, second.callee)})
	p.establish(t)
	p.exchange(t, "several")
	p.relayed(t)
	until(t, 5*time.Second, "legs to all", func() bool { return first.Legs() == 2 && second.Legs() == 4 })
}

func TestReflectorIPv6(t *testing.T) {
	if c, err := net.ListenPacket("udp6", "[::1]:0"); err != nil {
		t.Skip("this machine has no IPv6")
	} else {
		_ = c.Close()
	}
	r := startReflector(t, reflector.Options{Listen: "[::1]:0"})
	p := newPair(t, r.both(""))
	p.establish(t)
	p.exchange(t, "six")
	p.relayed(t)
}

func TestReflectorStandalone(t *testing.T) {
	for name, blocked := range map[string]bool{"udp": false, "udp blocked": true} {
		t.Run(name, func(t *testing.T) {
			r := startReflector(t, reflector.Options{NoUDP: blocked})
			o := r.both("")
			o.customCaller, o.customCallee = `{"network_standalone_reflectors":true}`, `{"network_standalone_reflectors":true}`
			var sent [2]func() []string
			o.prepare = func(a, b *Engine) { sent[0], sent[1] = spy(a), spy(b) }
			p := newPair(t, o)
			p.establish(t)
			p.exchange(t, "alone")
			p.relayed(t)
			if all := strings.Join(append(sent[0](), sent[1]()...), "\n"); strings.Contains(all, `"Candidates"`) {
				t.Errorf("signalled: %s", all)
			}
		})
	}
}

// The call's own encryption may begin with any byte: nothing of it may be taken for a check.
func TestReflectorCarriesMTProto(t *testing.T) {
	r := startReflector(t, reflector.Options{})
	o := r.both("")
	o.customCaller, o.customCallee = `{"network_use_mtproto":true}`, `{"network_use_mtproto":true}`
	p := newPair(t, o)
	p.establish(t)
	p.exchange(t, "clear")
	p.relayed(t)
}

func TestReflectorRestart(t *testing.T) {
	r := startReflector(t, reflector.Options{})
	p := newPair(t, r.both(""))
	p.establish(t)
	p.exchange(t, "before")
	until(t, 5*time.Second, "all legs", func() bool { return r.Legs() == 4 })
	p.callee.command(func(s *session) error { return s.beginRestart() })
	for _, e := range []*Engine{p.caller.Engine, p.callee.Engine} {
		awaitState(t, e, 5*time.Second, Reconnecting)
		awaitState(t, e, 5*time.Second, Established)
	}
	p.exchange(t, "after")
	p.relayed(t)
	if n := r.Legs(); n != 4 {
		t.Errorf("%d legs: tags were changed", n)
	}
}

// A call whose reflector cuts the TCP connection goes on over a new one, with the same tag.
func TestReflectorReconnects(t *testing.T) {
	r := startReflector(t, reflector.Options{})
	front := forward(t, r.Addr())
	p := newPair(t, pairOptions{relayOnly: true,
		mine: r.through(front.addr(), 1, r.caller, "tcp"), theirs: r.through(front.addr(), 1, r.callee, "tcp")})
	p.establish(t)
	p.exchange(t, "before")
	front.cut()
	until(t, 5*time.Second, "new connections", func() bool { return front.accepted.Load() >= 4 && r.Legs() == 2 })
	p.exchange(t, "after")
}

// forwarder carries TCP connections to a server, and can cut them.
type forwarder struct {
	net.Listener
	accepted atomic.Int64
	mu       sync.Mutex
	open     []net.Conn
	group    sync.WaitGroup
}

func forward(t *testing.T, to netip.AddrPort) *forwarder {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &forwarder{Listener: l}
	f.group.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to.String())
			if err != nil {
				_ = in.Close()
				continue
			}
			f.mu.Lock()
			f.open = append(f.open, in, out)
			f.mu.Unlock()
			f.accepted.Add(1)
			for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
				f.group.Go(func() { _, _ = way[0].(*net.TCPConn).WriteTo(way[1]); _ = way[1].Close() })
			}
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		f.cut()
		f.group.Wait()
	})
	return f
}

func (f *forwarder) addr() netip.AddrPort { return f.Addr().(*net.TCPAddr).AddrPort() }

func (f *forwarder) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.open {
		_ = c.Close()
	}
	f.open = nil
}

// A reflector that never answers must not hold the end of a call, nor leave anything behind.
func TestDeadReflectorDoesNotHoldTheEnd(t *testing.T) {
	dead, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer dead.Close()
	at := dead.LocalAddr().(*net.UDPAddr).AddrPort()
	r := &relays{}
	for name, wait := range map[string]time.Duration{"at once": 0, "while it waits": 900 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, pairOptions{relayOnly: true,
				mine: r.through(at, 1, r.caller, "udp", "tcp"), theirs: r.through(at, 1, r.callee, "udp", "tcp")})
			<-time.After(wait)
			p.caller.stop(t) // checks how long it takes
			p.callee.stop(t)
		})
	}
}

func TestReflectorLeavesNoSocket(t *testing.T) {
	r, caller, callee := startReflector(t, reflector.Options{}), loopbackNet(t, 1), loopbackNet(t, 1)
	sockets := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("no /proc")
		}
		return len(list)
	}
	before := sockets()
	for range 3 {
		o := r.both("")
		o.callerNet, o.calleeNet = caller, callee
		p := newPair(t, o)
		p.establish(t)
		p.exchange(t, "once")
		p.caller.stop(t)
		p.callee.stop(t)
	}
	until(t, 5*time.Second, "sockets closed", func() bool { return sockets() <= before })
}

// Servers that cannot be used are left out.
func TestReflectorsRefused(t *testing.T) {
	good := Server{ID: 1, Host: "127.0.0.1", Port: 599, PeerTag: strings.Repeat("0a", 16)}
	list := []Server{good, {ID: 1, Host: "127.0.0.1", Port: 599, Username: "reflector", Password: good.PeerTag}}
	for _, spoil := range []func(*Server){
		func(s *Server) { s.PeerTag = "0a" }, func(s *Server) { s.PeerTag = strings.Repeat("x", 32) },
		func(s *Server) { s.ID = 0 }, func(s *Server) { s.ID = 256 }, func(s *Server) { s.Port = 0 },
		func(s *Server) { s.Host = "" }, func(s *Server) { s.PeerTag, s.TURN = "", true },
	} {
		s := good
		spoil(&s)
		list = append(list, s)
	}
	r := newReflectors(t.Context(), reflectorOptions{servers: list, role: signaling.Caller, log: testLog(t)})
	if len(r.legs) != 2 || r.legs[0].tag != r.legs[1].tag || r.legs[0].local.tag == r.legs[1].local.tag {
		t.Errorf("%d legs", len(r.legs))
	}
	for range 2 * maxLegs {
		list = append(list, good)
	}
	if r = newReflectors(t.Context(), reflectorOptions{servers: list, role: signaling.Caller, log: testLog(t)}); len(r.legs) != maxLegs {
		t.Errorf("%d legs", len(r.legs))
	}
}

// What goes through a reflector over UDP costs no memory, as what goes straight.
func TestReflectorSendAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	sink, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	conn, err := net.Dial("udp", sink.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	l := &leg{local: end{id: 1, tag: 2, port: 3}, take: func([]byte) {}}
	l.carried(func(packet []byte) { _, _ = conn.Write(packet) })
	way, packet := &path{relay: reflectedPath{l, 7}}, make([]byte, 175)
	packet[0] = 0x80
	if n := testing.AllocsPerRun(200, func() { way.write(packet) }); n != 0 {
		t.Errorf("%v allocations a packet sent", n)
	}
	in := l.tag.appendData(nil, 2, 7, packet)
	if n := testing.AllocsPerRun(200, func() { l.receive(in) }); n != 0 {
		t.Errorf("%v allocations a packet received", n)
	}
}
