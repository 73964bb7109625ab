package lab

import (
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"
)

func TestParseSession(t *testing.T) {
	at := netip.MustParseAddrPort("127.0.0.1:4000")
	for name, test := range map[string]struct {
		body string
		want session
	}{
		"asterisk": {
			"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=Asterisk\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 8 101\r\n" +
				"a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n",
			session{addr: at, payloads: []uint8{0, 8}, event: 101, direction: sendRecv},
		},
		"opus under another payload type": {
			"c=IN IP4 127.0.0.1\nm=audio 4000 RTP/AVP 98 8\na=rtpmap:98 OPUS/48000/2\na=sendrecv\n",
			session{addr: at, payloads: []uint8{98, 8}, opus: 98, direction: sendRecv},
		},
		"line feeds only, hold, event of 48 kHz": {
			"c=IN IP4 127.0.0.1\nm=audio 4000 RTP/AVP 8 96 97\na=rtpmap:96 telephone-event/48000\na=rtpmap:97 Telephone-Event/8000\na=sendonly\n",
			session{addr: at, payloads: []uint8{8, 96}, event: 97, direction: sendOnly},
		},
		"address of the stream, video after it": {
			"c=IN IP4 10.0.0.1\nm=audio 4000 RTP/AVP 0\nc=IN IP4 127.0.0.1\nm=video 5000 RTP/AVP 99\nc=IN IP4 10.9.9.9\na=inactive\n",
			session{addr: at, payloads: []uint8{0}, direction: sendRecv},
		},
		"video before it": {"c=IN IP4 127.0.0.1\nm=video 5000 RTP/AVP 99\nm=audio 4000 RTP/AVP 0\n", session{addr: at, payloads: []uint8{0}, direction: sendRecv}},
	} {
		got, err := parseSession([]byte(test.body))
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, test.want)
		}
		again, err := parseSession(got.build())
		if err != nil || !reflect.DeepEqual(again, got) {
			t.Errorf("%s: comes back as %+v, %v", name, again, err)
		}
	}
	for _, body := range []string{
		"", "m=audio 4000 RTP/AVP 0\n", "c=IN IP4 x\nm=audio 4000 RTP/AVP 0\n", "c=IN IP4 127.0.0.1\n",
		"c=IN IP4 127.0.0.1\nm=audio 70000 RTP/AVP 0\n", "c=IN IP4 127.0.0.1\nm=audio 4000 RTP/SAVP 0\n", "c=IN IP4 127.0.0.1\nm=audio 4000 RTP/AVP 200\n",
	} {
		if s, err := parseSession([]byte(body)); err == nil {
			t.Errorf("%q is taken: %+v", body, s)
		}
	}
}

func FuzzParseSession(f *testing.F) {
	f.Add([]byte("c=IN IP4 127.0.0.1\r\nm=audio 4000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n"))
	f.Add([]byte("m=\nc=\na=rtpmap:"))
	f.Add([]byte("c=IN IP6 ::1\nm=audio 0 RTP/AVP 0"))
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := parseSession(body)
		if err == nil && !s.addr.IsValid() {
			t.Errorf("no address and no error: %+v", s)
		}
	})
}

