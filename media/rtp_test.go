package media

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"
)

// pbxSocket is the PBX's end of a call: a plain UDP socket that speaks RTP.
type pbxSocket struct {
	*net.UDPConn
	t    *testing.T
	port *RTPPort
	rtp.Header
}

func (s *pbxSocket) addr() netip.AddrPort { return s.LocalAddr().(*net.UDPAddr).AddrPort() }

func newPBXSocket(t *testing.T, p *RTPPort) *pbxSocket {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &pbxSocket{UDPConn: conn, t: t, port: p, Header: rtp.Header{Version: 2, SSRC: 1, SequenceNumber: 100}}
}

func (s *pbxSocket) sendRaw(b []byte) {
	s.t.Helper()
	if _, err := s.WriteToUDPAddrPort(b, s.port.LocalAddr()); err != nil {
		s.t.Fatal(err)
	}
}

// send sends one packet and counts on.
func (s *pbxSocket) send(payload []byte) {
	s.t.Helper()
	b, err := (&rtp.Packet{Header: s.Header, Payload: payload}).Marshal()
	if err != nil {
		s.t.Fatal(err)
	}
	s.sendRaw(b)
	s.SequenceNumber++
	s.Timestamp += 160
}

func (s *pbxSocket) read() *rtp.Packet {
	s.t.Helper()
	if err := s.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		s.t.Fatal(err)
	}
	b := make([]byte, 2000)
	n, _, err := s.ReadFromUDPAddrPort(b)
	if err != nil {
		s.t.Fatal(err)
	}
	p := new(rtp.Packet)
	if err := p.Unmarshal(b[:n]); err != nil {
		s.t.Fatal(err)
	}
	return p
}

