package voip

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/telegram/voip/signaling"
)

const useMTProto = `{"network_use_mtproto":true}`

// TestMTProto carries calls without DTLS and SRTP: audio both ways, media states through the data channel, an ICE
// restart.
func TestMTProto(t *testing.T) {
	server := startTURN(t)
	for name, o := range map[string]pairOptions{
		"13.0.0 direct": {version: "13.0.0"},
		"9.0.0 direct":  {version: "9.0.0"},
		"13.0.0 relay":  {version: "13.0.0", relayOnly: true, servers: []Server{server}},
	} {
		t.Run(name, func(t *testing.T) {
			o.customCaller, o.customCallee = useMTProto, useMTProto
			p := newPair(t, o)
			p.establish(t)
			p.exchange(t, "before")
			for _, s := range []*side{p.caller, p.callee} {
				if st := s.Stats(); st.SRTPProfile != mtprotoName || st.Timings.DTLS.IsZero() || st.Media.Strangers != 0 {
					t.Errorf("%+v", st)
				}
			}
			muted := func(m PeerMediaState) bool { return m.Muted }
			until(t, channelWait, "data channel", func() bool { return p.callee.channelOpen() && p.caller.channelOpen() })
			p.callee.SetMuted(true)
			await(t, p.caller.Engine, channelWait, muted)
			p.caller.SetMuted(true)
			await(t, p.callee.Engine, channelWait, muted)
			p.caller.command(func(s *session) error { return s.beginRestart() })
			for _, e := range []*Engine{p.caller.Engine, p.callee.Engine} {
				awaitState(t, e, channelWait, Reconnecting)
				awaitState(t, e, channelWait, Established)
			}
			p.exchange(t, "after")
		})
	}
}

const channelWait = 5 * time.Second

// channelOpen says whether media states go through the data channel.
func (s *side) channelOpen() bool {
	open := make(chan bool, 1)
	s.command(func(s *session) error {
		d := s.safe.data
		if d == nil {
			open <- false
			return nil
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		open <- d.channel != nil
		return nil
	})
	return <-open
}

// TestMTProtoWire looks at what leaves: everything but STUN opens with the call's key.
func TestMTProtoWire(t *testing.T) {
	p := newPair(t, pairOptions{customCaller: useMTProto, customCallee: useMTProto})
	p.establish(t)
	p.exchange(t, "x")
	direct := p.caller.flow.out.path.Load()
	var mu sync.Mutex
	var sent [][]byte
	p.caller.flow.out.path.Store(&path{relay: writerFunc(func(b []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		sent = append(sent, bytes.Clone(b))
		return len(b), nil
	})})
	p.caller.Flow().WriteAudio(&media.Packet{Timestamp: 96_000, Payload: []byte("audio")})
	p.caller.flow.report(time.Now(), []byte("name"))
	p.caller.SetMuted(true)
	until(t, channelWait, "packets of all kinds", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(sent) >= 3
	})
	p.caller.flow.out.path.Store(direct)
	mu.Lock()
	defer mu.Unlock()
	cipher := signaling.NewMediaCipher(p.caller.c.Key, signaling.Callee)
	for _, b := range sent {
		r, err := cipher.OpenMedia(b)
		payload, ok := r.Next()
		if err != nil || !ok || payload[0]>>6 != 2 && !strings.HasPrefix(string(payload), channelMark) {
			t.Errorf("% x: %v", b, err)
		}
	}
}

// TestMTProtoBesideDTLS runs calls of both kinds between the same two sockets.
func TestMTProtoBesideDTLS(t *testing.T) {
	a, b := loopbackNet(t, 1), loopbackNet(t, 1)
	var pairs []*pair
	for i := range 4 {
		o := pairOptions{callerNet: a, calleeNet: b}
		if i%2 == 0 {
			o.customCaller, o.customCallee = useMTProto, useMTProto
		}
		pairs = append(pairs, newPair(t, o))
	}
	for _, p := range pairs {
		p.establish(t)
	}
	for i, p := range pairs {
		p.exchange(t, "x")
		want := map[bool]string{true: mtprotoName, false: "SRTP_AEAD_AES_128_GCM"}[i%2 == 0]
		if st := p.callee.Stats(); st.SRTPProfile != want || st.Media.PacketsReceived != 10 {
			t.Errorf("call %d: %+v", i, st)
		}
	}
}

// vaultFlows returns two flows as linkedFlows does, with vaults.
func vaultFlows(t testing.TB) (a *flow, b *vault, sent *capture) {
	t.Helper()
	key := &Key{1, 2, 3}
	a, in := newFlow(), newFlow()
	sent = &capture{}
	a.out.path.Store(&path{relay: sent})
	a.permit(111)
	in.expect(a.out.ssrc, 111)
	v, w := newVault(key, signaling.Caller, a), newVault(key, signaling.Callee, in)
	a.secure(clearIn{}, v.secured().out)
	in.open(clearIn{})
	t.Cleanup(func() { v.port.Close(); w.port.Close() })
	return a, w, sent
}

