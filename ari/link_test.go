package ari

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/bridge/pbx"
	"github.com/tgtrunk/tgtrunk/routing"
)

// TestConnectFails: each mistake of the administrator is said once, in words that say what to do, and the link keeps
// trying.
func TestConnectFails(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*fakeARI, *Options)
		say   string
	}{
		"wrong password": {func(_ *fakeARI, o *Options) { o.Password = "wrong" }, "refuses user \\\"user\\\" or its password"},
		"wrong path":     {func(f *fakeARI, _ *Options) { f.refuse("GET /asterisk/info", 404, "") }, "there is no ARI at"},
		"read only":      {func(f *fakeARI, _ *Options) { f.refuse("GET /channels", 403, "") }, "read_only=no"},
		"not ari": {func(f *fakeARI, _ *Options) { f.refuse("GET /asterisk/info", 200, "<html>") },
			"decode reply"},
		"another service": {func(f *fakeARI, _ *Options) { f.refuse("GET /asterisk/info", 200, "{}") }, "not asterisk's ARI"},
		"broken":          {func(f *fakeARI, _ *Options) { f.refuse("GET /asterisk/info", 503, "") }, "503"},
		"redirect": {func(f *fakeARI, _ *Options) {
			f.on("GET /asterisk/info", http.RedirectHandler("/x", http.StatusFound).ServeHTTP)
		}, "302"},
		"too old": {func(f *fakeARI, _ *Options) { f.version = "13.38.3" }, "too old"},
		"stuck": {func(f *fakeARI, o *Options) { o.RequestTimeout = 30 * time.Millisecond; f.stick("GET /asterisk/info") },
			"does not answer within 30ms"},
		"no event socket": {func(f *fakeARI, _ *Options) { f.refuse("GET /events", 401, "") }, "refuses user"},
		"silent event socket": {func(f *fakeARI, o *Options) { o.RequestTimeout = 30 * time.Millisecond; f.stick("GET /events") },
			"does not answer within 30ms"},
		"application never registered": {func(f *fakeARI, o *Options) {
			o.RequestTimeout = 50 * time.Millisecond
			f.refuse("GET /applications/", 404, `{"message":"Application not found"}`)
		}, "register the application"},
		"refused": {func(f *fakeARI, o *Options) {
			l, _ := net.Listen("tcp", "127.0.0.1:0")
			o.URL = "http://" + l.Addr().String() + "/ari"
			l.Close()
		}, "nothing listens at"},
		"unknown host": {func(_ *fakeARI, o *Options) {
			o.URL = "http://pbx.invalid:8088/ari"
			o.Media.Advertise = "127.0.0.1"
		}, "has no address"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			o := fakeOptions(f)
			c.spoil(f, &o)
			b := newBench(t, f, o)
			b.run(t)
			eventually(t, c.say, func() bool { return strings.Contains(b.log.String(), c.say) })
			eventually(t, "further attempts", func() bool { return strings.Contains(b.log.String(), "attempts=3") })
			if n := strings.Count(b.log.String(), c.say); n != 1 {
				t.Errorf("said %d times", n)
			}
			leg := b.link.Dial(t.Context(), routing.Target{Extension: "1"})
			if end := ended(t, leg, bridge.AccountDown); !errors.Is(end.Err, ErrNotConnected) {
				t.Errorf("error %v", end.Err)
			}
		})
	}
}

// TestConnectsLater: the administrator repairs what was wrong, and the link is up without a restart.
func TestConnectsLater(t *testing.T) {
	f := newFake(t)
	f.refuse("GET /asterisk/info", 401, "")
	b := newBench(t, f, fakeOptions(f))
	b.run(t)
	f.waitAsked(t, "GET /asterisk/info", 2)
	f.mu.Lock()
	delete(f.script, "GET /asterisk/info")
	f.mu.Unlock()
	eventually(t, "connected", b.link.Connected)
}

