package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/lab/browser"
	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/media/tone"
	"github.com/tgtrunk/tgtrunk/telegram/voip"
	"github.com/tgtrunk/tgtrunk/telegram/voip/signaling"
)

const (
	peerTone, pageTone = 440, 1000
	// microphone is what people take to permit it. An offer that comes earlier leaves a web callee silent for the whole call.
	microphone = 700 * time.Millisecond
)

// webCall is a call between the peer command and a page in Chromium.
type webCall struct {
	peer  *runningPeer
	page  *browser.Page
	ended bool
	wav   string
	stdin *io.PipeWriter

	mu      sync.Mutex
	said    []string // lines of the peer with an event
	changed chan struct{}
}

// startWebCall lets the peer command and a page begin a call in which role is the command's.
func startWebCall(t *testing.T, role voip.Role, servers ...voip.Server) *webCall {
	t.Helper()
	if _, err := browser.Find(); err != nil {
		t.Skip(err)
	}
	if !media.HaveOpus {
		t.Skip("this build has no Opus")
	}
	c := &webCall{wav: filepath.Join(t.TempDir(), "heard.wav"), changed: make(chan struct{})}
	text, key := randomKey(), new(voip.Key)
	hex.Decode(key[:], []byte(text))
	pageRole := signaling.Caller
	if role == signaling.Caller {
		pageRole = signaling.Callee
	}
	var stdin *io.PipeReader
	stdin, c.stdin = io.Pipe()
	var err error
	c.page, err = browser.Open(t.Context(), browser.Options{
		Role: pageRole, Key: key, P2P: len(servers) == 0, Servers: servers, Tone: pageTone, Microphone: microphone, Send: c.tell, Log: browserLog(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	args := []string{
		"--role", role.String(), "--key", text, "--listen", "127.0.0.1:0", fmt.Sprintf("--p2p=%v", len(servers) == 0),
		"--in", fmt.Sprintf("tone:%d", peerTone), "--out", c.wav,
	}
	for _, s := range servers {
		b, _ := json.Marshal(s)
		args = append(args, "--server", string(b))
	}
	c.peer = startPeer(context.Background(), stdin, c, args...)
	t.Cleanup(func() { c.end(t) })
	c.page.Begin()
	return c
}

func browserLog(t *testing.T) *slog.Logger {
	if os.Getenv("BROWSER_LOG") == "" {
		return nil
	}
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// tell gives the peer a packet of the page.
func (c *webCall) tell(packet []byte) { c.order(packetLine{hex.EncodeToString(packet)}) }

func (c *webCall) order(line any) {
	b, _ := json.Marshal(line)
	c.stdin.Write(append(b, '\n')) // fails when the peer has ended
}

// Write takes the peer's output: it comes a line at a time.
func (c *webCall) Write(line []byte) (int, error) {
	var p struct{ Signaling, Event string }
	if json.Unmarshal(line, &p) == nil && p.Event == "" {
		packet, _ := hex.DecodeString(p.Signaling)
		c.page.Receive(packet)
		return len(line), nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.said = append(c.said, strings.TrimSpace(string(line)))
	close(c.changed)
	c.changed = make(chan struct{})
	return len(line), nil
}

// await waits until the peer has said a line that begins so, and returns when it is there.
func (c *webCall) await(t *testing.T, limit time.Duration, line string) {
	t.Helper()
	deadline := time.After(limit)
	for {
		c.mu.Lock()
		said, changed := c.said, c.changed
		c.mu.Unlock()
		if slices.ContainsFunc(said, func(s string) bool { return strings.HasPrefix(s, line) }) {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("peer did not say %s within %v, only\n%s", line, limit, strings.Join(said, "\n"))
		}
	}
}

// awaitPage waits for an event of the page.
func (c *webCall) awaitPage(t *testing.T, what string, want func(browser.Event) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := c.page.Await(ctx, want); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// end closes the page, then the peer, and returns the peer's last words.
func (c *webCall) end(t *testing.T) {
	t.Helper()
	if c.ended {
		return
	}
	c.ended = true
	go c.order(map[string]bool{"stop": true}) // nobody reads it when the peer has ended
	select {
	case <-c.peer.done:
	case <-time.After(10 * time.Second):
		t.Error("peer does not end")
	}
	c.stdin.Close()
	if err := c.page.Close(); err != nil {
		t.Error(err)
	}
}

// TestBrowser calls Chromium and is called by it, directly and through a TURN server.
func TestBrowser(t *testing.T) {
	for _, role := range []voip.Role{signaling.Caller, signaling.Callee} {
		for _, relay := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v, relay %v", role, relay), func(t *testing.T) {
				var servers []voip.Server
				if relay {
					server, stop, err := browser.StartTURN()
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { stop() })
					servers = append(servers, server)
				}
				c := startWebCall(t, role, servers...)
				c.await(t, 30*time.Second, `{"event":"state","state":"established"}`)
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				if err := c.page.AwaitTone(ctx, peerTone); err != nil {
					t.Error(err)
				}
				c.checkMute(t)
				c.checkRoute(t, relay)
				c.end(t)
				c.checkHeard(t)
				c.checkMessages(t, role)
			})
		}
	}
}

// checkMute mutes both sides.
func (c *webCall) checkMute(t *testing.T) {
	t.Helper()
	muted := func(want bool) func(browser.Event) bool {
		return func(ev browser.Event) bool { return ev.Kind == "media" && ev.Muted == want }
	}
	c.awaitPage(t, "our state", muted(false))
	c.order(map[string]bool{"mute": true})
	c.awaitPage(t, "our mute", muted(true))
	c.page.Mute(true)
	c.await(t, 10*time.Second, `{"event":"peer","muted":true`)
	c.page.Mute(false)
	c.awaitPage(t, "data channel", func(ev browser.Event) bool { return ev.Kind == "channel" && ev.ID == 0 && ev.Label == "data" })
}

func (c *webCall) checkRoute(t *testing.T, relay bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	route, err := c.page.Route(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("chromium says %+v", route)
	if relay != (route.Local == "relay") || route.Role != "client" {
		t.Errorf("chromium says %+v", route)
	}
}

// checkHeard looks for the page's tone in what the peer recorded, and at its figures.
func (c *webCall) checkHeard(t *testing.T) {
	t.Helper()
	pcm, rate, err := tone.LoadWAV(c.wav, 0)
	if err != nil {
		t.Fatal(err)
	}
	best := 0.0
	for at := 0; at+rate/2 <= len(pcm); at += rate / 4 {
		best = max(best, tone.Purity(pcm[at:at+rate/2], rate, pageTone))
	}
	if best < 0.95 {
		t.Errorf("purity of the page's tone is %.3f at best in %d samples", best, len(pcm))
	}
	final := c.peer.lastLine(t)
	if final.State != "established" || final.Media.Strangers != 0 || final.Drops.Messages != 0 {
		t.Errorf("final line: %+v", final)
	}
	t.Logf("peer says %+v", final)
	if c.peer.complaints.Len() > 0 {
		t.Errorf("complaints: %s", c.peer.complaints.String())
	}
}

// checkMessages judges our messages as a web client gets them.
func (c *webCall) checkMessages(t *testing.T, role voip.Role) {
	t.Helper()
	var got []string
	known := map[string]bool{} // exchanges
	for _, ev := range c.page.Events() {
		switch ev.Kind {
		case "refused":
			t.Errorf("page refuses: %s", ev.Reason)
		case "silent":
			t.Error("page has nothing to offer: our offer came before its microphone was open")
		case "answered":
			if !ev.Echoed {
				t.Error("our answer does not echo the page's ssrc")
			}
		case "sent", "got":
			kind := webKind(t, ev.Message, known)
			if ev.Kind == "got" && kind != "Candidates" {
				got = append(got, kind)
			} else if ev.Kind == "got" && len(got) == 0 {
				t.Error("candidates come before InitialSetup")
			}
		}
	}
	// A callee answers every InitialSetup, and a web caller sends a second one, with its part in DTLS.
	want := []string{"InitialSetup", "answer", "offer", "InitialSetup"}
	if role == signaling.Caller {
		want = []string{"InitialSetup", "offer", "answer"}
	}
	if !slices.Equal(got, want) {
		t.Errorf("page got %v, want %v", got, want)
	}
}

// webKind returns the type of a message, where an offer is what begins an exchange.
func webKind(t *testing.T, message []byte, known map[string]bool) string {
	t.Helper()
	var m struct {
		Type       string `json:"@type"`
		ExchangeID string
	}
	if err := json.Unmarshal(message, &m); err != nil {
		t.Fatalf("%s: %v", message, err)
	}
	if m.Type != "NegotiateChannels" {
		return m.Type
	}
	if known[m.ExchangeID] {
		return "answer"
	}
	known[m.ExchangeID] = true
	return "offer"
}

// TestBrowserVanishes lets the page go without a word, or as a tab that is closed: the call ends by our own timers, 5 s
// until it reconnects and 15 s more.
func TestBrowserVanishes(t *testing.T) {
	for name, vanish := range map[string]func(*browser.Page){
		"killed": func(p *browser.Page) { p.Close() },
		"closed": func(p *browser.Page) { p.Leave() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := startWebCall(t, signaling.Callee)
			c.await(t, 30*time.Second, `{"event":"state","state":"established"}`)
			gone := time.Now()
			vanish(c.page)
			c.await(t, 12*time.Second, `{"event":"state","state":"reconnecting"}`)
			c.await(t, 25*time.Second, `{"event":"state","state":"failed"}`)
			if took := time.Since(gone); took < 15*time.Second || took > 30*time.Second {
				t.Errorf("call ended after %v", took)
			}
			select {
			case err := <-c.peer.done:
				if !errors.Is(err, voip.ErrLost) {
					t.Errorf("peer: %v", err)
				}
				c.peer.done <- nil
			case <-time.After(5 * time.Second):
				t.Error("peer does not end")
			}
		})
	}
}
