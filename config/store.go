package config

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"os"
	"regexp"
	"slices"
	"time"
)

var prefixPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$`)

// store checks where things are kept. Package store reads keys and urls once more; here they get their line.
func (c *checker) store() {
	s := &c.config.Store
	switch {
	case c.config.Data != "" && s.Redis != nil:
		c.problem(at("data"), "data and store.redis are two stores: remove one")
	case c.config.Data != "" && s.Path != c.config.Data:
		c.problem(at("data"), "data and store.path say the same thing: remove one")
	case s.Redis != nil && s.Path != "":
		c.problem(at("store", "path"), "store.path and store.redis are two stores: remove one")
	}
	if s.Redis != nil {
		c.redis(s.Redis)
		if s.Key.Reveal() == "" {
			c.problem(at("store", "redis"), "store.key is missing: processes that share a Redis need the same key; openssl rand -hex 32 makes one")
		}
	}
	if s.Key.Reveal() != "" && !isKey(s.Key) {
		c.problem(at("store", "key"), "store.key is 32 random bytes as 64 hexadecimal digits or in base64: openssl rand -hex 32 makes one")
	}
	for i, key := range s.OldKeys {
		if !isKey(key) {
			c.problem(at("store", "old_keys", i), "old key %d is 32 bytes as 64 hexadecimal digits or in base64", i+1)
		}
	}
	if len(s.OldKeys) > 0 && s.Key.Reveal() == "" {
		c.problem(at("store", "old_keys"), "old_keys without a key: add store.key, the new one")
	}
	c.duration(at("store", "lease"), s.Lease, 5*time.Second, 10*time.Minute)
}

func (c *checker) redis(r *Redis) {
	link, err := url.Parse(r.URL)
	switch {
	case err != nil || !slices.Contains([]string{"redis", "rediss", "unix"}, link.Scheme) || (link.Host == "") == (link.Scheme != "unix"):
		c.problem(at("store", "redis", "url"), "redis url: write it as redis://HOST:6379/0, rediss://HOST:6379/0 for TLS or unix:///PATH")
	case link.User != nil:
		c.problem(at("store", "redis", "url"), "leave user and password out of the redis url; they have keys of their own")
	case r.CA != "" && link.Scheme != "rediss":
		c.problem(at("store", "redis", "ca"), "ca is for TLS: write the url as rediss://")
	}
	if r.CA != "" {
		if _, err := os.Stat(r.CA); err != nil {
			c.problem(at("store", "redis", "ca"), "certificate authority of redis: %v", err)
		}
	}
	if r.Username != "" && r.Password.Reveal() == "" {
		c.problem(at("store", "redis", "username"), "a redis username without a password: add store.redis.password")
	}
	if !prefixPattern.MatchString(r.Prefix) {
		c.problem(at("store", "redis", "prefix"), "redis prefix %q: use up to 64 letters, digits and _ . : -, a letter or digit first", r.Prefix)
	}
	c.duration(at("store", "redis", "timeout"), r.Timeout, 500*time.Millisecond, 30*time.Second)
}

// isKey reports whether the secret is 32 bytes, as package store wants them.
func isKey(s Secret) bool {
	for _, decode := range []func(string) ([]byte, error){
		hex.DecodeString, base64.StdEncoding.DecodeString, base64.RawStdEncoding.DecodeString, base64.RawURLEncoding.DecodeString,
	} {
		if raw, err := decode(s.Reveal()); err == nil && len(raw) == 32 {
			return true
		}
	}
	return false
}
