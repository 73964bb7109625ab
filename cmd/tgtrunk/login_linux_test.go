package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/term"
)

// openPTY makes a terminal: what is written to keyboard is typed there, and what is shown there is read from keyboard.
func openPTY(t *testing.T) (keyboard, tty *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	var unlock, number int32
	for request, value := range map[uintptr]*int32{syscall.TIOCSPTLCK: &unlock, syscall.TIOCGPTN: &number} {
		if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, keyboard.Fd(), request, uintptr(unsafe.Pointer(value))); e != 0 {
			t.Fatal(e)
		}
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		keyboard.Close() // whoever still reads from tty gets its end by it
		tty.Close()
	})
	return keyboard, tty
}

func stateOf(t *testing.T, tty *os.File) *term.State {
	t.Helper()
	state, err := term.GetState(int(tty.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return state
}

type secret struct {
	text string
	err  error
}

// askSecret asks for a password on a terminal and waits until what is typed is not shown any more.
func askSecret(ctx context.Context, t *testing.T, tty *os.File) <-chan secret {
	t.Helper()
	before := stateOf(t, tty)
	answer := make(chan secret, 1)
	go func() {
		text, err := newTerminal(tty, io.Discard, false).Password(ctx, "")
		answer <- secret{text, err}
	}()
	limit, look := time.After(5*time.Second), time.NewTicker(5*time.Millisecond)
	defer look.Stop()
	for reflect.DeepEqual(stateOf(t, tty), before) {
		select {
		case <-limit:
			t.Fatal("what is typed stays visible")
		case <-look.C:
		}
	}
	return answer
}

// Ctrl-C at the password ends the login, and the terminal shows again what is typed.
func TestPasswordOnATerminalEndsWithItsContext(t *testing.T) {
	_, tty := openPTY(t)
	before := stateOf(t, tty)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	answer := askSecret(ctx, t, tty)
	cancel()
	select {
	case a := <-answer:
		if !errors.Is(a.err, context.Canceled) || a.text != "" {
			t.Errorf("Password = %q, %v, want context.Canceled", a.text, a.err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("Password waits on although its context has ended")
	}
	if !reflect.DeepEqual(stateOf(t, tty), before) {
		t.Error("what is typed stays invisible afterwards")
	}
}

func TestPasswordOnATerminalIsNotShown(t *testing.T) {
	keyboard, tty := openPTY(t)
	before := stateOf(t, tty)
	answer := askSecret(t.Context(), t, tty)
	if _, err := keyboard.WriteString("open sesame\n"); err != nil {
		t.Fatal(err)
	}
	select {
	case a := <-answer:
		if a.text != "open sesame" || a.err != nil {
			t.Errorf("Password = %q, %v", a.text, a.err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("Password does not see what was typed")
	}
	if !reflect.DeepEqual(stateOf(t, tty), before) {
		t.Error("what is typed stays invisible afterwards")
	}
	// What the terminal has shown comes before what is shown from now on.
	if _, err := tty.WriteString("end"); err != nil {
		t.Fatal(err)
	}
	var shown strings.Builder
	b := make([]byte, 64)
	for !strings.HasSuffix(shown.String(), "end") {
		n, err := keyboard.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		shown.Write(b[:n])
	}
	if strings.Contains(shown.String(), "sesame") {
		t.Errorf("the terminal has shown the password: %q", shown.String())
	}
}
