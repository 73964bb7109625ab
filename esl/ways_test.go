package esl

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/lab"
	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/routing"
)

// lines keeps what is logged.
type lines struct {
	mu  sync.Mutex
	all []map[string]string
}

// Write takes one record in JSON.
func (l *lines) Write(p []byte) (int, error) {
	var record map[string]any
	if err := json.Unmarshal(p, &record); err != nil {
		return 0, err
	}
	flat := map[string]string{}
	for name, value := range record {
		flat[name] = fmt.Sprint(value)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, flat)
	return len(p), nil
}

// having returns the records with a message.
func (l *lines) having(message string) (found []map[string]string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, record := range l.all {
		if record["msg"] == message {
			found = append(found, record)
		}
	}
	return found
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewJSONHandler(l, nil)) }

// unused is an address at which nothing listens.
func unused(t *testing.T) string {
	t.Helper()
	port, err := lab.FreeTCPPort()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", port)
}

// TestWayIsSaid: the log says by which way audio goes, and what to change where it is not the best or there is none.
func TestWayIsSaid(t *testing.T) {
	const (
		goes, fallback, none = "audio goes by", "audio goes by the fallback", "audio has no way, calls will fail"
		unicast              = "unicast, L16/8000"
	)
	lacking := func(names ...string) func(*testing.T, *fakeFS, *Options) {
		return func(_ *testing.T, f *fakeFS, _ *Options) {
			for _, name := range names {
				f.lacks[name] = true
			}
		}
	}
	for name, c := range map[string]struct {
		change   func(*testing.T, *fakeFS, *Options)
		off      bool // no fallback
		message  string
		way      string
		because  string // what is wrong
		do       string // what mends it
		mentions string // FreeSWITCH's own words
	}{
		"all is well":          {message: goes, way: "mod_verto, L16/16000"},
		"a profile of G.711":   {func(_ *testing.T, f *fakeFS, _ *Options) { f.codec = "PCMU/8000" }, false, goes, "mod_verto, PCMU/8000", "", "", ""},
		"no url":               {func(_ *testing.T, _ *fakeFS, o *Options) { o.Verto = VertoOptions{} }, false, fallback, unicast, "names no verto url", "", ""},
		"no mod_rtc":           {lacking("mod_rtc"), false, fallback, unicast, "mod_rtc is not loaded", `<load module="mod_rtc"/> to autoload_configs/modules.conf.xml`, ""},
		"no mod_verto":         {lacking("mod_verto"), false, fallback, unicast, "mod_verto is not loaded", `<load module="mod_verto"/> to autoload_configs/modules.conf.xml`, ""},
		"no fallback":          {lacking("mod_verto"), true, none, "", "mod_verto is not loaded", `then "load mod_verto"`, ""},
		"no fallback's module": {lacking("mod_verto", "mod_loopback"), false, none, "", "mod_verto is not loaded", "", "mod_loopback is not loaded"},
		"nothing listens": {func(t *testing.T, _ *fakeFS, o *Options) { o.Verto.URL = "ws://" + unused(t) }, true, none, "",
			"nothing listens at ws://127.0.0.1:", `set <param name="bind-local"> of a profile in autoload_configs/verto.conf.xml`, "connection refused"},
		"wrong password": {func(_ *testing.T, _ *fakeFS, o *Options) { o.Verto.Password = "geheim-4713" }, true, none, "",
			"login a@b", `compare with <user id> and its password in directory/, then reloadxml`, "Authentication Failure"},
		"no right": {lacking("verto.invite"), true, none, "", "login a@b may not call",
			`<param name="jsonrpc-allowed-methods" value="verto"/> to the user or its domain in directory/`, "Permission Denied"},
		"no codec": {func(_ *testing.T, f *fakeFS, _ *Options) { f.codec = "GSM/8000" }, true, none, "", "no codec in common",
			`L16@16000h@20i to <param name="inbound-codec-string"> in autoload_configs/verto.conf.xml`, "INCOMPATIBLE_DESTINATION"},
		"no extension": {lacking(defaultMedia), true, none, "", "no extension tgtrunk-media in the context of the verto profile",
			"one with the actions answer and park", "NO_ROUTE_DESTINATION"},
		"no answer": {lacking("answer"), true, none, "", "no answer of extension tgtrunk-media", "", "deadline exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			f, said := newFakeFS(t), &lines{}
			f.lacks = map[string]bool{}
			link := f.saying(t, said, func(o *Options) {
				o.Media.Unicast.Off = c.off
				if c.change != nil {
					c.change(t, f, o)
				}
			})
			t.Cleanup(func() {
				if t.Failed() {
					t.Log(said.all)
				}
			})
			until(t, c.message, func() bool {
				for _, record := range said.having(c.message) {
					why := record["because"] + record["error"]
					if record["way"] == c.way && strings.Contains(why, c.because) && strings.Contains(why, c.do) && strings.Contains(why, c.mentions) {
						namesWhatIsThere(t, why)
						return true
					}
				}
				return false
			})
			if level, want := said.having(c.message)[0]["level"], map[string]string{goes: "INFO", fallback: "WARN", none: "ERROR"}[c.message]; level != want {
				t.Errorf("said as %s, want %s", level, want)
			}
			if text := fmt.Sprint(said.all); strings.Contains(text, "geheim") {
				t.Errorf("the log has a password: %s", text)
			}
			if c.message == none { // and calls are told the same
				end := nextEvent[bridge.Ended](t, link.answeredCaller(t, f))
				if end.Err == nil || !strings.Contains(end.Err.Error(), c.because) || end.Cause.Reason != bridge.MediaFailed {
					t.Errorf("a call ends with %v, %v", end.Cause, end.Err)
				}
			}
		})
	}
}

