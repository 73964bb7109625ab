package esl

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
)

const (
	fakePassword = "geheim-4711"
	fakeVerto    = "geheim-4712"
)

// fakeFS is a small FreeSWITCH: event socket, mod_verto's WebSocket, and channels that ring, park, are bridged and hang
// up as the transcripts say.
type fakeFS struct {
	listener net.Listener
	web      *httptest.Server
	core     string
	idle     sync.WaitGroup
	calls    func(number string) *fakeParty // who is called at fake/number
	before   func(line string)              // runs before each command, and may hold it up; nil for nothing

	mu       sync.Mutex
	closed   bool
	conns    map[net.Conn]string        // who listens, and to which events
	sockets  map[*websocket.Conn]string // sessid of who has logged in
	channels map[string]*fakeChannel
	ports    int
	asked    []string
	globals  map[string]string // global variables
	codec    string            // the only one, as in an rtpmap, that mod_verto takes; "" for any
	deaf     bool              // mod_verto answers no ping
	lacks    map[string]bool   // modules, extensions and methods of mod_verto that there are not, or its "answer"
	dialJob  string            // Job-UUID of the last originate
	noVerto  bool              // mod_verto is not loaded
	noLogin  bool              // mod_verto lets nobody log in
}

// scripted is the result of a job whose end a test tells itself.
const scripted = "scripted"

// fakeChannel is one channel. All fields are guarded by fakeFS.mu.
type fakeChannel struct {
	id       string
	vars     map[string]string
	answered bool
	parked   bool
	bridged  string          // id of the other channel
	socket   *websocket.Conn // of a media channel
	party    *fakeParty
	job      chan string // gets the result of the originate job
}

func newFakeFS(t testing.TB) *fakeFS {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeFS{listener: listener, core: "core-1", conns: map[net.Conn]string{}, sockets: map[*websocket.Conn]string{},
		channels: map[string]*fakeChannel{}, globals: map[string]string{}, ports: 20000}
	f.web = httptest.NewServer(http.HandlerFunc(f.serveVerto))
	f.idle.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			f.idle.Go(func() { f.serveSocket(conn) })
		}
	})
	t.Cleanup(func() {
		f.mu.Lock()
		f.closed = true
		for _, c := range f.channels {
			c.result("-ERR SYSTEM_SHUTDOWN")
		}
		f.mu.Unlock()
		_ = listener.Close()
		f.dropSockets()
		f.dropVerto()
		f.web.Close()
		f.idle.Wait()
	})
	return f
}

func (f *fakeFS) dropSockets() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		_ = c.Close()
	}
}

func (f *fakeFS) dropVerto() {
	f.mu.Lock()
	sockets := f.sockets
	f.sockets = map[*websocket.Conn]string{}
	f.mu.Unlock()
	for c := range sockets {
		_ = c.CloseNow()
	}
}

func (f *fakeFS) options() Options {
	return Options{Name: "pbx", Address: f.listener.Addr().String(), Password: fakePassword,
		Verto: VertoOptions{URL: "ws" + strings.TrimPrefix(f.web.URL, "http"), Login: "a@b", Password: fakeVerto}}
}

