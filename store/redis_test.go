package store_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/store"
	"github.com/tgtrunk/tgtrunk/store/storetest"
)

const patient = 20 * time.Second // the timeout of a store on a loaded machine

func TestRedis(t *testing.T) {
	server := storetest.StartRedis(t)
	tests := 0
	storetest.Run(t, storetest.Driver{Unit: 500 * time.Millisecond, Open: func(t testing.TB) func() store.Store {
		tests++
		prefix := fmt.Sprintf("test-%d", tests) // they share the server and see nothing of each other
		return func() store.Store { return server.Open(t, store.RedisOptions{Prefix: prefix, Timeout: patient}) }
	}})
}

// A server that is stopped where it stands: calls fail in time, and nothing of what failed is done once it goes on.
func TestRedisHangs(t *testing.T) {
	server := storetest.StartRedis(t)
	const timeout = time.Second
	s := server.Open(t, store.RedisOptions{Timeout: timeout})
	put(t, s, "k", "before", store.Put{})
	l, err := s.Acquire(t.Context(), "l", "me", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	var warm sync.WaitGroup // connections for all of them: what is sent on an open one waits in the server's socket
	for range 16 {
		warm.Go(func() { _, _ = s.Get(t.Context(), "k") })
	}
	warm.Wait()
	server.Pause()
	for name, call := range map[string]func() error{
		"get":     func() error { _, err := s.Get(t.Context(), "k"); return err },
		"put":     func() error { _, err := s.Put(t.Context(), "k", []byte("while it hung"), store.Put{}); return err },
		"delete":  func() error { return s.Delete(t.Context(), "k") },
		"scan":    func() error { return s.Scan(t.Context(), "", func(store.Entry) error { return nil }) },
		"acquire": func() error { _, err := s.Acquire(t.Context(), "l", "other", time.Hour); return err },
		"release": func() error { return s.Release(t.Context(), l) },
	} {
		began := time.Now()
		err := call()
		if took := time.Since(began); !errors.Is(err, store.ErrAway) || took > timeout+2*time.Second {
			t.Errorf("%s: %v after %v", name, err, took)
		}
		if err != nil && !strings.Contains(err.Error(), server.Addr) {
			t.Errorf("%s: error %q does not name the server", name, err)
		}
	}
	// A caller that has had enough is let go at once.
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	began := time.Now()
	if _, err := s.Get(ctx, "k"); !errors.Is(err, context.Canceled) || time.Since(began) > 800*time.Millisecond {
		t.Errorf("cancelled: %v after %v", err, time.Since(began))
	}
	server.Continue()
	// What the stopped server had been sent meanwhile, it has read and refused by now: it answers in order of arrival.
	later := server.Open(t, store.RedisOptions{Timeout: patient})
	for range 20 {
		if e, err := later.Get(t.Context(), "k"); err != nil || string(e.Value) != "before" {
			t.Fatalf("a write that failed was done afterwards: %+v, %v", e, err)
		}
	}
	if _, err := later.Renew(t.Context(), l, time.Hour); err != nil {
		t.Errorf("a release that failed was done afterwards: %v", err)
	}
	put(t, s, "k", "after", store.Put{})
}

// The server dies and comes back while clients write: what was confirmed is there, whole, and callers that have time
// notice nothing.
func TestRedisRestarts(t *testing.T) {
	server := storetest.StartRedis(t)
	s := server.Open(t, store.RedisOptions{Timeout: patient})
	l, err := s.Acquire(t.Context(), "l", "me", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var confirmed atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := int64(1); ctx.Err() == nil; i++ {
			value := fmt.Append(nil, i)
			_, err := s.Update(t.Context(), []store.Change{{Key: "x", Value: value, How: store.Put{Under: &l}}, {Key: "y", Value: value}})
			if err != nil {
				t.Errorf("write %d: %v", i, err)
				return
			}
			confirmed.Store(i)
		}
	})
	for range 3 {
		passed := confirmed.Load() + 20
		for confirmed.Load() < passed && !t.Failed() {
			time.Sleep(time.Millisecond)
		}
		server.Kill()
		server.Start()
	}
	cancel()
	wg.Wait()
	x, err := s.Get(t.Context(), "x")
	y, err2 := s.Get(t.Context(), "y")
	if err != nil || err2 != nil || string(x.Value) != string(y.Value) || string(x.Value) != fmt.Sprint(confirmed.Load()) {
		t.Errorf("confirmed %d, x is %s (%v), y is %s (%v)", confirmed.Load(), x.Value, err, y.Value, err2)
	}
	if _, err := s.Acquire(t.Context(), "l", "other", time.Hour); !errors.Is(err, store.ErrHeld) {
		t.Errorf("the lease was lost: %v", err)
	}
}

