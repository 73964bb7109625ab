package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strconv"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/term"
)

// openTerminal returns the two ends of a pseudo-terminal: what a person has before them, and what a program sees.
func openTerminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = person.Close() })
	var lock, number int32
	for request, value := range map[uintptr]*int32{syscall.TIOCSPTLCK: &lock, syscall.TIOCGPTN: &number} {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, person.Fd(), request, uintptr(unsafe.Pointer(value))); errno != 0 {
			t.Fatal(errno)
		}
	}
	program, err = os.OpenFile("/dev/pts/"+strconv.Itoa(int(number)), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = program.Close() })
	return person, program
}

// A password is typed on the terminal without being shown; who gives up need not press Enter, and has the terminal back as
// it was.
func TestPasswordOnTheTerminal(t *testing.T) {
	person, program := openTerminal(t)
	state := func() *term.State {
		s, err := term.GetState(int(program.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	shown := state()
	ui := newTerminal(program, io.Discard)
	for _, giveUp := range []bool{false, true} {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		answered := make(chan error, 1)
		go func() {
			text, err := ui.Password(ctx, "")
			if err == nil && text != "correct horse" {
				err = fmt.Errorf("the password is %q", text)
			}
			answered <- err
		}()
		for reflect.DeepEqual(state(), shown) { // until nothing is shown any more
			select {
			case err := <-answered:
				t.Fatal(err)
			case <-time.After(time.Millisecond):
			}
		}
		var want error
		if giveUp {
			want = context.Canceled
			cancel()
		} else if _, err := person.WriteString("correct horse\n"); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-answered:
			if !errors.Is(err, want) {
				t.Errorf("got %v, want %v", err, want)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("the terminal is not left")
		}
		if !reflect.DeepEqual(state(), shown) {
			t.Error("what is typed stays hidden")
		}
	}
}
