package voip

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/media/tone"
)

// What desks say: tones that are no multiples of each other, at the caller's end and the callee's. Neither fits a packet, or
// concealment by repetition would leave no trace in it.
const (
	deskRate   = 8000
	deskFrame  = deskRate / 50 // 20 ms
	deskLevel  = 8000          // peak
	callerTone = 440
	calleeTone = 1030
)

// desk is the PBX's end of a call: it says a tone in G.711 and records what it hears, through the same conversion as in
// a live call.
type desk struct {
	hears float64 // Hz
	join  *media.Connection

	mu      sync.Mutex
	to      media.Sink
	pcm     []int16 // what was heard; silence where nothing came
	started bool
	begin   uint32 // timestamp of pcm[0]
}

func (d *desk) Format() media.Format {
	return media.Format{Codec: media.PCMU, Rate: deskRate, Ptime: 20 * time.Millisecond}
}

func (d *desk) Attach(s media.Sink) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.to = s
}

func (d *desk) Stats() media.Stats { return media.Stats{} }

func (d *desk) Close() error { return nil }

// WriteAudio records a packet at the place that its timestamp says.
func (d *desk) WriteAudio(p *media.Packet) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.started {
		d.started, d.begin = true, p.Timestamp
	}
	at := int(int32(p.Timestamp - d.begin))
	if at < 0 || at > len(d.pcm)+60*deskRate {
		return
	}
	if end := at + len(p.Payload); end > len(d.pcm) {
		d.pcm = append(d.pcm, make([]int16, end-len(d.pcm))...)
	}
	media.DecodeULaw(d.pcm[at:at+len(p.Payload)], p.Payload)
}

func (d *desk) heard() []int16 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.pcm
}

// say plays a tone in real time until ctx ends.
func (d *desk) say(ctx context.Context, hz float64) {
	sine, begin := tone.NewSine(deskRate, hz, deskLevel), time.Now()
	var (
		pcm   [deskFrame]int16
		coded [deskFrame]byte
	)
	tick := newTicker()
	defer tick.Stop()
	for sent := uint32(0); ; {
		// The ticker drops ticks on a busy machine; the clock says how many packets are due.
		for due := uint32(time.Since(begin) / (20 * time.Millisecond)); sent <= due; sent++ {
			sine.Fill(pcm[:])
			media.EncodeULaw(coded[:], pcm[:])
			d.mu.Lock()
			to := d.to
			d.mu.Unlock()
			if to != nil {
				to.WriteAudio(&media.Packet{Sequence: uint16(sent), Timestamp: sent * deskFrame, Marker: sent == 0, Payload: coded[:]})
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// startWheel turns a wheel for desks until the test ends.
func startWheel(t *testing.T) *media.Wheel {
	t.Helper()
	w := media.NewWheel()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return w
}

// desks puts a desk at either end of a call; they say their tones until the test ends.
func (p *pair) desks(t *testing.T, wheel *media.Wheel) [2]*desk {
	t.Helper()
	caller, callee := &desk{hears: calleeTone}, &desk{hears: callerTone}
	ctx, cancel := context.WithCancel(context.Background())
	var talking sync.WaitGroup
	for _, end := range []struct {
		*side
		*desk
		hz float64
	}{{p.caller, caller, callerTone}, {p.callee, callee, calleeTone}} {
		join, err := media.Connect(end.Flow(), end.desk, media.Options{Wheel: wheel})
		if err != nil {
			cancel()
			t.Fatal(err)
		}
		end.join = join
		talking.Go(func() { end.say(ctx, end.hz) })
	}
	t.Cleanup(func() {
		cancel()
		talking.Wait()
		caller.join.Stop()
		callee.join.Stop()
	})
	return [2]*desk{caller, callee}
}

// pure listens at a desk, from now on, until a whole stretch of sound is at least that pure, and returns the share of its
// energy that is the other side's tone. A machine that is out of breath drops what it held back, so that several
// stretches may be needed; after audioWait the best one counts.
func (d *desk) pure(stretch time.Duration, least float64) (best float64) {
	n, limit := int(stretch*deskRate/time.Second), time.After(stretch+audioWait)
	tick := newTicker()
	defer tick.Stop()
	for from := len(d.heard()); ; {
		select {
		case <-tick.C:
		case <-limit:
			return best
		}
		if heard := d.heard(); len(heard) >= from+n {
			best = max(best, tone.Purity(heard[from:from+n], deskRate, d.hears))
			from = len(heard)
		}
		if best >= least {
			return best
		}
	}
}

// listen does so at both desks at once.
func listen(t *testing.T, desks [2]*desk, stretch time.Duration, least float64) (best [2]float64) {
	t.Helper()
	var listening sync.WaitGroup
	for i, d := range desks {
		listening.Go(func() { best[i] = d.pure(stretch, least) })
	}
	listening.Wait()
	return best
}
