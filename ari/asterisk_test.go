package ari_test

import (
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/media/tone"
	"github.com/tgtrunk/tgtrunk/routing"
)

// ear records what arrives on a flow.
type ear struct {
	mu  sync.Mutex
	law media.Codec
	pcm []int16
}

func listen(f media.Flow) *ear {
	e := &ear{law: f.Format().Codec}
	f.Attach(e)
	return e
}

func (e *ear) WriteAudio(p *media.Packet) {
	e.mu.Lock()
	defer e.mu.Unlock()
	decode := media.DecodeULaw
	if e.law == media.PCMA {
		decode = media.DecodeALaw
	}
	pcm := make([]int16, len(p.Payload))
	decode(pcm, p.Payload)
	e.pcm = append(e.pcm, pcm...)
}

// tail returns the newest samples.
func (e *ear) tail(n int) []int16 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]int16(nil), e.pcm[max(0, len(e.pcm)-n):]...)
}

// hear waits until half a second of a clear tone has arrived and returns its level.
func (e *ear) hear(t *testing.T, hz float64) float64 {
	t.Helper()
	var last []int16
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if last = e.tail(4000); len(last) == 4000 && tone.Purity(last, 8000, hz) > 0.9 {
			return tone.Level(last, 8000, hz)
		}
	}
	t.Fatalf("no clear tone of %v Hz: %d samples, purity %.2f, strongest %.0f Hz", hz, len(last),
		tone.Purity(last, 8000, hz), tone.Dominant(last, 8000))
	return 0
}

// play sends a tone until the returned function is called.
func play(f media.Flow, hz, amplitude float64) (stop func()) {
	encode := media.EncodeULaw
	if f.Format().Codec == media.PCMA {
		encode = media.EncodeALaw
	}
	quit := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		sine := tone.NewSine(8000, hz, amplitude)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		pcm := make([]int16, 160)
		p := media.Packet{Payload: make([]byte, 160)}
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
			}
			sine.Fill(pcm)
			encode(p.Payload, pcm)
			f.WriteAudio(&p)
			p.Sequence++
			p.Timestamp += 160
		}
	})
	return sync.OnceFunc(func() { close(quit); done.Wait() })
}

// TestInbound: a call from the dialplan is offered, rings, is answered, and carries audio both ways.
func TestInbound(t *testing.T) {
	r := newRig(t, sharedAsterisk(t))
	r.cli("channel originate Local/5551@in/n extension echo@lab")
	offer := r.offer()
	if offer.Dialled != "5551" || offer.Trunk != "pbx" || offer.Variables["PBX_ARG2"] != "second" ||
		offer.Variables["PBX_CONTEXT"] != "in" || !strings.HasPrefix(offer.Variables["PBX_CHANNEL"], "Local/5551@in") {
		t.Errorf("offer %+v", offer.Request)
	}
	offer.Leg.Ring()
	offer.Leg.Answer()
	next[bridge.Answered](t, offer.Leg)
	flow := next[bridge.Media](t, offer.Leg).Flow
	heard := listen(flow)
	defer play(flow, 700, 8000)()
	if level := heard.hear(t, 700); math.Abs(level-8000) > 800 {
		t.Errorf("tone of 8000 comes back with %.0f", level)
	}
	offer.Leg.Hangup(bridge.CauseOf(bridge.Normal))
	ended(t, offer.Leg, bridge.Normal)
	if got := r.global("H_" + offer.Leg.ID()); got != "ANSWER/NORMAL" {
		t.Errorf("h extension sees %q", got)
	}
}

// TestOutbound: a call into the dialplan rings, is answered, and carries audio both ways at its level.
func TestOutbound(t *testing.T) {
	r := newRig(t, sharedAsterisk(t))
	leg := r.link.Dial(t.Context(), routing.Target{Context: "slow", Extension: "100"})
	next[bridge.Ringing](t, leg)
	next[bridge.Answered](t, leg)
	flow := next[bridge.Media](t, leg).Flow
	heard := listen(flow)
	defer play(flow, 700, 8000)()
	if level := heard.hear(t, 700); math.Abs(level-8000) > 800 {
		t.Errorf("tone of 8000 comes back with %.0f", level)
	}
	leg.Hangup(bridge.CauseOf(bridge.Normal))
	ended(t, leg, bridge.Normal)
}
