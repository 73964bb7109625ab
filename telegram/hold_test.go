package telegram_test

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/store"
	"github.com/tgtrunk/tgtrunk/store/storetest"
	"github.com/tgtrunk/tgtrunk/telegram"
)

// sessions lets the simulated Telegram's provisioned sessions into a store.
type sessions struct{ store.Store }

func (s sessions) LoadSession(context.Context) ([]byte, error) {
	return nil, errors.New("there is none")
}

func (s sessions) StoreSession(ctx context.Context, data []byte) error {
	_, err := s.Put(ctx, "telegram/office/session", data, store.Put{})
	return err
}

func sealedStore(t *testing.T, s store.Store, secret string) store.Store {
	t.Helper()
	ring, err := store.NewKeyring(secret)
	if err != nil {
		t.Fatal(err)
	}
	return store.Sealed(s, ring)
}

// The account moves between stores and drivers, and goes up without a new login; nothing readable is left behind.
func TestAccountMoves(t *testing.T) {
	w := newWorld(t)
	server := storetest.StartRedis(t)
	plain := openStore(t, filepath.Join(t.TempDir(), "a.db"))
	stores := []store.Store{
		sealedStore(t, plain, store.NewSecret()),
		sealedStore(t, server.Open(t, store.RedisOptions{Timeout: soon}), store.NewSecret()),
		sealedStore(t, openStore(t, filepath.Join(t.TempDir(), "b.db")), store.NewSecret()),
	}
	if err := w.control.LogIn(trunk, sessions{stores[0]}); err != nil {
		t.Fatal(err)
	}
	options := w.options()
	for i, s := range stores {
		options.Store = s
		a := newAccount(t, options)
		up := w.run(a)
		if err := newAccount(t, options).Export(t.Context(), true, func(store.Export) error { return nil }); !errors.Is(err, store.ErrHeld) {
			t.Errorf("store %d: exported while it runs: %v", i, err)
		}
		up.stop()
		if i+1 == len(stores) {
			break
		}
		path := filepath.Join(t.TempDir(), "office.export")
		failed := errors.New("disk full")
		if err := a.Export(t.Context(), true, func(store.Export) error { return failed }); !errors.Is(err, failed) {
			t.Errorf("store %d: %v", i, err)
		}
		if err := a.Export(t.Context(), true, func(e store.Export) error { return store.SaveExport(path, e, "correct horse") }); err != nil {
			t.Fatal(err)
		}
		if err := a.Export(t.Context(), true, func(store.Export) error { return nil }); !errors.Is(err, telegram.ErrLoggedOut) {
			t.Errorf("store %d: exported twice: %v", i, err)
		}
		if err := s.Scan(t.Context(), "telegram/office/", func(e store.Entry) error { return errors.New("left behind " + e.Key) }); err != nil {
			t.Errorf("store %d: %v", i, err)
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		e, err := store.OpenExport(raw, "correct horse")
		if err != nil {
			t.Fatal(err)
		}
		options.Store = stores[i+1]
		next := newAccount(t, options)
		if err := next.Import(t.Context(), e, false); err != nil {
			t.Fatal(err)
		}
		if err := next.Import(t.Context(), e, false); !errors.Is(err, telegram.ErrHasSession) {
			t.Errorf("written over: %v", err)
		}
		if err := next.Import(t.Context(), e, true); err != nil {
			t.Error(err)
		}
	}
	if err := newAccount(t, options).Import(t.Context(), store.Export{Account: "office"}, true); !errors.Is(err, telegram.ErrLoggedOut) {
		t.Errorf("an export without a session: %v", err)
	}
}

// The store stands still for longer than the lease: the session ends, with the reason, before the lease does, and comes
// back with the store.
func TestAccountEndsWithoutItsLease(t *testing.T) {
	w := newWorld(t)
	server := storetest.StartRedis(t)
	options := w.options()
	options.Lease = 8 * time.Second
	options.Store = server.Open(t, store.RedisOptions{Timeout: 2 * time.Second})
	if err := w.control.LogIn(trunk, sessions{options.Store}); err != nil {
		t.Fatal(err)
	}
	o := w.run(newAccount(t, options))
	server.Pause()
	stood := time.Now()
	o.waitHealth(func(err error) bool { return errors.Is(err, telegram.ErrLeaseLost) })
	eventually(t, func() error {
		if n := w.control.Online(trunk); n != 0 {
			return fmt.Errorf("%d connections", n)
		}
		return nil
	})
	if took := time.Since(stood); took > options.Lease+2*time.Second {
		t.Errorf("the session was over after %v of a lease of %v", took, options.Lease)
	}
	server.Continue()
	o.waitUp()
}

// The other process of TestOneProcessHasTheAccount.
const asHolder = "TELEGRAM_TEST_HOLDER" // redis url, address and key of the simulated Telegram

func TestMain(m *testing.M) {
	if world := os.Getenv(asHolder); world != "" {
		beHolder(strings.Fields(world))
		return
	}
	store.QuietRedis()
	verify(m)
}

// beHolder runs the account until standard input ends, and says how it stands.
func beHolder(world []string) {
	raw, _ := base64.StdEncoding.DecodeString(world[2])
	key, err := x509.ParsePKCS1PublicKey(raw)
	if err != nil {
		fmt.Println("no key:", err)
		return
	}
	dc, _ := strconv.Atoi(world[3])
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s, err := store.OpenRedis(ctx, store.RedisOptions{URL: world[0], Timeout: 2 * time.Second})
	if err != nil {
		fmt.Println("no store:", err)
		return
	}
	a, err := telegram.New(telegram.Options{Name: "office", APIID: 17, APIHash: appHash, Store: s, Lease: holderLease,
		Server: telegram.Server{Addr: world[1], PublicKey: key, DC: dc}})
	if err != nil {
		fmt.Println("no account:", err)
		return
	}
	var running sync.WaitGroup
	running.Go(func() { _ = a.Run(ctx, func(bridge.Offer) {}) })
	running.Go(func() {
		last := ""
		for ctx.Err() == nil {
			now := fmt.Sprint(a.Health())
			if now != last {
				fmt.Println("health:", now)
			}
			last = now
			time.Sleep(20 * time.Millisecond)
		}
	})
	_, _ = io.Copy(io.Discard, os.Stdin)
	cancel()
	running.Wait()
	_ = s.Close()
}

const holderLease = 6 * time.Second

// counting passes connections on and counts what the client sends.
func counting(t *testing.T, to string) (addr string, sent *atomic.Int64) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sent = new(atomic.Int64)
	var wg sync.WaitGroup
	var conns sync.Map
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				continue
			}
			conns.Store(in, nil)
			wg.Go(func() { _, _ = io.Copy(in, out); in.Close(); out.Close() })
			wg.Go(func() {
				defer in.Close()
				defer out.Close()
				buffer := make([]byte, 32<<10)
				for {
					n, err := in.Read(buffer)
					sent.Add(int64(n))
					if err != nil {
						return
					}
					if _, err := out.Write(buffer[:n]); err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		conns.Range(func(c, _ any) bool { c.(net.Conn).Close(); return true })
		wg.Wait()
	})
	return l.Addr().String(), sent
}

