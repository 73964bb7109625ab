package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/media/tone"
	"github.com/tgtrunk/tgtrunk/telegram/voip/signaling"
)

// runningPeer is a peer command with its pipes.
type runningPeer struct {
	out, complaints bytes.Buffer
	done            chan error
}

func startPeer(ctx context.Context, in io.Reader, out io.Writer, args ...string) *runningPeer {
	p := &runningPeer{done: make(chan error, 1)}
	c := newPeerCommand()
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetArgs(args)
	c.SetIn(in)
	c.SetOut(io.MultiWriter(&p.out, out))
	c.SetErr(&p.complaints)
	go func() { p.done <- c.ExecuteContext(ctx) }()
	return p
}

// lastLine decodes the final line of a peer's output.
func (p *runningPeer) lastLine(t *testing.T) (final finalLine) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(p.out.String()), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &final); err != nil || final.Event != "final" {
		t.Fatalf("last line %s: %v", lines[len(lines)-1], err)
	}
	return final
}

func randomKey() string {
	key := make([]byte, 256)
	rand.Read(key)
	return hex.EncodeToString(key)
}

// What the two sides of a test say.
var (
	callerSays = []string{"--role", "caller", "--in", "tone:440"}
	calleeSays = []string{"--role", "callee", "--in", "tone:1000"}
)

func expectTones(t *testing.T, dir string) {
	t.Helper()
	expectTone(t, filepath.Join(dir, "caller.wav"), 1000)
	expectTone(t, filepath.Join(dir, "callee.wav"), 440)
}

func TestPeerAgainstPeer(t *testing.T) {
	if !media.HaveOpus {
		t.Skip("this build has no Opus")
	}
	for _, version := range slices.Concat(signaling.Versions(), signaling.ReferenceVersions()) {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			key, duration := randomKey(), "2500ms"
			toCallee, fromCaller := io.Pipe()
			toCaller, fromCallee := io.Pipe()
			common := []string{"--key", key, "--version", version, "--listen", "127.0.0.1:0", "--duration", duration}
			caller := startPeer(t.Context(), toCaller, fromCaller, slices.Concat(common, callerSays, []string{"--out", filepath.Join(dir, "caller.wav")})...)
			callee := startPeer(t.Context(), toCallee, fromCallee, slices.Concat(common, calleeSays, []string{"--out", filepath.Join(dir, "callee.wav")})...)
			var ended sync.WaitGroup
			for _, p := range []struct {
				*runningPeer
				input  *io.PipeReader
				output *io.PipeWriter
			}{{caller, toCaller, fromCaller}, {callee, toCallee, fromCallee}} {
				ended.Go(func() {
					if err := <-p.done; err != nil {
						t.Errorf("peer: %v\n%s", err, p.complaints.String())
					}
					p.output.Close()
					io.Copy(io.Discard, p.input) // what the other one still says goes nowhere
				})
			}
			ended.Wait()
			expectTones(t, dir)
			for _, p := range []*runningPeer{caller, callee} {
				final := p.lastLine(t)
				if final.State != "established" || final.Local != "host" || final.SRTPProfile != "SRTP_AEAD_AES_128_GCM" ||
					final.Media.PacketsReceived < 50 || final.Timings["dtls"] < 0 || final.Version != version {
					t.Errorf("final line: %+v", final)
				}
				if !strings.Contains(p.out.String(), `{"event":"state","state":"established"}`) {
					t.Errorf("no established state in\n%s", p.out.String())
				}
				if p.complaints.Len() > 0 {
					t.Errorf("complaints: %s", p.complaints.String())
				}
			}
		})
	}
}

func expectTone(t *testing.T, path string, hz float64) {
	t.Helper()
	pcm, rate, err := tone.LoadWAV(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	if rate != 48_000 || len(pcm) < rate {
		t.Fatalf("%s: %d samples at %d Hz", path, len(pcm), rate)
	}
	if purity := tone.Purity(pcm[rate/4:rate], rate, hz); purity < 0.95 {
		t.Errorf("%s: purity at %v Hz is %.3f, the strongest tone is %v Hz", path, hz, purity, tone.Dominant(pcm, rate))
	}
}

func TestPeerInput(t *testing.T) {
	for name, c := range map[string]struct {
		input     string
		complaint string
	}{
		"stop":         {`{"stop":true}` + "\n" + `not read any more`, ""},
		"end":          {"", ""},
		"no newline":   {`{"stop":true}`, ""},
		"mute":         {`{"mute":true}` + "\n" + `{"mute":false}` + "\n", ""},
		"no mute":      {`{"mute":"yes"}` + "\n", "input line 1 skipped: want"},
		"foreign line": {`{"event":"state","state":"established"}` + "\n", ""},
		"no json":      {"hello\n" + `{"stop":true}` + "\n", "input line 1 skipped: want"},
		"odd hex":      {"\n" + `{"signaling":"abc"}` + "\n", "input line 2 skipped: want"},
		"empty object": {"{}\n", "input line 1 skipped: want"},
		"wrong type":   {`{"signaling":5}` + "\n", "input line 1 skipped: want"},
		"too long":     {strings.Repeat("x", maxLine+10) + "\n" + "{}\n", "input line 1 skipped: longer"},
		"noise":        {`{"signaling":"00112233445566778899aabbccddeeff"}` + "\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			p := startPeer(ctx, strings.NewReader(c.input), io.Discard, "--role", "callee", "--key", randomKey(), "--listen", "127.0.0.1:0")
			if err := <-p.done; err != nil {
				t.Fatal(err)
			}
			if got := p.complaints.String(); c.complaint == "" && got != "" || !strings.HasPrefix(got, c.complaint) {
				t.Errorf("complaint %q, want %q", got, c.complaint)
			}
			if final := p.lastLine(t); final.State != "connecting" || final.Timings["ice"] != -1 {
				t.Errorf("final line: %+v", final)
			}
		})
	}
}

func TestPeerFlags(t *testing.T) {
	good := []string{"--role", "caller", "--key", randomKey()}
	for name, args := range map[string][]string{
		"no key":      {"--role", "caller"},
		"short key":   {"--role", "caller", "--key", "00"},
		"role":        {"--role", "middle", "--key", randomKey()},
		"version":     append(good, "--version", "1.0"),
		"server":      append(good, "--server", "turn.example"),
		"server port": append(good, "--server", `{"host":"192.0.2.1","turn":true}`),
		"parameters":  append(good, "--custom-params", "{"),
		"input":       append(good, "--in", filepath.Join(t.TempDir(), "missing.wav")),
		"tone":        append(good, "--in", "tone:high"),
		"listen":      append(good, "--listen", "nowhere"),
	} {
		t.Run(name, func(t *testing.T) {
			p := startPeer(t.Context(), strings.NewReader(""), io.Discard, args...)
			if err := <-p.done; err == nil {
				t.Error("accepted")
			}
		})
	}
}
