package voip

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v4"
)

const (
	vectorTag = "101112131415161718191a1b1c1d1e1f"
	vectorOwn = 0xaabbccdd
	vectorTo  = 0x01020304
)

func mustTag(t testing.TB, s string) reflectorTag {
	t.Helper()
	tag, err := parsePeerTag(s)
	if err != nil {
		t.Fatal(err)
	}
	return tag
}

func TestReflectorVectors(t *testing.T) {
	tag := mustTag(t, vectorTag)
	for name, v := range map[string]struct {
		got  []byte
		want string
	}{
		"hello": {tag.hello(vectorOwn), "101112131415161718191a1bddccbbaafffffffffffffffffffffffffeffffff000000000000007b"},
		"data": {tag.appendData(nil, vectorTo, vectorOwn, []byte{0, 1, 0, 0, 0x21}),
			"101112131415161718191a1b04030201ddccbbaa000000050001000021000000"},
		"hello over tcp": {append([]byte(reflectorOpened), frameOf(tag.helloTCP(vectorOwn))...),
			"eeeeeeee14000000101112131415161718191a1bddccbbaa00000000"},
	} {
		if got := hex.EncodeToString(v.got); got != v.want {
			t.Errorf("%s:\n%s, want\n%s", name, got, v.want)
		}
	}
	e := end{ours: true, id: 1, tag: 2864434397, port: 597}
	if got := e.candidate("3142851893", 41885439); got != "candidate:3142851893 1 udp 41885439 reflector-1-2864434397.reflector 597 typ relay generation 0" {
		t.Error(got)
	}
}

func TestReflectorRead(t *testing.T) {
	tag := mustTag(t, vectorTag)
	data := tag.appendData(nil, vectorOwn, vectorTo, []byte("hello"))
	change := func(at int, to byte) []byte {
		b := bytes.Clone(data)
		b[at] = to
		return b
	}
	for name, c := range map[string]struct {
		b       []byte
		payload string
		ours    bool
	}{
		"data":             {data, "hello", true},
		"without padding":  {data[:29], "hello", true},
		"other tag":        {change(3, 0), "", false},
		"other role":       {change(0, 0x11), "", false},
		"other last bytes": {change(13, 0), "hello", true}, // they hold our random tag
		"too long":         {change(23, 9), "", true},
		"far too long":     {change(20, 255), "", true},
		"empty":            {change(23, 0), "", true},
		"cut":              {data[:24], "", true},
		"tag alone":        {data[:16], "", true},
		"less":             {data[:15], "", false},
		"nothing":          {nil, "", false},
		"control":          {append(bytes.Clone(data[:16]), bytes.Repeat([]byte{255}, 40)...), "", true},
		"hello":            {tag.hello(vectorOwn), "", true},
	} {
		from, payload, ours := tag.read(c.b)
		if string(payload) != c.payload || ours != c.ours || payload != nil && from != vectorTo {
			t.Errorf("%s: %x %q %v", name, from, payload, ours)
		}
	}
	for n := range 9 { // padded to four
		if b := tag.appendData(nil, 1, 2, make([]byte, n)); len(b) != 24+(n+3)/4*4 {
			t.Errorf("%d bytes are sent as %d", n, len(b))
		}
	}
}

func TestPeerTagRefused(t *testing.T) {
	for _, s := range []string{"", "00", strings.Repeat("0", 31), strings.Repeat("0", 34), strings.Repeat("g", 32)} {
		if _, err := parsePeerTag(s); err == nil {
			t.Errorf("%q is taken", s)
		}
	}
}

func TestReflectorEnds(t *testing.T) {
	for _, e := range []end{{id: 1, tag: 1, port: 599}, {id: 255, tag: 0xffffffff, port: 65535}, {ours: true, leg: 15, id: 3, tag: 0xaabbccdd, port: 1}} {
		if got, ok := endAt(e.address()); !ok || got != e {
			t.Errorf("%+v becomes %+v", e, got)
		}
		if usableRemote(e.address().Addr()) {
			t.Errorf("%v may be signalled", e.address())
		}
	}
	for _, a := range []string{"127.0.0.1:1", "[fd74::1]:1", "[::ffff:1.2.3.4]:1"} {
		if _, ok := endAt(netip.MustParseAddrPort(a)); ok {
			t.Errorf("%s is an end", a)
		}
	}
}

