package voip

import (
	"bytes"
	"context"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/media/tone"
	"github.com/tgtrunk/tgtrunk/telegram/voip/signaling"
)

// web lets engines take each other for web clients, or what else kind says.
func web(kind signaling.Peer) func(caller, callee *Engine) {
	return func(caller, callee *Engine) {
		for _, e := range []*Engine{caller, callee} {
			e.times.late = 0 // an engine of ours as a web client does not wait for the offer before it connects
			c := &peerChannel{Channel: e.signal.channel}
			c.kind.Store(uint32(kind))
			e.signal.channel = c
		}
	}
}

// TestCodecOfACall: what the two sides of a call prefer, and what they come to.
func TestCodecOfACall(t *testing.T) {
	const native, web1 = signaling.PeerNative, signaling.PeerWeb
	for _, c := range []struct {
		name           string
		caller, callee Preference
		mine, theirs   media.Codec // what the other legs speak
		kind           signaling.Peer
		want           media.Codec
	}{
		{"auto, native", PreferAuto, PreferAuto, media.PCMU, media.PCMU, native, media.Opus},
		{"auto, web", PreferAuto, PreferAuto, media.PCMU, media.PCMU, web1, media.PCMU},
		{"auto, web, A-law", PreferAuto, PreferAuto, media.PCMA, media.PCMA, web1, media.PCMA},
		{"auto, web, the callee's law", PreferAuto, PreferAuto, media.PCMU, media.PCMA, web1, media.PCMA},
		{"auto, web, the PBX speaks Opus", PreferAuto, PreferAuto, media.Opus, media.PCMU, web1, media.Opus},
		{"auto, web, the PBX is not known", PreferAuto, PreferAuto, media.PCMU, 0, web1, media.Opus},
		{"opus, web", PreferOpus, PreferAuto, media.PCMU, media.PCMU, web1, media.Opus},
		{"g711, the callee speaks Opus only", PreferG711, PreferOpus, media.PCMA, media.PCMA, native, media.Opus},
		{"g711, the caller speaks Opus only", PreferOpus, PreferG711, media.PCMA, media.PCMA, native, media.Opus},
		{"g711, both", PreferG711, PreferG711, media.PCMA, media.PCMA, native, media.PCMA},
		{"g711, the PBX speaks Opus", PreferG711, PreferG711, media.Opus, media.Opus, native, media.PCMU},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPair(t, pairOptions{prepare: func(a, b *Engine) {
				a.c.Prefer, a.c.Other, b.c.Prefer, b.c.Other = c.caller, c.mine, c.callee, c.theirs
				web(c.kind)(a, b)
			}})
			p.establish(t)
			for _, s := range []*side{p.caller, p.callee} {
				if got := s.Flow().Format(); got.Codec != c.want {
					t.Errorf("%v carries %+v", s.c.Role, got)
				}
			}
			p.exchange(t, "then")
			for _, s := range []*side{p.caller, p.callee} {
				if st := s.Stats().Media; st.Strangers != 0 {
					t.Errorf("%v: %+v", s.c.Role, st)
				}
			}
		})
	}
}

// TestCodecIsDecidedInTime: a call that is up long before anything is negotiated has Opus, and keeps it.
func TestCodecIsDecidedInTime(t *testing.T) {
	p := newPair(t, pairOptions{prepare: func(a, b *Engine) {
		for _, e := range []*Engine{a, b} {
			e.c.Prefer, e.c.Other = PreferG711, media.PCMU
		}
		web(signaling.PeerWeb)(a, b)
		a.times.late = 800 * time.Millisecond
		a.times.codec, b.times.codec = 50*time.Millisecond, 50*time.Millisecond
	}})
	p.establish(t)
	if p.caller.flow.writable() {
		t.Fatal("negotiated too early for this test")
	}
	if f := p.caller.Flow().Format(); f.Codec != media.Opus {
		t.Errorf("established with %+v", f)
	}
	p.exchange(t, "then")
	if f, g := p.caller.Flow().Format(), p.callee.Flow().Format(); f.Codec != media.Opus || g.Codec != media.Opus {
		t.Errorf("ends up with %+v and %+v", f, g)
	}
}