// TestPortIsTaken: a socket that another process has yet is had later, without a restart, and the link ends in between.
func TestPortIsTaken(t *testing.T) {
	other, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	f := newFake(t)
	o := fakeOptions(f)
	o.Media.Listen = other.LocalAddr().String()
	waiting := newBench(t, f, o)
	waiting.run(t)
	eventually(t, "said", func() bool { return strings.Contains(waiting.log.String(), "no socket for asterisk's audio") })
	waiting.stop()
	b := newBench(t, f, o)
	b.run(t)
	eventually(t, "said", func() bool { return strings.Contains(b.log.String(), "no socket for asterisk's audio") })
	ended(t, b.link.Dial(t.Context(), routing.Target{Extension: "1"}), bridge.AccountDown)
	_ = other.Close()
	eventually(t, "connected", b.link.Connected)
}

// TestModuleIsMissing: ARI works without the modules that carry audio, and its errors do not name them.
func TestModuleIsMissing(t *testing.T) {
	f := newFake(t)
	f.refuse("GET /asterisk/modules/chan_rtp.so", 404, `{"message":"Module could not be found in running modules"}`)
	b := newBench(t, f, fakeOptions(f))
	b.run(t)
	eventually(t, "said", func() bool { return strings.Contains(b.log.String(), "module=chan_rtp.so") })
	b.waitAsked(t, "GET /asterisk/modules/res_rtp_asterisk.so", 1)
	if n := strings.Count(b.log.String(), "lacks a module"); n != 1 {
		t.Errorf("said %d times", n)
	}
}

