package signaling

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Limits of what ParseDescription takes; the engines' descriptions have 3 kB and, with video, some ten sections.
const (
	maxDescription = 64 << 10 // bytes
	maxSections    = 64
	maxItems       = 128 // codecs, extensions, parameters or candidates in one section
)

// ParseDescription reads an SDP session description. What is unknown is ignored, what is known must be well formed; an
// error, whose base is ErrMessage, names the line. Lines may end with CR LF or LF.
func ParseDescription(text string) (Description, error) {
	if len(text) > maxDescription {
		return Description{}, fmt.Errorf("%w: session description of %d bytes", ErrMessage, len(text))
	}
	r := &lineReader{}
	for line := range strings.SplitSeq(text, "\n") {
		r.number++
		if line = strings.TrimSuffix(line, "\r"); line != "" {
			r.line(line)
		}
		if r.err != nil {
			return Description{}, fmt.Errorf("%w: session description, line %d: %w", ErrMessage, r.number, r.err)
		}
	}
	if err := r.finish(); err != nil {
		return Description{}, fmt.Errorf("%w: session description: %w", ErrMessage, err)
	}
	return r.d, nil
}

// lineReader takes the lines of a description one after the other and keeps the first error.
type lineReader struct {
	d       Description
	number  int
	begun   bool    // v= has been read
	origin  bool    // o= has been read
	session Section // attributes before the first section
	err     error
}

