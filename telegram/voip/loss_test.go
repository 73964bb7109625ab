//go:build cgo

package voip

import (
	"context"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/srtp/v3"

	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/media/tone"
)

// lossyLine is a call between a phone and us in fake time: flows with their keys and reports, each connected to a PBX
// leg by media, and nothing but a lossy wire between them. The phone is of the same make as we are: like the official
// engine it sends redundancy when it is told of loss.
type lossyLine struct {
	flows   [2]*flow // the phone's and ours
	desks   [2]*pbxFlow
	joined  [2]*media.Connection
	sent    [2]*opusLog // what either one writes
	random  *rand.Rand
	dropped [2]int
	loss    [2]float64 // of what either one sends

	clock int // packets that either pbxFlow has said
	say   [2]func(pcm []int16)
}

// speech is something that an Opus encoder takes for speech, as it does not take a steady tone: it spends no redundancy
// on what is none. Its pitch glides, its level pulsates.
func speech() func(pcm []int16) {
	n := 0
	return func(pcm []int16) {
		for i := range pcm {
			at := float64(n) / 8000
			phase := 2*math.Pi*140*at + 9*math.Sin(2*math.Pi*5*at)
			voice := math.Sin(phase) + math.Sin(2*phase)/2 + math.Sin(5*phase)/3
			pcm[i] = int16(6000 * voice * (1.1 + math.Sin(2*math.Pi*3*at)) / 2)
			n++
		}
	}
}

// opusLog looks at the packets that a connection writes to a flow.
type opusLog struct {
	media.Flow
	t       *testing.T
	last    media.OpusPacket
	changes []time.Time // when Mode changed
}

func (l *opusLog) WriteAudio(p *media.Packet) {
	info, err := media.InspectOpus(p.Payload)
	if err != nil {
		l.t.Error(err)
	}
	if info.Mode != l.last.Mode {
		l.changes = append(l.changes, time.Now())
	}
	l.last = info
	l.Flow.WriteAudio(p)
}

func sine(hz float64) func([]int16) { return tone.NewSine(8000, hz, 8000).Fill }

func voice(float64) func([]int16) { return speech() }

var lineTones = [2]float64{1000, 440} // what the phone's and our pbxFlow say

// onLine runs f with a line in a bubble of fake time, on which both sides say something.
func onLine(t *testing.T, seed uint64, say func(hz float64) func([]int16), f func(t *testing.T, l *lossyLine)) {
	synctest.Test(t, func(t *testing.T) {
		a, b, _ := linkedFlows(t, srtp.ProtectionProfileAeadAes128Gcm)
		a.expect(b.out.ssrc, 111)
		b.permit(111)
		l := &lossyLine{flows: [2]*flow{a, b}, random: rand.New(rand.NewPCG(seed, 1))}
		wheel, reports := media.NewWheel(), newReporter()
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = wheel.Run(ctx) })
		running.Go(func() { reports.run(ctx.Done()) })
		for i, f := range l.flows {
			to := l.flows[1-i]
			f.out.path.Store(&path{relay: writerFunc(func(b []byte) (int, error) {
				if !isRTCP(b) && l.random.Float64() < l.loss[i] {
					l.dropped[i]++
				} else {
					to.receive(append([]byte(nil), b...))
				}
				return len(b), nil
			})})
			reports.add(f, "name")
			l.desks[i] = &pbxFlow{format: media.Format{Codec: media.PCMU, Rate: 8000, Ptime: 20 * time.Millisecond}}
			l.sent[i] = &opusLog{Flow: f, t: t, last: media.OpusPacket{Mode: media.OpusCELT}}
			l.say[i] = say(lineTones[i])
			var err error
			if l.joined[i], err = media.Connect(l.desks[i], l.sent[i], media.Options{Wheel: wheel}); err != nil {
				t.Fatal(err)
			}
		}
		f(t, l)
		for _, c := range l.joined {
			c.Stop()
		}
		cancel()
		running.Wait()
	})
}

// pass lets both desks talk for some time.
func (l *lossyLine) pass(d time.Duration) {
	for range d / (20 * time.Millisecond) {
		var pcm [160]int16
		var payload [160]byte
		for i, pbxFlow := range l.desks {
			l.say[i](pcm[:])
			media.EncodeULaw(payload[:], pcm[:])
			(*pbxFlow.sink.Load()).WriteAudio(&media.Packet{Sequence: uint16(l.clock), Timestamp: uint32(l.clock * 160), Marker: l.clock == 0, Payload: payload[:]})
		}
		l.clock++
		<-time.After(20 * time.Millisecond)
		synctest.Wait()
	}
}

