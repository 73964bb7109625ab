//go:build cgo

package media

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/media/tone"
)

// foreignStream is a stream of another encoder, see testdata/README.md.
func foreignStream(t *testing.T, name string) (packets [][]byte) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		p, err := hex.DecodeString(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		packets = append(packets, p)
	}
	return packets
}

func TestStereoIsHeard(t *testing.T) {
	for name, length := range map[string]time.Duration{"stereo20.hex": 20 * ms, "stereo60.hex": 60 * ms} {
		stream := foreignStream(t, name)
		for _, format := range []Format{ulawFormat, wideFormat} {
			talk(t, format, Options{}, func(phone, pbx *deskFlow, c *Connection) {
				for i, payload := range stream {
					if info, err := InspectOpus(payload); err != nil || !info.Stereo || info.Duration() != length {
						t.Fatalf("%s: packet %d is %+v, %v", name, i, info, err)
					}
					phone.hear(uint16(i), uint32(i)*uint32(length/ms)*48, payload)
					rest(length)
				}
				pcm := heard(t, pbx)
				if want := len(stream) * int(length/ms) * format.Rate / 1000; len(pcm) != want {
					t.Errorf("%s: heard %d samples, want %d", name, len(pcm), want)
				}
				if pure := tone.Purity(pcm[len(pcm)/4:], format.Rate, 600); pure < 0.97 {
					t.Errorf("%s: purity %.3f", name, pure)
				}
				if level := tone.Level(pcm[len(pcm)/4:], format.Rate, 600); level < 7000 || level > 9000 {
					t.Errorf("%s: level %.0f, want 8000", name, level)
				}
				checkSteady(t, pbx)
			})
		}
	}
}

// A phone with DTX sends a packet of one byte, or none, for a frame of silence, and now and then one with comfort noise.
func TestDTXIsSilenceNotLoss(t *testing.T) {
	stream := foreignStream(t, "dtx20.hex")
	for name, sent := range map[string]bool{"empty frames are sent": true, "empty frames are left out": false} {
		talk(t, ulawFormat, Options{}, func(phone, pbx *deskFlow, c *Connection) {
			seq := uint16(65_500)
			empty := 0
			for i, payload := range stream {
				if len(payload) < 3 {
					empty++
				}
				if sent || len(payload) >= 3 {
					phone.hear(seq, uint32(i)*960, payload)
					seq++
				}
				rest(20 * ms)
			}
			if empty < 80 {
				t.Fatalf("only %d packets are empty", empty)
			}
			pcm, packets := heard(t, pbx), pbx.packets()
			for part, second := range map[string][]int16{"before": pcm[800:7200], "after": pcm[len(pcm)-7200 : len(pcm)-800]} {
				if pure := tone.Purity(second, 8000, 600); pure < 0.97 {
					t.Errorf("%s: the tone %s the silence has purity %.3f", name, part, pure)
				}
			}
			for _, p := range packets {
				at, quiet := p.Timestamp-packets[0].Timestamp, make([]int16, len(p.Payload))
				DecodeULaw(quiet, p.Payload)
				if level := tone.RMS(quiet); at > 8000+2400 && at < 3*8000-800 && level > 50 {
					t.Errorf("%s: at %d the silence has level %.0f", name, at, level)
				}
			}
			if span := packets[len(packets)-1].Timestamp - packets[0].Timestamp; span != uint32(len(stream)-1)*160 {
				t.Errorf("%s: timestamps span %d, want %d", name, span, (len(stream)-1)*160)
			}
			if s := c.Stats().AtoB; s.Concealed != 0 || s.Late+s.Stale+s.Malformed+s.Jumps != 0 {
				t.Errorf("%s: %+v", name, s)
			}
		})
	}
}