// TestStuckDial: a request that Asterisk never answers blocks neither Hangup, nor other legs, nor the end of Run.
func TestStuckDial(t *testing.T) {
	b := startBench(t)
	b.stick("POST /channels")
	b.on("POST /channels/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	stuck := b.link.Dial(t.Context(), routing.Target{Extension: "1"})
	b.waitAsked(t, "POST /channels ", 1)
	other := b.arrive(t, "caller-1")
	other.Leg.Hangup(bridge.CauseOf(bridge.Busy))
	ended(t, other.Leg, bridge.Busy)
	began := time.Now()
	stuck.Hangup(bridge.CauseOf(bridge.Cancelled))
	ended(t, stuck, bridge.Cancelled)
	if took := time.Since(began); took > time.Second {
		t.Errorf("hanging up took %v", took)
	}
	b.waitAsked(t, "DELETE /channels/"+stuck.ID()+"-out", 1)

	timesOut := b.link.Dial(t.Context(), routing.Target{Extension: "1"})
	if end := ended(t, timesOut, bridge.AccountDown); !errors.Is(end.Err, context.DeadlineExceeded) {
		t.Errorf("error %v", end.Err)
	}
}

// TestStuckEnd: where even hanging up gets no answer, the leg ends within one request timeout.
func TestStuckEnd(t *testing.T) {
	f := newFake(t)
	o := fakeOptions(f)
	o.RequestTimeout = 200 * time.Millisecond
	b := newBench(t, f, o)
	b.run(t)
	eventually(t, "connected", b.link.Connected)
	leg := b.answer(t, "caller-1")
	b.stick("DELETE /")
	b.stick("POST /channels/")
	began := time.Now()
	leg.Hangup(bridge.CauseOf(bridge.Normal))
	ended(t, leg, bridge.Normal)
	if took := time.Since(began); took > time.Second {
		t.Errorf("ending took %v", took)
	}
}

// answer takes a call up to its audio.
func (b *bench) answer(t *testing.T, id string) bridge.Leg {
	t.Helper()
	leg := b.arrive(t, id).Leg
	leg.Answer()
	b.waitAsked(t, "POST /channels/externalMedia", 1)
	b.event(t, "StasisStart", leg.ID()+"-media", `,"args":[]`)
	for _, want := range []string{"Answered", "Media"} {
		select {
		case e := <-leg.Events():
			if got := kindOf(e); got != want {
				t.Fatalf("event %#v, want %s", e, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("no %s", want)
		}
	}
	return leg
}

func kindOf(e bridge.Event) string {
	switch e.(type) {
	case bridge.Answered:
		return "Answered"
	case bridge.Media:
		return "Media"
	}
	return "other"
}

// TestAnswerOrder: the caller is answered last, when both channels are in the bridge, and never before.
func TestAnswerOrder(t *testing.T) {
	b := startBench(t)
	leg := b.answer(t, "caller-1")
	var order []string
	for _, r := range b.asked("POST ") {
		for _, what := range []string{"/channels/caller-1/answer", "addChannel?channel=caller-1", "-media&inhibit", "externalMedia"} {
			if strings.Contains(r, what) {
				order = append(order, what)
			}
		}
	}
	if got := strings.Join(order, " "); got != "externalMedia -media&inhibit addChannel?channel=caller-1 /channels/caller-1/answer" {
		t.Errorf("order: %s", got)
	}
	b.event(t, "ChannelHangupRequest", "caller-1", `,"cause":32,"soft":true`)
	b.event(t, "ChannelHangupRequest", "caller-1", `,"cause":16`)
	b.event(t, "StasisEnd", "caller-1", "")
	ended(t, leg, bridge.Normal)
	if gone := b.asked("DELETE /channels/caller-1"); len(gone) != 0 {
		t.Errorf("a channel that left the application was hung up: %v", gone)
	}
	for _, left := range []string{"DELETE /channels/" + leg.ID() + "-media", "DELETE /bridges/" + leg.ID() + "-bridge"} {
		if len(b.asked(left)) == 0 {
			t.Errorf("no %s", left)
		}
	}
}

// TestMediaFails: whatever goes wrong on the way to audio, the caller is not answered and goes on in the dialplan.
func TestMediaFails(t *testing.T) {
	for name, c := range map[string]struct {
		spoil   func(*fakeARI)
		answers int
	}{
		"no bridge":        {func(f *fakeARI) { f.refuse("POST /bridges/", 500, `{"message":"no"}`) }, 0},
		"no media channel": {func(f *fakeARI) { f.refuse("POST /channels/externalMedia", 500, `{"message":"no"}`) }, 0},
		"no address":       {func(f *fakeARI) { f.refuse("POST /channels/externalMedia", 200, `{}`) }, 0},
		"bad address": {func(f *fakeARI) {
			f.refuse("POST /channels/externalMedia", 200,
				`{"channelvars":{"UNICASTRTP_LOCAL_ADDRESS":"x y","UNICASTRTP_LOCAL_PORT":"1"}}`)
		}, 0},
		"stuck":     {func(f *fakeARI) { f.stick("POST /channels/externalMedia") }, 0},
		"no answer": {func(f *fakeARI) { f.refuse("POST /channels/caller-1/answer", 500, `{"message":"no"}`) }, 1},
		"never enters stasis": {func(f *fakeARI) { // the test sends no StasisStart then
			f.refuse("POST /bridges/x", 500, "")
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			o := fakeOptions(f)
			o.RequestTimeout = time.Second
			c.spoil(f)
			b := newBench(t, f, o)
			b.run(t)
			eventually(t, "connected", b.link.Connected)
			leg := b.arrive(t, "caller-1").Leg
			leg.Answer()
			if name == "no answer" {
				b.waitAsked(t, "POST /channels/externalMedia", 1)
				b.event(t, "StasisStart", leg.ID()+"-media", `,"args":[]`)
			}
			if end := ended(t, leg, bridge.MediaFailed); end.Err == nil {
				t.Error("no error says why")
			}
			if n := len(b.asked("POST /channels/caller-1/answer")); n != c.answers {
				t.Errorf("answered %d times", n)
			}
			if set := b.variables(t, "caller-1"); set["TGTRUNK_REASON"] != "MEDIA" || set["TGTRUNK_CAUSE"] != "38" {
				t.Errorf("variables %v", set)
			}
			if len(b.asked("POST /channels/caller-1/continue")) != 1 {
				t.Error("the caller does not go on in the dialplan")
			}
		})
	}
}

// TestComesAgain: a caller who is redirected to another Stasis() while his leg is busy, and does not hear that he has left
// until he is there, is a new call.
func TestComesAgain(t *testing.T) {
	f := newFake(t)
	o := fakeOptions(f)
	o.RequestTimeout = 500 * time.Millisecond
	b := newBench(t, f, o)
	b.run(t)
	eventually(t, "connected", b.link.Connected)
	f.stick("POST /channels/caller-1/ring")
	first := b.arrive(t, "caller-1").Leg
	first.Ring()
	b.waitAsked(t, "POST /channels/caller-1/ring", 1)
	b.event(t, "StasisEnd", "caller-1", "")
	second := b.arrive(t, "caller-1").Leg
	ended(t, first, bridge.Cancelled)
	second.Hangup(bridge.CauseOf(bridge.Busy))
	ended(t, second, bridge.Busy)
	if n := len(b.asked("POST /channels/caller-1/continue")); n != 1 {
		t.Errorf("the caller was given back to the dialplan %d times", n)
	}
}

// TestOddEvents: malformed, unknown and foreign messages do no harm.
func TestOddEvents(t *testing.T) {
	b := startBench(t)
	for _, text := range []string{
		"", "{", "null", "[]", "7", `{"type":7}`, `{"type":"StasisStart"}`, `{"type":"StasisStart","channel":7}`,
		`{"type":"StasisStart","application":"tgtrunk","channel":{"id":"x","creationtime":"yesterday"}}`,
		`{"type":"ChannelTransfer","application":"tgtrunk"}`, `{"type":"SomethingNew","application":"tgtrunk"}`,
		`{"type":"StasisStart","application":"other","channel":{"id":"foreign"},"args":[]}`,
		`{"type":"ChannelDestroyed","application":"tgtrunk","channel":{"id":"nobody"},"cause":-5}`,
		`{"type":"Dial","application":"tgtrunk","peer":{"id":"nobody"},"dialstatus":"RINGING"}`,
	} {
		b.send(t, text)
	}
	leg := b.arrive(t, "caller-1").Leg
	leg.Hangup(bridge.CauseOf(bridge.Busy))
	ended(t, leg, bridge.Busy)
	if n := len(b.asked("POST /applications/tgtrunk/subscription")); n != 1 {
		t.Errorf("%d subscriptions, want that of the one call", n)
	}
}

// TestSocketDropped: the link reconnects, and calls go on.
func TestSocketDropped(t *testing.T) {
	b := startBench(t)
	leg := b.answer(t, "caller-1")
	b.mu.Lock()
	b.channels = []string{channelJSON("caller-1", "Stasis", "tgtrunk,5001"), channelJSON(leg.ID()+"-media", "Stasis", "tgtrunk")}
	b.mu.Unlock()
	b.on("GET /bridges", func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, `[{"id":"`+leg.ID()+`-bridge"}]`) })
	b.dropSockets()
	b.waitAsked(t, "GET /events", 2)
	eventually(t, "connected again", b.link.Connected)
	b.event(t, "ChannelDtmfReceived", "caller-1", `,"digit":"7","duration_ms":100`)
	if e := <-leg.Events(); e != (bridge.Digit{Digit: '7'}) {
		t.Errorf("event %#v", e)
	}
	leg.Hangup(bridge.CauseOf(bridge.Normal))
	ended(t, leg, bridge.Normal)
}

// TestHalfOpen: a socket that is dead without having been closed is found by its missing pong.
func TestHalfOpen(t *testing.T) {
	f := newFake(t)
	quiet := make(chan struct{})
	t.Cleanup(func() { close(quiet) })
	f.on("GET /events", func(w http.ResponseWriter, r *http.Request) {
		if conn, err := websocket.Accept(w, r, nil); err == nil { // never read: pings go unanswered
			<-quiet
			_ = conn.CloseNow()
		}
	})
	o := fakeOptions(f)
	o.RequestTimeout = 200 * time.Millisecond
	b := newBench(t, f, o)
	b.run(t)
	f.waitAsked(t, "GET /events", 2)
	if !strings.Contains(b.log.String(), "does not answer a ping") {
		t.Error("no word of the missing answer")
	}
}

// TestUnreachableTooLong: calls do not outlive Asterisk for ever.
func TestUnreachableTooLong(t *testing.T) {
	b := startBench(t)
	leg := b.answer(t, "caller-1")
	b.refuse("GET /asterisk/info", 503, "")
	b.dropSockets()
	if end := ended(t, leg, bridge.Failure); end.Err == nil {
		t.Error("no error says why")
	}
}

// TestReplacedFake: the link ends its calls, says what is wrong, and comes back when the other has gone.
func TestReplacedFake(t *testing.T) {
	b := startBench(t)
	leg := b.answer(t, "caller-1")
	b.send(t, `{"type":"ApplicationReplaced","application":"tgtrunk"}`)
	if end := ended(t, leg, bridge.Failure); !errors.Is(end.Err, ErrReplaced) {
		t.Errorf("error %v", end.Err)
	}
	looks := len(b.asked("GET /applications/tgtrunk"))
	b.waitAsked(t, "GET /applications/tgtrunk", looks+5)
	if n := len(b.asked("GET /events")); n != 1 {
		t.Fatalf("connected %d times: it fights", n)
	}
	b.refuse("GET /applications/tgtrunk", 404, `{"message":"Application not found"}`)
	b.waitAsked(t, "GET /events", 2)
}

// TestReconcile: what belongs to nobody goes, in the way that fits; foreign things and fresh ones stay.
func TestReconcile(t *testing.T) {
	f := newFake(t)
	b := newBench(t, f, fakeOptions(f))
	b.link.timing.sweep = 20 * time.Millisecond
	old := b.link.ids.mark + "0badcafe-1"
	f.channels = []string{
		channelJSON(old+"-media", "Stasis", "tgtrunk"),
		channelJSON(old+"-out", "AppDial2", "(Outgoing Line)"),
		channelJSON(old+"-far", "Echo", ""),
		channelJSON("1795305616.102", "Stasis", "tgtrunk,5001"),
		channelJSON("1795305616.103", "Stasis", "tgtrunk2,5001"),
		channelJSON("1795305616.104", "Dial", "PJSIP/100"),
		channelJSON("tgtrunk-00000000-0badcafe-1-media", "Stasis", "another"),
		channelJSON(old+"2-out", "Queue", "support"),
		channelJSON(old+"3-out", "Stasis", "tgtrunk,5001"), // a phone that we had dialled, redirected to call us
	}
	f.on("GET /bridges", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, 200, `[{"id":"`+old+`-bridge"},{"id":"foreign"}]`)
	})
	b.run(t)
	for _, want := range []string{
		"DELETE /channels/" + old + "-media?reason_code=38", "DELETE /channels/" + old + "-out?reason_code=38",
		"DELETE /bridges/" + old + "-bridge", "POST /channels/1795305616.102/continue",
		"POST /channels/" + old + "3-out/continue",
	} {
		b.waitAsked(t, want, 1)
	}
	if set := b.variables(t, "1795305616.102"); set["TGTRUNK_REASON"] != "FAILURE" {
		t.Errorf("variables %v", set)
	}
	b.waitAsked(t, "GET /bridges", 6)
	for _, r := range append(b.asked("DELETE "), b.asked("POST /channels")...) {
		for _, foreign := range []string{"616.103", "616.104", "foreign", "00000000", "-far", "12-out"} {
			if strings.Contains(r, foreign) {
				t.Errorf("touches what is not ours: %s", r)
			}
		}
	}
}

