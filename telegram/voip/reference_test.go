package voip

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/telegram/voip/signaling"
)

// recordedCall is what of a capture of package signaling is played to an engine.
type recordedCall struct {
	Version string `json:"version"`
	Key     string `json:"shared_key_hex"`
	Packets []struct {
		From     string `json:"from"`
		WireHex  string `json:"wire_hex"`
		Messages []struct {
			Type int             `json:"type"`
			Seq  uint32          `json:"seq"`
			JSON json.RawMessage `json:"json"`
		} `json:"messages"`
		SCTP struct {
			Chunks []struct {
				Decrypted *struct {
					JSON json.RawMessage `json:"json"`
				} `json:"decrypted"`
			} `json:"chunks"`
		} `json:"sctp"`
	} `json:"signaling"`
}

func readRecorded(t *testing.T, name string) (c recordedCall) {
	t.Helper()
	f, err := os.Open("signaling/testdata/captures/" + name + ".json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := json.NewDecoder(must(gzip.NewReader(f))).Decode(&c); err != nil {
		t.Fatal(err)
	}
	return c
}

// messages lists what a side said, each once.
func (c recordedCall) messages(from string) (list [][]byte) {
	seen := map[uint32]bool{}
	for _, p := range c.Packets {
		if p.From != from {
			continue
		}
		for _, m := range p.Messages {
			if m.Type == 127 && !seen[m.Seq] {
				seen[m.Seq] = true
				list = append(list, m.JSON)
			}
		}
		for _, chunk := range p.SCTP.Chunks {
			if chunk.Decrypted != nil {
				list = append(list, chunk.Decrypted.JSON)
			}
		}
	}
	return list
}

// TestRecordedEngine plays either side of the recorded calls of reference engines to an engine of the other role. It
// must answer and offer as that engine's peer did, and know the peer's credentials, candidates, audio and DTLS role.
func TestRecordedEngine(t *testing.T) {
	for _, name := range []string{"10.0.0-p2p", "10.0.0-loss25", "11.0.0-p2p", "11.0.0-refl"} {
		c := readRecorded(t, name)
		for _, role := range []Role{signaling.Caller, signaling.Callee} {
			t.Run(name+"/"+role.String(), func(t *testing.T) {
				n := loopbackNet(t, 1)
				key := &Key{}
				copy(key[:], must(hex.DecodeString(c.Key)))
				o := Config{Role: role, Key: key, Version: c.Version, P2P: true, Net: n, Log: testLog(t), Send: func([]byte) error { return nil }}
				if strings.HasSuffix(name, "refl") {
					o.P2P = false
					o.Servers = []Server{{ID: 1, Host: "127.0.0.1", Port: 5990, Username: "reflector", Password: strings.Repeat("ab", 16)}}
				}
				e, err := New(o)
				if err != nil {
					t.Fatal(err)
				}
				sent := spy(e)
				s := &side{Engine: e, done: make(chan error, 1)}
				s.start(t)
				until(t, 5*time.Second, "engine runs", func() bool { return e.live.Load() != nil })
				peer, offers := signaling.Caller, 1
				if role == signaling.Caller {
					peer = signaling.Callee
					until(t, 5*time.Second, "our offer", func() bool { return len(sent()) > 0 })
				}
				for _, m := range c.messages(peer.String()) {
					e.signal.deliver(m)
				}
				kinds := func(kind string) (n int) {
					for _, m := range sent() {
						if strings.Contains(m, `{"@type":"`+kind+`"`) {
							n++
						}
					}
					return n
				}
				until(t, 5*time.Second, "offer and answer", func() bool { return kinds("offer") == offers && kinds("answer") == 1 })
				type seen struct {
					client, known, ready bool
					remotes, early       int
				}
				facts := make(chan seen, 1)
				s.command(func(s *session) error {
					s.flow.out.mu.Lock()
					defer s.flow.out.mu.Unlock()
					facts <- seen{s.peer.client, s.peer.known, s.flow.out.ready, s.hold.remotes, len(s.dialect.(*descriptions).early)}
					return nil
				})
				remotes := strings.Count(string(bytes.Join(c.messages(peer.String()), nil)), " typ ")
				// As callee we were answered what the other callee had offered, which has as many sections as ours.
				want := seen{client: role == signaling.Callee, known: true, ready: true, remotes: remotes}
				if got := <-facts; got != want {
					t.Errorf("engine has %+v, want %+v", got, want)
				}
				if e.flow.in.ssrc.Load() == 0 {
					t.Error("peer's audio is not expected")
				}
				if d := e.Stats().Drops; d.Messages != 0 || d.Candidates != 0 {
					t.Errorf("drops %+v", d)
				}
			})
		}
	}
}

