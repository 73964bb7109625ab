package esl_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/lab"
	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/media/tone"
)

// playOpus is play for a flow of Opus.
func (s *speaker) playOpus(sine *tone.Sine) {
	encoder, err := media.NewOpusEncoder(s.rate, media.Robust)
	if err != nil {
		return // nothing is heard, and the test says so
	}
	pcm, payload := make([]int16, s.rate/50), make([]byte, 1500)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for p := (media.Packet{}); ; p.Sequence++ {
		sine.Fill(pcm)
		if n, err := encoder.Encode(pcm, payload); err == nil {
			p.Payload = payload[:n]
			if s.tap != nil {
				s.tap(true, p.Payload)
			}
			s.flow.WriteAudio(&p)
		}
		p.Timestamp += uint32(len(pcm))
		select {
		case <-s.quit:
			return
		case <-tick.C:
		}
	}
}

// hearOpus is hear for a flow of Opus.
func (s *speaker) hearOpus(p *media.Packet) {
	if s.opus == nil {
		s.opus, _ = media.NewOpusDecoder(s.rate)
	}
	if s.tap != nil {
		s.tap(false, p.Payload)
	}
	pcm := make([]int16, s.rate*120/1000)
	n, err := s.opus.Decode(p.Payload, pcm)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pcm = append(s.pcm, pcm[:n]...)
}

// wire keeps which payloads went out at one end and came in at the other.
type wire struct {
	mu       sync.Mutex
	sent     map[string]bool
	received []string
}

func (w *wire) note(sent bool, payload []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if sent {
		if w.sent == nil {
			w.sent = map[string]bool{}
		}
		w.sent[string(payload)] = true
		return
	}
	w.received = append(w.received, string(payload))
}

// untouched returns how many of the packets that came in are, byte for byte, ones that the other end has sent.
func untouched(from, to *wire) (same, all int) {
	from.mu.Lock()
	defer from.mu.Unlock()
	to.mu.Lock()
	defer to.mu.Unlock()
	for _, payload := range to.received {
		if from.sent[payload] {
			same++
		}
	}
	return same, len(to.received)
}

// TestOpusUntouched: a phone that has Opus gets a media channel of Opus, and every packet crosses FreeSWITCH as it is.
func TestOpusUntouched(t *testing.T) {
	for _, direction := range directions {
		if direction.name == "into the dialplan" {
			continue // its media channel's codec is not known to be the phone's
		}
		t.Run(direction.name, func(t *testing.T) {
			d := newDesk(t, lab.PhoneOptions{Tone: 600, Codecs: []media.Codec{media.Opus}}, lab.PhoneOptions{})
			var near, far wire
			talk := direction.begin(d, func(s *speaker) { s.tap = near.note })
			talk.phone.Audio().Tap(far.note)
			if f := talk.flow.Format(); f.Codec != media.Opus || f.Rate != 48000 {
				t.Errorf("format %+v", f)
			}
			talk.bothHear(t)
			for _, id := range []string{talk.channel(), talk.media()} {
				for _, variable := range []string{"read_codec", "write_codec"} {
					if got := d.api("uuid_getvar " + id + " " + variable); !strings.EqualFold(got, "opus") {
						t.Errorf("%s of %s is %s", variable, id, got)
					}
				}
			}
			for _, way := range []struct {
				name     string
				from, to *wire
			}{{"to us", &far, &near}, {"to the phone", &near, &far}} {
				same, all := untouched(way.from, way.to)
				t.Logf("%s: %d of %d packets as they were sent", way.name, same, all)
				// FreeSWITCH begins a stream with silence of its own, and the taps were not set with the first packet.
				if all < 50 || all-same > 25 {
					t.Errorf("%s: only %d of %d packets are as they were sent", way.name, same, all)
				}
			}
			talk.end(t)
		})
	}
}

// TestCodecOfTheLeg: the media channel's codec follows the phone's where the two are bridged, and the configuration.
func TestCodecOfTheLeg(t *testing.T) {
	fs := sharedFreeSWITCH(t)
	for _, c := range []struct {
		phone media.Codec
		link  string
		want  media.Format
	}{
		{media.PCMU, "auto", media.Format{Codec: media.L16, Rate: 16000}},
		{media.PCMU, "opus", media.Format{Codec: media.Opus, Rate: 48000}},
		{media.PCMA, "pcma", media.Format{Codec: media.PCMA, Rate: 8000}},
		{media.Opus, "l16", media.Format{Codec: media.L16, Rate: 16000}},
		{media.Opus, "pcmu", media.Format{Codec: media.PCMU, Rate: 8000}},
	} {
		t.Run(fmt.Sprint(c.phone, " ", c.link), func(t *testing.T) {
			o := fs.options()
			o.Media.Codec = c.link
			d := newDeskWith(t, o, lab.PhoneOptions{Tone: 600, Codecs: []media.Codec{c.phone}}, lab.PhoneOptions{})
			talk := directions[0].begin(d, nil)
			if f := talk.flow.Format(); f.Codec != c.want.Codec || f.Rate != c.want.Rate {
				t.Errorf("format %+v, want %+v", f, c.want)
			}
			talk.bothHear(t)
			talk.end(t)
		})
	}
}
