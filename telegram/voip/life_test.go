package voip

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/telegram/voip/signaling"
)

const audioWait = 10 * time.Second

func newTicker() *time.Ticker { return time.NewTicker(20 * time.Millisecond) }

// TestAudioGoesOnOverRestart: with audio flowing both ways, either side restarts ICE, several times.
func TestAudioGoesOnOverRestart(t *testing.T) {
	for name, o := range map[string]pairOptions{
		"":         {},
		" MTProto": {customCaller: useMTProto, customCallee: useMTProto},
		" 10.0.0":  {version: "10.0.0"},
		" 11.0.0":  {version: "11.0.0"},
	} {
		for _, starter := range []Role{signaling.Caller, signaling.Callee} {
			t.Run(starter.String()+name, func(t *testing.T) {
				t.Parallel()
				p := newPair(t, o)
				p.establish(t)
				up, down, stop := p.talk(t)
				up.more(t, 10, "up")
				down.more(t, 10, "down")
				e := p.caller
				if starter == signaling.Callee {
					e = p.callee
				}
				for range 2 {
					e.restartICE()
					for _, e := range []*Engine{p.caller.Engine, p.callee.Engine} {
						awaitState(t, e, 5*time.Second, Reconnecting)
						awaitState(t, e, 5*time.Second, Established)
					}
					up.more(t, 10, "up after the restart")
					down.more(t, 10, "down after the restart")
				}
				stop()
				for name, r := range map[string]*recorder{"up": up, "down": down} {
					got := r.all()
					first, last := got[0].Sequence, got[len(got)-1].Sequence
					if lost := int(last-first) + 1 - len(got); lost > 5 {
						t.Errorf("%s: %d of %d packets were lost", name, lost, int(last-first)+1)
					}
				}
			})
		}
	}
}

// TestRoaming gives either side another address while audio flows.
func TestRoaming(t *testing.T) {
	for i, mover := range []string{"caller", "callee"} {
		t.Run(mover, func(t *testing.T) {
			t.Parallel()
			r := newRoad(t, 0, 1)
			p := newPair(t, pairOptions{prepare: r.patient})
			p.establish(t)
			up, down, _ := p.talk(t)
			up.more(t, 10, "up")
			down.more(t, 10, "down")
			for range 2 {
				r.move(i)
				up.more(t, 30, "up after the move")
				down.more(t, 30, "down after the move")
			}
			for _, s := range []*side{p.caller, p.callee} {
				if st := s.Stats(); st.State == Failed {
					t.Errorf("%+v", st)
				}
			}
		})
	}
}

// TestVideoIsRefused: offers with the camera, the screen, or both come at any time, from either side; they are answered
// with audio alone, and audio goes on.
func TestVideoIsRefused(t *testing.T) {
	video := func(ssrc uint32) signaling.Content {
		return signaling.Content{Type: signaling.TypeVideo, SSRC: ssrc,
			SSRCGroups:   []signaling.SSRCGroup{{Semantics: "FID", SSRCs: []uint32{ssrc, ssrc + 1}}},
			PayloadTypes: []signaling.PayloadType{{ID: 100, Name: "VP8", ClockRate: 90_000}, {ID: 101, Name: "rtx", ClockRate: 90_000}}}
	}
	for _, starter := range []Role{signaling.Caller, signaling.Callee} {
		t.Run(starter.String(), func(t *testing.T) {
			t.Parallel()
			var sent func() []string
			p := newPair(t, pairOptions{prepare: func(a, b *Engine) {
				if starter == signaling.Caller {
					sent = spy(b)
				} else {
					sent = spy(a)
				}
			}})
			p.establish(t)
			from := p.caller
			if starter == signaling.Callee {
				from = p.callee
			}
			up, down, _ := p.talk(t)
			up.more(t, 5, "up")
			down.more(t, 5, "down")
			audio := signaling.Content{Type: signaling.TypeAudio, SSRC: from.flow.out.ssrc, PayloadTypes: []signaling.PayloadType{signaling.OpusCodec()}}
			for i, contents := range [][]signaling.Content{
				{audio, video(500)},               // camera on
				{audio, video(500), video(600)},   // and the screen
				{video(600), audio},               // camera off
				{audio},                           // screen off
				{audio, video(700)}, {video(700)}, // audio is left out
				{audio},
			} {
				exchange := fmt.Sprint(9000 + i)
				from.command(func(s *session) error {
					s.send(signaling.NegotiateChannels{ExchangeID: exchange, Contents: contents})
					return nil
				})
				var answer string
				until(t, 5*time.Second, "answer", func() bool {
					for _, m := range sent() {
						if strings.Contains(m, strconv.Quote(exchange)) {
							answer = m
						}
					}
					return answer != ""
				})
				m, err := signaling.Parse([]byte(answer))
				if err != nil {
					t.Fatal(err)
				}
				want := 0
				for _, c := range contents {
					if c.Type == signaling.TypeAudio {
						want++
					}
				}
				got := m.(signaling.NegotiateChannels).Contents
				if len(got) != want || want == 1 && (got[0].Type != signaling.TypeAudio || got[0].SSRC != audio.SSRC) {
					t.Errorf("offer %d is answered %s", i, answer)
				}
				up.more(t, 5, "up")
				down.more(t, 5, "down")
			}
			if n := strings.Count(strings.Join(sent(), ""), "VP8"); n != 0 {
				t.Error("video was answered")
			}
		})
	}
}