// saying runs a link that logs to said, with short limits, until the test is over.
func (f *fakeFS) saying(t *testing.T, said *lines, change func(*Options)) *server {
	t.Helper()
	o := f.options()
	o.RequestTimeout, o.Log = 500*time.Millisecond, said.logger()
	change(&o)
	// Seldom enough that what a probe waits for is no orphan yet.
	return serveLink(t, o, func(x *timing) { x.sweep = 3 * o.RequestTimeout })
}

// answeredCaller is a caller whom our side wants to answer.
func (s *server) answeredCaller(t *testing.T, f *fakeFS) bridge.Leg {
	t.Helper()
	f.caller("anna")
	leg := s.offered(t).Leg
	leg.Answer()
	return leg
}

// namesWhatIsThere: the parameters and files that a text tells to change are those of the files that are delivered, but for
// FreeSWITCH's own list of modules.
func namesWhatIsThere(t *testing.T, text string) {
	t.Helper()
	const deployed = "../deploy/freeswitch"
	all := ""
	for _, file := range []string{"autoload_configs/event_socket.conf.xml", "autoload_configs/verto.conf.xml", "directory/tgtrunk.xml"} {
		content, err := os.ReadFile(filepath.Join(deployed, file))
		if err != nil {
			t.Fatal(err)
		}
		all += string(content)
	}
	for _, param := range regexp.MustCompile(`<param name="[a-z0-9-]+"`).FindAllString(text, -1) {
		if !strings.Contains(all, param) {
			t.Errorf("%q: %s is in no file", text, param)
		}
	}
	for _, file := range regexp.MustCompile(`autoload_configs/\S+?\.xml`).FindAllString(text, -1) {
		if _, err := os.Stat(filepath.Join(deployed, file)); err != nil && !strings.HasSuffix(file, "/modules.conf.xml") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestWayIsSaidAnew: once the module is loaded that was missing, calls go by it, and the log says so.
func TestWayIsSaidAnew(t *testing.T) {
	f, said := newFakeFS(t), &lines{}
	f.lacks = map[string]bool{"mod_verto": true}
	link := f.saying(t, said, func(*Options) {})
	until(t, "fallback", func() bool { return len(said.having("audio goes by the fallback")) == 1 })
	f.mu.Lock()
	clear(f.lacks)
	f.mu.Unlock()
	until(t, "mod_verto", func() bool { return len(said.having("audio goes by")) == 1 })
	if n := len(said.having("audio goes by the fallback")); n != 1 {
		t.Errorf("the fallback was said %d times", n)
	}
	leg := link.answeredCaller(t, f)
	if rate := nextEvent[bridge.Media](t, leg).Flow.Format().Rate; rate != 16000 {
		t.Errorf("%d Hz", rate)
	}
	leg.Hangup(bridge.CauseOf(bridge.Normal))
	endOf(t, leg)
}

// TestNarrowIsSaid: that calls into the dialplan lack their extension, and where to add it, is said once.
func TestNarrowIsSaid(t *testing.T) {
	f, said := newFakeFS(t), &lines{}
	f.lacks = map[string]bool{"my-dial": true}
	link := f.saying(t, said, func(o *Options) { o.Verto.DialExtension = "my-dial" })
	until(t, "a way", func() bool { return len(said.having("audio goes by")) == 1 })
	for range 2 {
		endOf(t, link.Dial(t.Context(), routing.Target{Extension: "100"}))
	}
	const text = "calls into the dialplan go through loopback channels, with 8 kHz: add an extension with the one action park, " +
		"as in docs/freeswitch.md, to the context of the verto profile"
	found := said.having(text)
	if len(found) != 1 || found[0]["extension"] != "my-dial" || found[0]["level"] != "WARN" {
		t.Errorf("said: %v", found)
	}
}

// TestConnectionIsExplained: why there is no event socket, and what to change, is logged, and calls are told it.
func TestConnectionIsExplained(t *testing.T) {
	for name, c := range map[string]struct {
		address func(t *testing.T) string // of what is no FreeSWITCH; nil for the fake
		text    string                    // what it says, before it waits
		want    []string
	}{
		"wrong password": {nil, "", []string{`refuses the password: compare with <param name="password"> of autoload_configs/event_socket.conf.xml`,
			`then "reload mod_event_socket"`}},
		"access list": {nil, "Content-Type: text/rude-rejection\nContent-Length: 24\n\nAccess Denied, go away.\n", []string{
			`refuses our address: name it in <param name="apply-inbound-acl"> of autoload_configs/event_socket.conf.xml`, "only loopback may connect"}},
		"nothing listens": {unused, "", []string{"nothing listens at 127.0.0.1:", "mod_event_socket loaded and this listen-ip and listen-port in " +
			"autoload_configs/event_socket.conf.xml", "connection refused"}},
		"silence":  {nil, "\n", []string{"does not answer within 500ms: check address, firewall and load"}},
		"hangs up": {nil, "hang up", []string{"connect to freeswitch at 127.0.0.1:", "EOF"}},
	} {
		t.Run(name, func(t *testing.T) {
			f, said := newFakeFS(t), &lines{}
			link := f.saying(t, said, func(o *Options) {
				switch {
				case c.address != nil:
					o.Address = c.address(t)
				case c.text != "":
					o.Address = saysOnly(t, c.text)
				default:
					o.Password = "geheim-4713"
				}
			})
			const message = "no connection to freeswitch, trying again"
			until(t, message, func() bool { return len(said.having(message)) > 0 })
			record := said.having(message)[0]
			for _, want := range c.want {
				if !strings.Contains(record["error"], want) {
					t.Errorf("said %q, want %q", record["error"], want)
				}
			}
			if record["level"] != "ERROR" || strings.Contains(record["error"], "geheim") {
				t.Errorf("said %v", record)
			}
			namesWhatIsThere(t, record["error"])
			end := endOf(t, link.Dial(t.Context(), routing.Target{Endpoint: "fake/1"}))
			if end.Cause.Reason != bridge.AccountDown || end.Err == nil || !strings.Contains(end.Err.Error(), c.want[0]) {
				t.Errorf("a call ends with %v, %v", end.Cause, end.Err)
			}
		})
	}
}

// TestHostIsExplained: a name that has no address is looked for in the configuration.
func TestHostIsExplained(t *testing.T) {
	err := explain(Options{Address: "switch.example:8021"}, fmt.Errorf("connect: %w", &net.DNSError{Name: "switch.example", IsNotFound: true}))
	if want := "the host of switch.example:8021 has no address: check address"; !strings.Contains(err.Error(), want) {
		t.Errorf("said %q, want %q", err, want)
	}
}

// saysOnly is a server that says a text to everybody and nothing more.
func saysOnly(t *testing.T, text string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	quit := make(chan struct{})
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				if text == "hang up" {
					return
				}
				_, _ = io.WriteString(conn, text)
				<-quit
			})
		}
	})
	t.Cleanup(func() { close(quit); _ = listener.Close(); serving.Wait() })
	return listener.Addr().String()
}

// TestAddressOfProfile: a profile that listens anywhere says no address to send to.
func TestAddressOfProfile(t *testing.T) {
	_, err := new(Link).openFlow("v=0\r\nc=IN IP4 0.0.0.0\r\nm=audio 30000 RTP/AVP 96\r\na=rtpmap:96 L16/16000\r\n",
		media.Format{Codec: media.L16, Rate: 16000, Ptime: packetTime})
	if err == nil || !strings.Contains(err.Error(), "set rtp-ip in verto.conf.xml") {
		t.Error(err)
	}
}
