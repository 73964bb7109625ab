package ari

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/media"
)

const (
	fakeUser     = "user"
	fakePassword = "geheim-4711"
)

// fakeARI is a scripted Asterisk: it says yes to everything that is not scripted otherwise, and knows no calls.
type fakeARI struct {
	server *httptest.Server

	mu       sync.Mutex
	script   map[string]http.HandlerFunc // by "METHOD /path", the longest that begins a request wins
	requests []string                    // "METHOD /path?query body"
	sockets  []*websocket.Conn
	channels []string // JSON of GET /channels
	version  string
}

func newFake(t *testing.T) *fakeARI {
	f := &fakeARI{script: map[string]http.HandlerFunc{}, version: "22.10.1"}
	f.server = httptest.NewServer(f)
	t.Cleanup(func() {
		f.dropSockets()
		f.server.CloseClientConnections()
		f.server.Close()
	})
	return f
}

func (f *fakeARI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	request := r.Method + " " + strings.TrimPrefix(r.URL.Path, "/ari")
	line := request
	if r.URL.RawQuery != "" {
		line += "?" + r.URL.RawQuery
	}
	f.mu.Lock()
	f.requests = append(f.requests, line+" "+string(body))
	handler, best := http.HandlerFunc(nil), ""
	for begins, h := range f.script {
		if strings.HasPrefix(request, begins) && len(begins) > len(best) {
			handler, best = h, begins
		}
	}
	f.mu.Unlock()
	if user, password, _ := r.BasicAuth(); user != fakeUser || password != fakePassword {
		reply(w, http.StatusUnauthorized, `{"message":"Authentication required"}`)
		return
	}
	if handler != nil {
		handler(w, r)
		return
	}
	f.serve(w, r, request)
}

func (f *fakeARI) serve(w http.ResponseWriter, r *http.Request, request string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case request == "GET /asterisk/info":
		reply(w, http.StatusOK, `{"system":{"version":"`+f.version+`","entity_id":"x"}}`)
	case request == "GET /channels":
		reply(w, http.StatusOK, "["+strings.Join(f.channels, ",")+"]")
	case request == "GET /bridges":
		reply(w, http.StatusOK, "[]")
	case request == "GET /events":
		f.upgrade(w, r)
	case request == "POST /channels/externalMedia":
		reply(w, http.StatusOK, `{"id":"x","channelvars":{"UNICASTRTP_LOCAL_ADDRESS":"127.0.0.1","UNICASTRTP_LOCAL_PORT":"40000"}}`)
	case strings.HasSuffix(request, "/variable") && r.Method == http.MethodGet:
		reply(w, http.StatusOK, `{"value":"(ulaw)"}`)
	case request == "POST /channels", strings.HasPrefix(request, "GET /applications/"):
		reply(w, http.StatusOK, `{"name":"tgtrunk","channel_ids":[],"bridge_ids":[]}`)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// upgrade makes the request an event socket. f.mu is held.
func (f *fakeARI) upgrade(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	conn.CloseRead(context.Background()) // answers pings
	f.sockets = append(f.sockets, conn)
}

func reply(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}

// on scripts the answer to requests that begin so.
func (f *fakeARI) on(begins string, h http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.script[begins] = h
}

func (f *fakeARI) refuse(begins string, status int, text string) {
	f.on(begins, func(w http.ResponseWriter, _ *http.Request) { reply(w, status, text) })
}

// stick never answers requests that begin so.
func (f *fakeARI) stick(begins string) {
	f.on(begins, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
}

// send sends an event to the newest socket.
func (f *fakeARI) send(t *testing.T, text string) {
	t.Helper()
	f.mu.Lock()
	conn := f.sockets[len(f.sockets)-1]
	f.mu.Unlock()
	if err := conn.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

// event sends an event about a channel, with more members.
func (f *fakeARI) event(t *testing.T, kind, channel, more string) {
	t.Helper()
	f.send(t, fmt.Sprintf(`{"type":%q,"application":"tgtrunk","timestamp":"2026-11-22T00:00:16.340+0000",`+
		`"channel":%s%s}`, kind, channelJSON(channel, "", ""), more))
}

func channelJSON(id, app, data string) string {
	return fmt.Sprintf(`{"id":%q,"name":"PJSIP/x","state":"Ring","caller":{"name":"Zoë","number":"200"},`+
		`"creationtime":"2026-11-22T00:00:16.340+0000",`+
		`"dialplan":{"context":"in","exten":"5001","priority":1,"app_name":%q,"app_data":%q}}`, id, app, data)
}

func (f *fakeARI) dropSockets() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.sockets {
		_ = c.CloseNow()
	}
}

// asked returns the requests so far that begin so.
func (f *fakeARI) asked(begins string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var found []string
	for _, r := range f.requests {
		if strings.HasPrefix(r, begins) {
			found = append(found, r)
		}
	}
	return found
}

// waitAsked waits for the n-th request that begins so and returns it.
func (f *fakeARI) waitAsked(t *testing.T, begins string, n int) string {
	t.Helper()
	eventually(t, begins, func() bool { return len(f.asked(begins)) >= n })
	return f.asked(begins)[n-1]
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// bench is a link that runs towards a fake.
type bench struct {
	*fakeARI
	link   *Link
	offers chan bridge.Offer
	log    *syncBuffer
	stop   func()
}

func fakeOptions(f *fakeARI) Options {
	return Options{Name: "pbx", URL: f.server.URL + "/ari", Username: fakeUser, Password: fakePassword,
		RequestTimeout: 2 * time.Second}
}

// newBench makes a link with short waits; run starts it.
func newBench(t *testing.T, f *fakeARI, o Options) *bench {
	t.Helper()
	b := &bench{fakeARI: f, offers: make(chan bridge.Offer, 100), log: &syncBuffer{}}
	o.Log = slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	link, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	link.timing = timing{backoffMin: 10 * time.Millisecond, backoffMax: 50 * time.Millisecond, ping: 50 * time.Millisecond,
		sweep: time.Hour, lostAfter: 300 * time.Millisecond, standDown: 20 * time.Millisecond}
	b.link = link
	t.Cleanup(func() {
		if strings.Contains(b.log.String(), fakePassword) {
			t.Error("the password is in the log")
		}
		if t.Failed() {
			t.Log(b.log.String())
		}
	})
	return b
}

func (b *bench) run(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.link.Run(ctx, func(o bridge.Offer) { b.offers <- o }) }()
	b.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("run: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("run does not end")
		}
	})
	t.Cleanup(b.stop)
}