// Two processes want one account. One has it, the other stands by and says who has it. The first is stopped where it
// stands for longer than its lease: the other takes over. Let go on, the first sends Telegram not one byte more.
func TestOneProcessHasTheAccount(t *testing.T) {
	w := newWorld(t)
	server := storetest.StartRedis(t)
	options := w.options()
	options.Lease = holderLease
	options.Store = server.Open(t, store.RedisOptions{Timeout: 2 * time.Second})
	if err := w.control.LogIn(trunk, sessions{options.Store}); err != nil {
		t.Fatal(err)
	}
	addr, sent := counting(t, w.server.Addr().String())
	other := exec.Command(os.Args[0])
	key := base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PublicKey(w.server.PublicKey()))
	other.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %s %d", asHolder, server.URL(), addr, key, w.server.DC()))
	in, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 64)
	var reading sync.WaitGroup
	reading.Go(func() {
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			lines <- scanner.Text()
		}
	})
	t.Cleanup(func() {
		_ = other.Process.Signal(syscall.SIGCONT)
		in.Close()
		kill := time.AfterFunc(soon, func() { _ = other.Process.Kill() })
		defer kill.Stop()
		reading.Wait()
		if err := other.Wait(); err != nil {
			t.Error(err)
		}
	})
	await := func(what string) {
		t.Helper()
		var said []string
		for late := time.After(3 * soon); ; {
			select {
			case line := <-lines:
				said = append(said, line)
				if strings.Contains(line, what) {
					return
				}
			case <-late:
				t.Fatalf("the other process does not say %q, but %q", what, said)
			}
		}
	}
	await("health: <nil>")

	me := w.start(newAccount(t, options))
	name := fmt.Sprintf("pid %d", other.Process.Pid)
	me.waitHealth(func(err error) bool { return errors.Is(err, store.ErrHeld) && strings.Contains(err.Error(), name) })
	if err := newAccount(t, options).Login(t.Context(), &person{}); !errors.Is(err, store.ErrHeld) || !strings.Contains(err.Error(), name) {
		t.Errorf("a login while another has the account: %v", err)
	}

	if err := other.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	me.waitUp()
	before := sent.Load()
	if err := other.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	await(store.ErrHeld.Error()) // by way of losing its lease
	if after := sent.Load(); after != before {
		t.Errorf("%d bytes were sent after the lease was lost", after-before)
	}
	if err := me.Health(); err != nil {
		t.Error(err)
	}
	me.stop()
	await("health: <nil>")
}
