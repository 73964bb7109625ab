package voip

import (
	"encoding/binary"
	"math"
	"testing"
	"time"

	"github.com/pion/srtp/v3"

	"github.com/tgtrunk/tgtrunk/media"
)

// linkedFlows returns two flows with the keys of one call, and what the first one sends.
func linkedFlows(t testing.TB, profile srtp.ProtectionProfile) (a, b *flow, sent *capture) {
	t.Helper()
	keys := make([]byte, must(profile.KeyLen()))
	salt := make([]byte, must(profile.SaltLen()))
	context := func() *srtp.Context {
		return must(srtp.CreateContext(keys, salt, profile, srtp.SRTPReplayProtection(replayWindow), srtp.SRTCPReplayProtection(replayWindow)))
	}
	a, b = newFlow(), newFlow()
	sent = &capture{}
	a.out.path.Store(&path{relay: sent})
	a.permit(111)
	b.expect(a.out.ssrc, 111)
	a.secure(context(), context())
	b.secure(context(), context())
	return a, b, sent
}

// capture keeps the last packet in one buffer.
type capture struct {
	buf [maxPacket]byte
	n   int
}

func (c *capture) Write(b []byte) (int, error) {
	c.n = copy(c.buf[:], b)
	return len(b), nil
}

func (c *capture) packet() []byte { return c.buf[:c.n] }

func TestNoAllocations(t *testing.T) {
	for name, profile := range map[string]srtp.ProtectionProfile{
		"GCM-128": srtp.ProtectionProfileAeadAes128Gcm,
		"GCM-256": srtp.ProtectionProfileAeadAes256Gcm,
		"CM-80":   srtp.ProtectionProfileAes128CmHmacSha1_80,
	} {
		t.Run(name, func(t *testing.T) {
			a, b, sent := linkedFlows(t, profile)
			got := 0
			b.Attach(media.SinkFunc(func(p *media.Packet) { got += len(p.Payload) }))
			p := &media.Packet{Payload: make([]byte, 80)}
			round := func() {
				p.Timestamp += 960
				a.WriteAudio(p)
				b.receive(sent.packet())
			}
			round()
			if n := testing.AllocsPerRun(1000, round); n != 0 && !raceEnabled {
				t.Errorf("%v allocations for a packet there and back", n)
			}
			if got < 1000*80 {
				t.Errorf("%d bytes arrived", got)
			}
		})
	}
}

// TestNoAllocationsOnSockets measures the whole way: shard, address table, decryption, sink; and back out.
func TestNoAllocationsOnSockets(t *testing.T) {
	p := newPair(t, pairOptions{})
	p.establish(t)
	p.exchange(t, "warm")
	shard := p.callee.c.Net.shards[0]
	from := p.caller.c.Net.shards[0].socket.local
	direct := p.caller.flow.out.path.Load()
	sent := &capture{}
	p.caller.flow.out.path.Store(&path{relay: writerFunc(func(b []byte) (int, error) {
		if b[0] < 128 || isRTCP(b) { // the data channel and reports go on
			direct.write(b)
			return len(b), nil
		}
		return sent.Write(b)
	})})
	defer p.caller.flow.out.path.Store(direct)
	arrived := 0
	p.callee.Flow().Attach(media.SinkFunc(func(q *media.Packet) {
		arrived++
		p.callee.Flow().WriteAudio(q) // and straight back, through the socket
	}))
	defer p.callee.Flow().Attach(nil)
	packet := &media.Packet{Payload: make([]byte, 80)}
	least := math.Inf(1)
	for range 5 { // the engines' other goroutines allocate now and then, and on a busy machine often while this one waits
		if least = min(least, testing.AllocsPerRun(500, func() {
			packet.Timestamp += 960
			p.caller.Flow().WriteAudio(packet)
			shard.take(sent.packet(), from)
		})); least < 1 {
			break
		}
	}
	if least >= 1 {
		t.Errorf("%v allocations for a packet", least)
	}
	if arrived < 500 {
		t.Errorf("%d packets arrived", arrived)
	}
}

func BenchmarkPacket(b *testing.B) {
	a, c, sent := linkedFlows(b, srtp.ProtectionProfileAeadAes128Gcm)
	c.Attach(media.SinkFunc(func(*media.Packet) {}))
	p := &media.Packet{Payload: make([]byte, 80)}
	b.ReportAllocs()
	for b.Loop() {
		p.Timestamp += 960
		a.WriteAudio(p)
		c.receive(sent.packet())
	}
}

