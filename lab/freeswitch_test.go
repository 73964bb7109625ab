package lab

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// newTestFreeSWITCH starts one, or skips the test where there is none.
func newTestFreeSWITCH(t *testing.T, o FreeSWITCHOptions) *FreeSWITCH {
	t.Helper()
	if _, err := FindFreeSWITCH(); errors.Is(err, ErrNoFreeSWITCH) {
		t.Skip("FREESWITCH names no binary of FreeSWITCH 1.10: the test on a real one is skipped")
	}
	o.Dir = t.TempDir()
	f, err := StartFreeSWITCH(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Stop)
	return f
}

// Two at once have ports of their own, a phone reaches another by the directory, and what ends is gone.
func TestFreeSWITCHRuns(t *testing.T) {
	callee, err := NewPhone(PhoneOptions{Name: "100", Tone: 1000})
	if err != nil {
		t.Fatal(err)
	}
	defer callee.Close()
	f := newTestFreeSWITCH(t, FreeSWITCHOptions{
		PhoneContext: "from-telegram", Endpoints: []SIPEndpoint{{Name: "100", ContactPort: callee.Port()}},
	})
	other := newTestFreeSWITCH(t, FreeSWITCHOptions{NoVerto: true})
	if f.rtp == other.rtp || f.ESLAddr() == other.ESLAddr() || f.SIPAddr() == other.SIPAddr() {
		t.Errorf("two have the same ports: %+v, %+v", f.rtp, other.rtp)
	}
	caller, err := NewPhone(PhoneOptions{Name: "200", Tone: 700, Server: f.SIPAddr()})
	if err != nil {
		t.Fatal(err)
	}
	defer caller.Close()
	call, err := caller.Call(t.Context(), "100", CallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := call.WaitAnswered(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := call.Audio().WaitTone(t.Context(), 1000, time.Second); err != nil {
		t.Error(err)
	}
	if n, err := f.Channels(t.Context()); n != 2 || err != nil {
		t.Errorf("%d channels, %v", n, err)
	}
	call.Hangup()
	if err := f.WaitChannels(t.Context(), 0); err != nil {
		t.Error(err)
	}
	before := f.Pid()
	f.Kill()
	if err := f.Restart(t.Context()); err != nil || f.Pid() == before {
		t.Fatalf("process %d after %d: %v", f.Pid(), before, err)
	}
	f.Stop()
	if _, err := f.API(t.Context(), "status"); err == nil {
		t.Error("a stopped one answers")
	}
	if l, err := net.Listen("tcp", loopback(f.rtp.First)); err != nil {
		t.Errorf("the rtp ports are not given back: %v", err)
	} else {
		_ = l.Close()
	}
}

func TestFreeSWITCHThatCannotBeStarted(t *testing.T) {
	script := filepath.Join(t.TempDir(), "freeswitch")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho no sound today\nexit 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := StartFreeSWITCH(t.Context(), FreeSWITCHOptions{Dir: t.TempDir(), Binary: script})
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "no sound today") {
		t.Errorf("a program that ends at once: %v", err)
	}
	for name, o := range map[string]FreeSWITCHOptions{
		"no directory":  {Binary: script},
		"quote":         {Dir: t.TempDir(), Binary: script, Password: `a"b`},
		"variable":      {Dir: t.TempDir(), Binary: script, Password: "$${x}"},
		"endpoint":      {Dir: t.TempDir(), Binary: script, Endpoints: []SIPEndpoint{{Name: "100"}}},
		"taken":         {Dir: t.TempDir(), Binary: script, EventSocketPort: takenPort(t)},
		"no such thing": {Dir: t.TempDir(), Binary: script + "x"},
	} {
		if _, err := StartFreeSWITCH(t.Context(), o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func takenPort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().(*net.TCPAddr).Port
}

func TestFindFreeSWITCH(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("FREESWITCH", "")
	if _, err := FindFreeSWITCH(); !errors.Is(err, ErrNoFreeSWITCH) {
		t.Error(err)
	}
	t.Setenv("FREESWITCH", "/nonexistent/freeswitch")
	if _, err := FindFreeSWITCH(); err == nil || errors.Is(err, ErrNoFreeSWITCH) {
		t.Error(err)
	}
	program := filepath.Join(os.Getenv("PATH"), "freeswitch")
	if err := os.WriteFile(program, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("FREESWITCH", "")
	if path, err := FindFreeSWITCH(); path != program || err != nil {
		t.Error(path, err)
	}
}

// What answers at the event socket's port may be anything.
func TestEventSocketConversation(t *testing.T) {
	const greeting, welcome = "Content-Type: auth/request\n\n", "Content-Type: command/reply\nReply-Text: +OK accepted\n\n"
	for name, c := range map[string]struct {
		said, want string
		taken      bool
	}{
		"answer":          {greeting + welcome + "Content-Type: api/response\nContent-Length: 5\n\n0 tot", "0 tot", false},
		"other password":  {greeting + "Content-Type: command/reply\nReply-Text: -ERR invalid\n\n", "", true},
		"other protocol":  {"SSH-2.0-x\n\n", "", false},
		"no length":       {greeting + welcome + "Content-Type: api/response\n\n", "", false},
		"negative length": {greeting + welcome + "Content-Type: api/response\nContent-Length: -1\n\n", "", false},
		"huge length":     {greeting + welcome + "Content-Type: api/response\nContent-Length: 99999999999\n\n", "", false},
		"cut off":         {greeting + welcome + "Content-Type: api/response\nContent-Length: 9\n\nabc", "", false},
		"silent":          {"", "", false},
	} {
		out, err := converse(struct {
			io.Reader
			io.Writer
		}{bufio.NewReader(strings.NewReader(c.said)), io.Discard}, "secret", "show channels count")
		if (err == nil) != (c.want != "") || err == nil && out != c.want || errors.Is(err, errPortTaken) != c.taken {
			t.Errorf("%s: %q, %v", name, out, err)
		}
	}
}
