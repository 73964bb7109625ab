package voip

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/telegram/voip/signaling"
)

// newestOfEither are the newest versions of either dialect, with either role.
func newestOfEither() iter.Seq2[string, Role] {
	return func(yield func(string, Role) bool) {
		for _, version := range []string{signaling.Versions()[0], signaling.ReferenceVersions()[0], signaling.ReferenceVersions()[1]} {
			if !yield(version, signaling.Caller) || !yield(version, signaling.Callee) {
				return
			}
		}
	}
}

func TestICERestart(t *testing.T) {
	for version, starter := range newestOfEither() {
		t.Run(version+" "+starter.String(), func(t *testing.T) {
			p := newPair(t, pairOptions{version: version})
			p.establish(t)
			p.exchange(t, "before")
			dtls := p.caller.Stats().Timings.DTLS
			e := p.caller
			if starter == signaling.Callee {
				e = p.callee
			}
			e.restartICE()
			for _, e := range []*Engine{p.caller.Engine, p.callee.Engine} {
				awaitState(t, e, 5*time.Second, Reconnecting)
				awaitState(t, e, 5*time.Second, Established)
			}
			p.exchange(t, "after")
			if got := p.caller.Stats().Timings.DTLS; got != dtls {
				t.Error("dtls was done again")
			}
		})
	}
}

// TestRepeatedSetup checks that an InitialSetup with known credentials is answered and restarts nothing, whatever its
// setup says.
func TestRepeatedSetup(t *testing.T) {
	var sent func() []string
	p := newPair(t, pairOptions{prepare: func(a, b *Engine) { sent = spy(b) }})
	p.establish(t)
	setups := func() (n int) {
		for _, m := range sent() {
			if strings.Contains(m, "InitialSetup") {
				n++
			}
		}
		return n
	}
	if setups() != 1 {
		t.Fatalf("callee sent %d setups", setups())
	}
	p.caller.command(func(s *session) error {
		for _, setup := range []string{"actpass", "active"} {
			s.send(signaling.InitialSetup{UFrag: s.ice.local.ufrag, Pwd: s.ice.local.pwd, Fingerprints: []signaling.Fingerprint{
				{Hash: "SHA-256", Setup: setup, Fingerprint: strings.ToLower(s.net.identity.fingerprint)},
			}})
		}
		return nil
	})
	until(t, 5*time.Second, "answers", func() bool { return setups() == 3 })
	p.exchange(t, "after")
	awaitNone(t, p.callee.Engine)
	awaitNone(t, p.caller.Engine)
}

// TestSetupRoles checks who becomes DTLS client for every setup a callee may answer.
func TestSetupRoles(t *testing.T) {
	for _, setup := range []string{"passive", "active", "actpass"} {
		t.Run(setup, func(t *testing.T) {
			p := newPair(t, pairOptions{prepare: func(a, b *Engine) {
				b.signal.channel = &spyChannel{Channel: b.signal.channel, edit: func(m []byte) []byte {
					return bytes.ReplaceAll(m, []byte(`"passive"`), []byte(`"`+setup+`"`))
				}}
				a.signal.channel = &spyChannel{Channel: a.signal.channel, edit: func(m []byte) []byte {
					if setup == "active" { // what a web caller would say then
						return bytes.ReplaceAll(m, []byte(`"actpass"`), []byte(`"passive"`))
					}
					return m
				}}
			}})
			p.establish(t)
			p.exchange(t, setup)
		})
	}
}

func TestMute(t *testing.T) {
	for _, version := range everyVersion() {
		t.Run(version, func(t *testing.T) { mute(t, version) })
	}
}