// serveSocket is one connection of the event socket.
func (f *fakeFS) serveSocket(tcp net.Conn) {
	conn := &fakeConn{Conn: tcp}
	defer conn.Close()
	_, _ = io.WriteString(conn, "Content-Type: auth/request\n\n")
	in := bufio.NewReader(conn)
	defer func() {
		f.mu.Lock()
		delete(f.conns, conn)
		f.mu.Unlock()
	}()
	for {
		text, err := readBlock(in)
		if err != nil {
			return
		}
		if conn.silent.Load() {
			continue
		}
		lines := strings.Split(strings.TrimSpace(text), "\n")
		verb, rest, _ := strings.Cut(lines[0], " ")
		switch verb {
		case "":
		case "auth":
			if rest != fakePassword {
				_, _ = io.WriteString(conn, "Content-Type: command/reply\nReply-Text: -ERR invalid\n\n")
				return
			}
			_, _ = io.WriteString(conn, "Content-Type: command/reply\nReply-Text: +OK accepted\n\n")
		case "event":
			f.mu.Lock()
			f.conns[conn] += " " + rest + " "
			_, _ = io.WriteString(conn, "Content-Type: command/reply\nReply-Text: +OK event listener enabled json\n\n")
			f.mu.Unlock()
		case "bgapi":
			id := strings.TrimPrefix(lines[1], "Job-UUID: ")
			f.mu.Lock()
			f.asked = append(f.asked, rest)
			if strings.HasPrefix(rest, "originate ") {
				f.dialJob = id
			}
			_, _ = fmt.Fprintf(conn, "Content-Type: command/reply\nReply-Text: +OK Job-UUID: %s\nJob-UUID: %s\n\n", id, id)
			f.mu.Unlock()
			f.idle.Go(func() {
				result := f.api(rest)
				if result == scripted {
					return
				}
				f.mu.Lock()
				defer f.mu.Unlock()
				f.send(map[string]any{"Event-Name": "BACKGROUND_JOB", "Job-UUID": id, "Core-UUID": f.core, "_body": result})
			})
		default:
			_, _ = io.WriteString(conn, "Content-Type: command/reply\nReply-Text: -ERR command not found\n\n")
		}
	}
}

// send sends an event to all that listen. f.mu is held.
func (f *fakeFS) send(e map[string]any) {
	text, _ := json.Marshal(e)
	for conn, listens := range f.conns {
		if name, is := e["Event-Name"].(string); is && !strings.Contains(listens, " "+name+" ") {
			continue
		}
		_, _ = fmt.Fprintf(conn, "Content-Length: %d\nContent-Type: text/event-json\n\n%s", len(text), text)
	}
}

// event sends an event about a channel. f.mu is held.
func (f *fakeFS) event(name string, c *fakeChannel, more ...string) {
	e := c.facts()
	e["Event-Name"], e["Core-UUID"] = name, f.core
	for i := 0; i+1 < len(more); i += 2 {
		e[more[i]] = more[i+1]
	}
	f.send(e)
}

func (c *fakeChannel) facts() map[string]any {
	state := "ringing"
	if c.answered {
		state = "answered"
	}
	e := map[string]any{"Unique-ID": c.id, "Answer-State": state, "Channel-Name": "fake/" + c.id, "Channel-Read-Codec-Name": "PCMU",
		"variable_DP_MATCH": []string{"a", "b"}, "Caller-Destination-Number": "5001", "Caller-Caller-ID-Number": "200"}
	for name, value := range c.vars {
		e["variable_"+name] = value
	}
	if c.bridged != "" {
		e["Other-Leg-Unique-ID"] = c.bridged
	}
	return e
}

var originatePattern = regexp.MustCompile(`^\{(.*)\}fake/(\S+)$`)

