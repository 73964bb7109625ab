package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/tgtrunk/tgtrunk/media"
)

// Payload types: the static ones of RFC 3551 §6, and the usual dynamic one for RFC 4733 events.
const (
	payloadULaw  = 0
	payloadALaw  = 8
	payloadEvent = 101
	payloadOpus  = 107 // that this phone offers; the other side may have another
)

// direction is the media direction of RFC 4566 §6, as its sender sees it.
type direction string

const (
	sendRecv direction = "sendrecv"
	sendOnly direction = "sendonly"
	recvOnly direction = "recvonly"
	inactive direction = "inactive"
)

// mirror is the answer to an offered direction.
func (d direction) mirror() direction {
	switch d {
	case sendOnly:
		return recvOnly
	case recvOnly:
		return sendOnly
	}
	return d
}

// session is what this phone needs to know of a session description: its first audio stream.
type session struct {
	addr      netip.AddrPort
	payloads  []uint8 // in order of preference, RFC 4733 events left out
	event     uint8   // payload type of RFC 4733 events at 8 kHz; 0 means none
	opus      uint8   // payload type of Opus (RFC 7587); 0 means none
	direction direction
}

var errNoAudio = errors.New("session description has no audio over RTP/AVP")

// parseSession reads a session description (RFC 4566).
func parseSession(body []byte) (session, error) {
	s := session{direction: sendRecv}
	var ip netip.Addr
	port, inAudio, ended := 0, false, false
	for line := range strings.Lines(string(body)) {
		key, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), "=")
		if !ok || ended {
			continue
		}
		switch {
		case key == "m" && inAudio:
			ended = true
		case key == "m":
			p, payloads, err := parseMedia(value)
			if err != nil {
				continue // another kind of stream: an audio one may follow
			}
			inAudio, port, s.payloads = true, p, payloads
		case key == "c":
			if f := strings.Fields(value); len(f) == 3 {
				ip, _ = netip.ParseAddr(f[2])
			}
		case key == "a":
			s.attribute(value)
		}
	}
	if !inAudio || !ip.IsValid() {
		return session{}, errNoAudio
	}
	s.addr = netip.AddrPortFrom(ip, uint16(port))
	payloads := s.payloads[:0]
	for _, p := range s.payloads {
		if p != s.event || p == payloadULaw {
			payloads = append(payloads, p)
		}
	}
	s.payloads = payloads
	return s, nil
}

func (s *session) attribute(value string) {
	switch d := direction(value); d {
	case sendRecv, sendOnly, recvOnly, inactive:
		s.direction = d
		return
	}
	if m, ok := strings.CutPrefix(value, "rtpmap:"); ok {
		number, name, _ := strings.Cut(m, " ")
		p, err := strconv.ParseUint(number, 10, 7)
		switch {
		case err != nil:
		case strings.EqualFold(name, "telephone-event/8000"):
			s.event = uint8(p)
		case strings.EqualFold(name, "opus/48000/2"):
			s.opus = uint8(p)
		}
	}
}

// parseMedia reads the value of an m= line.
func parseMedia(value string) (port int, payloads []uint8, err error) {
	f := strings.Fields(value)
	if len(f) < 4 || f[0] != "audio" || f[2] != "RTP/AVP" {
		return 0, nil, errNoAudio
	}
	n, err := strconv.ParseUint(f[1], 10, 16)
	if err != nil {
		return 0, nil, fmt.Errorf("media port: %w", err)
	}
	for _, word := range f[3:] {
		p, err := strconv.ParseUint(word, 10, 7)
		if err != nil {
			return 0, nil, fmt.Errorf("payload type: %w", err)
		}
		payloads = append(payloads, uint8(p))
	}
	return int(n), payloads, nil
}

// build writes s as a session description.
func (s session) build() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "v=0\r\no=- 1 1 IN IP4 %[1]s\r\ns=lab\r\nc=IN IP4 %[1]s\r\nt=0 0\r\nm=audio %d RTP/AVP", s.addr.Addr(), s.addr.Port())
	for _, p := range s.payloads {
		fmt.Fprintf(&b, " %d", p)
	}
	if s.event != 0 {
		fmt.Fprintf(&b, " %d", s.event)
	}
	b.WriteString("\r\n")
	for _, p := range s.payloads {
		if p == s.opus && p != payloadULaw {
			fmt.Fprintf(&b, "a=rtpmap:%d opus/48000/2\r\n", p)
			continue
		}
		fmt.Fprintf(&b, "a=rtpmap:%d %s/8000\r\n", p, codecOf(p))
	}
	if s.event != 0 {
		fmt.Fprintf(&b, "a=rtpmap:%[1]d telephone-event/8000\r\na=fmtp:%[1]d 0-16\r\n", s.event)
	}
	fmt.Fprintf(&b, "a=ptime:20\r\na=%s\r\n", s.direction)
	return []byte(b.String())
}

func codecOf(payload uint8) media.Codec {
	if payload == payloadALaw {
		return media.PCMA
	}
	return media.PCMU
}

func payloadOf(c media.Codec) uint8 {
	switch c {
	case media.PCMA:
		return payloadALaw
	case media.Opus:
		return payloadOpus
	}
	return payloadULaw
}
