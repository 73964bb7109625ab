package esl

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
)

// The recorded connections of the socket application, played to our own listener. FreeSWITCH speaks in each as recorded:
// the call's data for "connect", its replies for the kinds of commands that were given, events and notices by themselves.

// outboundNames are the transcripts of connections that FreeSWITCH opened.
var outboundNames = []string{"outbound_obasync", "outbound_obsync", "outbound_refused_and_drop", "outbound_resume"}

// rawFrame is one frame of a transcript, as it was sent.
type rawFrame struct {
	text   []byte
	header map[string]string // its own
	body   string
	event  map[string]string // what it tells, where it is an event or the call's data
}

// rawFrames divides what FreeSWITCH sent on an outbound connection, without the code under test.
func rawFrames(t testing.TB, name string) []rawFrame {
	t.Helper()
	all := divide(t, unpacked(t, name+".in.txt"))
	head, _, _ := bytes.Cut(all[0].text, []byte("\n\n"))
	all[0].event = plainEvent(t, string(head)) // the call's data
	return all
}

// divide divides what FreeSWITCH sent, without the code under test.
func divide(t testing.TB, stream []byte) (all []rawFrame) {
	t.Helper()
	for rest := stream; len(rest) > 0; {
		head, after, ok := bytes.Cut(rest, []byte("\n\n"))
		if !ok {
			t.Fatalf("rest %q", rest)
		}
		f := rawFrame{header: map[string]string{}}
		for line := range strings.SplitSeq(string(head), "\n") {
			name, value, _ := strings.Cut(line, ": ")
			f.header[name] = value
		}
		length, _ := strconv.Atoi(f.header["Content-Length"])
		size := len(head) + 2 + length
		f.text, rest = rest[:size], rest[size:]
		switch f.body = string(after[:length]); f.header["Content-Type"] {
		case "text/event-plain":
			f.event = plainEvent(t, f.body)
		case "text/event-json":
			f.event = jsonEvent(t, f.body)
		}
		all = append(all, f)
	}
	return all
}

// plainEvent reads lines "Name: value" with percent signs, and behind an empty line a body.
func plainEvent(t testing.TB, text string) map[string]string {
	t.Helper()
	event := map[string]string{}
	head, body, _ := strings.Cut(text, "\n\n")
	for line := range strings.SplitSeq(strings.TrimSuffix(head, "\n"), "\n") {
		name, value, ok := strings.Cut(line, ":")
		plain, err := url.PathUnescape(strings.TrimPrefix(value, " "))
		if !ok || err != nil {
			t.Fatalf("line %q of an event: %v", line, err)
		}
		event[name] = plain
	}
	if body != "" {
		event["_body"] = body
	}
	return event
}

// jsonEvent reads an object of texts and lists of texts.
func jsonEvent(t testing.TB, text string) map[string]string {
	t.Helper()
	var raw map[string]any
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		t.Fatal(err)
	}
	event := map[string]string{}
	for name, value := range raw {
		switch value := value.(type) {
		case string:
			event[name] = value
		case []any:
			event[name] = "ARRAY::" + strings.ReplaceAll(strings.Trim(fmt.Sprintf("%q", value), `[]"`), `" "`, "|:")
		default:
			t.Fatalf("%s is a %T", name, value)
		}
	}
	return event
}

func (f rawFrame) isReply() bool {
	return f.header["Content-Type"] == "command/reply" || f.header["Content-Type"] == "api/response"
}

// commandKind is what makes two commands alike: the verb, and of messages what they are.
func commandKind(command string) string {
	lines := strings.Split(strings.TrimSpace(command), "\n")
	kind, _, _ := strings.Cut(lines[0], " ")
	if kind != "sendmsg" {
		return kind
	}
	for _, line := range lines[1:] {
		if name, value, _ := strings.Cut(line, ": "); name == "call-command" || name == "execute-app-name" {
			kind += " " + value
		}
	}
	return kind
}

// outboundReplies are FreeSWITCH's replies by the kind of command, from all recorded outbound connections.
func outboundReplies(t testing.TB) map[string][]byte {
	t.Helper()
	replies := map[string][]byte{}
	for _, name := range outboundNames {
		var answers [][]byte
		for _, f := range rawFrames(t, name) {
			if f.isReply() || len(answers) == 0 {
				answers = append(answers, f.text)
			}
		}
		commands := strings.Split(strings.TrimSpace(string(unpacked(t, name+".out.txt"))), "\n\n")
		if len(commands) != len(answers) {
			t.Fatalf("%s: %d commands, %d replies", name, len(commands), len(answers))
		}
		for i, c := range commands {
			if kind := commandKind(c); kind != "connect" {
				replies[kind] = answers[i]
			}
		}
	}
	return replies
}

// TestOutboundReplies: the responder knows the recorded kinds, so a command that it does not know is one that nobody has
// ever seen answered.
func TestOutboundReplies(t *testing.T) {
	replies := outboundReplies(t)
	for kind, want := range map[string]string{
		"linger": "+OK will linger 5 seconds", "myevents": "+OK Events Enabled", "divert_events": "+OK events diverted", "resume": "+OK",
		"sendmsg execute set": "+OK", "sendmsg execute answer": "+OK", "sendmsg execute playback": "+OK", "sendmsg hangup": "+OK",
		"api": "\n\n7",
	} {
		if got := string(replies[kind]); !strings.Contains(got, want) {
			t.Errorf("%s: %q", kind, got)
		}
	}
}

// cutting is how the switch's bytes are cut into writes.
type cutting struct {
	name string
	cut  func(text []byte) [][]byte
}