// TestVanished: a leg whose channel is no longer listed ends.
func TestVanished(t *testing.T) {
	f := newFake(t)
	b := newBench(t, f, fakeOptions(f))
	b.link.timing.sweep = 20 * time.Millisecond
	b.run(t)
	eventually(t, "connected", b.link.Connected)
	leg := b.arrive(t, "caller-1").Leg // the fake lists no channels
	if end := ended(t, leg, bridge.Failure); !errors.Is(end.Err, ErrChannelGone) {
		t.Errorf("error %v", end.Err)
	}
}

// TestLateChannel: a channel that enters the application for a leg that has ended is hung up.
func TestLateChannel(t *testing.T) {
	b := startBench(t)
	b.event(t, "StasisStart", b.link.ids.instance+"99-media", `,"args":[]`)
	b.waitAsked(t, "DELETE /channels/"+b.link.ids.instance+"99-media", 1)
	b.event(t, "StasisStart", "replacement", `,"args":[],"replace_channel":`+channelJSON("gone", "", ""))
	b.waitAsked(t, "DELETE /channels/replacement", 1)
	if len(b.offers) != 0 {
		t.Error("it was offered as a call")
	}
}

// TestUnread: a call that does not read its events blocks nobody, and still finds Ended.
func TestUnread(t *testing.T) {
	b := startBench(t)
	leg := b.answer(t, "caller-1")
	for range 3 * pbx.OutboxSize {
		b.event(t, "ChannelDtmfReceived", "caller-1", `,"digit":"7","duration_ms":100`)
	}
	b.event(t, "StasisEnd", "caller-1", "")
	b.waitAsked(t, "DELETE /bridges/"+leg.ID(), 1)
	ended(t, leg, bridge.Normal)
}

