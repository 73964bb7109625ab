package esl

import (
	"bufio"
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/media"
)

// showsCall: the caller is answered, and this is what the leg says to the transcript's end.
func showsCall(want ...string) func(*testing.T, *scene) {
	return func(t *testing.T, s *scene) {
		s.begin()
		leg := s.call()
		s.play(nil)
		s.world.hangupAll() // what was in the recorded call, and without a bridge did not end with it
		s.expect(leg, want...)
	}
}

// showsCancel: who gives up while it rings was never answered, and nothing is done to the channel any more.
func showsCancel(t *testing.T, s *scene) {
	s.begin()
	party, o := s.park()
	o.Leg.Ring()
	s.play(nil)
	s.expect(o.Leg, "ended CANCELLED: ORIGINATOR_CANCEL")
	if got := s.world.commands("uuid_ring_ready " + party.id); len(got) != 1 {
		t.Errorf("ringing: %q", got)
	}
	for _, verb := range []string{"uuid_answer", "uuid_kill", "uuid_bridge"} {
		if got := s.world.commands(verb); len(got) != 0 {
			t.Errorf("after the end: %q", got)
		}
	}
}

// showsRejections: what is said to busy and to a refusal is what FreeSWITCH took for that, to the letter.
func showsRejections(t *testing.T, s *scene) {
	s.begin()
	recorded := string(unpacked(t, s.name+".out.txt"))
	for _, c := range []struct {
		reason bridge.Reason
		name   string
	}{{bridge.Busy, "USER_BUSY"}, {bridge.Elsewhere, "CALL_REJECTED"}} {
		party, o := s.park()
		o.Leg.Hangup(bridge.CauseOf(c.reason))
		nextEvent[bridge.Ended](t, o.Leg)
		kill := "uuid_kill " + party.id + " " + c.name
		if got := s.world.commands(kill); len(got) != 1 || !strings.Contains(recorded, "api "+kill+"\n\n") {
			t.Errorf("%s: %q", c.reason, s.world.commands(party.id))
		}
	}
}

// showsRetryAfter: the header's variable is set before the channel is hung up, as it was recorded.
func showsRetryAfter(t *testing.T, s *scene) {
	s.begin()
	party, o := s.park()
	o.Leg.Hangup(bridge.CauseOf(bridge.Flood).WithRetryAfter(42 * time.Second))
	nextEvent[bridge.Ended](t, o.Leg)
	if !strings.Contains(string(unpacked(t, s.name+".out.txt")), "api uuid_setvar "+party.id+" sip_rh_Retry-After 42\n\napi uuid_kill "+party.id) {
		t.Error("recorded otherwise")
	}
	got := s.world.commands(party.id)
	if len(got) < 2 || !strings.Contains(got[len(got)-2], "sip_rh_Retry-After=42") || !strings.HasPrefix(got[len(got)-1], "uuid_kill ") {
		t.Errorf("asked: %q", got)
	}
}

// showsTransferAway: the phone transfers its call. Its channel ends, ours lives on with another party, whom we hear.
func showsTransferAway(want ...string) func(*testing.T, *scene) {
	return func(t *testing.T, s *scene) {
		s.begin()
		leg := s.call()
		ours := slices.Collect(maps.Values(s.actual))[0]
		s.play(func(e event) bool {
			return e.name == "CHANNEL_HANGUP_COMPLETE" && strings.HasPrefix(e.header["Channel-Name"], "verto")
		})
		s.say(message{kind: typeEvent, header: map[string]string{"Event-Name": "DTMF", "Unique-ID": "target", "Other-Leg-Unique-ID": ours,
			"Answer-State": "answered", "DTMF-Digit": "8"}})
		s.expect(leg, append(want, "digit 8")...)
		s.play(nil)
		s.expect(leg, "ended NORMAL: NORMAL_CLEARING")
	}
}

// showsSentElsewhere: somebody sends the party to another extension: the leg ends, and the party is let be, even where
// that extension parks it.
func showsSentElsewhere(last string) func(*testing.T, *scene) {
	return func(t *testing.T, s *scene) {
		s.begin()
		leg := s.call()
		s.play(ofParty("CHANNEL_HANGUP_COMPLETE"))
		s.expect(leg, "answered", "media", "ended NORMAL: NORMAL_CLEARING")
		party := newEvent(s.rest[0].header)
		if last != "" {
			if !strings.Contains(string(unpacked(t, s.name+".in.txt")), "Event-Name: "+last) {
				t.Errorf("no %s", last)
			}
		}
		if got := s.world.commands("uuid_kill " + party.id); len(got) != 0 {
			t.Errorf("the party is hung up: %q", got)
		}
		s.play(nil)
	}
}

// showsDroppedConnection: a caller stays parked when the connection breaks, and is answered over the next.
func showsDroppedConnection(t *testing.T, s *scene) {
	s.begin()
	_, o := s.park()
	s.world.dropSockets()
	eventuallyTrue(t, "disconnected", func() bool { return !s.world.link.Connected() })
	if err := s.world.ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.Leg.Answer()
	s.expect(o.Leg, "answered", "media")
	o.Leg.Hangup(bridge.CauseOf(bridge.Normal))
	s.expect(o.Leg, "ended NORMAL: ")
}