// TestCodecIsWaitedFor: with signalling slower than ICE and DTLS, the call is established with the codec it gets.
func TestCodecIsWaitedFor(t *testing.T) {
	p := newPair(t, pairOptions{prepare: func(a, b *Engine) {
		for _, e := range []*Engine{a, b} {
			e.c.Prefer, e.c.Other = PreferG711, media.PCMA
		}
		web(signaling.PeerWeb)(a, b)
		a.times.late = 600 * time.Millisecond
	}})
	p.establish(t)
	for _, s := range []*side{p.caller, p.callee} {
		if f := s.Flow().Format(); f.Codec != media.PCMA {
			t.Errorf("%v is established with %+v", s.c.Role, f)
		}
	}
	p.exchange(t, "then")
}

func TestPreferenceNames(t *testing.T) {
	for _, p := range []Preference{PreferAuto, PreferOpus, PreferG711} {
		if got, err := ParsePreference(p.String()); got != p || err != nil {
			t.Errorf("%v parses as %v: %v", p, got, err)
		}
	}
	if p, err := ParsePreference(""); p != PreferAuto || err != nil {
		t.Errorf("no name: %v, %v", p, err)
	}
	if _, err := ParsePreference("speex"); err == nil {
		t.Error("unknown name: no error")
	}
}

// pbxFlow is the flow of a PBX leg: what is written to it is kept.
type pbxFlow struct {
	format media.Format
	sink   atomic.Pointer[media.Sink]

	mu  sync.Mutex
	got []media.Packet
}

func (d *pbxFlow) Format() media.Format { return d.format }
func (d *pbxFlow) Stats() media.Stats   { return media.Stats{} }
func (d *pbxFlow) Close() error         { return nil }

func (d *pbxFlow) Attach(s media.Sink) {
	if s == nil {
		d.sink.Store(nil)
		return
	}
	d.sink.Store(&s)
}

func (d *pbxFlow) WriteAudio(p *media.Packet) {
	c := *p
	c.Payload = bytes.Clone(p.Payload)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.got = append(d.got, c)
}

func (d *pbxFlow) packets() []media.Packet {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]media.Packet(nil), d.got...)
}

// heard is what the pbxFlow's party hears: as long as nothing was lost, or where packets are missing, silence.
func (d *pbxFlow) heard() []int16 {
	var pcm []int16
	for _, p := range d.packets() {
		s := make([]int16, len(p.Payload))
		if d.format.Codec == media.PCMA {
			media.DecodeALaw(s, p.Payload)
		} else {
			media.DecodeULaw(s, p.Payload)
		}
		pcm = append(pcm, s...)
	}
	return pcm
}

// speak says a tone for as many packets of 20 ms, in their time, and returns the payloads.
func (d *pbxFlow) speak(ctx context.Context, hz float64, packets int) (said [][]byte) {
	sine := tone.NewSine(8000, hz, 8000)
	tick := newTicker()
	defer tick.Stop()
	var pcm [160]int16
	for i := range packets {
		sine.Fill(pcm[:])
		payload := make([]byte, len(pcm))
		if d.format.Codec == media.PCMA {
			media.EncodeALaw(payload, pcm[:])
		} else {
			media.EncodeULaw(payload, pcm[:])
		}
		said = append(said, payload)
		if s := d.sink.Load(); s != nil {
			(*s).WriteAudio(&media.Packet{Sequence: uint16(i), Timestamp: uint32(i * 160), Marker: i == 0, Payload: payload})
		}
		select {
		case <-ctx.Done():
			return said
		case <-tick.C:
		}
	}
	return said
}

// bridged is a pair of engines with a PBX leg at either end.
type bridged struct {
	*pair
	desks       [2]*pbxFlow // of the caller and the callee
	connections [2]*media.Connection
}

func turnedWheel(t *testing.T) *media.Wheel {
	t.Helper()
	wheel := media.NewWheel()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- wheel.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return wheel
}

