package webhook

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/store"
	"github.com/tgtrunk/tgtrunk/store/storetest"
)

// crowd fills a store with keys that have nothing to do with webhooks.
func crowd(t testing.TB, s store.Store, keys int) {
	t.Helper()
	for from := 0; from < keys; from += store.MaxChanges {
		var some []store.Change
		for n := from; n < min(from+store.MaxChanges, keys); n++ {
			some = append(some, store.Change{Key: fmt.Sprintf("telegram/peer/1/%08d", n), Value: []byte("somebody")})
		}
		if _, err := s.Update(t.Context(), some); err != nil {
			t.Fatal(err)
		}
	}
}

// A sender that has nothing to send does not go through the keys of others.
func TestIdleSenderLeavesForeignKeysAlone(t *testing.T) {
	redis := storetest.StartRedis(t)
	keep := redis.Open(t, store.RedisOptions{Timeout: soon})
	crowd(t, keep, 3000)
	r := newReceiver(t, nil)
	s := start(t, Options{URL: r.URL, Store: keep, Pace: sharedPace()})
	s.Send(event("a", "ended"))
	r.wait(1)
	eventually(t, "the store is empty", func() bool { return left(t, keep) == 0 })
	const looks = 20
	before := redis.Commands()
	eventually(t, "it looks around", func() bool { return redis.Commands()["evalsha"] >= before["evalsha"]+looks })
	after := redis.Commands()
	maps.DeleteFunc(after, func(name string, n int) bool { return n == before[name] })
	for _, name := range []string{"scan", "mget"} {
		if n := after[name] - before[name]; after[name] > 0 {
			t.Errorf("%d times %s", n, name)
		}
	}
}

// BenchmarkLook looks for events where there are none and 50,000 other keys are.
func BenchmarkLook(b *testing.B) {
	const others = 50_000
	prepare := func(b *testing.B, keep store.Store) (look func()) {
		crowd(b, keep, others)
		s, err := New(Options{URL: "http://127.0.0.1:1", Secret: secret, Store: keep})
		if err != nil {
			b.Fatal(err)
		}
		look = func() {
			if found, err := s.look(b.Context()); err != nil || found != 0 {
				b.Fatal(found, err)
			}
		}
		look() // the first one may take its time
		return look
	}
	b.Run("file", func(b *testing.B) {
		look := prepare(b, openStore(b))
		for b.Loop() {
			look()
		}
	})
	b.Run("redis", func(b *testing.B) {
		redis := storetest.StartRedis(b)
		look := prepare(b, redis.Open(b, store.RedisOptions{Timeout: soon}))
		count := func() (sum int) {
			for _, n := range redis.Commands() {
				sum += n
			}
			return sum
		}
		before, worked := count(), redis.CPU()
		for b.Loop() {
			look()
		}
		b.ReportMetric(float64(count()-before)/float64(b.N), "commands/op")
		b.ReportMetric(float64((redis.CPU()-worked)/time.Microsecond)/float64(b.N), "redis-µs/op")
	})
}