// TestMTProtoAllocations: a packet costs what Go's AES takes for a new key, one allocation at either end.
func TestMTProtoAllocations(t *testing.T) {
	a, b, sent := vaultFlows(t)
	got := 0
	b.flow.Attach(media.SinkFunc(func(p *media.Packet) { got += len(p.Payload) }))
	p := &media.Packet{Payload: make([]byte, 80)}
	round := func() {
		p.Timestamp += 960
		a.WriteAudio(p)
		b.receive(sent.packet())
	}
	round()
	if n := testing.AllocsPerRun(1000, round); n > 2 && !raceEnabled {
		t.Errorf("%v allocations for a packet there and back", n)
	}
	if got < 1000*80 {
		t.Errorf("%d bytes arrived", got)
	}
}

func BenchmarkMTProtoPacket(b *testing.B) {
	a, c, sent := vaultFlows(b)
	c.flow.Attach(media.SinkFunc(func(*media.Packet) {}))
	p := &media.Packet{Payload: make([]byte, 80)}
	b.ReportAllocs()
	for b.Loop() {
		p.Timestamp += 960
		a.WriteAudio(p)
		c.receive(sent.packet())
	}
}

func TestMTProtoStrangers(t *testing.T) {
	a, b, sent := vaultFlows(t)
	sink := newRecorder()
	b.flow.Attach(sink)
	a.WriteAudio(&media.Packet{Payload: []byte("once")})
	forged := bytes.Clone(sent.packet())
	forged[20] ^= 1
	if b.receive(forged) || b.receive(forged[:10]) || b.receive(nil) {
		t.Error("forged packet is taken")
	}
	for range 2 { // the second one is ours, but known
		if !b.receive(sent.packet()) {
			t.Error("packet is not taken")
		}
	}
	if got := sink.all(); len(got) != 1 || string(got[0].Payload) != "once" {
		t.Errorf("got %v", got)
	}
}

// TestMTProtoCapture plays what official engines sent to a vault: audio and padding reach the sink, reports the
// statistics, SCTP packets the data channel.
func TestMTProtoCapture(t *testing.T) {
	var c struct {
		Packets []struct {
			From    string `json:"from"`
			Kind    string `json:"kind"`
			Counter uint32 `json:"mtproto_seq"`
			Length  int    `json:"len"`
			Hex     string `json:"payload_hex"`
		} `json:"packets"`
	}
	unpack(t, "testdata/13.0.0-mtproto-media.json.gz", &c)
	for from, ssrc := range map[string]uint32{"caller": 0x54fe8cab, "callee": 0x37862910} {
		t.Run(from, func(t *testing.T) {
			f, key := newFlow(), &Key{9}
			role, other := signaling.Callee, signaling.Caller
			if from == "callee" {
				role, other = other, role
			}
			v := newVault(key, role, f)
			defer v.port.Close()
			f.open(clearIn{})
			f.expect(ssrc, 111)
			sink := newRecorder()
			f.Attach(sink)
			cipher := signaling.NewMediaCipher(key, other)
			kinds := map[string]int{}
			states := 0
			for _, p := range c.Packets {
				if p.From != from {
					continue
				}
				payload := must(hex.DecodeString(p.Hex))
				kind, _, _ := strings.Cut(p.Kind, " pt")
				kinds[kind]++
				if kind == "sctp" {
					payload = append([]byte(channelMark), payload...)
				}
				if len(payload) != p.Length {
					t.Fatalf("%s of %d bytes, not %d", p.Kind, len(payload), p.Length)
				}
				buf := append(make([]byte, signaling.MediaRoom), payload...)
				if !v.receive(must(cipher.SealMedia(buf, len(payload)))) {
					t.Fatalf("%s is not taken", p.Kind)
				}
				if kind == "sctp" {
					var got [maxPacket]byte
					n, err := v.port.Read(got[:])
					if err != nil || !bytes.Equal(got[:n], payload[len(channelMark):]) {
						t.Errorf("data channel got % x, %v", got[:n], err)
					}
					states += bytes.Count(got[:n], []byte(`"@type"`))
				}
			}
			st := f.Stats()
			if st.Strangers != 0 || f.counts.reports.Load() != 0 || st.PaddingOnly < 5 || states == 0 {
				t.Errorf("%+v, %d reports unread, %d media states", st, f.counts.reports.Load(), states)
			}
			audio := 0
			for _, p := range sink.all() {
				if len(p.Payload) > 0 {
					audio++
				}
			}
			if got := len(sink.all()); audio < 5 || got != kinds["rtp"] || int(st.PacketsReceived) != got {
				t.Errorf("%d packets with %d of audio delivered of %v", got, audio, kinds)
			}
			if f.in.peer.stamp == 0 {
				t.Error("no sender report was taken")
			}
		})
	}
}

// unpack reads a gzipped JSON file.
func unpack(t testing.TB, name string, into any) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := json.NewDecoder(must(gzip.NewReader(f))).Decode(into); err != nil {
		t.Fatal(err)
	}
}

func FuzzVault(f *testing.F) {
	f.Add([]byte{0x80, 111, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1}, true)
	f.Add([]byte("\xdc\xdc\xdc\xdc\x13\x88\x13\x88"), true)
	f.Add([]byte{0x80, 200, 0, 0}, false)
	f.Fuzz(func(t *testing.T, b []byte, seal bool) {
		_, v, _ := vaultFlows(t)
		if seal && len(b) <= maxPacket {
			cipher := signaling.NewMediaCipher(&Key{1, 2, 3}, signaling.Caller)
			b = must(cipher.SealMedia(append(make([]byte, signaling.MediaRoom), b...), len(b)))
		}
		v.receive(b)
	})
}
