package storetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/store"
)

const startIn = 20 * time.Second // a loaded machine is slow

// Redis is a redis-server of one test. Its data outlives Kill and Start.
type Redis struct {
	Addr string // host:port, the same for the server's whole life

	t    testing.TB
	dir  string
	args []string
	cmd  *exec.Cmd
	over chan struct{} // closed when the process has ended
}

// StartRedis starts a server that writes every change to its disk before it answers. More settings may follow, as on
// the command line of redis-server. Where there is no redis-server the test is skipped, but not under CI.
func StartRedis(t testing.TB, args ...string) *Redis {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("redis-server is not installed: make deps installs it")
		}
		t.Skip("skipped: redis-server is not installed: make deps installs it")
	}
	r := &Redis{t: t, dir: t.TempDir(), args: args}
	for range 5 { // somebody may take the port first
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		r.Addr = l.Addr().String()
		l.Close()
		if err = r.start(); err == nil {
			t.Cleanup(r.Kill)
			return r
		}
		t.Log(err)
	}
	t.Fatal("redis-server does not start")
	return nil
}

// URL is how to connect to the server.
func (r *Redis) URL() string { return "redis://" + r.Addr + "/0" }

// Open connects to the server, until the test ends.
func (r *Redis) Open(t testing.TB, o store.RedisOptions) store.Store {
	t.Helper()
	if o.URL == "" {
		o.URL = r.URL()
	}
	s, err := store.OpenRedis(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Start starts a server that was killed once more, with the data it has written.
func (r *Redis) Start() {
	r.t.Helper()
	if err := r.start(); err != nil {
		r.t.Fatal(err)
	}
}

func (r *Redis) start() error {
	_, port, err := net.SplitHostPort(r.Addr)
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(r.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	args := []string{"--bind", "127.0.0.1", "--port", port, "--dir", r.dir, "--appendonly", "yes", "--appendfsync", "always", "--save", ""}
	cmd := exec.Command("redis-server", append(args, r.args...)...)
	cmd.Stdout, cmd.Stderr = log, log
	over, started := make(chan struct{}), make(chan error)
	go func() { // the kernel ends the server with the thread that started it: also where the test cannot
		runtime.LockOSThread()
		dieWithParent(cmd)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
		close(over)
	}()
	if err := <-started; err != nil {
		return err
	}
	r.cmd, r.over = cmd, over
	if err := r.await(); err != nil {
		r.Kill()
		text, _ := os.ReadFile(log.Name())
		return fmt.Errorf("redis-server at %s: %w\n%s", r.Addr, err, text)
	}
	return nil
}

// await waits until the server answers, and has read its data.
func (r *Redis) await() error {
	ctx, cancel := context.WithTimeout(r.t.Context(), startIn)
	defer cancel()
	for {
		answer, err := ping(r.Addr)
		if err == nil && !strings.HasPrefix(answer, "-LOADING") {
			return nil
		}
		select {
		case <-r.over:
			return errors.New("ended at once")
		case <-ctx.Done():
			return fmt.Errorf("does not answer: %q, %w", answer, err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// ping asks the server whether it is there; one that wants a password or TLS is.
func ping(addr string) (string, error) {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return "", err
	}
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return "", err
	}
	return bufio.NewReader(conn).ReadString('\n')
}

// Pause stops the server as it is: connections stay, nothing answers. Continue lets it go on.
func (r *Redis) Pause() { r.signal(syscall.SIGSTOP) }

// Continue lets a paused server go on.
func (r *Redis) Continue() { r.signal(syscall.SIGCONT) }

// Kill ends the server at once, paused or not; it is idempotent.
func (r *Redis) Kill() {
	r.signal(syscall.SIGKILL)
	select {
	case <-r.over:
	case <-time.After(startIn):
		r.t.Error("redis-server does not die")
	}
}

func (r *Redis) signal(s os.Signal) {
	if err := r.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		r.t.Errorf("signal redis-server: %v", err)
	}
}
