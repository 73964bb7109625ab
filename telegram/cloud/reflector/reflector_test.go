package reflector

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, o Options) *Server {
	t.Helper()
	s, err := Listen(o)
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
	return s
}

// client is one leg, over UDP or TCP, as the official engine's.
type client struct {
	t   *testing.T
	tag Tag
	own uint32
	net.Conn
	in *bufio.Reader // of TCP
}

func dial(t *testing.T, s *Server, network string, tag Tag, own uint32) *client {
	t.Helper()
	conn, err := net.Dial(network, s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := &client{t: t, tag: tag, own: own, Conn: conn}
	if network == "tcp" {
		c.in = bufio.NewReader(conn)
		c.raw([]byte(opening))
	}
	return c
}

func (c *client) raw(b []byte) {
	c.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.t.Error(err)
	}
}

func (c *client) send(b []byte) {
	c.t.Helper()
	if c.in != nil {
		b = frame(b)
	}
	c.raw(b)
}

func (c *client) hello() {
	c.t.Helper()
	b := binary.LittleEndian.AppendUint32(bytes.Clone(c.tag[:tagLength]), c.own)
	if c.in != nil {
		c.send(append(b, 0, 0, 0, 0))
		return
	}
	b = append(b, bytes.Repeat([]byte{0xff}, 12)...)
	b = append(b, 0xfe, 0xff, 0xff, 0xff)
	c.send(binary.BigEndian.AppendUint64(b, 123))
}

func (c *client) data(to uint32, payload string) {
	c.t.Helper()
	b := binary.LittleEndian.AppendUint32(bytes.Clone(c.tag[:tagLength]), to)
	b = binary.LittleEndian.AppendUint32(b, c.own)
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	b = append(b, payload...)
	c.send(append(b, make([]byte, -len(payload)&3)...))
}

// next reads a packet; nil when none comes.
func (c *client) next(limit time.Duration) []byte {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(limit))
	b := make([]byte, maxPacket)
	var n int
	var err error
	if c.in == nil {
		n, err = c.Read(b)
	} else {
		n, err = readFrame(c.in, b)
	}
	if err != nil {
		return nil
	}
	return b[:n]
}

// meet says hello and takes the answer.
func (c *client) meet() {
	c.t.Helper()
	c.hello()
	b := c.next(5 * time.Second)
	if len(b) != 64 || !bytes.Equal(b[:tagLength], c.tag[:tagLength]) || binary.LittleEndian.Uint32(b[12:]) != c.own || !isControl(b) ||
		binary.LittleEndian.Uint32(b[28:]) != selfInfo {
		c.t.Fatalf("answer %x", b)
	}
	own, _ := netip.ParseAddrPort(c.LocalAddr().String())
	if at := netip.AddrFrom16([16]byte(b[44:60])); at.Unmap() != own.Addr() || uint16(binary.LittleEndian.Uint32(b[60:])) != own.Port() {
		c.t.Fatalf("told %v, is %v", at, own)
	}
}

// expect reads data from a peer; the tag must be this client's own.
func (c *client) expect(from uint32, payload string) {
	c.t.Helper()
	b := c.next(5 * time.Second)
	want := binary.LittleEndian.AppendUint32(bytes.Clone(c.tag[:tagLength]), c.own)
	want = binary.LittleEndian.AppendUint32(want, from)
	want = binary.BigEndian.AppendUint32(want, uint32(len(payload)))
	want = append(want, payload...)
	want = append(want, make([]byte, -len(payload)&3)...)
	if !bytes.Equal(b, want) {
		c.t.Fatalf("got  %x\nwant %x", b, want)
	}
}

func (c *client) expectNone() {
	c.t.Helper()
	if b := c.next(100 * time.Millisecond); b != nil {
		c.t.Errorf("got %x", b)
	}
}

func grant(t *testing.T, s *Server) (caller, callee Tag) {
	t.Helper()
	caller, callee, err := s.Grant()
	if err != nil {
		t.Fatal(err)
	}
	return caller, callee
}