func listen(t *testing.T, o RTPOptions) *RTPPort {
	t.Helper()
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	p, err := ListenRTP(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func open(t *testing.T, p *RTPPort, s *pbxSocket, f Format, payloadType uint8) Flow {
	t.Helper()
	flow, err := p.Open(s.addr(), f, payloadType)
	if err != nil {
		t.Fatal(err)
	}
	return flow
}

// collector is a Sink that hands what it gets to the test.
func collector() (SinkFunc, chan Packet) {
	c := make(chan Packet, 100)
	return func(p *Packet) {
		kept := *p
		kept.Payload = bytes.Clone(p.Payload)
		c <- kept
	}, c
}

func next(t *testing.T, c chan Packet) Packet {
	t.Helper()
	select {
	case p := <-c:
		return p
	case <-time.After(5 * time.Second):
		t.Fatal("no packet came")
		return Packet{}
	}
}

// until waits for what another goroutine counts.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func TestRTPCallsShareAPort(t *testing.T) {
	port := listen(t, RTPOptions{})
	const calls = 3
	var sockets [calls]*pbxSocket
	var flows [calls]Flow
	var heard [calls]chan Packet
	for i := range calls {
		sockets[i] = newPBXSocket(t, port)
		flows[i] = open(t, port, sockets[i], ulawFormat, 0)
		var sink Sink
		sink, heard[i] = collector()
		flows[i].Attach(sink)
	}
	for n := range 10 {
		for i := range calls {
			sockets[i].send([]byte{byte(i), byte(n)})
			got := next(t, heard[i])
			if got.Sequence != uint16(100+n) || got.Timestamp != uint32(n)*160 || !bytes.Equal(got.Payload, []byte{byte(i), byte(n)}) {
				t.Errorf("call %d heard %+v", i, got)
			}
			flows[i].WriteAudio(&Packet{Sequence: uint16(n), Timestamp: uint32(n) * 160, Payload: []byte{byte(i), byte(n)}, Marker: n == 0})
		}
	}
	seen := map[uint32]bool{}
	for i := range calls {
		first := sockets[i].read()
		for n := 1; n < 10; n++ {
			p := sockets[i].read()
			if p.SSRC != first.SSRC || p.SequenceNumber != first.SequenceNumber+uint16(n) || p.PayloadType != 0 ||
				p.Timestamp != first.Timestamp+uint32(n)*160 || p.Marker || !bytes.Equal(p.Payload, []byte{byte(i), byte(n)}) {
				t.Errorf("call %d was sent %v", i, p)
			}
		}
		if !first.Marker || seen[first.SSRC] {
			t.Errorf("call %d: marker %t, SSRC %d", i, first.Marker, first.SSRC)
		}
		seen[first.SSRC] = true
		s := flows[i].Stats()
		if s.PacketsReceived != 10 || s.PacketsSent != 10 || s.PacketsLost != 0 || s.FirstReceived.IsZero() || s.FirstSent.IsZero() {
			t.Errorf("call %d: %+v", i, s)
		}
	}
}

func TestRTPDropsAndCountsWhatDoesNotBelong(t *testing.T) {
	var log lockedBuffer
	port := listen(t, RTPOptions{Log: slog.New(slog.NewTextHandler(&log, nil))})
	s, stranger := newPBXSocket(t, port), newPBXSocket(t, port)
	flow := open(t, port, s, ulawFormat, 0)
	sink, heard := collector()
	flow.Attach(sink)

	for range 5 {
		stranger.send([]byte{1})
	}
	until(t, "strangers", func() bool { return port.Strangers() == 5 })
	if n := strings.Count(log.String(), "without a call"); n != 1 {
		t.Errorf("%d log lines about 5 packets", n)
	}
	for _, b := range [][]byte{{}, {0x80}, {0x80, 0, 0, 0}, bytes.Repeat([]byte{0}, 20), bytes.Repeat([]byte{0xff}, 20), {
		0xa0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 7, // more padding than packet
	}} {
		s.sendRaw(b)
	}
	s.sendRaw([]byte{0x80, 201, 0, 1, 0, 0, 0, 1}) // RTCP is nobody's fault
	until(t, "malformed", func() bool { return port.Malformed() == 6 })
	s.send([]byte{1})
	s.PayloadType = 101 // an event: part of the numbering, not of the audio
	s.send([]byte{1, 2, 3, 4})
	s.PayloadType = 0
	s.send(nil)
	s.SequenceNumber += 2
	s.send([]byte{2})
	for _, want := range []int{1, 0, 0, 1} {
		if p := next(t, heard); len(p.Payload) != want {
			t.Errorf("heard %+v", p)
		}
	}
	if got := flow.Stats(); got.Strangers != 1 || got.PaddingOnly != 1 || got.PacketsLost != 2 || got.PacketsReceived != 2 {
		t.Errorf("%+v", got)
	}
	if port.Strangers() != 5 || port.Malformed() != 6 {
		t.Errorf("%d strangers, %d malformed", port.Strangers(), port.Malformed())
	}
}

// lockedBuffer is a log that another goroutine writes.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestRTPAnotherSSRCIsMarked(t *testing.T) {
	port := listen(t, RTPOptions{})
	s := newPBXSocket(t, port)
	flow := open(t, port, s, ulawFormat, 0)
	sink, heard := collector()
	flow.Attach(sink)
	for i, want := range []bool{false, false, true, false} {
		if i == 2 {
			s.SSRC, s.SequenceNumber = 2, 9000
		}
		s.send([]byte{1})
		if p := next(t, heard); p.Marker != want {
			t.Errorf("packet %d: marker %t", i, p.Marker)
		}
	}
	if got := flow.Stats(); got.PacketsLost != 0 || got.PacketsLate != 0 || got.PacketsReceived != 4 {
		t.Errorf("%+v", got)
	}
}

func TestRTPPassesLossAndOrderOn(t *testing.T) {
	port := listen(t, RTPOptions{})
	s := newPBXSocket(t, port)
	flow := open(t, port, s, ulawFormat, 0)
	type sent struct {
		seq    uint16
		marker bool
		want   uint16 // counted from the first
	}
	var first uint16
	for i, p := range []sent{
		{50, true, 0}, {51, false, 1}, {54, false, 4}, {53, false, 3}, {55, false, 5}, // small gaps and reordering
		{20_000, false, 6}, {20_001, false, 7}, // another source
		{20_001, false, 8}, {20_001, false, 9}, // one that does not number
		{19_990, true, 10}, {19_991, false, 11}, // a new talkspurt
	} {
		flow.WriteAudio(&Packet{Sequence: p.seq, Marker: p.marker, Payload: []byte{1}})
		got := s.read().SequenceNumber
		if i == 0 {
			first = got
		}
		if got-first != p.want {
			t.Errorf("packet %d (%d) left with +%d, want +%d", i, p.seq, got-first, p.want)
		}
	}
	flow.WriteAudio(&Packet{Sequence: 19_992})
	flow.WriteAudio(&Packet{Sequence: 19_992, Payload: make([]byte, rtpMaxPayload+1)})
	if got := flow.Stats(); got.PacketsSent != 11 {
		t.Errorf("%d packets sent, want 11", got.PacketsSent)
	}
}

