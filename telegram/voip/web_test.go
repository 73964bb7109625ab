package voip

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/srtp/v3"

	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/telegram/voip/signaling"
)

// The traps of the web clients, one test each; those of their SCTP are in package signaling, and Chromium itself is called
// by the tests of cmd/tgtrunk.

// webClient is the messages of a web client: what it would send is put into the engine, what it gets is kept.
type webClient struct {
	engine *Engine
	mu     sync.Mutex
	got    []string
}

// newWebClient runs an engine with a web client at the other end of its signalling.
func newWebClient(t *testing.T, role Role, prepare func(*Engine)) *webClient {
	t.Helper()
	w := &webClient{}
	var err error
	w.engine, err = New(Config{
		Role: role, Key: &Key{}, Version: "13.0.0", P2P: true, Net: loopbackNet(t, 1), Log: testLog(t), Send: func([]byte) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	w.engine.signal.channel = w
	if prepare != nil {
		prepare(w.engine)
	}
	s := &side{Engine: w.engine, done: make(chan error, 1)}
	s.start(t)
	return w
}

// Send implements signaling.Channel.
func (w *webClient) Send(message []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.got = append(w.got, string(message))
	return nil
}

func (w *webClient) Receive([]byte)                { /* nothing comes as packets */ }
func (w *webClient) Peer() signaling.Peer          { return signaling.PeerWeb }
func (w *webClient) Stats() signaling.Stats        { return signaling.Stats{} }
func (w *webClient) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// say gives the engine a message of the client.
func (w *webClient) say(message string) { w.engine.signal.deliver([]byte(message)) }

// all returns what the client got, without candidates: their number is the machine's.
func (w *webClient) all() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.got), func(m string) bool { return strings.Contains(m, `"Candidates"`) })
}

// await waits until the client got n messages, and checks for a moment that there are no more.
func (w *webClient) await(t *testing.T, n int) []string {
	t.Helper()
	until(t, 5*time.Second, fmt.Sprintf("%d messages", n), func() bool { return len(w.all()) >= n })
	<-time.After(150 * time.Millisecond)
	got := w.all()
	if len(got) != n {
		t.Fatalf("web client got %d messages, want %d:\n%s", len(got), n, strings.Join(got, "\n"))
	}
	return got
}

