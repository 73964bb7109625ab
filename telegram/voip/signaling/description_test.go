package signaling

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// described lists the session descriptions of all captures.
func described(t testing.TB) []string {
	t.Helper()
	var list []string
	for _, c := range captures(t) {
		if !slices.Contains(ReferenceVersions(), c.Version) {
			continue
		}
		for _, from := range []string{"caller", "callee"} {
			for _, text := range c.recorded(t, from) {
				m, err := Parse(text)
				if err != nil {
					t.Fatal(err)
				}
				switch m := m.(type) {
				case Offer:
					list = append(list, m.SDP)
				case Answer:
					list = append(list, m.SDP)
				}
			}
		}
	}
	return list
}

// TestRecordedDescriptions: what the engine says is printed again as it was, but for lines that tell us nothing.
func TestRecordedDescriptions(t *testing.T) {
	list := described(t)
	if len(list) < 18 {
		t.Fatalf("%d descriptions", len(list))
	}
	for _, text := range list {
		d, err := ParseDescription(text)
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		want := slices.DeleteFunc(strings.SplitAfter(text, "\r\n"), func(line string) bool {
			return strings.HasPrefix(line, "a=extmap-allow-mixed") || strings.HasPrefix(line, "a=msid-semantic:") ||
				strings.HasPrefix(line, "a=ssrc:") && strings.Contains(line, " msid:")
		})
		if got := d.String(); got != strings.Join(want, "") {
			t.Errorf("printed as\n%s\nwant\n%s", got, strings.Join(want, ""))
		}
		audio := d.Sections[0]
		if codec := audio.Codecs[0]; codec.Name != "opus" || codec.ID != 111 || codec.Parameters["useinbandfec"] != "1" ||
			len(audio.Codecs) != 3 || audio.Codecs[1].Parameters[""] != "111/111" || len(audio.Extensions) != 4 {
			t.Errorf("audio is %+v", audio)
		}
		if e := d.Endpoint(); len(e.UFrag) != 4 || len(e.Pwd) != 24 || e.Fingerprint.Hash != "sha-256" || e.Fingerprint.Setup == "" {
			t.Errorf("endpoint is %+v", e)
		}
	}
}

const shortDescription = "v=0\r\no=- 7 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n" +
	"a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=fingerprint:sha-256 AB:CD\r\na=setup:actpass\r\n" +
	"m=audio 9 UDP/TLS/RTP/SAVPF 111 0\r\na=mid:0\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n"

// TestLenientDescription: other ways of writing.
func TestLenientDescription(t *testing.T) {
	for name, more := range map[string]string{
		"nothing": "", "unknown": "a=new-thing:1\r\ni=text\r\nb=AS:32\r\na=rtcp-fb:* nack\r\na=rtpmap:5 DVI4/8000\r\na=fmtp:111\r\n",
		"LF":             "a=ptime:60\n",
		"candidate":      "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\na=end-of-candidates\r\n",
		"ssrc group":     "a=ssrc-group:FID 1 2\r\na=ssrc:7 cname:x\r\na=ssrc:8 cname:y\r\n",
		"no end of line": "a=sendonly",
		"extension":      "a=extmap:5/sendonly urn:x some attributes\r\n",
		"rejected":       "m=video 0 UDP/TLS/RTP/SAVPF 0\r\n",
		"other media":    "m=text 9 UDP/TLS/RTP/SAVPF 98\r\na=mid:t\r\n",
	} {
		d, err := ParseDescription(shortDescription + more)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		s := d.Sections[0]
		if d.ID != 7 || s.Endpoint.UFrag != "abcd" || s.Endpoint.Fingerprint != (Fingerprint{"sha-256", "actpass", "AB:CD"}) ||
			len(s.Codecs) != 1 || s.Codecs[0].Name != "opus" || !s.RTCPMux || s.Direction != SendRecv && name != "no end of line" {
			t.Errorf("%s: %+v", name, d)
		}
		switch name {
		case "candidate":
			if !slices.Equal(s.Candidates, []string{"candidate:1 1 udp 1 192.0.2.1 9 typ host"}) {
				t.Errorf("candidates %q", s.Candidates)
			}
		case "ssrc group":
			if s.SSRC != 7 || s.CName != "x" {
				t.Errorf("ssrc %d, cname %q", s.SSRC, s.CName)
			}
		case "extension":
			if !slices.Equal(s.Extensions, []Extension{{5, "urn:x"}}) {
				t.Errorf("extensions %v", s.Extensions)
			}
		}
		again, err := ParseDescription(d.String())
		if err != nil || !reflect.DeepEqual(sorted(again), sorted(d)) {
			t.Errorf("%s becomes %+v, %v", name, again, err)
		}
	}
}