func mute(t *testing.T, version string) {
	t.Helper()
	p := newPair(t, pairOptions{version: version})
	p.establish(t)
	muted := func(want bool) func(PeerMediaState) bool {
		return func(m PeerMediaState) bool { return m.Muted == want }
	}
	p.caller.SetMuted(true)
	await(t, p.callee.Engine, 5*time.Second, muted(true))
	p.callee.SetMuted(true)
	await(t, p.caller.Engine, 5*time.Second, muted(true))
	p.caller.SetMuted(false)
	await(t, p.callee.Engine, 5*time.Second, muted(false))
	p.exchange(t, "still there")
}

func TestMuteBeforeCall(t *testing.T) {
	p := newPair(t, pairOptions{delayed: true})
	p.callee.SetMuted(true)
	p.callee.start(t)
	p.caller.start(t)
	await(t, p.caller.Engine, 5*time.Second, func(m PeerMediaState) bool { return m.Muted })
}

func TestMuteThroughSignaling(t *testing.T) {
	p := newPair(t, pairOptions{})
	p.establish(t)
	p.callee.command(func(s *session) error {
		s.safe.data, s.timers.beside = nil, true
		return nil
	})
	p.callee.SetMuted(true)
	await(t, p.caller.Engine, 5*time.Second, func(m PeerMediaState) bool { return m.Muted })
}

func TestSignalingBeforeRun(t *testing.T) {
	p := newPair(t, pairOptions{delayed: true})
	p.caller.start(t)
	until(t, 5*time.Second, "caller's first packets", func() bool {
		return p.callee.signal.channel.Stats().PacketsReceived > 0
	})
	p.callee.start(t)
	p.establish(t)
	p.exchange(t, "late")
}

// TestLostSignaling drops the first packets of either side. Versions that resend after 5 s only are in TestLoss.
func TestLostSignaling(t *testing.T) {
	for _, version := range []string{"13.0.0", "11.0.0"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, pairOptions{version: version, delayed: true})
			for _, w := range []*wire{p.caller.out, p.callee.out} {
				n := 0
				w.tap = func([]byte) bool { n++; return n > 2 }
			}
			p.caller.start(t)
			p.callee.start(t)
			p.establish(t)
			p.exchange(t, "lossy")
		})
	}
}

func TestCalleeIsSilentFirst(t *testing.T) {
	var sent func() []string
	p := newPair(t, pairOptions{version: "9.0.0", delayed: true, prepare: func(a, b *Engine) { sent = spy(b) }})
	p.callee.start(t)
	<-time.After(200 * time.Millisecond)
	if got := sent(); len(got) != 0 {
		t.Fatalf("callee sent %v", got)
	}
	p.caller.start(t)
	p.establish(t)
	got := sent()
	if len(got) < 4 || !strings.Contains(got[0], "InitialSetup") {
		t.Fatalf("callee sent %v", got)
	}
	answer, offer := -1, -1
	for i, m := range got {
		if strings.Contains(m, "NegotiateChannels") {
			if answer < 0 {
				answer = i
			} else {
				offer = i
			}
		}
	}
	if answer < 0 || offer < answer {
		t.Errorf("callee sent %v", got)
	}
	if !strings.Contains(got[answer], fmt.Sprint(p.caller.flow.out.ssrc)) {
		t.Errorf("answer does not echo the caller's ssrc: %s", got[answer])
	}
}

func TestPadding(t *testing.T) {
	p := newPair(t, pairOptions{})
	p.establish(t)
	p.exchange(t, "before")
	sink := newRecorder()
	p.callee.Flow().Attach(sink)
	flow := p.caller.Flow().(interface {
		media.Flow
		WritePadding(n int)
	})
	flow.WriteAudio(&media.Packet{Timestamp: 96_000, Payload: []byte("one")})
	flow.WritePadding(225)
	flow.WritePadding(1)
	flow.WritePadding(0)   // refused
	flow.WritePadding(256) // refused
	flow.WriteAudio(&media.Packet{Timestamp: 96_960})
	flow.WriteAudio(&media.Packet{Timestamp: 96_960, Payload: []byte("two")})
	got := sink.wait(t, 4)
	for i, want := range []string{"one", "", "", "two"} {
		if string(got[i].Payload) != want || got[i].Sequence != got[0].Sequence+uint16(i) {
			t.Errorf("packet %d: %+v, want payload %q", i, got[i], want)
		}
	}
	if got[1].Timestamp != got[0].Timestamp {
		t.Errorf("padding has timestamp %d, audio %d", got[1].Timestamp, got[0].Timestamp)
	}
	st := p.callee.Stats().Media
	if st.PaddingOnly != 2 || st.PacketsLost != 0 || st.PacketsReceived != 14 {
		t.Errorf("%+v", st)
	}
}

