package voip

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"

	"github.com/tgtrunk/tgtrunk/media"
)

func TestParseCandidate(t *testing.T) {
	for _, c := range []struct{ line, want string }{ // want: type address port priority; empty: refused
		{"candidate:842163049 1 udp 1677729535 203.0.113.7 50000 typ srflx raddr 0.0.0.0 rport 0 generation 0 ufrag 9pPa network-cost 999", "srflx 203.0.113.7 50000 1677729535"},
		{"a=candidate:1 1 UDP 1 192.0.2.1 9 typ host", "host 192.0.2.1 9 1"},
		{"1 1 udp 2122260223 2001:db8::1 40000 typ host generation 0", "host 2001:db8::1 40000 2122260223"},
		{"candidate:1 1 udp 4294967295 ::ffff:192.0.2.1 1 typ relay raddr 10.0.0.1 rport 5", "relay 192.0.2.1 1 4294967295"},
		{"  candidate:1  1 udp 5 192.0.2.1 7 typ prflx odd ", "prflx 192.0.2.1 7 5"},
		{"candidate:1 1 udp 5 7b1c.local 7 typ host", ""},
		{"candidate:3142851893 1 udp 41885439 reflector-1-2864434397.reflector 597 typ relay raddr 0.0.0.0 rport 0", ""},
		{"candidate:1 2 udp 5 192.0.2.1 7 typ host", ""},
		{"candidate:1 1 tcp 5 192.0.2.1 9 typ host tcptype active", ""},
		{"candidate:1 1 udp 5 192.0.2.1 0 typ host", ""},
		{"candidate:1 1 udp 5 192.0.2.1 65536 typ host", ""},
		{"candidate:1 1 udp 4294967296 192.0.2.1 7 typ host", ""},
		{"candidate:1 1 udp 5 0.0.0.0 7 typ host", ""},
		{"candidate:1 1 udp 5 224.0.0.1 7 typ host", ""},
		{"candidate:1 1 udp 5 255.255.255.255 7 typ host", ""},
		{"candidate:1 1 udp 5 fe80::1%eth0 7 typ host", ""},
		{"candidate:1 1 udp 5 fe80::1 7 typ host", ""},
		{"candidate:1 1 udp 5 192.0.2.1 7 typ other", ""},
		{"candidate:1 1 udp 5 192.0.2.1 7 host", ""},
		{"candidate:", ""},
		{"", ""},
	} {
		got, err := parseCandidate(c.line)
		if err != nil {
			if c.want != "" {
				t.Errorf("%q: %v", c.line, err)
			}
			continue
		}
		at, err := candidateAddress(got)
		if err != nil {
			t.Errorf("%q: %v", c.line, err)
			continue
		}
		if text := fmt.Sprint(got.Type(), " ", at.Addr(), " ", at.Port(), " ", got.Priority()); text != c.want {
			t.Errorf("%q: got %q, want %q", c.line, text, c.want)
		}
	}
}

func TestFormatCandidateIsReadByItself(t *testing.T) {
	for _, kind := range []string{"host", "srflx", "relay"} {
		for _, ip := range []string{"192.0.2.1", "2001:db8::1"} {
			c := must(newRemote(kind, ip, 40_000, 77))
			line := formatCandidate(c)
			back, err := parseCandidate(line)
			if err != nil || back.Type() != c.Type() || back.Address() != ip || back.Port() != 40_000 || back.Priority() != 77 {
				t.Errorf("%s: %v %v", line, back, err)
			}
			if _, err := ice.UnmarshalCandidate(line); err != nil {
				t.Errorf("%s: %v", line, err)
			}
		}
	}
}

func FuzzParseCandidate(f *testing.F) {
	f.Add("candidate:1 1 udp 5 192.0.2.1 7 typ host generation 0")
	f.Add("a=candidate:1 1 udp 5 ::1 7 typ srflx raddr 0.0.0.0 rport 0")
	f.Fuzz(func(t *testing.T, line string) {
		c, err := parseCandidate(line)
		if err != nil {
			return
		}
		if _, err := candidateAddress(c); err != nil {
			t.Errorf("%q: %v", line, err)
		}
		if _, err := parseCandidate(formatCandidate(c)); err != nil {
			t.Errorf("%q: %v", line, err)
		}
	})
}