// startBench runs a link with the default options and waits until it is connected.
func startBench(t *testing.T) *bench {
	t.Helper()
	f := newFake(t)
	b := newBench(t, f, fakeOptions(f))
	b.run(t)
	eventually(t, "connected", b.link.Connected)
	return b
}

// arrive lets a caller enter the application and returns the offer.
func (b *bench) arrive(t *testing.T, id string) bridge.Offer {
	t.Helper()
	b.event(t, "StasisStart", id, `,"args":["5001"]`)
	select {
	case o := <-b.offers:
		return o
	case <-time.After(10 * time.Second):
		t.Fatal("no call was offered")
	}
	panic("unreachable")
}

// variables returns what the link set on a channel last.
func (b *bench) variables(t *testing.T, id string) map[string]string {
	t.Helper()
	all := b.asked("POST /channels/" + id + "/variables")
	if len(all) == 0 {
		t.Fatal("no variables were set")
	}
	_, body, _ := strings.Cut(all[len(all)-1], "{")
	var set struct{ Variables map[string]string }
	if err := json.Unmarshal([]byte("{"+body), &set); err != nil {
		t.Fatal(err)
	}
	return set.Variables
}

// rest of a leg's life: every event up to and with Ended.
func drain(t *testing.T, leg bridge.Leg) []bridge.Event {
	t.Helper()
	var all []bridge.Event
	limit := time.After(15 * time.Second)
	for {
		select {
		case e, open := <-leg.Events():
			if !open {
				return all
			}
			all = append(all, e)
		case <-limit:
			t.Fatalf("leg does not end; so far %#v", all)
		}
	}
}

// ended drains a leg and checks that Ended came once, last, and with this reason.
func ended(t *testing.T, leg bridge.Leg, want bridge.Reason) bridge.Ended {
	t.Helper()
	all := drain(t, leg)
	isEnd := func(e bridge.Event) bool { _, is := e.(bridge.Ended); return is }
	if i := slices.IndexFunc(all, isEnd); i < 0 || i != len(all)-1 {
		t.Fatalf("events %#v: want Ended once and last", all)
	}
	end := all[len(all)-1].(bridge.Ended)
	if end.Cause.Reason != want {
		t.Errorf("ended with %v (%v), want %v", end.Cause, end.Err, want)
	}
	return end
}

// syncBuffer is a log for several goroutines.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func listenRTP(t *testing.T, address string) *media.RTPPort {
	t.Helper()
	port, err := media.ListenRTP(media.RTPOptions{Listen: address})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = port.Close() })
	return port
}
