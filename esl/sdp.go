package esl

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/tgtrunk/tgtrunk/media"
)

// payloadOf returns the RTP payload type we offer a format under: the static one of RFC 3551, or one of the dynamic range.
func payloadOf(f media.Format) uint8 {
	switch f.Codec {
	case media.PCMU:
		return 0
	case media.PCMA:
		return 8
	case media.Opus:
		return 97
	}
	return 96
}

// rtpmap returns what a=rtpmap says of a format. RFC 7587: Opus always says two channels.
func rtpmap(f media.Format) string {
	text := f.Codec.String() + "/" + strconv.Itoa(f.Rate)
	if f.Codec == media.Opus {
		text += "/2"
	}
	return text
}

const eventPayload = 101 // telephone-event; digits come and go over the event socket, but FreeSWITCH expects the offer

// offerSDP returns a plain RTP session description (RFC 4566) that offers one codec at our address.
func offerSDP(at netip.AddrPort, f media.Format) string {
	family := "IP4"
	if at.Addr().Is6() {
		family = "IP6"
	}
	payload := payloadOf(f)
	lines := []string{
		"v=0", "o=tgtrunk 1 1 IN " + family + " " + at.Addr().String(), "s=-",
		"c=IN " + family + " " + at.Addr().String(), "t=0 0",
		fmt.Sprintf("m=audio %d RTP/AVP %d %d", at.Port(), payload, eventPayload),
		fmt.Sprintf("a=rtpmap:%d %s", payload, rtpmap(f)),
	}
	if f.Codec == media.Opus {
		lines = append(lines, fmt.Sprintf("a=fmtp:%d useinbandfec=1", payload))
	}
	lines = append(lines, fmt.Sprintf("a=rtpmap:%d telephone-event/8000", eventPayload),
		fmt.Sprintf("a=fmtp:%d 0-15", eventPayload), "a=ptime:20", "a=sendrecv")
	return strings.Join(lines, "\r\n") + "\r\n"
}

// answer is what an answering session description says of its audio.
type answer struct {
	remote  netip.AddrPort // where the far end takes RTP
	payload uint8
}

// parseAnswer reads the answer to an offer of format f.
func parseAnswer(sdp string, f media.Format) (answer, error) {
	var a answer
	var address, mediaAddress string
	var port, payloads string
	maps := map[string]string{"0": "PCMU/8000", "8": "PCMA/8000"}
	section := 0 // of the audio: 1; after it: 2
	for line := range strings.Lines(sdp) {
		kind, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), "=")
		switch {
		case kind == "m" && section == 0 && strings.HasPrefix(value, "audio "):
			section = 1
			fields := strings.Fields(value)
			if len(fields) < 4 || fields[2] != "RTP/AVP" {
				return a, fmt.Errorf("answer %q: want plain RTP/AVP", value)
			}
			port, payloads = fields[1], strings.Join(fields[3:], " ")
		case kind == "m":
			section = 2
		case kind == "c" && section < 2:
			fields := strings.Fields(value)
			if len(fields) == 3 && section == 0 {
				address = fields[2]
			} else if len(fields) == 3 {
				mediaAddress = fields[2]
			}
		case kind == "a" && section == 1 && strings.HasPrefix(value, "rtpmap:"):
			number, name, _ := strings.Cut(strings.TrimPrefix(value, "rtpmap:"), " ")
			maps[number] = strings.TrimSpace(name)
		}
	}
	if section == 0 {
		return a, errors.New("answer has no audio")
	}
	if mediaAddress != "" {
		address = mediaAddress
	}
	remote, err := netip.ParseAddrPort(joinHostPort(address, port))
	if err != nil || remote.Port() == 0 {
		return a, fmt.Errorf("answer has no address for audio: %q port %q", address, port)
	}
	a.remote = remote
	for number := range strings.FieldsSeq(payloads) {
		name := strings.TrimSuffix(strings.TrimSuffix(maps[number], "/1"), "/2")
		if !strings.EqualFold(name, f.Codec.String()+"/"+strconv.Itoa(f.Rate)) {
			continue
		}
		payload, err := strconv.ParseUint(number, 10, 7)
		if err == nil {
			a.payload = uint8(payload)
			return a, nil
		}
	}
	return a, fmt.Errorf("answer does not take %s", rtpmap(f))
}

func joinHostPort(host, port string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]:" + port
	}
	return host + ":" + port
}