func TestRelays(t *testing.T) {
	for _, pair := range [][2]string{{"udp", "udp"}, {"tcp", "tcp"}, {"udp", "tcp"}, {"tcp", "udp"}} {
		t.Run(pair[0]+" to "+pair[1], func(t *testing.T) {
			s := start(t, Options{})
			ta, tb := grant(t, s)
			a, b := dial(t, s, pair[0], ta, 0xaabbccdd), dial(t, s, pair[1], tb, 7)
			a.meet()
			b.meet()
			for _, payload := range []string{"x", "four", "hello", string(make([]byte, 1200))} {
				a.data(7, payload)
				b.expect(0xaabbccdd, payload)
				b.data(0xaabbccdd, payload)
				a.expect(7, payload)
			}
			a.data(8, "nobody")
			b.expectNone()
			if c := s.Counts(); c.Lost != 1 || c.Strange != 0 || c.UDP+c.TCP != 10 {
				t.Errorf("%+v", c)
			}
			s.Revoke(tb)
			a.data(7, "too late")
			b.expectNone()
		})
	}
}

// Calls do not hear each other, and neither do the legs of one side.
func TestKeepsApart(t *testing.T) {
	s := start(t, Options{})
	ta, tb := grant(t, s)
	tc, _ := grant(t, s)
	a, second, b, stranger := dial(t, s, "udp", ta, 1), dial(t, s, "udp", ta, 2), dial(t, s, "udp", tb, 3), dial(t, s, "udp", tc, 4)
	for _, c := range []*client{a, second, b, stranger} {
		c.meet()
	}
	stranger.data(3, "across calls")
	a.data(2, "to oneself")
	a.data(3, "across")
	second.expectNone()
	b.expect(1, "across")
	b.data(2, "to the second")
	second.expect(3, "to the second")
	a.expectNone()
}

// A tag is where it was heard last.
func TestMoves(t *testing.T) {
	s := start(t, Options{})
	ta, tb := grant(t, s)
	a, b, moved := dial(t, s, "udp", ta, 1), dial(t, s, "udp", tb, 2), dial(t, s, "tcp", tb, 2)
	a.meet()
	b.meet()
	moved.meet()
	a.data(2, "follow")
	moved.expect(1, "follow")
	b.expectNone()
	if n := s.Legs(); n != 2 {
		t.Errorf("%d legs", n)
	}
}

func TestStrangers(t *testing.T) {
	s := start(t, Options{})
	tag, _ := grant(t, s)
	unknown := tag
	unknown[5]++
	role := tag
	role[0] = 2
	good := append(bytes.Clone(tag[:tagLength]), 1, 0, 0, 0)
	for name, b := range map[string][]byte{
		"unknown tag": append(bytes.Clone(unknown[:tagLength]), 1, 0, 0, 0, 0, 0, 0, 0),
		"third role":  append(bytes.Clone(role[:tagLength]), 1, 0, 0, 0, 0, 0, 0, 0),
		"stun":        append([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, make([]byte, 12)...),
		"no tag":      append(bytes.Clone(tag[:tagLength]), 0, 0, 0, 0, 0, 0, 0, 0),
		"short":       good,
		"too long":    append(bytes.Clone(good), 2, 0, 0, 0, 0, 0, 0, 9, 1),
		"empty":       append(bytes.Clone(good), 2, 0, 0, 0, 0, 0, 0, 0, 1),
		"head alone":  append(bytes.Clone(good), 2, 0, 0, 0, 0, 0, 0, 0),
	} {
		t.Run(name, func(t *testing.T) {
			before := s.Counts().Strange
			u := dial(t, s, "udp", tag, 1)
			u.send(b)
			u.expectNone()
			if got := s.Counts().Strange; got != before+1 {
				t.Errorf("%d strange packets", got-before)
			}
			c := dial(t, s, "tcp", tag, 1)
			c.send(b)
			expectClosed(t, c)
		})
	}
	for name, b := range map[string]string{"other opening": "GET / HTTP/1.0\r\n\r\n", "huge frame": opening + "\xff\xff\xff\xff", "empty frame": opening + "\x00\x00\x00\x00"} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", s.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			c := &client{t: t, Conn: conn}
			c.raw([]byte(b))
			expectClosed(t, c)
		})
	}
}

func expectClosed(t *testing.T, c *client) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if n, err := c.Read(make([]byte, 100)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read %d bytes, %v: want the end", n, err)
	}
}

func TestForgetsIdle(t *testing.T) {
	s := start(t, Options{Idle: 100 * time.Millisecond})
	ta, tb := grant(t, s)
	a, b := dial(t, s, "udp", ta, 1), dial(t, s, "tcp", tb, 2)
	a.meet()
	b.meet()
	mute := dial(t, s, "tcp", tb, 3) // never says anything
	expectClosed(t, b)
	expectClosed(t, mute)
	deadline := time.After(5 * time.Second)
	for s.Legs() > 0 {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-deadline:
			t.Fatalf("%d legs", s.Legs())
		}
	}
	a.meet() // the tag is as good as before
}