// TestNewAudioStream: the peer's audio begins anew under another SSRC, as after its engine has made its channels again.
func TestNewAudioStream(t *testing.T) {
	p := newPair(t, pairOptions{prepare: func(_, b *Engine) { // the caller's negotiator does not know of this offer
		b.signal.channel = &spyChannel{Channel: b.signal.channel, drop: func(m []byte) bool { return bytes.Contains(m, []byte(`"77"`)) }}
	}})
	p.establish(t)
	p.exchange(t, "before")
	const other = 4_000_000_001
	p.caller.command(func(s *session) error {
		s.send(signaling.NegotiateChannels{ExchangeID: "77", Contents: []signaling.Content{
			{Type: signaling.TypeAudio, SSRC: other, PayloadTypes: []signaling.PayloadType{signaling.OpusCodec()}}}})
		return nil
	})
	until(t, 5*time.Second, "new stream expected", func() bool { return p.callee.flow.in.ssrc.Load() == other })
	p.caller.flow.out.mu.Lock()
	p.caller.flow.out.ssrc = other
	p.caller.flow.out.mu.Unlock()
	p.exchange(t, "after")
}

// TestKindsOfAudio: packets of all durations, mono and stereo, with pauses and padding between them, arrive as they are.
func TestKindsOfAudio(t *testing.T) {
	p := newPair(t, pairOptions{})
	p.establish(t)
	until(t, 5*time.Second, "offer answered", p.caller.flow.writable)
	sink := newRecorder()
	p.callee.Flow().Attach(sink)
	flow := p.caller.Flow().(interface {
		media.Flow
		WritePadding(n int)
	})
	var sent []media.Packet
	stamp := uint32(0)
	write := func(toc byte, step uint32, size int) {
		payload := make([]byte, size)
		payload[0] = toc
		q := media.Packet{Timestamp: stamp, Marker: len(sent) == 0, Payload: payload}
		sent = append(sent, q)
		flow.WriteAudio(&q)
		stamp += step
	}
	for range 5 {
		write(0x78, 960, 80)    // 20 ms, mono
		write(0x7c, 960, 160)   // 20 ms, stereo
		write(0x7b, 2880, 211)  // 60 ms, as native engines send it
		write(0x7f, 5760, 1100) // 120 ms, stereo
		write(0x08, 960, 1)     // DTX
		stamp += 48_000         // a pause of 1 s in which nothing is sent
		flow.WritePadding(225)
		flow.WritePadding(1)
	}
	got := sink.wait(t, len(sent)+10)
	i := 0
	for _, q := range got {
		if len(q.Payload) == 0 {
			continue
		}
		want := sent[i]
		if string(q.Payload) != string(want.Payload) || q.Timestamp-got[0].Timestamp != want.Timestamp || q.Marker != want.Marker {
			t.Errorf("packet %d: %d bytes at %d, want %d at %d", i, len(q.Payload), q.Timestamp-got[0].Timestamp, len(want.Payload), want.Timestamp)
		}
		i++
	}
	if st := p.callee.Stats().Media; i != len(sent) || st.PacketsLost != 0 || st.PaddingOnly != 10 || st.Strangers != 0 {
		t.Errorf("%d of %d packets; %+v", i, len(sent), st)
	}
}

// TestSilenceKeepsTheCall: a muted native peer sends no audio at all; checks and reports go on, and so does the call.
func TestSilenceKeepsTheCall(t *testing.T) {
	p := newPair(t, pairOptions{prepare: func(a, b *Engine) {
		for _, e := range []*Engine{a, b} {
			quick(e)
			e.times.disconnected = time.Second // a busy machine is not silent for that long
		}
	}})
	p.establish(t)
	p.exchange(t, "before")
	<-time.After(2 * time.Second) // longer than it takes to fail
	awaitNone(t, p.caller.Engine)
	awaitNone(t, p.callee.Engine)
	p.exchange(t, "after")
}