// api runs a command.
func (f *fakeFS) api(line string) string {
	f.mu.Lock()
	before := f.before
	f.mu.Unlock()
	if before != nil {
		before(line)
	}
	if words := separate(line, ' ', 10); len(words) == 3 && words[0] == "originate" && words[2] == "&park()" {
		if m := originatePattern.FindStringSubmatch(words[1]); m != nil {
			return f.originate(m[1], m[2])
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	words := strings.SplitN(line, " ", 3)
	switch words[0] {
	case "version":
		return "FreeSWITCH Version 1.10.12-release~64bit (-release 64bit)\n"
	case "global_getvar":
		if words[1] == "core_uuid" {
			return f.core
		}
		return f.globals[words[1]]
	case "global_setvar": // NAME=NEW or NAME=NEW=OLD, which changes nothing where another value is there
		parts := append(strings.SplitN(strings.Join(words[1:], " "), "=", 3), "")
		if old := parts[2]; old == "" || f.globals[parts[0]] == old {
			f.globals[parts[0]] = parts[1]
		}
		return "+OK"
	case "module_exists":
		return strconv.FormatBool(!f.lacks[words[1]])
	case "verto_contact":
		if f.noVerto {
			return "-ERR verto_contact Command not found!\n"
		}
		var contacts []string
		for _, session := range f.sockets {
			if session != "" {
				contacts = append(contacts, "verto.rtc/u:"+session)
			}
		}
		if len(contacts) == 0 {
			return "error/user_not_registered"
		}
		return strings.Join(contacts, ",")
	case "show":
		rows := []map[string]string{}
		for _, c := range f.channels {
			row := map[string]string{"uuid": c.id, "application": "", "state": "CS_EXECUTE"}
			if c.parked {
				row["application"] = "park"
			}
			if row["call_uuid"] = c.vars["call_uuid"]; c.answered {
				row["callstate"] = "ACTIVE"
			}
			rows = append(rows, row)
		}
		text, _ := json.Marshal(map[string]any{"row_count": len(rows), "rows": rows})
		return string(text)
	case "originate":
		return "-ERR CHAN_NOT_IMPLEMENTED"
	}
	if len(words) < 2 || f.channels[words[1]] == nil {
		return "-ERR No such channel!\n"
	}
	return f.channelCommand(f.channels[words[1]], words[0], strings.Join(words[2:], " "))
}

// channelCommand runs a command on a channel. f.mu is held.
func (f *fakeFS) channelCommand(c *fakeChannel, verb, rest string) string {
	switch verb {
	case "uuid_setvar_multi":
		for _, pair := range separate(rest, ';', 64) {
			name, value, _ := strings.Cut(pair, "=")
			c.vars[name] = value
			if value == "" {
				delete(c.vars, name)
			}
		}
	case "uuid_getvar":
		if value, set := c.vars[rest]; set {
			return value
		}
		return "_undef_"
	case "uuid_dump":
		text, _ := json.Marshal(c.facts())
		return string(text)
	case "uuid_park":
		f.park(c)
	case "uuid_ring_ready":
		c.party.ring()
	case "uuid_answer":
		c.answered = true
		c.party.answer()
		f.event("CHANNEL_ANSWER", c)
	case "uuid_bridge":
		other := f.channels[rest]
		if other == nil {
			return "-ERR Invalid uuid\n"
		}
		c.bridged, other.bridged, c.parked, other.parked = other.id, c.id, false, false
		f.event("CHANNEL_BRIDGE", c)
	case "uuid_kill":
		f.hangup(c, rest)
	case "uuid_transfer":
		number, _, _ := strings.Cut(rest, " ")
		if f.calls == nil || strings.HasSuffix(rest, " inline") {
			break // the channel runs a dialplan that the test does not play
		}
		if c.party = f.calls(number); c.party == nil {
			f.hangup(c, "NO_ROUTE_DESTINATION")
			break
		}
		c.parked = false
		c.party.called(f, c)
	case "uuid_recv_dtmf":
	}
	return "+OK\n"
}

func (f *fakeFS) park(c *fakeChannel) {
	c.parked = true
	f.event("CHANNEL_PARK", c)
}

// hangup ends a channel and what depends on it. f.mu is held.
func (f *fakeFS) hangup(c *fakeChannel, cause string) {
	if f.channels[c.id] == nil {
		return
	}
	delete(f.channels, c.id)
	f.event("CHANNEL_HANGUP_COMPLETE", c, "Hangup-Cause", cause)
	c.party.hangUp()
	c.result("-ERR " + cause)
	if _, open := f.sockets[c.socket]; open {
		c.tell("verto.bye", "cause", cause)
	}
	if other := f.channels[c.bridged]; other != nil {
		other.bridged = ""
		if other.vars["park_after_bridge"] == "true" {
			f.park(other)
		} else {
			f.hangup(other, "NORMAL_CLEARING")
		}
	}
}

// result ends the job that made the channel, once.
func (c *fakeChannel) result(text string) {
	if c.job != nil {
		c.job <- text
		c.job = nil
	}
}

// originate makes a channel and waits for its answer.
func (f *fakeFS) originate(set, number string) string {
	vars := map[string]string{}
	for _, pair := range separate(set, ',', 1024) {
		if words := separate(pair, '=', 2); len(words) == 2 {
			vars[words[0]] = words[1]
		}
	}
	f.mu.Lock()
	party := f.calls(number)
	if party == nil || f.closed {
		f.mu.Unlock()
		return "-ERR UNALLOCATED_NUMBER"
	}
	c := &fakeChannel{id: vars["origination_uuid"], vars: vars, party: party, job: make(chan string, 1)}
	job := c.job
	f.channels[c.id] = c
	if party.scripted {
		c.job = nil
		f.mu.Unlock()
		close(party.rings)
		return scripted
	}
	party.called(f, c)
	f.mu.Unlock()
	return <-job
}

// serveVerto is one WebSocket of mod_verto.
func (f *fakeFS) serveVerto(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	f.mu.Lock()
	f.sockets[conn] = ""
	f.mu.Unlock()
	for {
		_, data, err := conn.Read(context.Background())
		if err != nil {
			break
		}
		f.vertoRequest(conn, data)
	}
	_ = conn.CloseNow()
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.sockets, conn)
	for _, c := range f.channels {
		if c.socket == conn {
			f.hangup(c, "RECOVERY_ON_TIMER_EXPIRE")
		}
	}
}

// vertoAnswer tells the WebSocket of a channel that it is answered. f.mu is held.
func (f *fakeFS) vertoAnswer(c *fakeChannel) {
	f.ports++
	codec := f.codec
	if codec == "" {
		codec = "L16/16000"
	}
	c.tell("verto.answer", "sdp", fmt.Sprintf("v=0\r\nc=IN IP4 127.0.0.1\r\nm=audio %d RTP/AVP 96 101\r\na=rtpmap:96 %s\r\n", f.ports, codec))
}

// tell sends a message of mod_verto about a channel. fakeFS.mu is held.
func (c *fakeChannel) tell(method, name, value string) {
	text, _ := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": map[string]string{"callID": c.id, name: value}})
	_ = c.socket.Write(context.Background(), websocket.MessageText, text)
}

func (f *fakeFS) vertoRequest(conn *websocket.Conn, data []byte) {
	var m struct {
		ID     int64  `json:"id"`
		Method string `json:"method"`
		Params struct {
			Passwd       string `json:"passwd"`
			Session      string `json:"sessid"`
			SDP          string `json:"sdp"`
			DialogParams struct {
				CallID      string `json:"callID"`
				Destination string `json:"destination_number"`
				RecoverCall *bool  `json:"recoverCall"`
			} `json:"dialogParams"`
		} `json:"params"`
	}
	if json.Unmarshal(data, &m) != nil || m.Method == "" {
		return
	}
	f.mu.Lock()
	deaf, refused := f.deaf && m.Method == "verto.ping", f.noLogin || m.Params.Passwd != fakeVerto
	f.mu.Unlock()
	if deaf {
		return
	}
	reply := func(text string) { _ = conn.Write(context.Background(), websocket.MessageText, []byte(text)) }
	if m.Method == "login" && refused {
		reply(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"error":{"code":-32001,"message":"Authentication Failure"}}`, m.ID))
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lacks[m.Method] {
		reply(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"error":{"code":-32601,"message":"Permission Denied"}}`, m.ID))
		return
	}
	reply(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":{"message":"OK"}}`, m.ID))
	call := m.Params.DialogParams.CallID
	switch m.Method {
	case "login":
		if _, open := f.sockets[conn]; open {
			f.sockets[conn] = m.Params.Session
		}
	case "verto.invite":
		if m.Params.DialogParams.RecoverCall == nil || *m.Params.DialogParams.RecoverCall || f.closed {
			return
		}
		c := &fakeChannel{id: call, vars: map[string]string{}, answered: m.Params.DialogParams.Destination != defaultDial, socket: conn}
		if !strings.Contains(m.Params.SDP, f.codec) {
			c.tell("verto.bye", "cause", "INCOMPATIBLE_DESTINATION")
			return
		}
		f.channels[call] = c
		if f.lacks[m.Params.DialogParams.Destination] {
			f.hangup(c, "NO_ROUTE_DESTINATION")
			return
		}
		f.park(c)
		if c.answered && !f.lacks["answer"] {
			f.vertoAnswer(c)
		}
	case "verto.bye":
		if c := f.channels[call]; c != nil {
			f.hangup(c, "NORMAL_CLEARING")
		}
	}
}