func TestFingerprint(t *testing.T) {
	id := must(newIdentity())
	der := id.certificate.Certificate[0]
	for _, c := range []struct {
		hash, sum string
		ok        bool
	}{
		{"sha-256", id.fingerprint, true},
		{"SHA-256", strings.ToLower(id.fingerprint), true},
		{"sha-256", strings.ReplaceAll(id.fingerprint, ":", ""), true},
		{"sha-256", id.fingerprint[3:], false},
		{"sha-512", id.fingerprint, false},
		{"md5", id.fingerprint, false},
		{"sha-256", "zz" + id.fingerprint[2:], false},
		{"", "", false},
	} {
		p, err := parseFingerprint(c.hash, c.sum)
		if (err == nil) != c.ok {
			t.Errorf("%s %s: %v", c.hash, c.sum, err)
		}
		if err == nil && !p.matches(der) {
			t.Errorf("%s %s does not match", c.hash, c.sum)
		}
	}
	other := must(parseFingerprint("sha-256", must(newIdentity()).fingerprint))
	if other.matches(der) {
		t.Error("a foreign fingerprint matches")
	}
}

func FuzzFingerprint(f *testing.F) {
	f.Add("sha-256", "7B:0F")
	f.Fuzz(func(t *testing.T, hash, sum string) { _, _ = parseFingerprint(hash, sum) })
}

func TestSTUNHeader(t *testing.T) {
	m := must(stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewSoftware("x"), stun.NewUsername("ours:theirs"), stun.Fingerprint))
	class, id, ok := stunHeader(m.Raw)
	if !ok || class != stunRequest || id != m.TransactionID {
		t.Errorf("got %v %x %v", class, id, ok)
	}
	if got := stunUfrag(m.Raw); string(got) != "ours" {
		t.Errorf("user fragment %q", got)
	}
	for want, kind := range map[stunClass]stun.MessageType{stunSuccess: stun.BindingSuccess, stunFailure: stun.BindingError} {
		m := must(stun.Build(stun.TransactionID, kind))
		if class, _, ok := stunHeader(m.Raw); !ok || class != want {
			t.Errorf("%v: got %v %v", kind, class, ok)
		}
		if stunUfrag(m.Raw) != nil {
			t.Error("user fragment from nowhere")
		}
	}
}

func FuzzSTUN(f *testing.F) {
	f.Add(must(stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername("a:b"))).Raw)
	f.Add([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, 255, 255, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, _, ok := stunHeader(b); ok {
			_ = stunUfrag(b)
		}
	})
}

// FuzzShard feeds a shared socket that carries a call.
func FuzzShard(f *testing.F) {
	f.Add([]byte{0x80, 111, 0, 1}, true)
	f.Add([]byte{22, 254, 253, 0, 0, 0}, true)
	f.Add(must(stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername("a:b"))).Raw, false)
	f.Fuzz(func(t *testing.T, b []byte, known bool) {
		n := &Net{closed: make(chan struct{})}
		s := &shard{net: n, claims: make(map[netip.AddrPort]*claim), byUfrag: make(map[string]*link),
			bindings: make(map[transaction]chan<- netip.AddrPort), socket: &socket{}}
		fl := newFlow()
		l := newLink(s, fl, newDTLSPort(&fl.out.path))
		from := mustAddrPort("192.0.2.1:1000")
		s.byUfrag["a"] = l
		if known {
			s.claims[from] = &claim{owner: l}
		}
		if len(b) > 0 && len(b) <= maxPacket {
			s.take(bytes.Clone(b), from)
			l.take(bytes.Clone(b), from, s.socket)
		}
	})
}

// TestSharedRemoteAddress lets the packets of two calls come from one address, as a peer with one socket sends them.
func TestSharedRemoteAddress(t *testing.T) {
	a, b := loopbackNet(t, 1), loopbackNet(t, 1)
	first := newPair(t, pairOptions{callerNet: a, calleeNet: b})
	first.establish(t)
	second := newPair(t, pairOptions{callerNet: a, calleeNet: b})
	second.establish(t)
	shard, from := b.shards[0], a.shards[0].socket
	// The second call's checks have come from the address that is the first call's.
	link := second.callee.live.Load().ice.link
	if shard.owner(from.local) == link {
		t.Fatal("the second call owns the address")
	}
	shard.visit(from.local, link)
	second.caller.flow.out.path.Store(&path{socket: from, to: shard.socket.local})
	for _, mark := range []string{"one", "two"} {
		first.exchange(t, "first "+mark)
		second.exchange(t, "second "+mark)
	}
	// Reports, which do not carry the SSRC, find their call as well.
	second.caller.flow.report(time.Now(), []byte("second"))
	first.caller.flow.report(time.Now(), []byte("first"))
	for _, p := range []*pair{first, second} {
		until(t, 3*time.Second, "sender report", func() bool {
			f := p.callee.flow
			f.in.mu.Lock()
			defer f.in.mu.Unlock()
			return f.in.peer.stamp != 0
		})
	}
	if got := first.callee.Stats().Media.PacketsReceived; got != 20 {
		t.Errorf("first call got %d packets", got)
	}
	first.callee.Flow().WriteAudio(&media.Packet{Payload: []byte("end")})
}
