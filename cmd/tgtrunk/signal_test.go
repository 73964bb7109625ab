package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/store"
)

// patient makes the test binary a program whose end takes for ever.
const patient = "patient"

func waitThroughSignals() {
	ctx, stop := untilSignal(context.Background())
	defer stop()
	fmt.Println("waiting")
	<-ctx.Done()
	fmt.Println("ending")
	<-time.After(time.Minute)
}

// The first Ctrl-C lets calls end, the second ends the process, however long they take. SIGTERM is patient.
func TestSecondInterruptEndsAtOnce(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := program(ctx, t)
	cmd.Env = append(os.Environ(), asProgram+"="+patient)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewScanner(out)
	for _, step := range []struct {
		says string
		then syscall.Signal
	}{{"waiting", syscall.SIGINT}, {"ending", syscall.SIGTERM}} {
		if !said.Scan() || said.Text() != step.says {
			t.Fatalf("it says %q, not %q: %v", said.Text(), step.says, cmd.Wait())
		}
		if err := cmd.Process.Signal(step.then); err != nil {
			t.Fatal(err)
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	again := time.NewTicker(20 * time.Millisecond) // the process may be about to notice the first
	defer again.Stop()
	for err = nil; err == nil; {
		select {
		case err = <-ended:
		case <-again.C:
			_ = cmd.Process.Signal(syscall.SIGINT)
		}
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGINT || ctx.Err() != nil {
		t.Errorf("it ended with %v", err)
	}
}

// A SIGHUP while the service starts is no reason to end: here it waits for a Redis that says nothing.
func TestHangupWhileItStarts(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	redis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer redis.Close()
	path := filepath.Join(t.TempDir(), "tgtrunk.yaml")
	text := fmt.Sprintf(`store: {redis: {url: "redis://%s", timeout: 10s}, key: "%s"}
accounts: [{name: sales, api_id: 1, api_hash: "%032x", phone: "+49301234567"}]
pbx: [{name: office, asterisk: {url: "http://127.0.0.1:1/ari", username: tgtrunk, password: secret}}]
routes: [{from: office, to: sales}]
`, redis.Addr(), store.NewSecret(), 1)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := program(ctx, t, "run", "--config", path)
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	asked := make(chan net.Conn, 1)
	go func() {
		if conn, err := redis.Accept(); err == nil {
			asked <- conn
		}
	}()
	select {
	case conn := <-asked:
		defer conn.Close()
	case err := <-ended:
		t.Fatalf("it ended before it asked: %v\n%s", err, said.String())
	}
	for _, s := range []syscall.Signal{syscall.SIGHUP, syscall.SIGTERM} {
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	var exit *exec.ExitError
	if err := <-ended; !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signaled() || ctx.Err() != nil {
		t.Errorf("it ended with %v\n%s", err, said.String())
	}
}