func TestBounds(t *testing.T) {
	s := start(t, Options{Calls: 2, Connections: 1})
	first, _ := grant(t, s)
	grant(t, s)
	if _, _, err := s.Grant(); err == nil {
		t.Error("a third call")
	}
	u := dial(t, s, "udp", first, 0)
	for i := range legsPerSide {
		u.own = uint32(i + 1)
		u.meet()
	}
	u.own++
	u.hello()
	u.expectNone()
	u.own--
	u.meet()

	s.Revoke(first)
	second, _ := grant(t, s)
	a := dial(t, s, "tcp", second, 1)
	a.meet()
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	expectClosed(t, &client{t: t, Conn: conn})
	s.Revoke(second)
	expectClosed(t, a)
}

func TestNoUDP(t *testing.T) {
	s := start(t, Options{NoUDP: true})
	tag, _ := grant(t, s)
	u := dial(t, s, "udp", tag, 1)
	u.hello()
	u.expectNone()
	dial(t, s, "tcp", tag, 1).meet()
}

// Every second packet is lost, whatever carries it; hellos are answered all the same.
func TestLoses(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			n, sources := 0, map[netip.AddrPort]bool{}
			s := start(t, Options{Lose: func(from netip.AddrPort) bool {
				n++
				sources[from] = true
				return n%2 == 0
			}})
			ta, tb := grant(t, s)
			a, b := dial(t, s, network, ta, 1), dial(t, s, network, tb, 2)
			a.meet()
			b.meet()
			for _, text := range []string{"first", "second", "third", "fourth", "fifth"} {
				a.data(2, text)
			}
			for _, text := range []string{"first", "third", "fifth"} {
				b.expect(1, text)
			}
			b.expectNone()
			if c := s.Counts(); c.Lost != 2 || c.Strange != 0 {
				t.Errorf("%+v", c)
			}
			if at, _ := netip.ParseAddrPort(a.LocalAddr().String()); len(sources) != 1 || !sources[at] {
				t.Errorf("packets came from %v, the sender is %v", sources, at)
			}
		})
	}
}

func TestListenRefuses(t *testing.T) {
	s := start(t, Options{})
	if _, err := Listen(Options{Listen: s.Addr().String()}); err == nil {
		t.Error("two servers on one port")
	}
	if _, err := Listen(Options{Listen: "nonsense"}); err == nil {
		t.Error("no address is an address")
	}
}

// What the official engine sends.
func TestParseVectors(t *testing.T) {
	for text, want := range map[string]packet{
		"001112131415161718191a1bddccbbaafffffffffffffffffffffffffeffffff000000000000007b": {own: 0xaabbccdd},
		"011112131415161718191a1b04030201ddccbbaa000000050001000021000000":                 {role: 1, own: 0xaabbccdd, to: 0x01020304, data: true},
		"001112131415161718191a1bddccbbaa00000000":                                         {own: 0xaabbccdd},
	} {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		want.call = name(b[1:tagLength])
		if got, err := parse(b); err != nil || got != want {
			t.Errorf("%s: %+v %v", text, got, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"001112131415161718191a1bddccbbaafffffffffffffffffffffffffeffffff000000000000007b",
		"011112131415161718191a1b04030201ddccbbaa000000050001000021000000", "001112131415161718191a1bddccbbaa00000000", "",
	} {
		b, _ := hex.DecodeString(text)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parse(b)
		if err != nil {
			return
		}
		if p.own == 0 || p.role > 1 || p.data && len(b) <= dataHead {
			t.Errorf("%x: %+v", b, p)
		}
		again, err := parse(answer(p, netip.MustParseAddrPort("127.0.0.1:1"), time.Now()))
		if err != nil || again.data || again.own != p.own || again.call != p.call {
			t.Errorf("answer: %+v %v", again, err)
		}
	})
}

func FuzzFrames(f *testing.F) {
	f.Add(frame(make([]byte, 20)))
	f.Add([]byte{255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		in, buf := bytes.NewReader(b), make([]byte, maxPacket)
		for {
			n, err := readFrame(in, buf)
			if err != nil {
				return
			}
			if n < helloMin || n > len(buf) {
				t.Fatalf("frame of %d", n)
			}
		}
	})
}
