package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/config"
	"github.com/tgtrunk/tgtrunk/store"
	"github.com/tgtrunk/tgtrunk/store/storetest"
	"github.com/tgtrunk/tgtrunk/telegram/cloud"
)

// office is a simulated Telegram and configurations that lead to it.
type office struct {
	t      *testing.T
	ctx    context.Context
	dir    string
	server *cloud.Server
}

const salesID, supportID = 7001, 7002

func newOffice(t *testing.T, edit ...func(*cloud.Options)) *office {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	options := cloud.Options{Key: key, Log: slog.New(slog.DiscardHandler), Users: []cloud.User{
		{ID: salesID, Phone: "+99966150001", FirstName: "Sales", Code: "10001"},
		{ID: supportID, Phone: "+99966150002", FirstName: "Support", Code: "10002"},
	}}
	for _, e := range edit {
		e(&options)
	}
	server, err := cloud.New(options)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	over := make(chan error, 1)
	go func() { over <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-over; err != nil {
			t.Error(err)
		}
	})
	o := &office{t: t, ctx: ctx, dir: t.TempDir(), server: server}
	o.write("cloud.pem", cloud.PublicPEM(server.PublicKey()))
	return o
}

func (o *office) write(name string, text []byte) string {
	o.t.Helper()
	path := filepath.Join(o.dir, name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		o.t.Fatal(err)
	}
	return path
}

// configure writes a configuration with that store. Its PBX is never there.
func (o *office) configure(name, store string) string {
	return o.write(name, fmt.Appendf(nil, `%s
telegram: {listen: "127.0.0.1:0", server: {address: "%s", dc: %d, public_key: "%s/cloud.pem"}}
accounts:
  - {name: sales, api_id: 1, api_hash: "00000000000000000000000000000000", phone: "+99966150001"}
  - {name: support, api_id: 1, api_hash: "00000000000000000000000000000000", phone: "+99966150002"}
pbx:
  - {name: office, asterisk: {url: "http://127.0.0.1:1/ari", username: u, password: p}}
routes:
  - {from: sales, to: office, context: c, extension: "1"}
  - {from: support, to: office, context: c, extension: "1"}
`, store, o.server.Addr(), o.server.DC(), o.dir))
}

// tgtrunk runs a command to its end, with that input.
func (o *office) tgtrunk(input string, args ...string) (said string, err error) {
	cmd := program(o.ctx, o.t, args...)
	cmd.Env = append(cmd.Env, "EXPORT_PASSPHRASE=correct horse")
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (o *office) must(input string, args ...string) string {
	o.t.Helper()
	said, err := o.tgtrunk(input, args...)
	if err != nil {
		o.t.Fatalf("tgtrunk %v: %v\n%s", args, err, said)
	}
	return said
}

// refused runs a command that must fail and say why.
func (o *office) refused(why string, args ...string) {
	o.t.Helper()
	if said, err := o.tgtrunk("", args...); err == nil || !strings.Contains(said, why) {
		o.t.Errorf("tgtrunk %v: %v, without %q:\n%s", args, err, why, said)
	}
}

// run starts the service; stop ends it and returns its log.
func (o *office) run(path string) (service *exec.Cmd, stop func() string) {
	o.t.Helper()
	var log bytes.Buffer
	cmd := program(o.ctx, o.t, "run", "--config", path)
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		o.t.Fatal(err)
	}
	stopped := false
	stop = func() string {
		if !stopped {
			stopped = true
			_ = cmd.Process.Signal(os.Interrupt)
			if err := cmd.Wait(); err != nil {
				o.t.Errorf("the service ends with %v\n%s", err, &log)
			}
		}
		return log.String()
	}
	o.t.Cleanup(func() { stop() })
	return cmd, stop
}

func (o *office) online(user int64) {
	o.t.Helper()
	for o.server.Control().Online(user) == 0 {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-o.ctx.Done():
			o.t.Fatalf("account %d does not come up", user)
		}
	}
}