// TestManyCallsOnOneNet runs calls between the same two sockets, and calls of a socket with itself.
func TestManyCallsOnOneNet(t *testing.T) {
	a, b := loopbackNet(t, 1), loopbackNet(t, 1)
	nets := map[string][2]*Net{"two nets": {a, b}, "one net": {a, a}}
	for name, n := range nets {
		t.Run(name, func(t *testing.T) {
			var pairs []*pair
			for range 4 {
				pairs = append(pairs, newPair(t, pairOptions{callerNet: n[0], calleeNet: n[1]}))
			}
			for _, p := range pairs {
				p.establish(t)
			}
			for round := range 3 {
				for i, p := range pairs {
					p.exchange(t, fmt.Sprintf("call %d.%d", i, round))
				}
			}
			for i, p := range pairs {
				for _, s := range []*side{p.caller, p.callee} {
					if st := s.Stats(); st.Media.Strangers != 0 || st.Media.PacketsReceived != 30 {
						t.Errorf("call %d: %+v", i, st.Media)
					}
				}
			}
			pairs[0].caller.stop(t)
			pairs[0].callee.stop(t)
			pairs[3].exchange(t, "last")
		})
	}
	for _, n := range []*Net{a, b} {
		until(t, 5*time.Second, "sockets left by all calls", func() bool {
			s := n.shards[0]
			s.mu.Lock()
			defer s.mu.Unlock()
			return len(s.claims) == 0 && len(s.byUfrag) == 0 && s.calls.Load() == 0
		})
	}
}

func TestShardsShareTheCalls(t *testing.T) {
	n := loopbackNet(t, 3)
	for range 3 {
		newPair(t, pairOptions{callerNet: n}).establish(t)
	}
	for _, s := range n.shards {
		if s.calls.Load() != 1 {
			t.Errorf("shard has %d calls", s.calls.Load())
		}
	}
}

func TestOwnNet(t *testing.T) {
	p := newPair(t, pairOptions{delayed: true})
	p.caller.c.Net, p.callee.c.Net = nil, nil
	p.caller.start(t)
	p.callee.start(t)
	p.establish(t)
	p.exchange(t, "own")
}

