package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/lab"
)

// The environment variable that makes the test binary be tgtrunk itself, for tests of whole processes.
const asProgram = "TGTRUNK_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	switch os.Getenv(asProgram) {
	case "":
	case patient:
		waitThroughSignals()
		return
	default:
		main()
		return
	}
	os.Exit(m.Run())
}

// program is a command line of tgtrunk, run by this test binary.
func program(ctx context.Context, t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 40 * time.Second
	return cmd
}

// The whole product: a real Asterisk, a simulated Telegram, the service as a process of its own, every call of the demo
// with tones both ways, and one record a call.
func TestDemoGetsEveryCallRight(t *testing.T) { playDemo(t) }

// The same script, with the same verdicts, on a real FreeSWITCH.
func TestDemoGetsEveryCallRightOnFreeSWITCH(t *testing.T) {
	needFreeSWITCH(t)
	playDemo(t, "--pbx", "freeswitch")
}

func needFreeSWITCH(t *testing.T) {
	t.Helper()
	if _, err := lab.FindFreeSWITCH(); errors.Is(err, lab.ErrNoFreeSWITCH) {
		t.Skip("FREESWITCH names no binary of FreeSWITCH 1.10: the test on a real one is skipped")
	}
}

func TestDemoSaysWhatItNeeds(t *testing.T) {
	t.Setenv("FREESWITCH", "")
	t.Setenv("PATH", t.TempDir())
	for pbx, want := range map[string]string{"freeswitch": "environment variable FREESWITCH", "carrier pigeon": `want "asterisk" or "freeswitch"`} {
		c := newRootCommand()
		c.SetArgs([]string{"demo", "--pbx", pbx})
		c.SetErr(io.Discard)
		if err := c.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", pbx, err)
		}
	}
}

func playDemo(t *testing.T, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var complaints bytes.Buffer
	cmd := program(ctx, t, append([]string{"demo", "--json", "--dir", dir}, args...)...)
	cmd.Stderr = &complaints
	output, err := cmd.Output()
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "tgtrunk.log"))
		t.Errorf("tgtrunk demo: %v\n%s\n%s\nthe service's log:\n%s", err, output, &complaints, last(log, 8000))
	}
	seen := map[string]bool{}
	lines := bufio.NewScanner(bytes.NewReader(output))
	for lines.Scan() {
		var r result
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		t.Logf("%s", lines.Text())
		seen[r.Call] = r.OK
	}
	for _, call := range strings.Fields("a b c d e f g h i1 i2 i3") {
		if !seen[call] {
			t.Errorf("call %s is not right", call)
		}
	}
	records, err := os.ReadFile(filepath.Join(dir, "calls.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(records, []byte("\n")); n != len(seen) {
		t.Errorf("%d calls left %d records", len(seen), n)
	}
}

func last(text []byte, n int) []byte { return text[max(0, len(text)-n):] }
