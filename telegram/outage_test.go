package telegram

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gotd/td/crypto"
	gotdsession "github.com/gotd/td/session"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/store"
)

// unreachable is an account whose Telegram is at addr, and its log.
func unreachable(t *testing.T, addr string) (*Account, *lines) {
	t.Helper()
	keep, err := store.OpenFile(filepath.Join(t.TempDir(), "tgtrunk.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keep.Close() })
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	said := &lines{}
	a, err := New(Options{
		Name: "office", APIID: 1, APIHash: "h", Store: keep, Log: slog.New(slog.NewTextHandler(said, nil)),
		Server: Server{Addr: addr, PublicKey: &key.PublicKey, DC: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	a.unreachedIn, a.commandIn = 50*time.Millisecond, 300*time.Millisecond
	return a, said
}

type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// nobody is an address where nothing listens, and mute one where nothing answers.
func nobody(t *testing.T) (nobody, mute string) {
	t.Helper()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = gone.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	return gone.Addr().String(), silent.Addr().String()
}

// Who logs an account in behind a firewall is told so, and does not wait for ever.
func TestCommandsSayThatTelegramIsNotThere(t *testing.T) {
	gone, mute := nobody(t)
	for addr, want := range map[string]string{gone: "connection refused", mute: "does not answer as telegram does"} {
		a, _ := unreachable(t, addr)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		err := a.Login(ctx, nil) // nobody is asked anything
		if err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), "no connection to telegram") || !strings.Contains(err.Error(), want) {
			t.Errorf("login: %v, want %q", err, want)
		}
		keepSession(t, a)
		if _, err := a.Devices(ctx); err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("devices: %v, want %q", err, want)
		}
	}
}

// keepSession makes the account one that was logged in.
func keepSession(t *testing.T, a *Account) {
	t.Helper()
	var key crypto.Key
	_, _ = rand.Read(key[:]) // never fails
	known := key.WithID()
	err := a.whileHeld(t.Context(), a.owner, func(ctx context.Context, _ *fence) error {
		loader := gotdsession.Loader{Storage: a.keep}
		return loader.Save(ctx, &gotdsession.Data{DC: 1, AuthKey: known.Value[:], AuthKeyID: known.ID[:]})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A service that cannot reach Telegram says so and why, once.
func TestServiceSaysThatTelegramIsNotThere(t *testing.T) {
	gone, mute := nobody(t)
	for addr, want := range map[string]string{gone: "connection refused", mute: "does not answer as telegram does"} {
		a, said := unreachable(t, addr)
		keepSession(t, a)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = a.Run(ctx, func(bridge.Offer) {}) })
		look := time.NewTicker(10 * time.Millisecond)
		for deadline := time.Now().Add(10 * time.Second); !strings.Contains(said.String(), want) && time.Now().Before(deadline); {
			<-look.C
		}
		look.Stop()
		cancel()
		running.Wait()
		if text := said.String(); strings.Count(text, "level=WARN msg=\"no connection to telegram, trying again\"") != 1 || !strings.Contains(text, want) {
			t.Errorf("the log is\n%s", text)
		}
	}
}

// The client may lose its connection at the very end of a session: nothing is said of it any more.
func TestNoOutageAfterTheEnd(t *testing.T) {
	for range 2000 {
		o := &outage{after: time.Hour, say: func() {}}
		o.set(false)
		var losing sync.WaitGroup
		for range 4 {
			losing.Go(func() {
				for range 10 {
					o.set(false)
				}
			})
		}
		o.stop()
		losing.Wait()
		if o.timer != nil {
			o.timer.Stop()
			t.Fatal("it will be said that there is no connection")
		}
	}
}