// TestRecordedPackets plays the caller's packets of 10.0.0 as they were on the wire.
func TestRecordedPackets(t *testing.T) {
	c := readRecorded(t, "10.0.0-p2p")
	key := &Key{}
	copy(key[:], must(hex.DecodeString(c.Key)))
	e, err := New(Config{Role: signaling.Callee, Key: key, Version: c.Version, P2P: true, Net: loopbackNet(t, 1), Send: func([]byte) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	s := &side{Engine: e, done: make(chan error, 1)}
	s.start(t)
	for _, p := range c.Packets {
		if p.From == "caller" {
			e.Receive(must(hex.DecodeString(p.WireHex)))
		}
	}
	until(t, 5*time.Second, "caller's audio accepted and ours permitted", func() bool {
		e.flow.out.mu.Lock()
		defer e.flow.out.mu.Unlock()
		return e.flow.in.ssrc.Load() == 2_962_320_342 && e.flow.out.ready
	})
}

// TestReferenceWire looks at what two of ours say to each other.
func TestReferenceWire(t *testing.T) {
	var sent [2]func() []string
	p := newPair(t, pairOptions{version: "11.0.0", prepare: func(a, b *Engine) { sent[0], sent[1] = spy(a), spy(b) }})
	p.establish(t)
	p.exchange(t, "wire")
	for i, kinds := range [][]string{{"offer", "answer"}, {"answer", "offer"}} {
		var got []string
		for _, m := range sent[i]() {
			switch m := must(signaling.Parse([]byte(m))).(type) {
			case signaling.Offer:
				got = append(got, "offer")
			case signaling.Answer:
				got = append(got, "answer")
			case signaling.Candidate:
				if len(got) == 0 {
					t.Error("candidate before the first description")
				}
				if m.MID != "0" || m.MLine != 0 || !strings.Contains(m.SDP, " generation 0 ufrag ") || strings.Count(m.SDP, "generation") != 1 {
					t.Errorf("candidate %+v", m)
				}
			default:
				t.Errorf("%T is sent", m)
			}
		}
		if strings.Join(got, " ") != strings.Join(kinds, " ") {
			t.Errorf("%v says %q, want %q", signaling.Caller+Role(i), got, kinds)
		}
	}
	// The caller opens the data channel, and is the DTLS server: its streams have odd numbers.
	p.caller.SetMuted(true)
	await(t, p.callee.Engine, 5*time.Second, func(m PeerMediaState) bool { return m.Muted })
	p.caller.command(func(s *session) error {
		s.safe.data.mu.Lock()
		defer s.safe.data.mu.Unlock()
		if s.safe.data.channel == nil || s.safe.data.channel.StreamIdentifier() != 1 {
			t.Error("data channel is not stream 1")
		}
		return nil
	})
	p.exchange(t, "after")
}

// TestReferenceIgnoresCustomParameters: the reference engines heed none of those that change the wire.
func TestReferenceIgnoresCustomParameters(t *testing.T) {
	p := newPair(t, pairOptions{version: "11.0.0",
		customCaller: `{"network_use_mtproto":true,"network_signaling_nosctp":true,"network_standalone_reflectors":true}`})
	p.establish(t)
	p.exchange(t, "plain")
	if profile := p.caller.Stats().SRTPProfile; !strings.HasPrefix(profile, "SRTP_") {
		t.Errorf("media goes through %s", profile)
	}
}

// TestReferenceVideo: the peer's camera goes on during the call. It is refused, and audio goes on.
func TestReferenceVideo(t *testing.T) {
	var sent func() []string
	p := newPair(t, pairOptions{version: "11.0.0", prepare: func(_, b *Engine) { sent = spy(b) }})
	p.establish(t)
	p.exchange(t, "before")
	p.caller.command(func(s *session) error {
		d := must(signaling.ParseDescription(offerOf(s)))
		video := signaling.Section{
			MediaLine: signaling.MediaLine{Kind: signaling.KindVideo, Protocol: "UDP/TLS/RTP/SAVPF", Formats: []string{"96"}}, MID: "3",
			Direction: signaling.SendOnly, RTCPMux: true, Source: signaling.Source{SSRC: 4711, CName: "x"}, Endpoint: d.Endpoint(),
			Codecs: []signaling.PayloadType{{ID: 96, Name: "VP8", ClockRate: 90_000}}}
		d.Sections, d.Bundle = append(d.Sections, video), append(d.Bundle, video.MID)
		s.send(signaling.Offer{SDP: d.String()})
		return nil
	})
	until(t, 5*time.Second, "answer", func() bool {
		all := strings.Join(sent(), "\n")
		return strings.Contains(all, "m=video 0 UDP/TLS/RTP/SAVPF 96")
	})
	p.exchange(t, "after")
	awaitNone(t, p.callee.Engine)
}

// offerOf is an offer of what is agreed, which our side does not know of: its answer is dropped.
func offerOf(s *session) string {
	talk := *s.dialect.(*descriptions).talk
	talk.Restart("x", "y")
	d, _ := talk.Offer()
	for i := range d.Sections {
		d.Sections[i].Endpoint.UFrag, d.Sections[i].Endpoint.Pwd = s.ice.local.ufrag, s.ice.local.pwd
	}
	return d.String()
}

// TestReferenceRestartsMeetOffer: the caller restarts ICE while the callee's first offer is under way.
func TestReferenceRestartsMeetOffer(t *testing.T) {
	var held []string
	p := newPair(t, pairOptions{version: "11.0.0", prepare: func(_, b *Engine) {
		b.signal.channel = &spyChannel{Channel: b.signal.channel, drop: func(m []byte) bool {
			late := bytes.Contains(m, []byte(`{"@type":"offer"`)) && len(held) == 0
			if late {
				held = append(held, string(m))
			}
			return late
		}}
	}})
	p.establish(t)
	p.caller.restartICE()
	awaitState(t, p.caller.Engine, 5*time.Second, Reconnecting)
	p.callee.command(func(s *session) error { s.queue([]byte(held[0])); return nil })
	for _, s := range []*side{p.caller, p.callee} {
		awaitState(t, s.Engine, 5*time.Second, Established)
	}
	p.exchange(t, "after")
	until(t, 5*time.Second, "both at rest", func() bool {
		return p.caller.Stats().State == Established && p.callee.Stats().State == Established
	})
}

// TestDescriptionsFromHell feeds the session what a peer with the key could send.
func TestDescriptionsFromHell(t *testing.T) {
	p := newPair(t, pairOptions{version: "11.0.0"})
	p.establish(t)
	p.exchange(t, "before")
	candidate := `{"@type":"candidate","mid":"0","mline":0,"sdp":"candidate:1 1 udp 1 192.0.2.1 9 typ host generation 0 ufrag nobodys"}`
	for _, m := range []string{
		`{"@type":"offer"}`, `{"@type":"offer","sdp":""}`, `{"@type":"offer","sdp":"v=0\r\n"}`, `{"@type":"answer","sdp":"x"}`,
		`{"@type":"candidate","mid":"0","mline":0,"sdp":"candidate:x"}`, `{"@type":"candidate","mid":"0","mline":0,"sdp":""}`,
		`{"@type":"InitialSetup","ufrag":"a","pwd":"b","fingerprints":[{"hash":"sha-256","setup":"active","fingerprint":"00"}]}`,
		`{"@type":"NegotiateChannels","exchangeId":"1","contents":[]}`,
	} {
		p.caller.command(func(s *session) error { s.queue([]byte(m)); return nil })
	}
	p.caller.command(func(s *session) error {
		offer := offerOf(s)
		for _, sdp := range []string{
			strings.ReplaceAll(offer, "sha-256", "md5"),
			strings.ReplaceAll(offer, "BUNDLE", "LS"),
			offer[:strings.LastIndex(offer, "m=")],
			strings.Replace(offer, "a=mid:0", "a=mid:7", 1),
		} {
			s.send(signaling.Offer{SDP: sdp})
		}
		s.send(signaling.Answer{SDP: offer}) // to nothing
		for range 200 {
			s.queue([]byte(candidate))
		}
		return nil
	})
	until(t, 5*time.Second, "drops", func() bool {
		d := p.callee.Stats().Drops
		return d.Messages == 11 && d.Candidates >= 100
	})
	p.exchange(t, "still there")
	if st := p.callee.Stats(); st.State != Established {
		t.Errorf("state %v", st.State)
	}
}