func bridge(t *testing.T, p *pair, codecs [2]media.Codec) *bridged {
	t.Helper()
	b := &bridged{pair: p}
	wheel := turnedWheel(t)
	until(t, 10*time.Second, "both offers answered", func() bool {
		return p.caller.flow.writable() && p.callee.flow.writable()
	})
	for i, s := range []*side{p.caller, p.callee} {
		b.desks[i] = &pbxFlow{format: media.Format{Codec: codecs[i], Rate: 8000, Ptime: 20 * time.Millisecond}}
		c, err := media.Connect(b.desks[i], s.Flow(), media.Options{Wheel: wheel, Log: testLog(t).With("at", s.c.Role)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Stop)
		b.connections[i] = c
	}
	return b
}

// converse lets both desks speak a tone for as many packets of 20 ms.
func (b *bridged) converse(ctx context.Context, hz [2]float64, packets int) (said [2][][]byte) {
	var running sync.WaitGroup
	for i := range b.desks {
		running.Go(func() { said[i] = b.desks[i].speak(ctx, hz[i], packets) })
	}
	running.Wait()
	return said
}

// TestG711PassesUntouched: PCMU and PCMA all the way, a tone each way, not one byte changed; and with different laws at
// the two ends.
func TestG711PassesUntouched(t *testing.T) {
	for _, c := range []struct {
		call  media.Codec
		desks [2]media.Codec
	}{
		{media.PCMU, [2]media.Codec{media.PCMU, media.PCMU}},
		{media.PCMA, [2]media.Codec{media.PCMA, media.PCMA}},
		{media.PCMU, [2]media.Codec{media.PCMU, media.PCMA}},
	} {
		t.Run(c.call.String()+" to "+c.desks[1].String(), func(t *testing.T) {
			t.Parallel()
			p := newPair(t, pairOptions{prepare: func(a, b *Engine) {
				a.c.Other, b.c.Other = c.call, c.call
				web(signaling.PeerWeb)(a, b)
			}})
			p.establish(t)
			b := bridge(t, p, c.desks)
			hz := [2]float64{440, 1000}
			const packets = 60
			said := b.converse(t.Context(), hz, packets)
			for i, d := range b.desks {
				from := 1 - i
				until(t, 2*time.Second, "the last packet", func() bool { return len(d.packets()) >= packets })
				got := d.packets()
				for n := range got {
					if c.desks[0] == c.desks[1] && !bytes.Equal(got[n].Payload, said[from][n]) {
						t.Fatalf("packet %d to the pbxFlow %d was changed", n, i)
					}
					if got[n].Timestamp-got[0].Timestamp != uint32(n*160) {
						t.Errorf("packet %d has timestamp +%d", n, got[n].Timestamp-got[0].Timestamp)
					}
				}
				if pure := tone.Purity(d.heard(), 8000, hz[from]); pure < 0.98 {
					t.Errorf("pbxFlow %d hears %.0f Hz with purity %.3f", i, hz[from], pure)
				}
				s := b.connections[i].Stats()
				if same := c.desks[i] == c.call; same != (s.AtoB.Conversion == c.call.String() && s.BtoA.Conversion == c.call.String()) {
					t.Errorf("pbxFlow %d: converted by %s and %s", i, s.AtoB.Conversion, s.BtoA.Conversion)
				}
			}
			if lost := p.callee.Stats().Media.PacketsLost + p.caller.Stats().Media.PacketsLost; lost != 0 {
				t.Errorf("%d packets lost", lost)
			}
		})
	}
}

// TestG711Clock: jitter and sender reports count the 8 kHz of G.711.
func TestG711Clock(t *testing.T) {
	f := newFlow()
	f.settle(formatOf(signaling.PCMACodec()))
	now := time.Now()
	for i := range 200 { // 5 ms early, 5 ms late, …
		at := now.Add(time.Duration(i)*20*time.Millisecond + time.Duration(i%2*10-5)*time.Millisecond)
		f.in.measure.Receive(uint16(i), uint32(i*160), at)
	}
	if j := f.in.measure.Jitter(); (j - 10*time.Millisecond).Abs() > time.Millisecond {
		t.Errorf("jitter %v, want 10 ms", j)
	}
	f.out.done = departed{stamp: 1000, at: now, packets: 1}
	b := f.out.sender(nil, now.Add(time.Second), f.Format().Rate)
	if got := float64(uint32(b[16])<<24 | uint32(b[17])<<16 | uint32(b[18])<<8 | uint32(b[19])); math.Abs(got-9000) > 0 {
		t.Errorf("a sender report one second after timestamp 1000 says %.0f", got)
	}
}