// fields reads a message of ours.
func fields(t *testing.T, message string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(message), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

const webPrint = "04:DE:02:59:1D:8B:10:06:E4:04:DE:02:59:1D:8B:10:06:E4:04:DE:02:59:1D:8B:10:06:E4:04:DE:02:59:1D"

func webSetup(ufrag, setup string) string {
	return fmt.Sprintf(`{"@type":"InitialSetup","ufrag":%q,"pwd":"TZKDWPUH9GLxXtQ4IPc7GpEe","renomination":false,"fingerprints":[{"hash":"sha-256","setup":%q,"fingerprint":%q}]}`,
		ufrag, setup, webPrint)
}

// webOffer is a Chromium's: its codecs and extensions, sdes:mid among them.
func webOffer(id string) string {
	return fmt.Sprintf(`{"@type":"NegotiateChannels","exchangeId":%q,"contents":[{"type":"audio","ssrc":"2960340873","ssrcGroups":[],"payloadTypes":[`+
		`{"id":111,"name":"opus","clockrate":48000,"channels":2,"feedbackTypes":[{"type":"transport-cc","subtype":""}],"parameters":{"minptime":"10","useinbandfec":"1"}},`+
		`{"id":63,"name":"red","clockrate":48000,"channels":2,"feedbackTypes":[],"parameters":{}},`+
		`{"id":0,"name":"PCMU","clockrate":8000,"channels":1,"feedbackTypes":[],"parameters":{}}],`+
		`"rtpExtensions":[{"id":1,"uri":"urn:ietf:params:rtp-hdrext:ssrc-audio-level"},{"id":4,"uri":"urn:ietf:params:rtp-hdrext:sdes:mid"}]}]}`, id)
}

// TestWebCalleeIsOfferedOnceAndLate: a web callee gets InitialSetup at once and the offer when its microphone is likely to
// be open. It would take no second offer, whatever happens.
func TestWebCalleeIsOfferedOnceAndLate(t *testing.T) {
	if late := defaultTimeouts().late; late < time.Second || late > 2*time.Second {
		t.Errorf("the offer is late by %v", late)
	}
	const late = 400 * time.Millisecond
	began := time.Now()
	w := newWebClient(t, signaling.Caller, func(e *Engine) { e.times.late = late })
	if got := w.await(t, 1); !strings.Contains(got[0], "InitialSetup") {
		t.Fatalf("first comes %s", got[0])
	}
	got := w.await(t, 2)
	if took := time.Since(began); took < late {
		t.Errorf("offer came after %v", took)
	}
	offer := fields(t, got[1])
	id, isText := offer["exchangeId"].(string)
	if !isText {
		t.Fatalf("offer is %s", got[1])
	}
	for _, m := range []string{ // its answers, its own offer, and what might tempt us to a second one of ours
		webSetup("c46D", "active"),
		fmt.Sprintf(`{"@type":"NegotiateChannels","exchangeId":%q,"contents":[]}`, id),
	} {
		w.say(m)
	}
	w.await(t, 2)
	w.say(webOffer("7"))
	if answer := fields(t, w.await(t, 3)[2]); answer["exchangeId"] != "7" {
		t.Errorf("answer is %v", answer)
	}
	w.say(webSetup("c46D", "active"))
	w.say(fmt.Sprintf(`{"@type":"NegotiateChannels","exchangeId":%q,"contents":[]}`, id))
	w.say(webOffer("7"))
	w.engine.SetMuted(true)
	w.engine.restartICE()
	w.await(t, 3)
}

// TestWebCallerHearsNothingFirst: a web caller throws away what comes before it is ready for it, so as callee we say
// nothing before its InitialSetup. Then come InitialSetup, the answer, and only then our offer.
func TestWebCallerHearsNothingFirst(t *testing.T) {
	w := newWebClient(t, signaling.Callee, nil)
	w.say(`{"@type":"Candidates","candidates":[{"sdpString":"candidate:1 1 udp 2122194687 127.0.0.1 9 typ host generation 0 ufrag c46D"}]}`)
	w.say(webOffer("5"))
	<-time.After(300 * time.Millisecond) // candidates of ours have been gathered
	w.mu.Lock()
	early := len(w.got)
	w.mu.Unlock()
	if early > 0 {
		t.Fatalf("web caller got %d messages before it said InitialSetup", early)
	}
	w.say(webSetup("c46D", "actpass"))
	got := w.await(t, 3)
	answer, offer := fields(t, got[1]), fields(t, got[2])
	if !strings.Contains(got[0], "InitialSetup") || answer["exchangeId"] != "5" || offer["exchangeId"] == "5" {
		t.Fatalf("web caller got\n%s", strings.Join(got, "\n"))
	}
	content := answer["contents"].([]any)[0].(map[string]any)
	if content["ssrc"] != "2960340873" || len(content["payloadTypes"].([]any)) != 1 || strings.Contains(got[1]+got[2], "sdes:mid") {
		t.Errorf("answer is %s\noffer is %s", got[1], got[2])
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !strings.Contains(w.got[0], "InitialSetup") {
		t.Errorf("first comes %s", w.got[0])
	}
}

// TestWebSecondSetup: a web caller says InitialSetup once more when it knows its part in DTLS. With the same credentials
// that restarts nothing, and our answer must be what it was: another setup or other credentials would end the call.
func TestWebSecondSetup(t *testing.T) {
	w := newWebClient(t, signaling.Callee, nil)
	w.say(webSetup("c46D", "actpass"))
	w.say(webOffer("5"))
	w.await(t, 3)
	for n, setup := range []string{"active", "active", "passive"} {
		w.say(webSetup("c46D", setup))
		got := w.await(t, 4+n)
		if got[3+n] != got[0] {
			t.Errorf("InitialSetup was\n%s\nand is\n%s", got[0], got[3+n])
		}
	}
	if state := w.engine.Stats().State; state != Connecting {
		t.Errorf("state is %v", state)
	}
}

// TestWebIsGivenTime: a web caller is silent until its user has allowed the microphone, and a web client that vanishes
// tells nobody.
func TestWebIsGivenTime(t *testing.T) {
	d := defaultTimeouts()
	if d.peer < 30*time.Second || d.disconnected+d.failed > 30*time.Second {
		t.Errorf("%+v", d)
	}
}

// markWeb makes an engine take its peer for a web client.
func markWeb(e *Engine) {
	kind := &peerChannel{Channel: e.signal.channel}
	kind.kind.Store(uint32(signaling.PeerWeb))
	e.signal.channel = kind
}

// TestWebIsNotRestarted: a web client does not follow an ICE restart of ours. The call goes on where it is.
func TestWebIsNotRestarted(t *testing.T) {
	for _, role := range []Role{signaling.Caller, signaling.Callee} {
		t.Run(role.String(), func(t *testing.T) {
			var sent func() []string
			var ours *side
			p := newPair(t, pairOptions{prepare: func(a, b *Engine) {
				a.times.late = 0
				e := a
				if role == signaling.Callee {
					e = b
				}
				markWeb(e)
				sent = spy(e)
			}})
			ours = p.caller
			if role == signaling.Callee {
				ours = p.callee
			}
			p.establish(t)
			p.exchange(t, "before")
			before := len(sent())
			ours.restartICE()
			p.exchange(t, "after")
			awaitNone(t, ours.Engine)
			if got := sent(); len(got) != before {
				t.Errorf("web client got %v", got[before:])
			}
		})
	}
}

// TestNoAudioBeforeTheAnswer: a web caller that gets audio before it has taken our offer may never take it.
func TestNoAudioBeforeTheAnswer(t *testing.T) {
	var mu sync.Mutex
	var held [][]byte
	p := newPair(t, pairOptions{prepare: func(a, b *Engine) {
		a.signal.channel = &spyChannel{Channel: a.signal.channel, drop: func(m []byte) bool {
			mu.Lock()
			defer mu.Unlock()
			if !strings.Contains(string(m), "NegotiateChannels") || strings.Contains(string(m), fmt.Sprint(a.flow.out.ssrc)) {
				return false
			}
			held = append(held, slices.Clone(m))
			return true
		}}
	}})
	sink := newRecorder()
	p.caller.Flow().Attach(sink)
	p.establish(t)
	until(t, 5*time.Second, "answer", func() bool { mu.Lock(); defer mu.Unlock(); return len(held) == 1 })
	for i := range 20 {
		p.callee.Flow().WriteAudio(&media.Packet{Timestamp: uint32(i * 960), Payload: []byte("early")})
	}
	if st := p.callee.Stats(); st.Media.PacketsSent != 0 || st.Drops.Unsent != 20 {
		t.Errorf("%d packets sent, %d held back", st.Media.PacketsSent, st.Drops.Unsent)
	}
	p.callee.signal.deliver(held[0])
	until(t, 5*time.Second, "leave to send", p.callee.flow.writable)
	p.callee.Flow().WriteAudio(&media.Packet{Timestamp: 20 * 960, Payload: []byte("in time")})
	if got := sink.wait(t, 1); len(got) != 1 || string(got[0].Payload) != "in time" {
		t.Errorf("web caller got %+v", got)
	}
}

// TestOurAudioHasNoExtension: RTP that carries sdes:mid breaks web callers; ours has no extension at all.
func TestOurAudioHasNoExtension(t *testing.T) {
	a, _, sent := linkedFlows(t, srtp.ProtectionProfileAeadAes128Gcm)
	a.WriteAudio(&media.Packet{Marker: true, Payload: []byte("x")})
	a.WritePadding(10)
	if p := sent.packet(); len(p) == 0 || p[0]&0x1f != 0 {
		t.Errorf("RTP begins with %x", p)
	}
}

// TestMessagesSuitWeb looks at every message of whole calls with the eyes of the web clients.
func TestMessagesSuitWeb(t *testing.T) {
	turn := startTURN(t)
	turn.STUN = true
	for name, o := range map[string]pairOptions{"direct": {}, "relay": {relayOnly: true}} {
		t.Run(name, func(t *testing.T) {
			var sent [2]func() []string
			o.servers = []Server{turn}
			o.prepare = func(a, b *Engine) { sent[0], sent[1] = spy(a), spy(b) }
			p := newPair(t, o)
			p.establish(t)
			p.exchange(t, name)
			for _, s := range []*side{p.caller, p.callee} {
				s.command(func(s *session) error { s.safe.data, s.timers.beside = nil, true; return nil })
				s.SetMuted(true)
			}
			until(t, 5*time.Second, "mute", func() bool {
				return strings.Contains(strings.Join(sent[0](), ""), "MediaState") && strings.Contains(strings.Join(sent[1](), ""), "MediaState")
			})
			for i := range sent {
				seen := map[string]bool{}
				for _, m := range sent[i]() {
					o := fields(t, m)
					kind := o["@type"].(string)
					seen[kind] = true
					if why := webRefuses(o); why != "" {
						t.Errorf("%s: %s", why, m)
					}
				}
				if len(seen) != 4 {
					t.Errorf("only %v were sent", seen)
				}
			}
		})
	}
}

// webRefuses says why a web client would not take a message; "" when it would.
func webRefuses(m map[string]any) string {
	switch m["@type"] {
	case "InitialSetup":
		return refusesSetup(m)
	case "NegotiateChannels":
		if id, ok := m["exchangeId"].(string); !ok || id == "" {
			return "exchangeId is no text"
		}
		contents, _ := m["contents"].([]any)
		if len(contents) != 1 {
			return "not one content"
		}
		return refusesContent(contents[0].(map[string]any))
	case "Candidates":
		list, _ := m["candidates"].([]any)
		if len(m) != 2 || len(list) == 0 {
			return "more than candidates, or none"
		}
		for _, c := range list {
			if why := refusesCandidate(c.(map[string]any)); why != "" {
				return why
			}
		}
	}
	return ""
}

func refusesSetup(m map[string]any) string {
	print := m["fingerprints"].([]any)[0].(map[string]any)
	switch {
	case len(m["ufrag"].(string)) < 4 || len(m["pwd"].(string)) < 22:
		return "credentials are too short"
	case !slices.Contains([]any{"actpass", "active", "passive"}, print["setup"]):
		return "no setup"
	case print["hash"] != "sha-256" || !regexp.MustCompile(`^([0-9A-F]{2}:){31}[0-9A-F]{2}$`).MatchString(print["fingerprint"].(string)):
		return "no fingerprint"
	}
	return ""
}

func refusesContent(c map[string]any) string {
	number := regexp.MustCompile(`^[1-9][0-9]{0,9}$`)
	if ssrc, ok := c["ssrc"].(string); !ok || !number.MatchString(ssrc) || c["type"] != "audio" {
		return "ssrc is no text, or this is no audio"
	}
	payloads, _ := c["payloadTypes"].([]any)
	if len(payloads) == 0 {
		return "no payload types"
	}
	for _, p := range payloads {
		p := p.(map[string]any)
		if p["name"] != "opus" || p["clockrate"] != 48000.0 || p["channels"] != 2.0 || p["id"] == nil {
			return "not opus with two channels"
		}
		for _, f := range p["feedbackTypes"].([]any) {
			if _, ok := f.(map[string]any)["subtype"].(string); !ok {
				return "feedback without subtype" // not of web clients but of native ones
			}
		}
	}
	for _, e := range c["rtpExtensions"].([]any) {
		if e := e.(map[string]any); e["id"] == 0.0 || strings.Contains(fmt.Sprint(e["uri"]), "sdes:mid") {
			return "extension that breaks the call"
		}
	}
	return ""
}

func refusesCandidate(c map[string]any) string {
	line, _ := c["sdpString"].(string)
	field := strings.Fields(line)
	switch {
	case len(c) != 1:
		return "candidate with more than its line"
	case !strings.HasPrefix(line, "candidate:") || len(field) < 8 || field[1] != "1" || field[6] != "typ":
		return "broken candidate"
	case strings.Contains(line, "ufrag"):
		return "candidate that names its ufrag"
	}
	if _, err := netip.ParseAddr(field[4]); err != nil {
		return "candidate with a name"
	}
	return ""
}