func TestReflectorCandidates(t *testing.T) {
	const good = "candidate:4252640562 1 udp 41812479 reflector-1-1827215732.reflector 5990 typ relay generation 0 ufrag roWl network-id 1"
	e, priority, err := parseReflectorCandidate(good)
	if err != nil || (e != end{id: 1, tag: 1827215732, port: 5990}) || priority != 41812479 || !isReflectorCandidate(good) {
		t.Errorf("%+v %d %v", e, priority, err)
	}
	for _, line := range []string{"a=" + good, strings.TrimPrefix(good, "candidate:"), e.candidate("1", 5), strings.Replace(good, " 1 udp", " 0 UDP", 1)} {
		if got, _, err := parseReflectorCandidate(line); err != nil || got != e {
			t.Errorf("%s: %+v %v", line, got, err)
		}
	}
	for _, change := range [][2]string{
		{"typ relay", "typ host"}, {"udp", "tcp"}, {" 1 udp", " 2 udp"}, {"41812479", "x"}, {"5990", "0"}, {"5990", "65536"},
		{"reflector-1", "reflector-0"}, {"reflector-1", "reflector-256"}, {"reflector-1", "reflector"}, {"-1827215732", "-0"},
		{"-1827215732", "-4294967296"}, {"-1827215732", "--1"}, {".reflector", ".reflect"}, {"reflector-1", "mirror-1"}, {" typ relay", ""},
	} {
		line := strings.Replace(good, change[0], change[1], 1)
		if got, _, err := parseReflectorCandidate(line); err == nil {
			t.Errorf("%s: %+v", line, got)
		}
	}
	if _, err := parseCandidate(good); err == nil {
		t.Error("taken for an address")
	}
}

// The candidates that the official engine signals for its reflectors.
func TestReflectorCaptures(t *testing.T) {
	files, err := filepath.Glob("signaling/testdata/captures/*-refl.json.gz")
	if err != nil || len(files) < 2 {
		t.Fatalf("%d captures, %v", len(files), err)
	}
	line := regexp.MustCompile(`candidate:[^"\\]*reflector[^"\\]*`)
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(z)
		if err != nil || !json.Valid(text) {
			t.Fatalf("%s: %v", name, err)
		}
		lines := line.FindAllString(string(text), -1)
		if len(lines) < 2 {
			t.Errorf("%s: %d candidates", name, len(lines))
		}
		for _, l := range lines {
			e, priority, err := parseReflectorCandidate(l)
			if err != nil || !isReflectorCandidate(l) || e.id != 1 || e.port != 5990 || e.tag == 0 || priority>>24 != 2 {
				t.Errorf("%s: %+v %d %v", l, e, priority, err)
			}
		}
	}
}

// A leg says hello twice a second until it is answered, and has nothing to offer before.
func TestReflectorHellos(t *testing.T) {
	server, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	at := server.LocalAddr().(*net.UDPAddr)
	p := newPair(t, pairOptions{relayOnly: true, delayed: true, mine: []Server{{ID: 1, Host: at.IP.String(), Port: at.Port, PeerTag: vectorTag}}})
	sent := spy(p.caller.Engine)
	p.caller.start(t)
	buf := make([]byte, 100)
	var last time.Time
	hello := func(limit time.Duration) (from netip.AddrPort, ok bool) {
		t.Helper()
		_ = server.SetReadDeadline(time.Now().Add(limit))
		n, from, err := server.ReadFromUDPAddrPort(buf)
		if err == nil && (n != 40 || hex.EncodeToString(buf[:12])+hex.EncodeToString(buf[16:40]) != vectorTag[:24]+"fffffffffffffffffffffffffeffffff000000000000007b") {
			t.Errorf("no hello: %x", buf[:n])
		}
		return from, err == nil
	}
	for i := range 3 { // as if they were lost
		if _, ok := hello(3 * time.Second); !ok {
			t.Fatal("no hello")
		}
		if gap := time.Since(last); i > 0 && (gap < 400*time.Millisecond || gap > 1500*time.Millisecond) {
			t.Errorf("hello after %v", gap)
		}
		last = time.Now()
	}
	offered := func() bool { return strings.Contains(strings.Join(sent(), "\n"), ".reflector") }
	from, _ := hello(3 * time.Second)
	for _, b := range []string{"00" + vectorTag[2:], vectorTag[:30], vectorTag[:22] + "0000000000"} { // not for us
		raw, _ := hex.DecodeString(b)
		_, _ = server.WriteToUDPAddrPort(raw, from)
	}
	if from, _ = hello(3 * time.Second); offered() {
		t.Error("offered before the answer")
	}
	_, _ = server.WriteToUDPAddrPort(buf[:16], from)
	until(t, 3*time.Second, "candidate", offered)
	if _, ok := hello(1500 * time.Millisecond); ok {
		t.Error("a hello too soon after the answer")
	}
}