// sorted leaves out of a description what is not printed.
func sorted(d Description) Description {
	d.Sections = slices.Clone(d.Sections)
	for i := range d.Sections {
		s := &d.Sections[i]
		if s.Kind == KindData || s.Rejected {
			*s = Section{MediaLine: s.MediaLine, MID: s.MID}
		}
		s.Codecs = slices.Clone(s.Codecs)
		for j := range s.Codecs {
			s.Codecs[j].Channels = max(s.Codecs[j].Channels, 1)
		}
	}
	return d
}

func TestBadDescriptions(t *testing.T) {
	origin := "v=0\r\no=- 7 2 IN IP4 127.0.0.1\r\n"
	for text, complaint := range map[string]string{
		"":                           "no origin",
		"v=1\r\n":                    "line 1: v=0",
		"garbage":                    "line 1",
		"v=0\r\nhello":               "line 2",
		"v=0\r\nV=0":                 "line 2",
		"v=0\r\no=- 1 2 IN IP4":      "line 2: bad origin",
		"v=0\r\no=- x 2 IN IP4 h":    "line 2",
		origin:                       "no media",
		origin + origin[5:]:          "line 3: bad origin",
		shortDescription[5:]:         "line 1",
		origin + "m=audio 9":         "line 3: bad media line",
		origin + "m=audio x y 1":     "line 3",
		origin + "m=audio 70000 y 1": "line 3",
		origin + "m=audio 9 y 128":   "line 3",
		origin + "m=audio 9 y 1 1":   "line 3: payload type 1 twice",
		origin + "m=audio 9 y 1":     "media section 0 has no mid",
		shortDescription + "m=audio 9 y 1\r\na=mid:0":             "section 1 has no mid of its own",
		origin + "a=ice-pwd:x\r\nm=a 0 b 1":                       "ice-pwd, but not both",
		shortDescription + "a=mid:":                               "bad mid",
		shortDescription + "a=mid:a b":                            "bad mid",
		shortDescription + "a=setup:holdconn":                     "setup",
		shortDescription + "a=ssrc:4294967296 cname:x":            "32 bits",
		shortDescription + "a=rtpmap:111 opus":                    "rtpmap",
		shortDescription + "a=rtpmap:111 opus/x":                  "number",
		shortDescription + "a=rtpmap:x opus/48000":                "number",
		shortDescription + "a=extmap:1":                           "extmap",
		shortDescription + "a=sctp-port:65536":                    "16 bits",
		shortDescription + "a=ice-ufrag:\x00":                     "control character",
		shortDescription + strings.Repeat("a=x\r\n", 20_000):      "bytes",
		shortDescription + strings.Repeat("m=a 0 b 1\r\n", 64):    "too many",
		shortDescription + strings.Repeat("a=candidate:x\n", 200): "too many candidates",
	} {
		_, err := ParseDescription(text)
		if !errors.Is(err, ErrMessage) || !strings.Contains(err.Error(), complaint) {
			t.Errorf("%.120q: %v, want %q", text, err, complaint)
		}
	}
}

// FuzzDescription: what is read is printed and read again as the same.
func FuzzDescription(f *testing.F) {
	for _, text := range described(f)[:6] {
		f.Add(text)
	}
	f.Add(shortDescription + "a=fmtp:111 a=b;c\r\nm=application 0 x y\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := ParseDescription(text)
		if err != nil {
			if !errors.Is(err, ErrMessage) {
				t.Errorf("%v", err)
			}
			return
		}
		printed := d.String()
		again, err := ParseDescription(printed)
		if err != nil {
			t.Fatalf("%v in\n%s\nwhich was\n%s", err, printed, text)
		}
		if third := again.String(); third != printed {
			t.Errorf("printed as\n%s\nthen as\n%s", printed, third)
		}
	})
}