func TestRTPSecondOpenTakesOver(t *testing.T) {
	port := listen(t, RTPOptions{})
	s := newPBXSocket(t, port)
	first := open(t, port, s, ulawFormat, 0)
	first.Attach(SinkFunc(func(*Packet) { t.Error("the flow that was taken over heard something") }))
	second := open(t, port, s, alawFormat, 8)
	sink, heard := collector()
	second.Attach(sink)
	s.PayloadType = 8
	s.send([]byte{1})
	next(t, heard)
	first.WriteAudio(&Packet{Payload: []byte{1}})
	second.WriteAudio(&Packet{Payload: []byte{2}})
	if p := s.read(); p.PayloadType != 8 || p.Payload[0] != 2 {
		t.Errorf("sent %v", p)
	}
	if err := first.Close(); err != nil { // must not take the address from the second
		t.Error(err)
	}
	s.send([]byte{3})
	next(t, heard)
}

func TestRTPNothingIsHeardAfterClose(t *testing.T) {
	port := listen(t, RTPOptions{})
	s, other := newPBXSocket(t, port), newPBXSocket(t, port)
	flow, witness := open(t, port, s, ulawFormat, 0), open(t, port, other, ulawFormat, 0)
	sink, heard := collector()
	witness.Attach(sink)
	closed := false
	var mu sync.Mutex
	flow.Attach(SinkFunc(func(*Packet) {
		mu.Lock()
		defer mu.Unlock()
		if closed {
			t.Error("heard something after Close")
		}
	}))
	stop := make(chan struct{})
	var sender sync.WaitGroup
	sender.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				s.send([]byte{1})
			}
		}
	})
	until(t, "audio", func() bool { return flow.Stats().PacketsReceived > 100 })
	if err := errors.Join(flow.Close(), flow.Close()); err != nil {
		t.Error(err)
	}
	mu.Lock()
	closed = true
	mu.Unlock()
	close(stop)
	sender.Wait()
	flow.WriteAudio(&Packet{Payload: []byte{1}})
	other.send([]byte{1})
	next(t, heard)
	if port.Strangers() != 0 {
		t.Errorf("%d strangers: what a PBX sends for a moment after the call is none", port.Strangers())
	}
	if flow.Stats().PacketsSent != 0 {
		t.Error("sent after Close")
	}
}

func TestRTPForgetsClosedFlows(t *testing.T) {
	port := listen(t, RTPOptions{})
	s := newPBXSocket(t, port)
	if err := open(t, port, s, ulawFormat, 0).Close(); err != nil {
		t.Fatal(err)
	}
	if n := len(port.living(time.Now().Add(time.Second))); n != 1 {
		t.Errorf("%d flows a second later, want the one that ended", n)
	}
	if n := len(port.living(time.Now().Add(time.Minute))); n != 0 {
		t.Errorf("%d flows a minute later", n)
	}
}

