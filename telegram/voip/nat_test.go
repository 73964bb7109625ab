package voip

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v4"

	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/reflector"
)

// hole is a place that packets go to and never come back from.
func hole(t *testing.T) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// wordless is the same for TCP: it takes connections and says nothing.
func wordless(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// unreachable lets the host candidates of both sides lead into a hole, as private addresses do.
func unreachable(t *testing.T) func(caller, callee *Engine) {
	at := hole(t)
	return func(caller, callee *Engine) {
		for _, e := range []*Engine{caller, callee} {
			e.signal.channel = &spyChannel{Channel: e.signal.channel, edit: func(m []byte) []byte {
				if !bytes.Contains(m, []byte(`"Candidates"`)) {
					return m
				}
				return hostCandidate.ReplaceAll(m, fmt.Appendf(nil, "127.0.0.1 %d typ host", at.Port()))
			}}
		}
	}
}

// symmetricNAT is what a STUN server sees of a symmetric NAT (RFC 4787: address- and port-dependent mapping): an address
// that nobody but the server itself could answer to.
func symmetricNAT(t *testing.T) Server {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	mapped := hole(t)
	var running sync.WaitGroup
	running.Go(func() {
		b := make([]byte, maxPacket)
		for {
			n, from, err := conn.ReadFromUDP(b)
			if err != nil {
				return
			}
			request := &stun.Message{Raw: bytes.Clone(b[:n])}
			if request.Decode() != nil || request.Type != stun.BindingRequest {
				continue
			}
			answer, err := stun.Build(request, stun.BindingSuccess,
				&stun.XORMappedAddress{IP: mapped.Addr().AsSlice(), Port: int(mapped.Port())}, stun.Fingerprint)
			if err == nil {
				_, _ = conn.WriteToUDP(answer.Raw, from)
			}
		}
	})
	t.Cleanup(func() {
		conn.Close()
		running.Wait()
	})
	return Server{ID: 9, Host: "127.0.0.1", Port: conn.LocalAddr().(*net.UDPAddr).Port, STUN: true}
}

// sounds checks that both ends hear each other's tone.
func (p *pair) sounds(t *testing.T, wheel *media.Wheel) (again func(t *testing.T, when string)) {
	t.Helper()
	until(t, 5*time.Second, "both offers answered", func() bool {
		return p.caller.flow.writable() && p.callee.flow.writable()
	})
	desks := p.desks(t, wheel)
	again = func(t *testing.T, when string) {
		t.Helper()
		for i, purity := range listen(t, desks, 500*time.Millisecond, pureAlways) {
			if purity < pureAlways {
				t.Errorf("%s: end %d hears a purity of %.3f", when, i, purity)
			}
		}
	}
	again(t, "at the start")
	return again
}

func needOpus(t *testing.T) {
	t.Helper()
	if !media.HaveOpus {
		t.Skip("this build has no Opus")
	}
}

// TestBothBehindNAT: each side knows the other by ports that are not the other's own. They change for one side after the
// other, which both ends follow by themselves, and for both at once, when only a restart of ICE can tell them.
func TestBothBehindNAT(t *testing.T) {
	needOpus(t)
	r := newRoad(t, 0, 3)
	p := newPair(t, pairOptions{prepare: r.patient})
	p.establish(t)
	again := p.sounds(t, startWheel(t))
	r.move(0)
	again(t, "after the caller has moved")
	r.move(1)
	again(t, "after the callee has moved")
	r.move(0)
	r.move(1)
	p.callee.restartICE()
	again(t, "after both have moved")
	for _, s := range []*side{p.caller, p.callee} {
		if st := s.Stats(); st.Local == "relay" || st.State == Failed {
			t.Errorf("%+v", st)
		}
	}
}

// TestSymmetricNAT: direct connections are allowed and tried, and none can work.
func TestSymmetricNAT(t *testing.T) {
	needOpus(t)
	wheel := startWheel(t)
	for _, relay := range []string{"TURN", "reflector"} {
		t.Run(relay, func(t *testing.T) {
			o := pairOptions{callerNet: loopbackNet(t, 1), calleeNet: loopbackNet(t, 1)}
			if relay == "TURN" {
				// The relays must not tell either side where the other one's own socket is: there is no NAT before it.
				sockets := slices.Concat(o.callerNet.Addresses(), o.calleeNet.Addresses())
				o.servers = []Server{startLossyTURN(t, func(from netip.AddrPort) bool { return slices.Contains(sockets, from) })}
			} else {
				o = startReflector(t, reflector.Options{}).both("")
				o.relayOnly = false
			}
			o.servers = append(o.servers, symmetricNAT(t))
			var sent [2]func() []string
			o.prepare = func(a, b *Engine) {
				unreachable(t)(a, b)
				sent[0], sent[1] = spy(a), spy(b)
			}
			p := newPair(t, o)
			p.establish(t)
			p.sounds(t, wheel)
			for i, s := range []*side{p.caller, p.callee} {
				if st := s.Stats(); st.Local != "relay" && st.Remote != "relay" {
					t.Errorf("pair %s-%s", st.Local, st.Remote)
				}
				if all := strings.Join(sent[i](), "\n"); !strings.Contains(all, "typ srflx") || !strings.Contains(all, "typ host") {
					t.Errorf("no direct candidate was signalled: %s", all)
				}
			}
		})
	}
}

// TestUDPBlocked: nothing passes over UDP, neither direct packets nor those of TURN nor those of the reflector: its TCP twin
// carries the call, whether direct connections are allowed or not.
func TestUDPBlocked(t *testing.T) {
	needOpus(t)
	wheel := startWheel(t)
	for _, direct := range []bool{false, true} {
		t.Run(fmt.Sprint("direct allowed: ", direct), func(t *testing.T) {
			t.Parallel()
			r := startReflector(t, reflector.Options{NoUDP: true})
			o := r.both("")
			o.relayOnly = !direct
			o.servers = []Server{{ID: 9, Host: "127.0.0.1", Port: int(hole(t).Port()), Username: "u", Password: "p", TURN: true, STUN: true}}
			o.prepare = unreachable(t)
			p := newPair(t, o)
			p.establish(t)
			p.sounds(t, wheel)
			p.relayed(t)
			for _, s := range []*side{p.caller, p.callee} {
				st := s.Stats()
				if took := st.Timings.DTLS.Sub(st.Timings.Started); took > 8*time.Second {
					t.Errorf("up after %v", took)
				}
			}
			if c := r.Counts(); c.TCP < 50 || c.UDP > 0 {
				t.Errorf("%+v", c)
			}
		})
	}
}

// TestFirstReflectorIsDead: it takes packets and connections and never says a word.
func TestFirstReflectorIsDead(t *testing.T) {
	needOpus(t)
	for _, protocols := range [][]string{{"udp"}, {"tcp"}, {"udp", "tcp"}} {
		t.Run(strings.Join(protocols, " and "), func(t *testing.T) {
			live := startReflector(t, reflector.Options{})
			silent := map[string]netip.AddrPort{"udp": hole(t), "tcp": wordless(t)}
			servers := func(tag reflector.Tag) (list []Server) {
				for _, p := range protocols {
					list = append(list, live.through(silent[p], 1, tag, p)...)
				}
				return append(list, live.servers(2, tag, protocols...)...)
			}
			p := newPair(t, pairOptions{relayOnly: true, mine: servers(live.caller), theirs: servers(live.callee)})
			p.establish(t)
			p.sounds(t, startWheel(t))
			p.relayed(t)
		})
	}
}

// TestRelayedCallsHaveTheirOwnSockets: calls that share a Net, as those of the service do, do not share a reflector's view of
// them: every side of every call comes from an address of its own, and none from the shared socket.
func TestRelayedCallsHaveTheirOwnSockets(t *testing.T) {
	for _, protocol := range []string{"udp", "tcp"} {
		t.Run(protocol, func(t *testing.T) {
			var mu sync.Mutex
			sources := map[netip.AddrPort]bool{}
			r := startReflector(t, reflector.Options{Lose: func(from netip.AddrPort) bool {
				mu.Lock()
				defer mu.Unlock()
				sources[from] = true
				return false
			}})
			shared := loopbackNet(t, 1)
			const calls = 3
			for range calls {
				tags := grant(t, r.Server)
				p := newPair(t, pairOptions{relayOnly: true, callerNet: shared, calleeNet: shared,
					mine: tags.servers(1, tags.caller, protocol), theirs: tags.servers(1, tags.callee, protocol)})
				p.establish(t)
				p.exchange(t, protocol)
			}
			mu.Lock()
			defer mu.Unlock()
			if len(sources) != 2*calls || sources[shared.Addresses()[0]] {
				t.Errorf("%d calls come from %v", calls, sources)
			}
		})
	}
}

// TestEitherRelayReaches: where a call is given a reflector and a TURN server we take both and tell of both, so that a
// native client, which may reach the reflector only, and a web client, which knows TURN only, hear us alike.
func TestEitherRelayReaches(t *testing.T) {
	for _, peer := range []string{"TURN", "reflector"} {
		t.Run(peer+" only", func(t *testing.T) {
			t.Parallel()
			r, server := startReflector(t, reflector.Options{}), startTURN(t)
			o := pairOptions{relayOnly: true, mine: append(r.servers(1, r.caller, "udp", "tcp"), server)}
			if o.theirs = []Server{server}; peer == "reflector" {
				o.theirs = r.servers(1, r.callee, "udp", "tcp")
			}
			var sent func() []string
			o.prepare = func(a, _ *Engine) { sent = spy(a) }
			p := newPair(t, o)
			p.establish(t)
			p.exchange(t, "reached")
			p.relayed(t)
			until(t, 5*time.Second, "candidates of both relays", func() bool {
				all := strings.Join(sent(), "\n")
				return strings.Contains(all, ".reflector ") && strings.Contains(all, "typ relay raddr 0.0.0.0")
			})
		})
	}
}