func (r *lineReader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

func (r *lineReader) line(line string) {
	switch {
	case strings.ContainsFunc(line, unicode.IsControl):
		r.fail("control character")
	case len(line) < 2 || line[1] != '=' || line[0] < 'a' || line[0] > 'z':
		r.fail("%q is no SDP", line[:min(len(line), 16)])
	case !r.begun:
		if r.begun = line == "v=0"; !r.begun {
			r.fail("v=0 is missing")
		}
	case line[0] == 'o':
		r.originLine(line[2:])
	case line[0] == 'm':
		r.mediaLine(line[2:])
	case line[0] == 'a':
		name, value, _ := strings.Cut(line[2:], ":")
		r.attribute(name, value)
	}
}

func (r *lineReader) originLine(value string) {
	field := strings.Fields(value)
	if len(field) != 6 || r.origin || len(r.d.Sections) > 0 {
		r.fail("bad origin")
		return
	}
	r.origin = true
	r.d.ID = r.whole(field[1], 64)
	r.d.Version = r.whole(field[2], 64)
}

func (r *lineReader) mediaLine(value string) {
	field := strings.Fields(value)
	if len(field) < 4 || len(r.d.Sections) >= maxSections || len(field) > maxItems {
		r.fail("bad media line, or too many")
		return
	}
	port, _, _ := strings.Cut(field[1], "/")
	s := Section{MediaLine: MediaLine{field[0], field[2], field[3:], r.whole(port, 16) == 0}, Direction: SendRecv}
	if s.Kind != KindData {
		s.Codecs = make([]PayloadType, 0, len(s.Formats))
		for _, f := range s.Formats {
			id := r.whole(f, 7)
			if slices.ContainsFunc(s.Codecs, func(p PayloadType) bool { return p.ID == int(id) }) {
				r.fail("payload type %d twice", id)
			}
			s.Codecs = append(s.Codecs, PayloadType{ID: int(id)})
		}
	}
	r.d.Sections = append(r.d.Sections, s)
}

// attribute reads an attribute of the section in hand, or of the session.
func (r *lineReader) attribute(name, value string) {
	s := &r.session
	if n := len(r.d.Sections); n > 0 {
		s = &r.d.Sections[n-1]
	}
	t := &s.Endpoint
	switch name {
	case "group":
		if semantics, mids, _ := strings.Cut(value, " "); semantics == "BUNDLE" && r.d.Bundle == nil {
			r.d.Bundle = strings.Fields(mids)
		}
	case "mid":
		s.MID = r.token(value, "mid")
	case "ice-ufrag":
		t.UFrag = r.token(value, "ice-ufrag")
	case "ice-pwd":
		t.Pwd = r.token(value, "ice-pwd")
	case "fingerprint":
		if t.Fingerprint.Fingerprint == "" {
			hash, sum, _ := strings.Cut(value, " ")
			t.Fingerprint.Hash, t.Fingerprint.Fingerprint = r.token(hash, name), r.token(sum, name)
		}
	case "setup":
		if t.Fingerprint.Setup = value; !slices.Contains([]string{"actpass", "active", "passive"}, value) {
			r.fail("setup %q", value)
		}
	case "sendrecv", "sendonly", "recvonly", "inactive":
		s.Direction = Direction(name)
	case "rtcp-mux":
		s.RTCPMux = true
	default:
		r.mediaAttribute(s, name, value)
	}
}

func (r *lineReader) mediaAttribute(s *Section, name, value string) {
	switch name {
	case "msid":
		if s.MSID == "" {
			s.MSID = strings.TrimSpace(value)
		}
	case "candidate":
		if len(s.Candidates) >= maxItems {
			r.fail("too many candidates")
		}
		s.Candidates = append(s.Candidates, name+":"+value)
	case "extmap":
		r.extension(s, value)
	case "ssrc":
		r.source(s, value)
	case "rtpmap", "rtcp-fb", "fmtp":
		if s.Kind != "" && s.Kind != KindData {
			r.codec(s, name, value)
		}
	case "sctp-port":
		s.SCTPPort = int(r.whole(value, 16))
	case "max-message-size":
		s.MaxMessage = int(r.whole(value, 31))
	}
}

func (r *lineReader) extension(s *Section, value string) {
	number, uri, _ := strings.Cut(value, " ")
	number, _, _ = strings.Cut(number, "/") // direction, RFC 8285 section 5
	uri, _, _ = strings.Cut(strings.TrimSpace(uri), " ")
	if len(s.Extensions) >= maxItems {
		r.fail("too many extensions")
		return
	}
	s.Extensions = append(s.Extensions, Extension{ID: int(r.whole(number, 16)), URI: r.token(uri, "extmap")})
}

// source reads an attribute of an SSRC, RFC 5576. The first one counts; the others are of repairs, or of layers.
func (r *lineReader) source(s *Section, value string) {
	number, attribute, _ := strings.Cut(value, " ")
	ssrc := uint32(r.whole(number, 32))
	if s.SSRC == 0 {
		s.SSRC = ssrc
	}
	if name, ok := strings.CutPrefix(attribute, "cname:"); ok && s.SSRC == ssrc {
		s.CName = strings.TrimSpace(name)
	}
}

// codec reads what is said of a payload type. Those that are not in the media line are nobody's.
func (r *lineReader) codec(s *Section, attribute, value string) {
	number, rest, _ := strings.Cut(value, " ")
	if rest = strings.TrimSpace(rest); number == "*" || rest == "" {
		return
	}
	id := int(r.whole(number, 7))
	i := slices.IndexFunc(s.Codecs, func(p PayloadType) bool { return p.ID == id })
	if i < 0 {
		return
	}
	p := &s.Codecs[i]
	switch attribute {
	case "rtpmap":
		part := strings.Split(rest, "/")
		if len(part) < 2 || len(part) > 3 {
			r.fail("rtpmap %q", rest)
			return
		}
		p.Name, p.ClockRate = r.token(part[0], "rtpmap"), int(r.whole(part[1], 31))
		if len(part) == 3 {
			p.Channels = int(r.whole(part[2], 8))
		}
	case "rtcp-fb":
		kind, sub, _ := strings.Cut(rest, " ")
		if len(p.Feedback) >= maxItems {
			r.fail("too much feedback")
		}
		p.Feedback = append(p.Feedback, Feedback{Type: kind, Subtype: strings.TrimSpace(sub)})
	case "fmtp":
		p.Parameters = r.parameters(rest)
	}
}

func (r *lineReader) parameters(value string) map[string]string {
	if !strings.Contains(value, "=") {
		return map[string]string{"": value} // RED and telephone events
	}
	m := map[string]string{}
	for item := range strings.SplitSeq(value, ";") {
		name, v, _ := strings.Cut(strings.TrimSpace(item), "=")
		if name = strings.TrimSpace(name); name != "" && len(m) < maxItems {
			m[name] = strings.TrimSpace(v)
		}
	}
	return m
}

// finish checks the whole and gives the sections what is said for all of them.
func (r *lineReader) finish() error {
	if !r.begun || !r.origin || len(r.d.Sections) == 0 {
		return fmt.Errorf("no origin, or no media")
	}
	var mids []string
	for i := range r.d.Sections {
		s := &r.d.Sections[i]
		s.Codecs = slices.DeleteFunc(s.Codecs, func(p PayloadType) bool { return p.Name == "" })
		if slices.Contains(mids, s.MID) || s.MID == "" && !s.Rejected {
			return fmt.Errorf("media section %d has no mid of its own", i)
		}
		if s.MID != "" {
			mids = append(mids, s.MID)
		}
		inherit(&s.Endpoint, r.session.Endpoint)
		if (s.Endpoint.UFrag == "") != (s.Endpoint.Pwd == "") {
			return fmt.Errorf("media section %d has ice-ufrag or ice-pwd, but not both", i)
		}
	}
	return nil
}

func inherit(t *Endpoint, session Endpoint) {
	if t.UFrag == "" && t.Pwd == "" {
		t.UFrag, t.Pwd = session.UFrag, session.Pwd
	}
	f, all := &t.Fingerprint, session.Fingerprint
	if f.Fingerprint == "" {
		f.Hash, f.Fingerprint = all.Hash, all.Fingerprint
	}
	if f.Setup == "" {
		f.Setup = all.Setup
	}
}

// whole reads a number without sign of so many bits.
func (r *lineReader) whole(s string, bits int) uint64 {
	n, err := strconv.ParseUint(s, 10, bits)
	if err != nil {
		r.fail("%q is no number of %d bits", s, bits)
	}
	return n
}

// token reads a text without spaces that is not empty.
func (r *lineReader) token(s, name string) string {
	if s == "" || strings.ContainsFunc(s, unicode.IsSpace) {
		r.fail("bad %s", name)
	}
	return s
}
