package esl

import (
	"bufio"
	"bytes"
	"encoding/json"
	"maps"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tgtrunk/tgtrunk/bridge"
)

// hostileFrames are what breaks readers of the event socket: the library dies of some of them.
var hostileFrames = []string{
	sentinel,
	"Content-Type: command/reply\nReply-Text: -ERR\n\n" + sentinel,
	"Content-Type: command/reply\nReply-Text: -ERR \n\n",
	"Content-Type: api/response\nContent-Length: 4\n\n-ERR",
	"Content-Type: api/response\nContent-Length: 9\n\nx -ERR y\n" + sentinel,
	"Content-Length: -1\n\nContent-Type: text/disconnect-notice\nContent-Length: 3\n\nbye",
	"Content-Type: command/reply\nContent-Length: 99999999999999999999\nReply-Text: +OK\n\n",
	"Content-Type: text/event-json\nContent-Length: 16777217\n\nshort",
	"Content-Type: text/event-json\nContent-Length: 2\nContent-Length: 3\n\n{}x",
	"Content-Type: application/x-foreign\nContent-Length: 3\n\nabc" + sentinel,
	"Content-Type: text/event-plain\nContent-Length: 14\n\nEvent-Name: X\n",
	"Content-Type: text/event-plain\nContent-Length: 34\n\nEvent-Name: %zz%\nvariable_a: %00%0\n",
	"Content-Type: text/event-json\nContent-Length: 34\n\n{\"Event-Name\":[\"a\",{\"b\":[null]}]}\n",
	"Content-Type: command/reply\nReply-Text: \x00\x01\xff\n\x00: \x00\n\n",
	"Content-Type: text/disconnect-notice\nContent-Disposition: linger\nContent-Length: 0\n\n" + sentinel,
	"Content-Type: text/rude-rejection\nContent-Length: 24\n\nAccess Denied, go away.\n",
	"Content-Type:\n\n:\n\nContent-Type\n\n",
}

// hostileEvents are bodies of events.
var hostileEvents = []string{
	"Event-Name: CUSTOM\nvariable_a: ARRAY::one%7C:two\nContent-Length: 11\n\nhello\nworld",
	"Event-Name: CUSTOM\nContent-Length: 99999\n\nshort", "Event-Name: CUSTOM\nContent-Length: -7\n\nbody",
	"Event-Name: %zz\nUnique-ID: %0Aapi%20fsctl%20shutdown\n", "Event-Name:\n: \n\x00: \x00\n", "no header", "A: %\nA: %4\nA: %41%",
	`{"Event-Name":"CUSTOM","variable_a":["one",["two",null]],"n":5e400}`, `{"Event-Name":null,"_body":{"x":[1,2]}}`, `{"a":"` + "\x00\xff" + `"}`,
	`[]`, `null`, `{"a":`, `"x"`, `{"Unique-ID":"\ud800","Caller-Profile-Index":"99999999999999999999"}`,
}

// eachTranscript calls add with the beginning of what FreeSWITCH said in each transcript.
func eachTranscript(f *testing.F, add func(in []byte)) {
	files, err := filepath.Glob("testdata/transcripts/*.in.txt.gz")
	if err != nil || len(files) < 40 {
		f.Fatalf("%d transcripts, %v", len(files), err)
	}
	for _, file := range files {
		add(unpacked(f, strings.TrimSuffix(filepath.Base(file), ".gz")))
	}
}

