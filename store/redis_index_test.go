package store_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tgtrunk/tgtrunk/store"
	"github.com/tgtrunk/tgtrunk/store/storetest"
)

// former writes as a tgtrunk did that knew no index: a value, and the counter of versions.
type former struct {
	t      *testing.T
	client *redis.Client
}

func newFormer(t *testing.T, server *storetest.Redis) former {
	c := redis.NewClient(&redis.Options{Addr: server.Addr, Protocol: 2, ReadTimeout: patient})
	t.Cleanup(func() { _ = c.Close() })
	return former{t, c}
}

func (f former) put(key, value string, ttl time.Duration) {
	f.t.Helper()
	const script = `
		local clock = redis.call('TIME')
		local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
		local last = math.max(tonumber(redis.call('GET', KEYS[1]) or '0') + 1, now)
		local expires, ttl = '0', tonumber(ARGV[2])
		if ttl > 0 then expires = string.format('%.0f', math.floor(now / 1000) + ttl) end
		redis.call('SET', KEYS[2], string.format('%.0f', last) .. ' ' .. expires .. ' ' .. ARGV[1])
		if ttl > 0 then redis.call('PEXPIREAT', KEYS[2], expires) end
		redis.call('SET', KEYS[1], string.format('%.0f', last))`
	keys := []string{"{tgtrunk}c", "{tgtrunk}v:" + key}
	if err := f.client.Eval(f.t.Context(), script, keys, value, ttl.Milliseconds()).Err(); err != nil && err != redis.Nil {
		f.t.Error(err)
	}
}

func keysOf(t *testing.T, s store.Store, prefix string) (keys []string) {
	t.Helper()
	if err := s.Scan(t.Context(), prefix, func(e store.Entry) error { keys = append(keys, e.Key); return nil }); err != nil {
		t.Fatal(err)
	}
	return keys
}

// wantLooks wants scans that look through the whole server, or none.
func wantLooks(t *testing.T, server *storetest.Redis, want bool, do func()) {
	t.Helper()
	before := server.Commands()["scan"]
	do()
	if n := server.Commands()["scan"] - before; n > 0 != want {
		t.Errorf("the server was looked through with %d requests, wanted: %v", n, want)
	}
}

// What was written before there was an index is found, and so is what a process of the former version writes beside
// one of this version; the server is looked through only then.
func TestRedisIndexOfFormerKeys(t *testing.T) {
	server := storetest.StartRedis(t, "--appendfsync", "no")
	old := newFormer(t, server)
	var want []string
	for n := range 2500 { // some pages
		key := fmt.Sprintf("p/%05d", n)
		old.put(key, "v", 0)
		want = append(want, key)
	}
	old.put("q", "v", time.Hour)
	s := server.Open(t, store.RedisOptions{Timeout: patient})
	check := func(looks bool) {
		t.Helper()
		wantLooks(t, server, looks, func() {
			if got := keysOf(t, s, "p/"); !slices.Equal(got, want) {
				t.Errorf("%d keys, want %d", len(got), len(want))
			}
		})
	}
	check(true)
	check(false)
	put(t, s, "p/a", "v", store.Put{})
	want = append(want, "p/a")
	check(false)
	old.put("p/b", "v", time.Hour)
	put(t, s, "p/c", "v", store.Put{}) // does not hide it
	want = append(want, "p/b", "p/c")
	check(true)
	check(false)
	if err := s.Delete(t.Context(), "p/a"); err != nil {
		t.Fatal(err)
	}
	want = slices.DeleteFunc(want, func(k string) bool { return k == "p/a" })
	check(false)
	if err := old.client.Del(t.Context(), "{tgtrunk}v:p/c").Err(); err != nil { // as the former version deletes
		t.Fatal(err)
	}
	want = want[:len(want)-1]
	check(false)
	for name, spoil := range map[string]func() error{
		"the index is thrown away":      func() error { return old.client.Del(t.Context(), "{tgtrunk}i").Err() },
		"what is known of it":           func() error { return old.client.Del(t.Context(), "{tgtrunk}k").Err() },
		"who made it died in the midst": func() error { return old.client.HDel(t.Context(), "{tgtrunk}k", "whole").Err() },
	} {
		if err := spoil(); err != nil {
			t.Fatal(name, err)
		}
		check(true)
		check(false)
	}
	if got := keysOf(t, s, "q"); !slices.Equal(got, []string{"q"}) {
		t.Errorf("of q: %q", got)
	}
}

