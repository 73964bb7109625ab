package store

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// RedisOptions names a Redis server. URL is required.
type RedisOptions struct {
	URL      string        // redis://HOST:PORT/DB, rediss:// for TLS, unix:///PATH?db=DB
	Username string        // of the server's access list; empty: the default user
	Password string        // secret
	Prefix   string        // before every key, so that several installations share a server; default "tgtrunk"
	CAFile   string        // PEM file with the authorities of the server's certificate; empty: the system's
	Timeout  time.Duration // how long a call may take, all attempts together; default 5 s
	Log      *slog.Logger  // nil discards
}

const (
	redisTimeout = 5 * time.Second
	redisPool    = 8 // connections
	oldestRedis  = 5 // major version: TIME in scripts that write
)

// Redis is a Store on a Redis server, for any number of processes. Time is the server's.
type Redis struct {
	client  *redis.Client
	addr    string // for errors
	prefix  string // with the braces that put all keys into one slot
	timeout time.Duration
	clock   serverClock
	log     *slog.Logger

	mu     sync.Mutex
	closed bool // guarded by mu
	calls  sync.WaitGroup
}

// OpenRedis connects to the server and fails where it cannot be used as it is: not there, wrong password, a replica, too
// old. What only makes it risky is logged.
func OpenRedis(ctx context.Context, o RedisOptions) (*Redis, error) {
	client, err := o.client()
	if err != nil {
		return nil, err
	}
	r := &Redis{
		client: redis.NewClient(client), addr: client.Addr, timeout: cmp.Or(o.Timeout, redisTimeout),
		prefix: "{" + cmp.Or(o.Prefix, "tgtrunk") + "}", log: o.Log,
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	r.clock.began = time.Now()
	if err := r.examine(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open store: %w", err), r.Close())
	}
	return r, nil
}

// client returns the options of the library. Its defaults do not fit a store that must say whether a write has
// happened: it repeats scripts by itself, ignores the deadline of a context once a connection is open, dials five times
// for one call, and names itself with a command that an access list may refuse.
func (o RedisOptions) client() (*redis.Options, error) {
	if strings.ContainsAny(o.Prefix, "{}") {
		return nil, fmt.Errorf("redis prefix %q: leave { and } out", o.Prefix)
	}
	link, err := url.Parse(o.URL)
	if err != nil || link.User != nil { // not wrapped: the error would show a password
		return nil, errors.New("redis url: write it as redis://HOST:6379/0, rediss:// for TLS or unix:///PATH, without user and password")
	}
	c, err := redis.ParseURL(o.URL)
	if err != nil {
		return nil, fmt.Errorf("redis url %q: %w", o.URL, err)
	}
	timeout := cmp.Or(o.Timeout, redisTimeout)
	c.Username, c.Password = o.Username, o.Password
	c.Protocol = 2 // pushes of RESP3 serve caches, which this store has none of
	c.MaxRetries = -1
	c.ContextTimeoutEnabled = true
	c.DialerRetries = 1
	c.DialTimeout, c.ReadTimeout, c.WriteTimeout, c.PoolTimeout = timeout/2, timeout/2, timeout/2, timeout/2
	c.PoolSize = redisPool
	c.DisableIdentity = true
	c.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	if o.CAFile == "" {
		return c, nil
	}
	if c.TLSConfig == nil {
		return nil, fmt.Errorf("redis url %q has no TLS, but a certificate authority is given: write rediss://", o.URL)
	}
	text, err := os.ReadFile(o.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read redis certificate authority: %w", err)
	}
	c.TLSConfig.RootCAs = x509.NewCertPool()
	if !c.TLSConfig.RootCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("redis certificate authority %s holds no PEM certificate", o.CAFile)
	}
	c.TLSConfig.MinVersion = tls.VersionTLS12
	return c, nil
}