func TestIPv6(t *testing.T) {
	n, err := ListenNet(NetOptions{Listen: "[::1]:0", Shards: 1})
	if err != nil {
		t.Skip("this machine has no IPv6: ", err)
	}
	t.Cleanup(n.Close)
	// The other side is dual stack, on all interfaces.
	d, err := ListenNet(NetOptions{Shards: 1, Loopback: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	p := newPair(t, pairOptions{callerNet: n, calleeNet: d})
	p.establish(t)
	p.exchange(t, "six")
}

func TestIPv4OnlySocket(t *testing.T) {
	n, err := ListenNet(NetOptions{Listen: "0.0.0.0:0", Shards: 1, Loopback: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	for _, h := range must(n.shards[0].listHosts()) {
		if !h.Addr().Is4() {
			t.Errorf("host %v on an IPv4 socket", h)
		}
	}
	p := newPair(t, pairOptions{callerNet: n})
	p.establish(t)
	p.exchange(t, "four")
}

// command runs f in the session's goroutine.
func (s *side) command(f func(*session) error) {
	live := s.live.Load()
	live.post(func() error { return f(live) })
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestRunTwice(t *testing.T) {
	p := newPair(t, pairOptions{})
	p.establish(t)
	if err := p.caller.Run(t.Context()); !errors.Is(err, ErrRunning) {
		t.Errorf("got %v", err)
	}
}

// peerChannel says what engine the peer is.
type peerChannel struct {
	signaling.Channel
	kind atomic.Uint32
}

func (c *peerChannel) Peer() signaling.Peer { return signaling.Peer(c.kind.Load()) }

// TestOfferWaitsForTheEngine checks when the caller's offer leaves: at once to a native callee, later to a web one.
func TestOfferWaitsForTheEngine(t *testing.T) {
	for _, c := range []struct {
		kind     signaling.Peer
		version  string
		min, max time.Duration
	}{
		{signaling.PeerNative, "13.0.0", 0, time.Second},
		{signaling.PeerWeb, "13.0.0", 300 * time.Millisecond, 2 * time.Second},
		{signaling.PeerUnknown, "9.0.0", 0, time.Second},
	} {
		t.Run(c.kind.String()+" "+c.version, func(t *testing.T) {
			kind := &peerChannel{}
			var sent func() []string
			p := newPair(t, pairOptions{version: c.version, delayed: true, prepare: func(a, b *Engine) {
				a.times.late = 300 * time.Millisecond
				sent = spy(a)
				kind.Channel = a.signal.channel
				a.signal.channel = kind
			}})
			offers := func() bool { return strings.Contains(strings.Join(sent(), "\n"), "NegotiateChannels") }
			p.caller.start(t)
			until(t, time.Second, "setup", func() bool { return len(sent()) > 0 })
			if c.version == "13.0.0" {
				<-time.After(50 * time.Millisecond)
				if offers() {
					t.Fatal("offered before the peer was heard")
				}
			}
			heard := time.Now()
			kind.kind.Store(uint32(c.kind))
			until(t, 5*time.Second, "offer", offers)
			if took := time.Since(heard); took < c.min || took > c.max {
				t.Errorf("offered after %v", took)
			}
			p.callee.start(t)
			p.establish(t)
			p.exchange(t, "then")
		})
	}
}

// TestMessagesFromHell feeds the session what a peer with the key could send.
func TestMessagesFromHell(t *testing.T) {
	p := newPair(t, pairOptions{})
	p.establish(t)
	candidate := `{"@type":"Candidates","candidates":[{"sdpString":"candidate:1 1 udp 1 192.0.2.1 9 typ host"}]}`
	for _, m := range []string{
		``, `{`, `[]`, `null`, `{"@type":"Nothing"}`, `{"@type":"InitialSetup"}`,
		`{"@type":"InitialSetup","ufrag":"","pwd":"","fingerprints":[]}`,
		`{"@type":"InitialSetup","ufrag":"abcd","pwd":"abcdefghijklmnopqrstuv","fingerprints":[{"hash":"md5","setup":"active","fingerprint":"00"}]}`,
		`{"@type":"Candidates","candidates":[{"sdpString":"candidate:x"},{"sdpString":"candidate:1 1 udp 1 a.local 9 typ host"}]}`,
		`{"@type":"NegotiateChannels","exchangeId":"1","contents":[]}`,
		`{"@type":"NegotiateChannels","exchangeId":"2","contents":[{"type":"video","ssrc":"5","ssrcGroups":[],"payloadTypes":[],"rtpExtensions":[]}]}`,
	} {
		p.caller.command(func(s *session) error { s.queue([]byte(m)); return nil })
	}
	for range 200 {
		p.caller.command(func(s *session) error { s.queue([]byte(candidate)); return nil })
	}
	p.exchange(t, "still there")
	until(t, 5*time.Second, "drops", func() bool {
		d := p.callee.Stats().Drops
		return d.Messages >= 5 && d.Candidates >= 100
	})
	if st := p.callee.Stats(); st.State != Established {
		t.Errorf("state %v", st.State)
	}
}