// A server that has lost all it knew gives out no version and no token twice.
func TestRedisForgets(t *testing.T) {
	server := storetest.StartRedis(t, "--appendonly", "no")
	s := server.Open(t, store.RedisOptions{Timeout: patient})
	v := put(t, s, "k", "v", store.Put{})
	l, err := s.Acquire(t.Context(), "l", "me", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	server.Kill()
	server.Start()
	if w := put(t, s, "k", "v", store.Put{Create: true}); w <= v {
		t.Errorf("version %d after %d", w, v)
	}
	if _, err := s.Renew(t.Context(), l, time.Hour); !errors.Is(err, store.ErrFenced) {
		t.Errorf("a lease nobody knows of is renewed: %v", err)
	}
	if m, err := s.Acquire(t.Context(), "l", "me", time.Hour); err != nil || m.Token <= l.Token {
		t.Errorf("got %+v after %+v, %v", m, l, err)
	}
}

// lossy passes connections on to a server, and loses the answers to what it is told to.
type lossy struct {
	net.Listener
	lose atomic.Int32 // how many of the coming answers
	lost atomic.Int32
}

func newLossy(t *testing.T, addr string) *lossy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &lossy{Listener: l}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", addr)
			if err != nil {
				in.Close()
				continue
			}
			wg.Go(func() { _, _ = io.Copy(out, in); in.Close(); out.Close() })
			wg.Go(func() {
				defer in.Close()
				defer out.Close()
				buffer := make([]byte, 64<<10)
				for {
					n, err := out.Read(buffer)
					if err != nil {
						return
					}
					if p.lose.Load() > 0 {
						p.lose.Add(-1)
						p.lost.Add(1)
						return
					}
					if _, err := in.Write(buffer[:n]); err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return p
}

// The answer to a write is lost after the server has done it. Sent again, it is not done again, nor does it find a
// conflict with itself.
func TestRedisWritesOnce(t *testing.T) {
	server := storetest.StartRedis(t)
	direct := server.Open(t, store.RedisOptions{Timeout: patient})
	proxy := newLossy(t, server.Addr)
	s, err := store.OpenRedis(t.Context(), store.RedisOptions{URL: "redis://" + proxy.Addr().String(), Timeout: patient})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	put(t, s, "warm", "up", store.Put{}) // the server knows the scripts
	if _, err := s.Acquire(t.Context(), "warm", "up", time.Hour); err != nil {
		t.Fatal(err)
	}
	var v uint64
	var l store.Lease
	for _, step := range []struct {
		name string
		call func() error
	}{
		{"create", func() error { v = put(t, s, "k", "1", store.Put{Create: true}); return nil }},
		{"compare and set", func() error { v = put(t, s, "k", "2", store.Put{Version: v}); return nil }},
		{"update", func() error {
			all, err := s.Update(t.Context(), []store.Change{{Key: "k", Value: []byte("3"), How: store.Put{Version: v}}, {Key: "other", How: store.Put{Create: true}}})
			v = all[0]
			return err
		}},
		{"delete", func() error { return s.Delete(t.Context(), "other") }},
		{"acquire", func() (err error) { l, err = s.Acquire(t.Context(), "l", "me", time.Hour); return err }},
		{"renew", func() (err error) { l, err = s.Renew(t.Context(), l, time.Hour); return err }},
		{"release", func() error { return s.Release(t.Context(), l) }},
	} {
		before := proxy.lost.Load()
		proxy.lose.Store(2)
		if err := step.call(); err != nil {
			t.Errorf("%s: %v", step.name, err)
		}
		if proxy.lost.Load() != before+2 {
			t.Errorf("%s: %d answers were lost", step.name, proxy.lost.Load()-before)
		}
	}
	if e, err := direct.Get(t.Context(), "k"); err != nil || string(e.Value) != "3" || e.Version != v {
		t.Errorf("got %+v, %v, want version %d", e, err, v)
	}
	if m, err := direct.Acquire(t.Context(), "l", "other", time.Hour); err != nil || m.Token <= l.Token {
		t.Errorf("the release was not done: %+v, %v", m, err)
	}
}

func TestRedisAccessList(t *testing.T) {
	server := storetest.StartRedis(t, "--requirepass", "root", "--user",
		"tgtrunk", "on", ">secret", "~{trunk}*", "+@read", "+@write", "+@scripting", "+@connection", "+time", "+info")
	ok := store.RedisOptions{URL: server.URL(), Username: "tgtrunk", Password: "secret", Prefix: "trunk", Timeout: patient}
	s := server.Open(t, ok)
	put(t, s, "k", "v", store.Put{TTL: time.Hour})
	if err := s.Scan(t.Context(), "", func(store.Entry) error { return nil }); err != nil {
		t.Error(err)
	}
	if _, err := s.Acquire(t.Context(), "l", "me", time.Hour); err != nil {
		t.Error(err)
	}
	other := ok
	other.Prefix = "others"
	if _, err := server.Open(t, other).Put(t.Context(), "k", nil, store.Put{}); err == nil || !strings.Contains(err.Error(), "NOPERM") {
		t.Errorf("a foreign prefix: %v", err)
	}
	for want, edit := range map[string]func(*store.RedisOptions){
		"another password":   func(o *store.RedisOptions) { o.Password = "wrong" },
		"wants a password":   func(o *store.RedisOptions) { o.Username, o.Password = "", "" },
		"leave { and } out":  func(o *store.RedisOptions) { o.Prefix = "a{b" },
		"redis://HOST:6379":  func(o *store.RedisOptions) { o.URL = "redis://me:password@" + server.Addr },
		"redis url":          func(o *store.RedisOptions) { o.URL = "http://127.0.0.1" },
		"connection refused": func(o *store.RedisOptions) { o.URL, o.Timeout = "redis://127.0.0.1:1", time.Second },
		"has no TLS":         func(o *store.RedisOptions) { o.CAFile = "ca.pem" },
	} {
		o := ok
		edit(&o)
		began := time.Now()
		s, err := store.OpenRedis(t.Context(), o)
		if err == nil {
			_ = s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "me:password") {
			t.Errorf("%s: %v", want, err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s: only after %v", want, took)
		}
	}
}

// What a server is not fit for is said when it is opened.
func TestRedisThatIsUnfit(t *testing.T) {
	primary := storetest.StartRedis(t)
	host, port, _ := net.SplitHostPort(primary.Addr)
	for want, args := range map[string][]string{
		"is a replica":    {"--replicaof", host + " " + port, "--appendonly", "no"},
		"runs as cluster": {"--cluster-enabled", "yes"},
	} {
		server := storetest.StartRedis(t, args...)
		s, err := store.OpenRedis(t.Context(), store.RedisOptions{URL: server.URL(), Timeout: patient})
		if err == nil {
			_ = s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	var log strings.Builder
	risky := storetest.StartRedis(t, "--appendonly", "no", "--maxmemory-policy", "allkeys-lru")
	risky.Open(t, store.RedisOptions{Timeout: patient, Log: slog.New(slog.NewTextHandler(&log, nil))})
	for _, want := range []string{"append-only", "allkeys-lru"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not warn of %s: %s", want, &log)
		}
	}
}

func TestRedisOverTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeCertificate(t, cert, key)
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := plain.Addr().String()
	plain.Close()
	_, port, _ := net.SplitHostPort(addr)
	server := storetest.StartRedis(t, "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert, "--tls-auth-clients", "no")
	s := server.Open(t, store.RedisOptions{URL: "rediss://" + addr, CAFile: cert, Timeout: patient})
	put(t, s, "k", "v", store.Put{})
	for _, o := range []store.RedisOptions{{URL: "rediss://" + addr, Timeout: time.Second}, {URL: "rediss://" + addr, CAFile: key, Timeout: time.Second}} {
		if s, err := store.OpenRedis(t.Context(), o); err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("%+v: %v", o, err)
			if err == nil {
				_ = s.Close()
			}
		}
	}
}

// writeCertificate makes a certificate for 127.0.0.1 that is its own authority.
func writeCertificate(t *testing.T, cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "redis"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, about, about, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