func TestEarlyPackets(t *testing.T) {
	a, b, sent := linkedFlows(t, srtp.ProtectionProfileAeadAes128Gcm)
	late := b.in.keys
	b.in.keys = nil
	sink := newRecorder()
	b.Attach(sink)
	const sentBefore = earlyKept + 3
	for i := range sentBefore {
		a.WriteAudio(&media.Packet{Timestamp: uint32(i), Payload: []byte{byte(i)}})
		b.receive(sent.packet())
	}
	if got := b.counts.early.Load(); len(sink.all()) != 0 || got != sentBefore-earlyKept {
		t.Fatalf("%d packets delivered without keys, %d dropped", len(sink.all()), got)
	}
	b.secure(late, nil)
	got := sink.all()
	if len(got) != earlyKept {
		t.Fatalf("%d packets delivered", len(got))
	}
	for i, p := range got {
		if p.Payload[0] != byte(i) {
			t.Errorf("packet %d holds %v", i, p.Payload)
		}
	}
}

func TestEarlyPacketsOfAnUnknownPeer(t *testing.T) {
	a, b, sent := linkedFlows(t, srtp.ProtectionProfileAeadAes128Gcm)
	b.in.ssrc.Store(0) // no offer yet
	a.WriteAudio(&media.Packet{Payload: []byte{1}})
	b.receive(sent.packet())
	if b.counts.early.Load() != 1 || b.counts.strangers.Load() != 0 || len(b.in.early) != 0 {
		t.Errorf("early %d, strangers %d, kept %d", b.counts.early.Load(), b.counts.strangers.Load(), len(b.in.early))
	}
}

func TestWriteBeforeEstablished(t *testing.T) {
	f := newFlow()
	f.WriteAudio(&media.Packet{Payload: []byte{1}})
	f.WritePadding(10)
	if f.counts.unsent.Load() != 2 || f.counts.sent.Load() != 0 {
		t.Errorf("unsent %d, sent %d", f.counts.unsent.Load(), f.counts.sent.Load())
	}
	a, _, sent := linkedFlows(t, srtp.ProtectionProfileAeadAes128Gcm)
	a.WriteAudio(&media.Packet{Payload: make([]byte, maxPayload+1)})
	if a.counts.unsent.Load() != 1 || sent.n != 0 {
		t.Error("oversized packet was sent")
	}
	a.WriteAudio(&media.Packet{Payload: make([]byte, maxPayload)})
	if sent.n != rtpHead+maxPayload+16 {
		t.Errorf("packet of %d bytes", sent.n)
	}
}

func TestClosedFlowDeliversNothing(t *testing.T) {
	a, b, sent := linkedFlows(t, srtp.ProtectionProfileAeadAes128Gcm)
	sink := newRecorder()
	b.Attach(sink)
	b.Close()
	b.Close()
	b.Attach(sink)
	a.WriteAudio(&media.Packet{Payload: []byte{1}})
	if b.receive(sent.packet()) || len(sink.all()) != 0 {
		t.Error("a closed flow delivers")
	}
}

func TestHeaderExtensionsAndContributors(t *testing.T) {
	a, b, sent := linkedFlows(t, srtp.ProtectionProfileAeadAes128Gcm)
	sink := newRecorder()
	b.Attach(sink)
	// Two contributing sources, one-byte extensions 2 and 3, then the payload, then four bytes of padding.
	plain := []byte{0xb2, 111, 0, 9, 0, 0, 3, 192, 0, 0, 0, 0}
	binary.BigEndian.PutUint32(plain[8:], a.out.ssrc)
	plain = append(plain, 1, 1, 1, 1, 2, 2, 2, 2, 0xbe, 0xde, 0, 2, 0x22, 7, 7, 7, 0x31, 8, 8, 0)
	plain = append(plain, "audio"...)
	plain = append(plain, 0, 0, 0, 4)
	sealed := must(a.out.keys.EncryptRTP(nil, plain, nil))
	if !b.receive(sealed) {
		t.Fatal("not received")
	}
	got := sink.all()
	if len(got) != 1 || string(got[0].Payload) != "audio" || got[0].Sequence != 9 || got[0].Timestamp != 960 {
		t.Errorf("got %+v", got)
	}
	_ = sent
}