// TestReportsTellTheLoss: the report that ends the first interval with loss tells of it, and so does the flow's figure
// at the other end.
func TestReportsTellTheLoss(t *testing.T) {
	onLine(t, 1, sine, func(t *testing.T, l *lossyLine) {
		l.pass(11 * time.Second)
		if loss := l.flows[0].Stats().RemoteLoss; loss != 0 {
			t.Errorf("a loss of %.2f is reported where there is none", loss)
		}
		l.loss[0] = 0.1
		l.pass(reportEvery + time.Second)
		if loss := l.flows[0].Stats().RemoteLoss; loss < 0.05 || loss > 0.17 {
			t.Errorf("%.0f %% are reported after one interval with 10 %%", loss*100)
		}
		l.pass(10 * time.Second)
		if got := l.flows[1].Stats().PacketsLost; got+2 < uint64(l.dropped[0]) || got > uint64(l.dropped[0]) {
			t.Errorf("%d packets counted as lost of %d", got, l.dropped[0])
		}
		if loss := l.flows[1].Stats().RemoteLoss; loss != 0 {
			t.Errorf("a loss of %.2f is reported in the other direction", loss)
		}
	})
}

// TestProfileFollowsTheLoss: loss in one direction turns redundancy on in that direction only, and half a minute without
// loss turns it off again.
func TestProfileFollowsTheLoss(t *testing.T) {
	onLine(t, 2, voice, func(t *testing.T, l *lossyLine) {
		l.pass(8 * time.Second)
		ours, theirs := l.sent[1], l.sent[0]
		if ours.last.Mode != media.OpusCELT || ours.last.Redundancy {
			t.Fatalf("without loss %+v is sent", ours.last)
		}
		begin := time.Now()
		l.loss[1] = 0.1
		l.pass(15 * time.Second)
		if ours.last.Mode != media.OpusSILK || !ours.last.Redundancy || len(ours.changes) != 1 {
			t.Fatalf("with loss %+v is sent, after changes at %v", ours.last, ours.changes)
		}
		if took := ours.changes[0].Sub(begin); took > reportEvery+3*time.Second {
			t.Errorf("redundancy came after %v", took)
		}
		if p := l.joined[1].Stats().AtoB.Profile; p != media.Robust {
			t.Errorf("profile %v", p)
		}
		end := time.Now()
		l.loss[1] = 0
		l.pass(50 * time.Second)
		if ours.last.Mode != media.OpusCELT || ours.last.Redundancy || len(ours.changes) != 2 {
			t.Fatalf("after the loss %+v is sent, after changes at %v", ours.last, ours.changes)
		}
		if took := ours.changes[1].Sub(end); took < 30*time.Second || took > 30*time.Second+reportEvery+5*time.Second {
			t.Errorf("redundancy went after %v", took)
		}
		if len(theirs.changes) != 0 {
			t.Errorf("the other direction changed at %v", theirs.changes)
		}
	})
}

// TestAudioSurvivesLoss: of what the phone says, a tenth is lost. A tone stays a tone. Of speech, on which encoders spend
// redundancy once our reports have told of loss, most of what was lost comes back. What does not is made up, and nothing
// is missing from the time.
func TestAudioSurvivesLoss(t *testing.T) {
	for name, c := range map[string]struct {
		say       func(hz float64) func([]int16)
		purity    float64
		recovered float64 // share of the lost packets
	}{
		"tone":   {sine, 0.97, 0},
		"speech": {voice, 0, 0.7},
	} {
		for seed := range uint64(2) {
			onLine(t, seed, c.say, func(t *testing.T, l *lossyLine) {
				l.loss[0] = 0.1
				l.pass(12 * time.Second) // until redundancy has come
				before, lost := l.joined[1].Stats().BtoA, l.dropped[0]
				const talk = 20 * time.Second
				l.pass(talk)
				after := l.joined[1].Stats().BtoA
				lost = l.dropped[0] - lost
				share := float64(lost) / float64(talk/(20*time.Millisecond))
				concealed := float64(after.Concealed-before.Concealed) / float64(talk)
				recovered := float64(after.FECRecovered-before.FECRecovered) / float64(lost)
				pcm := l.desks[1].heard()
				pure := tone.Purity(pcm[len(pcm)-15*8000:], 8000, lineTones[0])
				t.Logf("%s: %.1f %% lost, %.1f %% of the time concealed, %.0f %% of the lost recovered, purity %.4f",
					name, share*100, concealed*100, recovered*100, pure)
				if share < 0.07 || share > 0.13 || concealed < share-0.005 || concealed > share+0.005 {
					t.Errorf("%s: %.3f of the packets lost, %.3f of the time concealed", name, share, concealed)
				}
				if recovered < c.recovered || pure < c.purity {
					t.Errorf("%s: %.2f of the lost packets recovered, purity %.3f", name, recovered, pure)
				}
				got := l.desks[1].packets()
				for i := 1; i < len(got); i++ {
					if step := got[i].Timestamp - got[i-1].Timestamp; step != 160 || got[i].Sequence != got[i-1].Sequence+1 {
						t.Fatalf("%s: packet %d steps by %d", name, i, step)
					}
				}
			})
		}
	}
}
