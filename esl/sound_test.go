package esl_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/media/tone"
)

// speaker plays a tone into a flow and keeps what the flow hears.
type speaker struct {
	flow media.Flow
	rate int
	quit chan struct{}
	idle sync.WaitGroup

	opus *media.OpusDecoder // of a flow of Opus; hear's
	tap  func(sent bool, payload []byte)

	mu  sync.Mutex
	pcm []int16
}

// speak starts to play a tone of hz into a flow; 0 is silence.
func speak(t testing.TB, flow media.Flow, hz float64) *speaker { return speakWith(t, flow, hz, nil) }

// speakWith is speak with something to do before the first packet.
func speakWith(t testing.TB, flow media.Flow, hz float64, prepare func(*speaker)) *speaker {
	s := &speaker{flow: flow, rate: flow.Format().Rate, quit: make(chan struct{})}
	if prepare != nil {
		prepare(s)
	}
	flow.Attach(media.SinkFunc(s.hear))
	s.idle.Go(func() { s.play(hz) })
	t.Cleanup(s.stop)
	return s
}

func (s *speaker) stop() {
	select {
	case <-s.quit:
	default:
		close(s.quit)
	}
	s.idle.Wait()
	s.flow.Attach(nil)
}

func (s *speaker) play(hz float64) {
	amplitude := 8000.0
	if hz == 0 {
		amplitude = 0
	}
	sine := tone.NewSine(s.rate, max(hz, 1), amplitude)
	pcm := make([]int16, s.rate/50)
	payload := make([]byte, len(pcm))
	encode := media.EncodeULaw
	switch s.flow.Format().Codec {
	case media.PCMA:
		encode = media.EncodeALaw
	case media.L16:
		encode, payload = media.EncodeL16, make([]byte, 2*len(pcm))
	case media.Opus:
		s.playOpus(sine)
		return
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for p := (media.Packet{Payload: payload}); ; p.Sequence++ {
		sine.Fill(pcm)
		encode(payload, pcm)
		s.flow.WriteAudio(&p)
		p.Timestamp += uint32(len(pcm))
		select {
		case <-s.quit:
			return
		case <-tick.C:
		}
	}
}

func (s *speaker) hear(p *media.Packet) {
	if s.flow.Format().Codec == media.Opus {
		s.hearOpus(p)
		return
	}
	n, decode := len(p.Payload), media.DecodeULaw
	switch s.flow.Format().Codec {
	case media.PCMA:
		decode = media.DecodeALaw
	case media.L16:
		n, decode = n/2, media.DecodeL16
	}
	pcm := make([]int16, n)
	decode(pcm, p.Payload)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pcm = append(s.pcm, pcm...)
}

// heard returns what was heard last, n samples; nil for less.
func (s *speaker) heard(n int) []int16 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pcm) < n {
		return nil
	}
	return slices.Clone(s.pcm[len(s.pcm)-n:])
}

func (s *speaker) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pcm = nil
}

// hears waits until half a second of nothing but a tone of hz is heard.
func (s *speaker) hears(t testing.TB, hz float64) {
	t.Helper()
	var pure, level float64
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		pcm := s.heard(s.rate / 2)
		if pcm == nil {
			continue
		}
		pure, level = tone.Purity(pcm, s.rate, hz), tone.Level(pcm, s.rate, hz)
		if pure > 0.98 && level > 500 {
			return
		}
	}
	t.Errorf("no tone of %v Hz is heard: purity %.3f, level %.0f, %d packets", hz, pure, level, s.flow.Stats().PacketsReceived)
}

// hearTone sends a tone into an echo and hears it come back.
func hearTone(t testing.TB, flow media.Flow) {
	t.Helper()
	s := speak(t, flow, 700)
	s.hears(t, 700)
	s.stop()
}