func TestRTPRefusesBadOptions(t *testing.T) {
	for _, o := range []RTPOptions{{}, {Listen: "localhost:0"}, {Listen: "127.0.0.1:0", Advertise: "pbx.example"}, {Listen: "192.0.2.1:0"}} {
		if p, err := ListenRTP(o); err == nil {
			t.Errorf("%+v: no error", o)
			p.Close()
		}
	}
	port := listen(t, RTPOptions{Advertise: "192.0.2.7"})
	if got := port.Advertised(); got != netip.AddrPortFrom(netip.MustParseAddr("192.0.2.7"), port.LocalAddr().Port()) {
		t.Errorf("advertised %s", got)
	}
	if got := listen(t, RTPOptions{Advertise: "192.0.2.7:40000"}).Advertised().String(); got != "192.0.2.7:40000" {
		t.Errorf("advertised %s", got)
	}
	remote := netip.MustParseAddrPort("127.0.0.1:4000")
	for name, open := range map[string]func() (Flow, error){
		"no address":   func() (Flow, error) { return port.Open(netip.AddrPort{}, ulawFormat, 0) },
		"no port":      func() (Flow, error) { return port.Open(netip.MustParseAddrPort("127.0.0.1:0"), ulawFormat, 0) },
		"any address":  func() (Flow, error) { return port.Open(netip.MustParseAddrPort("0.0.0.0:4000"), ulawFormat, 0) },
		"IPv6":         func() (Flow, error) { return port.Open(netip.MustParseAddrPort("[::1]:4000"), ulawFormat, 0) },
		"no format":    func() (Flow, error) { return port.Open(remote, Format{}, 0) },
		"payload type": func() (Flow, error) { return port.Open(remote, ulawFormat, 128) },
	} {
		if _, err := open(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := errors.Join(port.Close(), port.Close()); err != nil {
		t.Error(err)
	}
	if _, err := port.Open(remote, ulawFormat, 0); !errors.Is(err, ErrClosed) {
		t.Errorf("open after close: %v", err)
	}
}

func TestRTPAllocatesNothing(t *testing.T) {
	port := listen(t, RTPOptions{})
	s := newPBXSocket(t, port)
	flow := open(t, port, s, ulawFormat, 0)
	taken := 0
	flow.Attach(SinkFunc(func(*Packet) { taken++ }))
	packet := &rtp.Packet{Header: rtp.Header{Version: 2, SSRC: 1, CSRC: []uint32{5, 6}}, Payload: make([]byte, 160)}
	if err := packet.SetExtension(1, []byte{1, 2}); err != nil {
		t.Fatal(err)
	}
	datagram, err := packet.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	from, now := s.addr(), time.Now()
	seq := uint16(0)
	// The reader sleeps in the kernel: this goroutine may use what belongs to it.
	if n := testing.AllocsPerRun(200, func() {
		seq++
		datagram[2], datagram[3] = byte(seq>>8), byte(seq)
		port.handle(datagram, from, now)
	}); n != 0 {
		t.Errorf("receiving allocates %v times", n)
	}
	out := &Packet{Payload: make([]byte, 160)}
	if n := testing.AllocsPerRun(200, func() {
		out.Sequence++
		flow.WriteAudio(out)
	}); n != 0 {
		t.Errorf("sending allocates %v times", n)
	}
	if taken != 201 || flow.Stats().PacketsSent != 201 {
		t.Errorf("took %d, sent %d packets", taken, flow.Stats().PacketsSent)
	}
}

func FuzzRTPInput(f *testing.F) {
	f.Add([]byte{0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 7})
	f.Add([]byte{0xb1, 0x80, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 9, 0xbe, 0xde, 0, 1, 0x10, 1, 0, 0, 5, 1})
	f.Add([]byte{0x90, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0x10, 0, 0, 1, 9, 200, 0, 0, 5})
	port, err := ListenRTP(RTPOptions{Listen: "127.0.0.1:0"})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { port.Close() })
	remote := netip.MustParseAddrPort("127.0.0.1:9")
	opened, err := port.Open(remote, ulawFormat, 0)
	if err != nil {
		f.Fatal(err)
	}
	flow := opened.(*rtpFlow)
	var heard, bytesHeard int
	flow.Attach(SinkFunc(func(p *Packet) { heard++; bytesHeard += len(p.Payload) }))
	f.Fuzz(func(t *testing.T, datagram []byte) {
		before, malformed := heard, port.Malformed()
		bytesHeard = 0
		port.handle(datagram, remote, time.Now())
		taken := uint64(heard-before) + port.Malformed() - malformed
		if isRTCP(datagram) {
			taken++
		}
		if taken != 1 {
			t.Fatalf("a datagram was counted %d times", taken)
		}
		if heard > before && bytesHeard > len(datagram)-rtpHeaderSize {
			t.Fatalf("heard %d bytes of %d", bytesHeard, len(datagram))
		}
	})
}