// cuttings has a random one whose seed the name tells.
func cuttings() []cutting {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	return []cutting{
		{"whole", func(text []byte) [][]byte { return [][]byte{text} }},
		{"byte by byte where it matters", cutClosely},
		{fmt.Sprintf("random, seed %d", seed), func(text []byte) (pieces [][]byte) {
			for len(text) > 0 {
				n := 1 + random.IntN(min(len(text), 1<<random.IntN(12)))
				pieces, text = append(pieces, text[:n]), text[n:]
			}
			return pieces
		}},
	}
}

// cutClosely sends the bytes around line ends, colons and percent signs one by one at the beginning and the end of a text.
func cutClosely(text []byte) (pieces [][]byte) {
	begin := 0
	for i, b := range text {
		if (i < 200 || len(text)-i < 200) && (b == '\n' || b == ':' || b == '%') {
			pieces = append(pieces, text[begin:i], text[i:i+1])
			begin = i + 1
		}
	}
	return append(pieces, text[begin:])
}

// caller is the switch's end of one connection of the socket application.
type caller struct {
	*testing.T
	conn    net.Conn
	cut     func([]byte) [][]byte
	frames  []rawFrame // what was not sent; the call's data first
	id      string
	ended   chan struct{} // closed when our side has closed
	mu      sync.Mutex
	strange []string // commands that no transcript answers
	heard   []string // guarded by mu; kinds of commands
}

// dialEntry connects as the socket application does and gives the call's data, joined with so many frames that follow.
func dialEntry(t *testing.T, w *fakeWorld, name string, cut func([]byte) [][]byte, joined int, replace ...string) *caller {
	t.Helper()
	conn, err := net.Dial("tcp", w.link.opt.Socket.Listen)
	if err != nil {
		t.Fatal(err)
	}
	c := &caller{T: t, conn: conn, cut: cut, frames: rawFrames(t, name), ended: make(chan struct{})}
	t.Cleanup(func() { _ = conn.Close(); <-c.ended })
	c.id = c.frames[0].event["Unique-ID"]
	w.mu.Lock()
	w.channels[c.id] = &fakeChannel{id: c.id, vars: map[string]string{}}
	w.mu.Unlock()
	data := []byte(strings.NewReplacer(replace...).Replace(string(c.frames[0].text)))
	c.frames = c.frames[1:]
	for range joined {
		data = append(data, c.frames[0].text...)
		c.frames = c.frames[1:]
	}
	go c.answer(data, outboundReplies(t))
	return c
}

// answer is the switch's reader.
func (c *caller) answer(data []byte, replies map[string][]byte) {
	defer close(c.ended)
	var text bytes.Buffer
	buffer := make([]byte, 1)
	for {
		if _, err := c.conn.Read(buffer); err != nil {
			return
		}
		text.Write(buffer)
		if !bytes.HasSuffix(text.Bytes(), []byte("\n\n")) {
			continue
		}
		kind := commandKind(text.String())
		text.Reset()
		c.mu.Lock()
		c.heard = append(c.heard, kind)
		reply, known := replies[kind]
		if kind == "connect" {
			reply, known = data, len(c.heard) == 1
		}
		if !known {
			c.strange = append(c.strange, kind)
			reply = []byte("Content-Type: command/reply\nReply-Text: -ERR command not found\n\n")
		}
		c.mu.Unlock()
		c.write(reply)
	}
}

func (c *caller) write(text []byte) {
	for _, piece := range c.cut(text) {
		if len(piece) == 0 {
			continue
		}
		if _, err := c.conn.Write(piece); err != nil {
			return // our side has heard enough
		}
	}
}

// play sends, on this connection and on the event socket, what FreeSWITCH says next by itself, up to a frame that is
// meant, or to the transcript's end.
func (c *caller) play(w *fakeWorld, stop func(f rawFrame) bool) {
	for len(c.frames) > 0 {
		f := c.frames[0]
		if stop != nil && stop(f) {
			return
		}
		if c.frames = c.frames[1:]; f.isReply() {
			continue // of a command that we did not give
		}
		c.write(f.text)
		if f.event == nil || !strings.Contains(" "+subscription+" ", " "+f.event["Event-Name"]+" ") {
			continue
		}
		w.mu.Lock()
		if f.event["Event-Name"] == "CHANNEL_HANGUP_COMPLETE" {
			delete(w.channels, c.id)
		}
		w.sendHeader(f.event, "")
		w.mu.Unlock()
	}
}

// over waits until our side has closed, and checks what it has said.
func (c *caller) over() {
	c.Helper()
	select {
	case <-c.ended:
	case <-time.After(10 * time.Second):
		c.Fatal("our side keeps the connection")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if strings.Join(c.heard, " ") != "connect" || len(c.strange) != 0 {
		c.Errorf("the socket application is told %q, of which no transcript answers %q", c.heard, c.strange)
	}
}

func saysEvent(name string) func(rawFrame) bool {
	return func(f rawFrame) bool { return f.event["Event-Name"] == name }
}

func saysNotice(disposition string) func(rawFrame) bool {
	return func(f rawFrame) bool { return f.header["Content-Disposition"] == disposition }
}

// startEntries runs a link that listens for the socket application.
func startEntries(t *testing.T, change func(*Options)) (*fakeWorld, chan bridge.Offer) {
	t.Helper()
	at, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = at.Close()
	w, offers := startWorldWith(t, func(o *Options) {
		o.Socket.Listen = at.Addr().String()
		if change != nil {
			change(o)
		}
	})
	return w, offers
}
