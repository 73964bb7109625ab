package telegram

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// dropping is an address where what is sent is dropped, as by a firewall: a socket that listens and whose queue is full.
func dropping(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(name.(*syscall.SockaddrInet4).Port))
	for range 16 {
		conn, err := net.DialTimeout("tcp", addr, 200*time.Millisecond)
		if errors.Is(err, context.DeadlineExceeded) {
			return addr
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	t.Fatal("the queue of the socket is never full")
	return ""
}

// A firewall that drops everything is not taken for a server that has taken the connection: neither before the first
// connection, nor after one that was lost.
func TestFirewallIsToldFromMuteServer(t *testing.T) {
	_, mute := nobody(t)
	wall := dropping(t)
	f := &fence{}
	f.extend(time.Now().Add(time.Hour))
	hang := func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		var dialling sync.WaitGroup
		dialling.Go(func() {
			if conn, err := f.dial(ctx, "tcp", wall); err == nil {
				t.Error("connected to", conn.RemoteAddr())
			}
		})
		<-time.After(50 * time.Millisecond)
		if err := f.unreached(); !errors.Is(err, errSilent) {
			t.Errorf("while it is tried: %v", err)
		}
		dialling.Wait()
		if err := f.unreached(); errors.Is(err, errMute) { // the dial's own timeout is as good
			t.Errorf("after it was tried: %v", err)
		}
	}
	hang()
	conn, err := f.dial(t.Context(), "tcp", mute)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.unreached(); !errors.Is(err, errMute) {
		t.Errorf("connected: %v", err)
	}
	_ = conn.Close()
	hang()
}