// TestReconnectingEnds: the way is cut for a while, and both sides find each other again.
func TestReconnectingEnds(t *testing.T) {
	r := newRoad(t, 0, 2)
	p := newPair(t, pairOptions{prepare: r.patient})
	p.establish(t)
	p.exchange(t, "before")
	r.lose(1)
	for _, e := range []*Engine{p.caller.Engine, p.callee.Engine} {
		awaitState(t, e, 5*time.Second, Reconnecting)
	}
	r.lose(0)
	for _, e := range []*Engine{p.caller.Engine, p.callee.Engine} {
		awaitState(t, e, 5*time.Second, Established)
	}
	p.exchange(t, "after")
}

// TestLoss: with 10 % of the media and 20 % of the signalling lost, calls come up and carry audio.
func TestLoss(t *testing.T) {
	for i, version := range []string{"8.0.0", "9.0.0", "12.0.0", "13.0.0", "10.0.0", "11.0.0"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			up, down := lossyCall(t, pairOptions{version: version}, 0.1, 0.2, uint64(i))
			t.Logf("up %.0f %%, down %.0f %%, in %v", up*100, down*100, time.Since(began).Round(100*time.Millisecond))
			for name, share := range map[string]float64{"up": up, "down": down} {
				if share < 0.75 || share > 0.99 {
					t.Errorf("%s: %.0f %% of the audio arrived", name, share*100)
				}
			}
		})
	}
}

// TestLossySignaling: with 30 % of the signalling lost in both directions, calls of either framing come up, and audio
// goes both ways.
func TestLossySignaling(t *testing.T) {
	for _, version := range []string{"9.0.0", "13.0.0"} {
		for seed := range uint64(4) {
			t.Run(fmt.Sprintf("%s %d", version, seed), func(t *testing.T) {
				t.Parallel()
				began := time.Now()
				up, down := lossyCall(t, pairOptions{version: version}, 0, 0.3, 100+seed)
				took := time.Since(began)
				t.Logf("up %.0f %%, down %.0f %%, in %v", up*100, down*100, took.Round(100*time.Millisecond))
				if up < 0.95 || down < 0.95 || took > time.Minute {
					t.Errorf("up %.2f, down %.2f, in %v", up, down, took)
				}
			})
		}
	}
}

// lossyCall sets a call up on a road that loses shares of media and signalling, talks for 2 s and returns what shares of
// the audio came.
func lossyCall(t *testing.T, o pairOptions, loss, signal float64, seed uint64) (up, down float64) {
	t.Helper()
	r := newRoad(t, loss, seed)
	o.delayed, o.prepare = true, r.prepare
	p := newPair(t, o)
	p.loseSignaling(signal, seed)
	p.caller.start(t)
	p.callee.start(t)
	for _, e := range []*Engine{p.caller.Engine, p.callee.Engine} {
		awaitState(t, e, 40*time.Second, Established)
	}
	until(t, 30*time.Second, "both offers answered", func() bool {
		return p.caller.flow.writable() && p.callee.flow.writable()
	})
	got, back, stop := p.talk(t)
	<-time.After(2 * time.Second)
	stop()
	sent := [2]uint64{p.caller.Stats().Media.PacketsSent, p.callee.Stats().Media.PacketsSent}
	<-time.After(50 * time.Millisecond)
	return float64(len(got.all())) / float64(sent[0]), float64(len(back.all())) / float64(sent[1])
}

// TestBothRestart: both sides restart ICE at the same moment.
func TestBothRestart(t *testing.T) {
	for _, version := range []string{"13.0.0", "11.0.0", "10.0.0"} {
		t.Run(version, func(t *testing.T) { bothRestart(t, version) })
	}
}

func bothRestart(t *testing.T, version string) {
	t.Helper()
	p := newPair(t, pairOptions{version: version})
	p.establish(t)
	up, down, _ := p.talk(t)
	up.more(t, 5, "up")
	for range 3 {
		p.caller.restartICE()
		p.callee.restartICE()
		for _, e := range []*Engine{p.caller.Engine, p.callee.Engine} {
			awaitState(t, e, 5*time.Second, Reconnecting)
			awaitState(t, e, 5*time.Second, Established)
		}
		up.more(t, 10, "up after the restarts")
		down.more(t, 10, "down after the restarts")
		until(t, 5*time.Second, "both at rest", func() bool {
			return p.caller.Stats().State == Established && p.callee.Stats().State == Established
		})
	}
}

// TestRestartTooEarly: nothing comes of a restart before the call is up.
func TestRestartTooEarly(t *testing.T) {
	p := newPair(t, pairOptions{delayed: true})
	p.caller.restartICE()
	p.caller.start(t)
	p.callee.restartICE()
	p.callee.start(t)
	p.establish(t)
	p.exchange(t, "x")
}