func eventuallyTrue(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// showsShutdown: FreeSWITCH hangs up and says goodbye.
func showsShutdown(t *testing.T, s *scene) {
	s.begin()
	_, o := s.park()
	s.play(nil)
	s.expect(o.Leg, "ended CANCELLED: SYSTEM_SHUTDOWN")
	showsEnd("The system is being shut down.")(t, s)
}

// showsDial: an outbound call says this.
func showsDial(want ...string) func(*testing.T, *scene) {
	return func(t *testing.T, s *scene) {
		s.begin()
		leg := s.dial()
		last := len(want) - 1
		if slices.Contains(want, "media") {
			s.play(named("CHANNEL_PARK"))
		} else {
			s.play(nil)
		}
		s.expect(leg, want[:last]...)
		s.play(nil)
		s.world.hangupAll()
		s.expect(leg, want[last])
	}
}

// showsJobs: the id of a job is ours to choose, and its result has it.
func showsJobs(t *testing.T, s *scene) {
	for _, c := range []struct{ job, want string }{{"tg-job-0001", "ended BUSY: USER_BUSY"}, {"tg-job-0002", ""}} {
		t.Run(c.job, func(t *testing.T) {
			s := &scene{T: t, name: s.name}
			s.begin()
			s.rest = slices.DeleteFunc(s.rest, func(m message) bool { return m.header["Job-UUID"] != c.job || m.kind != typeEvent })
			leg := s.dial()
			s.play(nil)
			if c.want == "" {
				s.expect(leg, "answered", "media")
				leg.Hangup(bridge.CauseOf(bridge.Normal))
				return
			}
			s.expect(leg, c.want)
		})
	}
}

// showsNoCall: whatever else FreeSWITCH tells, nobody is offered a call for it.
func showsNoCall(t *testing.T, s *scene) {
	s.begin()
	for _, m := range s.rest {
		s.say(m)
	}
	_, o := (&scene{T: t, name: "dtmf", world: s.world, offers: s.offers, rest: (&scene{T: t, name: "dtmf"}).messages()}).park()
	if len(s.offers) != 0 {
		t.Errorf("%d more offers", len(s.offers))
	}
	o.Leg.Hangup(bridge.CauseOf(bridge.Busy))
	nextEvent[bridge.Ended](t, o.Leg)
}

// showsForeign: so many frames are of no use here, and are counted; the replies around them are heard.
func showsForeign(n uint64) func(*testing.T, *scene) {
	return func(t *testing.T, s *scene) {
		counts := &frameCounts{}
		stream := afterLogin(t, unpacked(t, s.name+".in.txt"))
		all := heardFrom(t, stream, 100, counts)
		if counts.foreign.Load() != n || counts.malformed.Load() != 0 {
			t.Errorf("%d foreign, %d malformed", counts.foreign.Load(), counts.malformed.Load())
		}
		if last := all[len(all)-1]; last.kind != typeDisconnect || all[len(all)-2].header["Reply-Text"] != "+OK bye" {
			t.Errorf("it ends with %+v", all[len(all)-2:])
		}
	}
}

// showsEvent: plain and JSON say the same: special characters, an array, and a body of two lines.
func showsEvent(t *testing.T, s *scene) {
	var hangup, custom message
	for _, m := range s.messages() {
		switch m.header["Event-Name"] {
		case "CHANNEL_HANGUP_COMPLETE":
			hangup = m
		case "CUSTOM":
			custom = m
		}
	}
	e := newEvent(hangup.header)
	if got := e.variable("lab_special"); got != `a%b:c+d é q & "z"` {
		t.Errorf("variable %q", got)
	}
	if got := e.variable("DP_MATCH"); !strings.HasPrefix(got, "ARRAY::") || !strings.Contains(got, "|:") {
		t.Errorf("array %q", got)
	}
	if custom.header["Event-Subclass"] != "lab::x" || strings.Count(strings.TrimSpace(custom.body), "\n") != 1 {
		t.Errorf("body %q of %v", custom.body, custom.header)
	}
}

// showsRefusals: a refusal is an error with FreeSWITCH's words, and one of a channel that is gone is told from others.
func showsRefusals(t *testing.T, s *scene) {
	gone := 0
	for _, m := range s.messages() {
		text := m.header["Reply-Text"] + m.body
		err := refusal("x", text)
		if strings.HasPrefix(text, "-") != (err != nil) {
			t.Errorf("%q is %v", text, err)
		}
		if isGone(err) {
			gone++
		}
		if unknown := strings.Contains(strings.ToLower(text), "command not found"); err != nil && isGone(err) == unknown {
			t.Errorf("%q: gone is %v", text, isGone(err))
		}
	}
	if gone != 3 {
		t.Errorf("%d refusals say that a channel is gone", gone)
	}
}

// showsAuth: a refusal among the replies moves none of them.
func showsAuth(t *testing.T, s *scene) {
	all := s.messages()
	if len(all) != 4 || all[0].header["Reply-Text"] != "-ERR not listening for events" || !strings.HasPrefix(all[1].body, "1.10.12") {
		t.Errorf("%+v", all)
	}
}

// showsLogin: the door stays shut, and why is told.
func showsLogin(password string, want error) func(*testing.T, *scene) {
	return func(t *testing.T, s *scene) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		served := make(chan error, 1)
		go func() { served <- manner{cut: cuts["whole"]}.play(t.Context(), listener, turns(t, s.name), nil) }()
		socket, err := dialSocket(t.Context(), listener.Addr().String(), password, 5*time.Second, &frameCounts{})
		if err == nil {
			socket.close()
		}
		if !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
}

// showsEnd: the connection ends with the notice's words, after all that was said before.
func showsEnd(notice string) func(*testing.T, *scene) {
	return func(t *testing.T, s *scene) {
		stream := afterLogin(t, unpacked(t, s.name+".in.txt"))
		socket, served := streamSocket(t, stream, 1<<16, &frameCounts{})
		defer served()
		conn := newConnection(socket, time.Second)
		events := 0
		err := conn.run(t.Context(), func(event) { events++ })
		if err == nil || !strings.Contains(err.Error(), notice) {
			t.Errorf("%v, want %q", err, notice)
		}
		if want := strings.Count(string(stream), "text/event-plain"); events != want {
			t.Errorf("%d events of %d", events, want)
		}
		if _, err := conn.ask(context.Background(), "api x"); !errors.Is(err, ErrNotConnected) {
			t.Errorf("a command after the end: %v", err)
		}
	}
}

// showsDump: what a listing and a dump say of a channel is what its events would say.
func showsDump(t *testing.T, s *scene) {
	TestListingOfTranscript(t)
	var dumps []event
	for _, m := range s.messages() {
		if m.kind != typeReply {
			continue
		}
		switch {
		case strings.HasPrefix(m.body, `{"Event-Name"`):
			e, err := dumped(m.body)
			if err != nil {
				t.Fatal(err)
			}
			dumps = append(dumps, e)
		case strings.HasPrefix(m.body, "Event-Name"):
			flat, ok := decodePlain([]byte(m.body))
			if !ok {
				t.Fatal("the plain dump does not decode")
			}
			dumps = append(dumps, newEvent(flat))
		}
	}
	if len(dumps) != 2 {
		t.Fatalf("%d dumps", len(dumps))
	}
	for _, e := range dumps {
		if !validID(e.id) || !e.answered() || e.variable("tg_call_id") != "7777" || len(e.header) < 100 {
			t.Errorf("%d headers, %s, tg_call_id %q", len(e.header), e.id, e.variable("tg_call_id"))
		}
	}
}

// showsUnicast: the message has the headers of the recorded one, and its reply is understood.
func showsUnicast(t *testing.T, s *scene) {
	_, recorded, _ := strings.Cut(string(unpacked(t, s.name+".out.txt")), "\n\nsendmsg ")
	recorded, _, _ = strings.Cut(recorded, "\n\n")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	sent := make(chan string, 1)
	go func() { sent <- takeOne(listener) }()
	socket, err := dialSocket(t.Context(), listener.Addr().String(), "ClueCon", 5*time.Second, &frameCounts{})
	if err != nil {
		t.Fatal(err)
	}
	conn := newConnection(socket, 5*time.Second)
	read := make(chan error, 1)
	go func() { read <- conn.run(t.Context(), func(event) {}) }()
	id, _, _ := strings.Cut(recorded, "\n")
	link, err := New(Options{Name: "x", Address: "127.0.0.1:1", Password: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if link.port, err = media.ListenRTP(media.RTPOptions{Listen: "127.0.0.1:0"}); err != nil {
		t.Fatal(err)
	}
	defer link.port.Close()
	flow, err := (&unicastWay{link: link}).connect(t.Context(), conn, id)
	if err != nil {
		t.Fatal(err)
	}
	_ = flow.Close()
	socket.close()
	<-read
	shape := func(text string) string {
		return regexp.MustCompile(`port: \d+|, .*`).ReplaceAllString(text, "port: N")
	}
	if got := <-sent; shape(strings.TrimPrefix(got, "sendmsg ")) != shape(recorded) {
		t.Errorf("sent %q, recorded %q", got, recorded)
	}
}

// takeOne lets a client in and returns its first command, which it answers.
func takeOne(listener net.Listener) string {
	conn, err := listener.Accept()
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	in := bufio.NewReader(conn)
	_, _ = io.WriteString(conn, "Content-Type: auth/request\n\n")
	if _, err := readBlock(in); err != nil {
		return err.Error()
	}
	_, _ = io.WriteString(conn, "Content-Type: command/reply\nReply-Text: +OK accepted\n\n")
	text, err := readBlock(in)
	if err != nil {
		return err.Error()
	}
	_, _ = io.WriteString(conn, "Content-Type: command/reply\nReply-Text: +OK\n\n")
	_, _ = in.ReadByte() // the end
	return strings.TrimSuffix(text, "\n")
}
