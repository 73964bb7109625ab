package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
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