func FuzzReflectorRead(f *testing.F) {
	tag := mustTag(f, vectorTag)
	f.Add(tag.hello(1))
	f.Add(tag.appendData(nil, 1, 2, []byte("abc")))
	f.Add(tag.helloTCP(1))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		from, payload, ours := tag.read(b)
		if payload == nil {
			return
		}
		again := tag.appendData(nil, vectorOwn, from, payload)
		if !ours || len(payload) == 0 || len(again) > len(b)+3 || !bytes.Equal(again[16:24+len(payload)], b[16:24+len(payload)]) {
			t.Errorf("%x is read as %x", b, payload)
		}
	})
}

func FuzzReflectorCandidate(f *testing.F) {
	f.Add("candidate:1 1 udp 41812479 reflector-1-1827215732.reflector 5990 typ relay generation 0")
	f.Add("a=1 0 UDP 1 reflector--.reflector 1 typ relay")
	f.Add("1 1 udp 1 .reflector 1 typ relay")
	f.Fuzz(func(t *testing.T, line string) {
		e, priority, err := parseReflectorCandidate(line)
		if err != nil {
			return
		}
		if again, p, err := parseReflectorCandidate(e.candidate("1", priority)); err != nil || again != e || p != priority {
			t.Errorf("%q: %+v, then %+v %v", line, e, again, err)
		}
		if _, err := e.remoteCandidate(priority); err != nil {
			t.Error(err)
		}
	})
}

func FuzzReflectorFrame(f *testing.F) {
	tag := mustTag(f, vectorTag)
	f.Add(frameOf(tag.helloTCP(1)))
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte{255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		in, buf := bytes.NewReader(b), make([]byte, reflectedMax)
		for {
			n, err := readFrame(in, buf)
			if err != nil {
				return
			}
			if n <= 0 || n > len(buf) {
				t.Fatalf("frame of %d", n)
			}
		}
	})
}

// FuzzLeg feeds what a reflector could send to a leg that the ICE agent has a face at: packets of any content, and packets
// for us with any payload. Checks go to the agent, the rest to the call, and nothing to both.
func FuzzLeg(f *testing.F) {
	tag := mustTag(f, vectorTag)
	f.Add(tag.hello(1), false)
	f.Add([]byte{0x80, 111, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1}, true)
	f.Add(must(stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername("a:b"))).Raw, true)
	f.Add([]byte{22, 254, 253, 0, 0, 0}, true)
	f.Fuzz(func(t *testing.T, b []byte, wrap bool) {
		taken := 0
		l := &leg{tag: tag, local: end{ours: true, id: 1, port: 599, tag: vectorOwn}, take: func([]byte) { taken++ }}
		face := newAllocation(t.Context(), l)
		l.attach(face, l.ask())
		if wrap && len(b) > 0 {
			b = tag.appendData(nil, vectorOwn, 7, b)
		}
		ours := l.receive(b)
		if n := len(face.queue); n+taken > 1 || n+taken > 0 && !ours || wrap && len(b) > 0 && n+taken != 1 {
			t.Errorf("%x: %d to the agent, %d to the call, ours %v", b, n, taken, ours)
		}
		select { // the agent's client can read what it is given
		case m := <-face.queue:
			if err := (&stun.Message{Raw: m}).Decode(); err != nil {
				t.Errorf("%x: %v", m, err)
			}
		default:
		}
	})
}

// FuzzAllocation feeds the made-up TURN server what its client could write, which holds what the peer has signalled.
func FuzzAllocation(f *testing.F) {
	at := end{id: 1, port: 599, tag: 7}.address()
	for _, kind := range []stun.MessageType{
		stun.NewType(stun.MethodAllocate, stun.ClassRequest), stun.NewType(stun.MethodCreatePermission, stun.ClassRequest),
		stun.NewType(stun.MethodSend, stun.ClassIndication), stun.NewType(stun.MethodRefresh, stun.ClassRequest),
	} {
		f.Add(must(stun.Build(stun.TransactionID, kind, stun.NewUsername("u"), xorAddress{stun.AttrXORPeerAddress, at},
			stun.RawAttribute{Type: stun.AttrData, Value: []byte("check")})).Raw)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		sent := 0
		l := &leg{tag: mustTag(t, vectorTag), local: end{ours: true, id: 1, port: 599, tag: vectorOwn}}
		l.carried(func([]byte) { sent++ })
		a := newAllocation(t.Context(), l)
		if n, err := a.Write(b); n != len(b) || err != nil {
			t.Errorf("wrote %d of %d: %v", n, len(b), err)
		}
		if sent+len(a.queue) > 1 {
			t.Errorf("%d sent, %d answers", sent, len(a.queue))
		}
	})
}