// An account's whole way: logged in on Redis while the service runs with another; refused to everybody while the service
// has it; moved to a store in a directory, where it goes up without a new login.
func TestAccountsMoveBetweenStores(t *testing.T) {
	server := storetest.StartRedis(t)
	o := newOffice(t)
	shared := o.configure("redis.yaml", fmt.Sprintf(`store: {redis: {url: "%s"}, key: "%s"}`, server.URL(), store.NewSecret()))
	own := o.configure("directory.yaml", fmt.Sprintf(`data: "%s/data"`, o.dir))

	o.must("10001\n", "login", "--account", "sales", "--config", shared)
	service, stop := o.run(shared)
	o.online(salesID)
	o.must("10002\n", "login", "--account", "support", "--config", shared)
	o.online(supportID)
	holder := fmt.Sprintf("pid %d", service.Process.Pid)
	o.refused(holder, "login", "--account", "sales", "--config", shared)
	file := filepath.Join(o.dir, "sales.export")
	export := []string{"account", "export", "sales", "--to", file, "--move", "--passphrase-env", "EXPORT_PASSPHRASE", "--config", shared}
	o.refused(holder, export...)
	if log := stop(); !strings.Contains(log, "account is up") {
		t.Errorf("the log is\n%s", log)
	}

	o.must("", export...)
	o.refused("account is not logged in", export...)
	o.refused("the passphrase is wrong", "account", "import", file, "--passphrase-env", "PATH", "--config", own)
	if said := o.must("correct horse\n", "account", "import", file, "--config", own); !strings.Contains(said, "account sales: ") {
		t.Errorf("import says %q", said)
	}
	o.refused("--replace", "account", "import", file, "--passphrase-env", "EXPORT_PASSPHRASE", "--config", own)
	service, stop = o.run(own)
	o.online(salesID)
	for _, args := range [][]string{{"login", "--account", "support"}, {"account", "import", file, "--passphrase-env", "EXPORT_PASSPHRASE"},
		{"account", "devices", "sales"}, {"account", "devices", "sales", "--stop-calls"}, {"account", "privacy", "sales"}} {
		o.refused(fmt.Sprintf("pid %d: stop it first", service.Process.Pid), append(args, "--config", own)...)
	}
	stop()
	if err := os.Remove(filepath.Join(o.dir, "data", "tgtrunk.key")); err != nil {
		t.Fatal(err)
	}
	o.refused("store.key", "run", "--config", own)
}

// A wrong key is named by its setting, on either driver, and an old one is good for reading.
func TestStoreKeyOfTheConfiguration(t *testing.T) {
	server := storetest.StartRedis(t)
	first, second := store.NewSecret(), store.NewSecret()
	for name, where := range map[string]config.Store{
		"directory": {Path: t.TempDir()},
		"redis":     {Redis: &config.Redis{URL: server.URL(), Timeout: 20 * time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			open := func(key string, old ...string) (store.Store, string, error) {
				var log bytes.Buffer
				s := where
				s.Key = config.NewSecret(key)
				for _, k := range old {
					s.OldKeys = append(s.OldKeys, config.NewSecret(k))
				}
				keep, err := openStore(t.Context(), &config.Config{Store: s}, slog.New(slog.NewTextHandler(&log, nil)))
				return keep, log.String(), err
			}
			s, _, err := open(first)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Put(t.Context(), "k", []byte("v"), store.Put{}); err != nil {
				t.Fatal(err)
			}
			s.Close()
			if _, _, err := open(second); err == nil || !strings.Contains(err.Error(), "store.key") {
				t.Errorf("another key: %v", err)
			}
			for range 2 {
				s, log, err := open(second, first)
				if err != nil {
					t.Fatal(err)
				}
				s.Close()
				t.Log(log)
			}
			s, _, err = open(second)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if e, err := s.Get(t.Context(), "k"); err != nil || string(e.Value) != "v" {
				t.Errorf("got %+v, %v", e, err)
			}
		})
	}
}