// Processes of both versions write at the same time while others scan: no scan misses what was there before it.
func TestRedisIndexMadeUnderWrites(t *testing.T) {
	server := storetest.StartRedis(t, "--appendfsync", "no")
	old := newFormer(t, server)
	for n := range 3000 {
		old.put(fmt.Sprintf("there/%04d", n), "v", 0)
	}
	const each = 150
	var mu sync.Mutex
	written := map[string]bool{}
	note := func(key string) { mu.Lock(); written[key] = true; mu.Unlock() }
	var writers, scanners sync.WaitGroup
	for w := range 2 {
		s := server.Open(t, store.RedisOptions{Timeout: patient})
		writers.Go(func() {
			for n := range each {
				key := fmt.Sprintf("new/%d/%04d", w, n)
				put(t, s, key, "v", store.Put{})
				note(key)
			}
		})
	}
	writers.Go(func() {
		for n := range each {
			key := fmt.Sprintf("old/%04d", n)
			old.put(key, "v", 0)
			note(key)
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	scan := func(s store.Store) {
		mu.Lock()
		before := make([]string, 0, len(written))
		for key := range written {
			before = append(before, key)
		}
		mu.Unlock()
		got := map[string]bool{}
		for _, key := range keysOf(t, s, "") {
			got[key] = true
		}
		for _, key := range before {
			if !got[key] {
				t.Errorf("%s was there and is not found", key)
			}
		}
		if len(got) < 3000+len(before) {
			t.Errorf("%d keys, want %d at least", len(got), 3000+len(before))
		}
	}
	for range 2 {
		s := server.Open(t, store.RedisOptions{Timeout: patient})
		scanners.Go(func() {
			for ctx.Err() == nil && !t.Failed() {
				scan(s)
			}
			scan(s) // nobody writes any more
		})
	}
	writers.Wait()
	cancel()
	scanners.Wait()
	s := server.Open(t, store.RedisOptions{Timeout: patient})
	wantLooks(t, server, false, func() {
		if n := len(keysOf(t, s, "")); n != 3000+3*each {
			t.Errorf("%d keys in the end", n)
		}
	})
}

// Keys that have expired leave the index with later writes; those that got another life stay.
func TestRedisIndexForgetsExpiredKeys(t *testing.T) {
	server := storetest.StartRedis(t)
	raw := newFormer(t, server)
	s := server.Open(t, store.RedisOptions{Timeout: patient})
	keysOf(t, s, "")
	for n := range 50 {
		put(t, s, fmt.Sprintf("short/%02d", n), "v", store.Put{TTL: 20 * time.Millisecond})
	}
	put(t, s, "kept", "v", store.Put{TTL: 20 * time.Millisecond})
	raw.put("kept", "v", 0) // by a former version
	keysOf(t, s, "")
	put(t, s, "a", "v", store.Put{})
	size := func() int64 { return raw.client.ZCard(t.Context(), "{tgtrunk}i").Val() }
	expiries := func() int64 { return raw.client.ZCard(t.Context(), "{tgtrunk}e").Val() }
	for last := time.Now().Add(patient); size() > 3 || expiries() > 0; {
		if time.Now().After(last) {
			t.Fatalf("the index has %d members, %d expire", size(), expiries())
		}
		put(t, s, "a", "v", store.Put{})
		<-time.After(20 * time.Millisecond)
	}
	if got := keysOf(t, s, ""); !slices.Equal(got, []string{"a", "kept"}) {
		t.Errorf("keys %q", got)
	}
}
