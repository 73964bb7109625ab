package esl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
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
	event  map[string]string // what it tells, where it is an event or the call's data
}

// rawFrames divides what FreeSWITCH sent on an outbound connection, without the code under test.
func rawFrames(t testing.TB, name string) []rawFrame {
	t.Helper()
	var all []rawFrame
	for rest := unpacked(t, name+".in.txt"); len(rest) > 0; {
		head, after, ok := bytes.Cut(rest, []byte("\n\n"))
		if !ok {
			t.Fatalf("%s: rest %q", name, rest)
		}
		f := rawFrame{header: map[string]string{}}
		for line := range strings.SplitSeq(string(head), "\n") {
			name, value, _ := strings.Cut(line, ": ")
			f.header[name] = value
		}
		length, _ := strconv.Atoi(f.header["Content-Length"])
		size := len(head) + 2 + length
		f.text, rest = rest[:size], rest[size:]
		switch {
		case len(all) == 0:
			f.event, _ = decodePlain(head)
		case f.header["Content-Type"] == "text/event-plain":
			f.event, _ = decodePlain(after[:length])
		}
		all = append(all, f)
	}
	return all
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

// everyWay runs a test with each way of cutting, and with nothing, or the next frames, joined to the call's data.
func everyWay(t *testing.T, s *scene, joined []int, test func(t *testing.T, s *scene, c *caller)) {
	for _, cut := range cuttings() {
		for _, n := range joined {
			t.Run(fmt.Sprintf("%s, %d joined", cut.name, n), func(t *testing.T) {
				s := &scene{T: t, name: s.name}
				s.world, s.offers = startEntries(t, nil)
				test(t, s, dialEntry(t, s.world, s.name, cut.cut, n))
			})
		}
	}
}

// entryOffer takes the offer of a transcript's caller and checks what it says.
func (s *scene) entryOffer(c *caller) bridge.Offer {
	s.Helper()
	e := rawFrames(s.T, s.name)[0].event
	o := s.offer()
	want := map[string]string{"PBX_CHANNEL": e["Channel-Name"], "PBX_CHANNEL_ID": c.id, "PBX_CONTEXT": "public",
		"PBX_EXTEN": e["Caller-Destination-Number"], "PBX_PROTOCOL_ID": e["variable_sip_call_id"]}
	if o.Caller.Number != e["Caller-Caller-ID-Number"] || o.Caller.Name != e["Caller-Caller-ID-Name"] || o.Caller.Name == "" ||
		o.Dialled != "obasync" || !maps.Equal(o.Variables, want) {
		s.Errorf("offer %+v, want %v", o.Request, want)
	}
	return o
}

// showsEntry: a caller comes over our socket; it rings, is answered, and hangs up. FreeSWITCH lingers, still tells, and
// takes its leave: all of that is one end.
func showsEntry(t *testing.T, s *scene) {
	t.Run("answered", func(t *testing.T) {
		everyWay(t, s, []int{0, 3}, func(t *testing.T, s *scene, c *caller) {
			o := s.entryOffer(c)
			c.play(s.world, saysEvent("CHANNEL_ANSWER"))
			o.Leg.Ring()
			o.Leg.Answer()
			s.expect(o.Leg, "answered", "media")
			c.play(s.world, saysEvent("CHANNEL_HANGUP_COMPLETE"))
			c.play(s.world, saysNotice("linger"))
			c.play(s.world, nil)
			s.world.hangupAll() // with the party's channel goes its bridge
			s.expect(o.Leg, "ended NORMAL: USER_BUSY")
			_ = c.conn.Close()
			c.over()
			for _, verb := range []string{"uuid_ring_ready ", "uuid_answer ", "uuid_bridge "} {
				if got := s.world.commands(verb + c.id); len(got) != 1 {
					t.Errorf("%s%q", verb, got)
				}
			}
			if got := s.world.commands("uuid_park"); len(got) != 0 {
				t.Errorf("a caller of the socket application is parked anew: %q", got)
			}
		})
	})
	t.Run("gives up", func(t *testing.T) {
		everyWay(t, s, []int{0}, func(t *testing.T, s *scene, c *caller) {
			o := s.entryOffer(c)
			o.Leg.Ring()
			c.play(s.world, nil) // to the goodbye, all at once
			s.expect(o.Leg, "ended CANCELLED: USER_BUSY")
			c.over()
			if got := s.world.commands("uuid_kill"); len(got) != 0 {
				t.Errorf("asked %q", got)
			}
		})
	})
	t.Run("the notices come first", func(t *testing.T) {
		s := &scene{T: t, name: s.name}
		s.world, s.offers = startEntries(t, nil)
		c := dialEntry(t, s.world, s.name, cutClosely, 0)
		o := s.entryOffer(c)
		for _, f := range c.frames {
			if strings.HasPrefix(string(f.text), "Content-Type: text/disconnect-notice") {
				c.write(f.text)
			}
		}
		_ = c.conn.Close()
		c.play(s.world, nil)
		s.expect(o.Leg, "ended CANCELLED: USER_BUSY")
	})
}

// showsStaticEntry: without async FreeSWITCH could not bridge the channel: the call is let go at once, and nothing is done
// to it.
func showsStaticEntry(t *testing.T, s *scene) {
	everyWay(t, s, []int{0}, func(t *testing.T, s *scene, c *caller) {
		c.over()
		if len(s.offers) != 0 || len(s.world.commands(c.id)) != 0 {
			t.Errorf("%d offers, asked %q", len(s.offers), s.world.commands(c.id))
		}
	})
}

// showsDroppedEntry: one side drops the connection, and the dialplan goes on with its next action.
func showsDroppedEntry(t *testing.T, s *scene) {
	t.Run("ours, because the call fails", func(t *testing.T) {
		everyWay(t, s, []int{0, 1}, func(t *testing.T, s *scene, c *caller) {
			o := s.entryOffer(c)
			o.Leg.Hangup(bridge.CauseOf(bridge.Busy))
			s.expect(o.Leg, "ended BUSY: ")
			c.over()
			s.world.mu.Lock()
			vars := s.world.channels[c.id].vars
			s.world.mu.Unlock()
			if vars["TGTRUNK_STATUS"] != "BUSY" || vars["TGTRUNK_REASON"] != "BUSY" || vars["TGTRUNK_CAUSE"] != "17" || vars[varHangup] != "USER_BUSY" {
				t.Errorf("the dialplan knows %v", vars)
			}
			for _, verb := range []string{"uuid_kill", "uuid_transfer", "uuid_park", "uuid_answer"} {
				if got := s.world.commands(verb); len(got) != 0 {
					t.Errorf("asked %q", got)
				}
			}
		})
	})
	t.Run("FreeSWITCH's, while it rings", func(t *testing.T) {
		everyWay(t, s, []int{1}, func(t *testing.T, s *scene, c *caller) {
			o := s.entryOffer(c)
			o.Leg.Ring()
			_ = c.conn.Close()
			<-c.ended
			s.expect(o.Leg, "ended CANCELLED: ")
			s.world.mu.Lock()
			lives := s.world.channels[c.id] != nil
			s.world.mu.Unlock()
			for _, verb := range []string{"uuid_kill", "uuid_transfer", "uuid_answer", "uuid_bridge"} {
				if got := s.world.commands(verb); len(got) != 0 || !lives {
					t.Errorf("the dialplan has the caller (%v), but asked %q", lives, got)
				}
			}
		})
	})
	t.Run("and the dialplan tries again", func(t *testing.T) {
		s := &scene{T: t, name: s.name}
		s.world, s.offers = startEntries(t, nil)
		for range 5 {
			c := dialEntry(t, s.world, s.name, cutClosely, 1)
			o := s.entryOffer(c)
			o.Leg.Hangup(bridge.CauseOf(bridge.Busy))
			c.over() // the next connection may come before the leg has told its end
			if _, told := nextEvent[bridge.Ended](t, o.Leg), true; !told {
				t.Error("no end")
			}
		}
		if got := s.world.commands("uuid_park"); len(got) != 0 {
			t.Errorf("asked %q", got)
		}
	})
}

// showsEntryClosedLater: a call that is up stays so when FreeSWITCH closes the connection, as it does when it bridges.
func showsEntryClosedLater(t *testing.T, s *scene) {
	everyWay(t, s, []int{0, 2}, func(t *testing.T, s *scene, c *caller) {
		o := s.entryOffer(c)
		o.Leg.Answer()
		s.expect(o.Leg, "answered", "media")
		_ = c.conn.Close()
		c.over()
		s.world.mu.Lock()
		s.world.event("DTMF", s.world.channels[c.id], "DTMF-Digit", "5")
		s.world.mu.Unlock()
		s.expect(o.Leg, "digit 5")
		o.Leg.Hangup(bridge.CauseOf(bridge.Normal))
		s.expect(o.Leg, "ended NORMAL: ")
		if got := s.world.commands("uuid_kill " + c.id + " NORMAL_CLEARING"); len(got) != 1 {
			t.Errorf("asked %q", got)
		}
	})
}

// TestEntryRefused: who may not come in, or says nonsense, is let go at once, and nothing is done to a channel.
func TestEntryRefused(t *testing.T) {
	const name = "outbound_obasync"
	secret := func(o *Options) { o.Socket.Password = "sesame" }
	for _, c := range []struct {
		name    string
		change  func(*Options)
		replace []string
	}{
		{"no password", secret, nil},
		{"another password", secret, []string{"variable_socket_host: 127.0.0.1", "variable_tgtrunk_password: open"}},
		{"another address", func(o *Options) { o.Socket.Allow = []string{"192.0.2.0/24"} }, nil},
		{"no uuid", nil, []string{"Unique-ID: ", "Unique-Id: "}},
		{"a uuid that is a command", nil, []string{"Unique-ID: fa0db8ab", "Unique-ID: x%0Aapi%20fsctl%20shutdown"}},
		{"a line that is none", nil, []string{"Caller-Source: mod_sofia", "Caller-Source mod_sofia"}},
		{"a refusal", nil, []string{"Event-Name: CHANNEL_DATA\n", "Content-Type: text/rude-rejection\n\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, offers := startEntries(t, c.change)
			e := dialEntry(t, w, name, cutClosely, 0, c.replace...)
			select {
			case <-e.ended:
			case <-time.After(10 * time.Second):
				t.Fatal("the connection is kept")
			}
			if len(offers) != 0 || len(w.commands(e.id)) != 0 {
				t.Errorf("%d offers, asked %q", len(offers), w.commands(e.id))
			}
		})
	}
	t.Run("the password", func(t *testing.T) {
		w, offers := startEntries(t, secret)
		dialEntry(t, w, name, cutClosely, 0, "variable_socket_host: 127.0.0.1", "variable_tgtrunk_password: sesame")
		o := <-offers
		o.Leg.Hangup(bridge.CauseOf(bridge.Busy))
		nextEvent[bridge.Ended](t, o.Leg)
	})
	t.Run("says nothing", func(t *testing.T) {
		w, _ := startEntries(t, func(o *Options) { o.RequestTimeout = 300 * time.Millisecond })
		conn, err := net.Dial("tcp", w.link.opt.Socket.Listen)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		if text, err := io.ReadAll(conn); err != nil || string(text) != "connect\n\n" {
			t.Errorf("%q, %v", text, err)
		}
	})
	t.Run("while FreeSWITCH is away", func(t *testing.T) {
		w, offers := startEntries(t, nil)
		_ = w.listener.Close()
		w.dropSockets()
		eventuallyTrue(t, "disconnected", func() bool { return !w.link.Connected() })
		dialEntry(t, w, name, cutClosely, 0).over()
		if len(offers) != 0 {
			t.Error("a call is offered")
		}
	})
}

// TestEntryHeldBySocket: the park of the socket application is no second call, and does not make the caller leave it.
func TestEntryHeldBySocket(t *testing.T) {
	w, offers := startEntries(t, nil)
	frames := rawFrames(t, "outbound_obasync")
	for _, f := range frames {
		if f.event["Event-Name"] == "CHANNEL_PARK" {
			f.event["variable_"+varApp] = "tgtrunk"
			w.mu.Lock()
			w.sendHeader(f.event, "")
			w.mu.Unlock()
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	conn, err := w.link.current()
	if err == nil {
		_, err = conn.api(ctx, "version") // the event has been heard
	}
	if err != nil || errors.Is(ctx.Err(), context.DeadlineExceeded) || len(offers) != 0 || len(w.commands("uuid_")) != 0 {
		t.Errorf("%v, %d offers, asked %q", err, len(offers), w.commands("uuid_"))
	}
}