// TestOldAsterisk: without the request for several variables they are set one by one.
func TestOldAsterisk(t *testing.T) {
	b := startBench(t)
	b.refuse("POST /channels/caller-1/variables", 404, `{"message":"Resource not found"}`)
	leg := b.arrive(t, "caller-1").Leg
	leg.Hangup(bridge.CauseOf(bridge.Busy))
	ended(t, leg, bridge.Busy)
	if n := len(b.asked("POST /channels/caller-1/variable?")); n != 1+4 {
		t.Errorf("%d variables set, want the mark and four", n)
	}
	if n := len(b.asked("POST /channels/caller-1/variables")); n != 1 {
		t.Errorf("asked %d times for what this asterisk does not know", n)
	}
}

// TestRunOnce: a link runs once, and says so.
func TestRunOnce(t *testing.T) {
	b := startBench(t)
	if err := b.link.Run(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "run before") {
		t.Errorf("error %v", err)
	}
}

// TestRTPAddress: an address Asterisk cannot reach is an error of the connection. (TestPortIsTaken has one of ours.)
func TestRTPAddress(t *testing.T) {
	f := newFake(t)
	link := newBench(t, f, fakeOptions(f)).link
	link.opt.URL = "http://192.0.2.1:8088/ari"
	link.port = listenRTP(t, "127.0.0.1:0")
	if err := link.checkRoute(t.Context()); err != nil && !strings.Contains(err.Error(), "listen on an address it reaches") {
		t.Errorf("error %v", err)
	}
	link.opt.URL = f.server.URL
	if err := link.checkRoute(t.Context()); err != nil {
		t.Errorf("loopback towards loopback: %v", err)
	}
	link.port = listenRTP(t, "0.0.0.0:0")
	host, err := link.externalHost(t.Context())
	if at, parseErr := netip.ParseAddrPort(host); err != nil || parseErr != nil || !at.Addr().IsLoopback() || at.Port() == 0 {
		t.Errorf("external host %q: %v, %v", host, err, parseErr)
	}
	link.opt.Media.Advertise = "media.example"
	if host, err := link.externalHost(t.Context()); err != nil || !strings.HasPrefix(host, "media.example:") {
		t.Errorf("external host %q: %v", host, err)
	}
}