func TestReports(t *testing.T) {
	a, b, sentA := linkedFlows(t, srtp.ProtectionProfileAeadAes128Gcm)
	sentB := &capture{}
	b.out.path.Store(&path{relay: sentB})
	b.permit(111)
	a.expect(b.out.ssrc, 111)
	name := []byte("canonical")
	start := time.Now()

	// Every fourth packet of a is lost.
	for i := range 100 {
		a.WriteAudio(&media.Packet{Timestamp: uint32(i * 960), Payload: []byte{1, 2, 3}})
		if i%4 != 1 {
			b.receive(sentA.packet())
		}
	}
	if lost := b.Stats().PacketsLost; lost != 25 {
		t.Errorf("%d packets lost", lost)
	}
	a.report(start, name)
	if !b.receive(sentA.packet()) || b.counts.reports.Load() != 0 {
		t.Fatal("report of the sender not understood")
	}
	if b.in.peer.stamp == 0 {
		t.Fatal("no sender report taken")
	}
	b.in.peer.arrived = start
	b.report(start.Add(3*time.Second), name) // 3 s later, of which the way took nothing
	if !a.receive(sentB.packet()) || a.counts.reports.Load() != 0 {
		t.Fatal("report of the receiver not understood")
	}
	st := a.Stats()
	if math.Abs(st.RemoteLoss-0.25) > 0.01 {
		t.Errorf("remote loss %v", st.RemoteLoss)
	}
	// Our clock has not moved those 3 s: the round trip comes out negative, which is none.
	if st.RoundTrip != 0 {
		t.Errorf("round trip %v", st.RoundTrip)
	}
	a.in.mu.Lock()
	block := make([]byte, reportBlock)
	binary.BigEndian.PutUint32(block, a.out.ssrc)
	now := time.Now()
	binary.BigEndian.PutUint32(block[16:], ntpMiddle(now.Add(-1500*time.Millisecond)))
	binary.BigEndian.PutUint32(block[20:], 65536) // held for 1 s
	a.readBlocks(block, 1, now)
	a.in.mu.Unlock()
	if trip := a.Stats().RoundTrip; (trip - 500*time.Millisecond).Abs() > time.Millisecond {
		t.Errorf("round trip %v", trip)
	}
}

// TestReportForm checks the compound packet field by field, RFC 3550 section 6.4.
func TestReportForm(t *testing.T) {
	a, b, sent := linkedFlows(t, srtp.ProtectionProfileAeadAes128Gcm)
	open := func() []byte { return must(b.in.keys.DecryptRTCP(nil, sent.packet(), nil)) }
	now := time.Unix(1_700_000_000, 500_000_000)
	a.report(now, []byte("abc"))
	idle := open()
	if idle[1] != rtcpReceiver || len(idle) != 8+16 || idle[8+1] != rtcpDescription {
		t.Errorf("idle report % x", idle)
	}
	a.WriteAudio(&media.Packet{Timestamp: 100, Payload: make([]byte, 50)})
	a.out.done.at = now.Add(-time.Second)
	a.report(now, []byte("abc"))
	p := open()
	if p[0] != 0x80 || p[1] != rtcpSender || binary.BigEndian.Uint16(p[2:]) != 6 || binary.BigEndian.Uint32(p[4:]) != a.out.ssrc {
		t.Fatalf("sender report % x", p)
	}
	if got := binary.BigEndian.Uint64(p[8:]); got != (1_700_000_000+ntpEpoch)<<32|1<<31 {
		t.Errorf("ntp time %x", got)
	}
	if got := binary.BigEndian.Uint32(p[16:]); got != 100+a.out.offset+48_000 {
		t.Errorf("rtp time %d", got-a.out.offset)
	}
	if packets, octets := binary.BigEndian.Uint32(p[20:]), binary.BigEndian.Uint32(p[24:]); packets != 1 || octets != 50 {
		t.Errorf("%d packets, %d octets", packets, octets)
	}
	if string(p[28+10:28+13]) != "abc" {
		t.Errorf("source description % x", p[28:])
	}
}

// TestReportsInCall waits for the first reports of a real call.
func TestReportsInCall(t *testing.T) {
	p := newPair(t, pairOptions{})
	p.establish(t)
	p.exchange(t, "x")
	until(t, 2*time.Second, "sender report of the caller", func() bool {
		f := p.callee.flow
		f.in.mu.Lock()
		defer f.in.mu.Unlock()
		return f.in.peer.stamp != 0
	})
}

func FuzzReports(f *testing.F) {
	f.Add([]byte{0x81, 200, 0, 12, 1, 2, 3, 4})
	f.Add([]byte{0x80, 201, 0, 1, 1, 2, 3, 4, 0x81, 202, 0, 1, 1, 2, 3, 4})
	f.Add([]byte{0x80, 200, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		fl := newFlow()
		fl.readReports(b, time.Now())
	})
}

func FuzzPayload(f *testing.F) {
	f.Add([]byte{0x80, 111, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1})
	f.Add([]byte{0xbf, 111, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		payload, ok := payloadOf(b)
		if ok && len(payload) > len(b)-rtpHead {
			t.Errorf("payload of %d bytes in a packet of %d", len(payload), len(b))
		}
		fl := newFlow()
		if len(b) > 0 {
			fl.receive(append([]byte(nil), b...))
		}
	})
}

func FuzzReceive(f *testing.F) {
	f.Add([]byte{0x80, 111, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1}, true)
	f.Fuzz(func(t *testing.T, b []byte, seal bool) {
		a, c, _ := linkedFlows(t, srtp.ProtectionProfileAeadAes128Gcm)
		b = append([]byte(nil), b...)
		if len(b) >= rtpHead {
			binary.BigEndian.PutUint32(b[8:], a.out.ssrc)
		}
		if seal { // authentic nonsense
			if sealed, err := a.out.keys.EncryptRTP(nil, b, nil); err == nil {
				b = sealed
			}
		}
		if len(b) > 0 {
			c.receive(b)
		}
	})
}