// FuzzFrames: what the frame check lets through is what the library reads without harm, and says the same.
func FuzzFrames(f *testing.F) {
	for _, frame := range hostileFrames {
		f.Add([]byte(frame))
	}
	eachTranscript(f, func(in []byte) {
		f.Add(in[:min(len(in), 7000)])
		f.Add(in[max(0, len(in)-700):])
	})
	f.Fuzz(func(t *testing.T, stream []byte) {
		counts := &frameCounts{}
		in := bufio.NewReader(bytes.NewReader(stream))
		for {
			fr, err := readFrame(in, counts)
			if err != nil {
				return
			}
			out := fr.forLibrary(counts)
			if len(out) == 0 {
				continue
			}
			// What comes out is one frame that says the same when it is read once more.
			again := bufio.NewReader(bytes.NewReader(out))
			second, err := readFrame(again, &frameCounts{})
			if err != nil || again.Buffered() != 0 {
				t.Fatalf("%q becomes %q: %v, %d bytes over", stream, out, err, again.Buffered())
			}
			if kind := second.header["Content-Type"]; kind == typeReply && (strings.Contains(second.header["Reply-Text"], "-ERR") || len(second.body) > 0) {
				t.Fatalf("%q becomes %q, which the library dies of", stream, out)
			}
			if text := second.header["Reply-Text"]; text != "" && text != "+OK accepted" {
				if told, err := url.QueryUnescape(text); err != nil || unescaped(told) != fr.header["Reply-Text"] {
					t.Fatalf("%q becomes %q: says %q, %v", stream, out, told, err)
				}
			}
			if second.header["Content-Type"] == typeEvent {
				var flat map[string]string
				if err := json.Unmarshal(second.body, &flat); err != nil {
					t.Fatalf("%q becomes %q: %v", stream, out, err)
				}
			}
		}
	})
}

// FuzzEvent: an event in either form becomes one flat object, which stays what it is when it is read once more.
func FuzzEvent(f *testing.F) {
	for _, body := range hostileEvents {
		f.Add([]byte(body))
	}
	eachTranscript(f, func(in []byte) {
		counts := &frameCounts{}
		stream := bufio.NewReader(bytes.NewReader(in))
		for range 4 {
			if fr, err := readFrame(stream, counts); err == nil && len(fr.body) > 0 {
				f.Add(fr.body[:min(len(fr.body), 3000)])
			}
		}
	})
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, kind := range []string{typeEvent, "text/event-plain"} {
			first := frame{body: body}.event(kind)
			if first == nil {
				continue
			}
			var flat, again map[string]string
			if err := json.Unmarshal(first, &flat); err != nil {
				t.Fatalf("%s %q becomes %q: %v", kind, body, first, err)
			}
			if err := json.Unmarshal(frame{body: first}.event(typeEvent), &again); err != nil || !maps.Equal(flat, again) {
				t.Fatalf("%s %q becomes %q, then %q: %v", kind, body, flat, again, err)
			}
			e := newEvent(flat)
			if e.profile() < 0 && !strings.HasPrefix(flat["Caller-Profile-Index"], "-") {
				t.Errorf("profile %d of %q", e.profile(), flat["Caller-Profile-Index"])
			}
			m := mainChannel{}
			m.note(e)
			if m.dials != "" && !validContext(m.dials) {
				t.Errorf("%q: transfers go to %q", body, m.dials)
			}
		}
	})
}

// FuzzEntry: whatever connects to our listener, a call is offered only for a uuid that can stand in a command.
func FuzzEntry(f *testing.F) {
	for _, text := range append(hostileFrames, hostileEvents...) {
		f.Add([]byte(text))
	}
	f.Add([]byte("Unique-ID: x%0Aapi%20fsctl%20shutdown\n\n"))
	f.Add([]byte("Channel-Unique-ID: a\nSocket-Mode: static\n\n"))
	f.Add([]byte("Unique-ID: a\r\nvariable_TGTRUNK_X: %00%0A\r\nvariable_tgtrunk_dialled: ${x}\r\n\r\n"))
	for _, name := range outboundNames {
		f.Add(rawFrames(f, name)[0].text)
	}
	link, err := New(Options{Name: "x", Address: "127.0.0.1:1", Password: "x"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := readEntry(bytes.NewReader(text))
		if err != nil {
			return
		}
		if _, err := command("uuid_kill", e.id); err != nil || strings.ContainsAny(e.id, " ;'\"${}") || e.header["Socket-Mode"] == "static" {
			t.Fatalf("%q is taken as %q: %v", text, e.id, err)
		}
		leg := link.newLeg(t.Context(), "inbound")
		request := (&inbound{leg: leg, start: e, accept: func(bridge.Offer) {}}).request()
		leg.setup.end()
		for name, value := range request.Variables {
			if value == "" || strings.HasPrefix(name, "tgtrunk_") || name == "TGTRUNK_LEG" {
				t.Errorf("%q: variable %q = %q", text, name, value)
			}
		}
	})
}