// QuietRedis keeps the library's own complaints off standard error: every failure comes back as an error as well. It is
// for the process, so whoever has the process calls it.
func QuietRedis() { redis.SetLogger(&logging.VoidLogger{}) }

// examine looks at the server before anything is trusted to it.
func (r *Redis) examine(ctx context.Context) error {
	_, err := read(ctx, r, func(ctx context.Context) (string, error) {
		asked := time.Now()
		now, err := r.client.Time(ctx).Result()
		if err == nil {
			r.clock.learn(now.UnixMicro(), asked)
		}
		return "", err
	})
	if err != nil {
		return err
	}
	info, err := read(ctx, r, func(ctx context.Context) (string, error) { return r.client.Info(ctx).Result() })
	if err != nil {
		r.log.Debug("redis does not say how it is set up", "error", err) // an access list may refuse it
		return nil
	}
	facts := map[string]string{}
	for line := range strings.Lines(info) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			facts[name] = value
		}
	}
	var major int
	if _, err := fmt.Sscanf(facts["redis_version"], "%d.", &major); err == nil && major < oldestRedis {
		return fmt.Errorf("redis %s has version %s: use %d or newer", r.addr, facts["redis_version"], oldestRedis)
	}
	switch {
	case facts["role"] == "slave":
		return fmt.Errorf("redis %s is a replica: name the primary", r.addr)
	case facts["redis_mode"] == "cluster" || facts["redis_mode"] == "sentinel":
		return fmt.Errorf("redis %s runs as %s: name a single server, or an address that leads to the primary", r.addr, facts["redis_mode"])
	}
	if policy := facts["maxmemory_policy"]; strings.HasPrefix(policy, "allkeys") {
		r.log.Warn("redis throws keys away when its memory is full: sessions among them", "redis", r.addr,
			"maxmemory-policy", policy, "advice", "set maxmemory-policy noeviction or volatile-ttl")
	}
	if facts["aof_enabled"] == "0" {
		r.log.Warn("redis keeps no append-only file: what was written shortly before a crash is lost", "redis", r.addr,
			"advice", "set appendonly yes")
	}
	return nil
}

// Get implements Store.
func (r *Redis) Get(ctx context.Context, key string) (Entry, error) {
	err := checkChanges(ctx, []Change{{Key: key}})
	var raw string
	if err == nil {
		raw, err = read(ctx, r, func(ctx context.Context) (string, error) { return r.client.Get(ctx, r.valueKey(key)).Result() })
	}
	var e Entry
	if err == nil {
		e, err = parseEntry(key, raw)
	}
	if err != nil {
		return Entry{}, fmt.Errorf("get %q: %w", key, err)
	}
	return e, nil
}

// Close implements Store.
func (r *Redis) Close() error {
	r.mu.Lock()
	before := r.closed
	r.closed = true
	r.mu.Unlock()
	if before {
		return nil
	}
	err := r.client.Close()
	r.calls.Wait() // they fail now
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("close redis %s: %w", r.addr, err)
	}
	return nil
}

func (r *Redis) valueKey(key string) string  { return r.prefix + "v:" + key }
func (r *Redis) leaseKey(name string) string { return r.prefix + "l:" + name }

// parseEntry reads a value as lua/update.lua writes it.
func parseEntry(key, raw string) (Entry, error) {
	var e Entry
	var expires int64
	version, rest, ok := strings.Cut(raw, " ")
	ends, value, ok2 := strings.Cut(rest, " ")
	_, err := fmt.Sscan(version, &e.Version)
	_, err2 := fmt.Sscan(ends, &expires)
	if !ok || !ok2 || err != nil || err2 != nil || e.Version == 0 {
		return Entry{}, errors.New("what redis keeps there was not written by tgtrunk: give it a prefix of its own")
	}
	e.Key, e.Value = key, []byte(value)
	if expires > 0 {
		e.Expires = time.UnixMilli(expires)
	}
	return e, nil
}