func TestParseRTP(t *testing.T) {
	plain := rtpPacket{marker: true, payload: 8, sequence: 65535, timestamp: 1 << 31, ssrc: 7, data: []byte{1, 2, 3}}
	wire := plain.append(nil)
	got, err := parseRTP(wire)
	if err != nil || !reflect.DeepEqual(got, plain) {
		t.Errorf("comes back as %+v, %v", got, err)
	}
	// Two contributing sources, an extension of one word, two bytes of padding.
	full := slices.Concat([]byte{0xb2}, wire[1:12], make([]byte, 8), []byte{0xbe, 0xde, 0, 1, 9, 9, 9, 9}, []byte{1, 2, 3}, []byte{0, 2})
	if got, err = parseRTP(full); err != nil || !reflect.DeepEqual(got, plain) {
		t.Errorf("with everything: %+v, %v", got, err)
	}
	for name, b := range map[string][]byte{
		"empty": nil, "short": wire[:11], "version 1": append([]byte{0x40}, wire[1:]...), "sources cut off": append([]byte{0x8f}, wire[1:]...),
		"extension cut off": append([]byte{0x90}, wire[1:]...), "padding too long": append([]byte{0xa0}, wire[1:14]...)[:14],
		"extension too long": slices.Concat([]byte{0x90}, wire[1:12], []byte{0, 0, 0, 9, 1, 2, 3, 4}),
		"no padding count":   append(append([]byte{0xa0}, wire[1:12]...), 0),
	} {
		if p, err := parseRTP(b); err == nil && name != "padding too long" {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func FuzzParseRTP(f *testing.F) {
	f.Add(rtpPacket{payload: 101, data: []byte{5, 0x8a, 3, 32}}.append(nil))
	f.Add([]byte{0xb2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parseRTP(b)
		if err == nil && len(p.data) > len(b)-rtpHeaderSize {
			t.Errorf("%d bytes of payload in %d", len(p.data), len(b))
		}
		var r digitReceiver
		r.receive(p, time.Now())
	})
}

func TestDigitsSurviveTheWire(t *testing.T) {
	s := digitSender{queue: []byte("1*D#")}
	var packets []rtpPacket
	for frame := uint32(0); len(s.queue) > 0; frame++ {
		if frame > 1000 {
			t.Fatal("sender does not end")
		}
		if payload, start, _ := s.next(frame * frameSamples); payload != nil {
			packets = append(packets, rtpPacket{payload: payloadEvent, timestamp: start, data: payload})
		}
	}
	for name, keep := range map[string]func(i int, p rtpPacket) bool{
		"all":           func(int, rtpPacket) bool { return true },
		"one end each":  func(i int, p rtpPacket) bool { return p.data[1]&0x80 == 0 || i%8 == 7 },
		"only ends":     func(i int, p rtpPacket) bool { return p.data[1]&0x80 != 0 },
		"no ends but 1": func(i int, p rtpPacket) bool { return p.data[1]&0x80 == 0 || i == len(packets)-1 },
	} {
		var r digitReceiver
		var got []byte
		for i, p := range packets {
			if !keep(i, p) {
				continue
			}
			if d, ok := r.receive(p, time.Now()); ok {
				got = append(got, d.Digit)
				if d.Duration != 100*time.Millisecond {
					t.Errorf("%s: %c lasts %s", name, d.Digit, d.Duration)
				}
			}
		}
		if string(got) != "1*D#" {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

func TestRecorderLaysPacketsOutInTime(t *testing.T) {
	var r recorder
	now := time.Now()
	write := func(ssrc, timestamp uint32, value int16, after time.Duration) {
		pcm := make([]int16, frameSamples)
		for i := range pcm {
			pcm[i] = value
		}
		r.write(rtpPacket{ssrc: ssrc, timestamp: timestamp}, pcm, now.Add(after))
	}
	const start = 1<<32 - frameSamples // the timestamp wraps after the first packet
	write(1, start, 1, 0)
	write(1, 2*frameSamples-frameSamples, 3, 40*time.Millisecond)
	write(1, 0, 2, 50*time.Millisecond) // late
	write(2, 99, 4, 100*time.Millisecond)
	write(2, 99+20*sampleRate, 5, 200*time.Millisecond) // a jump of the clock, not of the time
	want := []int16{1, 2, 3, 0, 0, 4, 0, 0, 0, 0, 5}
	var got []int16
	for i := 0; i < len(r.recording.PCM); i += frameSamples {
		got = append(got, r.recording.PCM[i])
	}
	if !slices.Equal(got, want) {
		t.Errorf("recorded %v, want %v", got, want)
	}
	if at := r.recording.Arrival(45 * time.Millisecond); !at.Equal(now.Add(40 * time.Millisecond)) {
		t.Errorf("arrival %s", at.Sub(now))
	}
	if at := (Recording{}).Arrival(0); !at.IsZero() {
		t.Errorf("arrival in an empty recording: %s", at)
	}
	r.base, r.end = recordLimit, recordLimit
	write(2, 99+20*sampleRate, 6, time.Hour)
	if len(r.recording.PCM) != len(want)*frameSamples {
		t.Error("recorded beyond the limit")
	}
}
