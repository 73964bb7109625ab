package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tgtrunk/tgtrunk/store"
)

func oneWins(b *bench) {
	v := b.put("k", "0", store.Put{})
	var won, lost atomic.Int32
	var wg sync.WaitGroup
	for i := range 8 {
		client := b.connect()
		wg.Go(func() {
			_, err := client.Put(b.Context(), "k", fmt.Append(nil, i), store.Put{Version: v})
			switch {
			case err == nil:
				won.Add(1)
			case errors.Is(err, store.ErrConflict):
				lost.Add(1)
			default:
				b.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 || lost.Load() != 7 {
		b.Errorf("%d writers won and %d lost, want 1 and 7", won.Load(), lost.Load())
	}
}

// counters adds up by compare-and-set from several clients; every addition counts once.
func counters(b *bench) {
	const clients, times = 4, 25
	b.put("n", "0", store.Put{})
	var wg sync.WaitGroup
	for range clients {
		client := b.connect()
		wg.Go(func() {
			for done := 0; done < times; {
				e, err := client.Get(b.Context(), "n")
				if err != nil {
					b.Error(err)
					return
				}
				n, _ := strconv.Atoi(string(e.Value))
				_, err = client.Put(b.Context(), "n", fmt.Append(nil, n+1), store.Put{Version: e.Version})
				switch {
				case err == nil:
					done++
				case !errors.Is(err, store.ErrConflict):
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if got := b.value("n"); got != strconv.Itoa(clients*times) {
		b.Errorf("counted %s, want %d", got, clients*times)
	}
}

// scanUnderChange scans while others write: what is there all the while comes once, in order.
func scanUnderChange(b *bench) {
	var steady []string
	for i := range 300 {
		key := fmt.Sprintf("s/%04d", 3*i)
		steady = append(steady, key)
		b.put(key, key, store.Put{})
	}
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	client := b.connect()
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i = (i + 1) % 300 {
			key := fmt.Sprintf("s/%04d", 3*i+1)
			if _, err := client.Put(b.Context(), key, nil, store.Put{}); err != nil {
				b.Error(err)
				return
			}
			if i%2 == 0 {
				if err := client.Delete(b.Context(), key); err != nil {
					b.Error(err)
					return
				}
			}
		}
	})
	for range 10 {
		keys := b.keys("s/")
		if !slices.IsSorted(keys) || len(slices.Compact(slices.Clone(keys))) != len(keys) {
			b.Errorf("keys come twice or without order")
		}
		if got := slices.DeleteFunc(keys, func(k string) bool { return !slices.Contains(steady, k) }); !slices.Equal(got, steady) {
			b.Errorf("%d of %d keys that were there all the while", len(got), len(steady))
		}
	}
	cancel()
	wg.Wait()
}

func update(b *bench) {
	b.put("a", "old", store.Put{})
	v := b.put("c", "old", store.Put{})
	versions, err := b.Update(b.Context(), []store.Change{
		{Key: "a", Value: []byte("new")},
		{Key: "b", Value: []byte("made"), How: store.Put{Create: true}},
		{Key: "c", Remove: true, How: store.Put{Version: v}},
		{Key: "never", Remove: true},
	})
	if err != nil || len(versions) != 4 || versions[1] <= versions[0] || versions[0] <= v || versions[2] != 0 || versions[3] != 0 {
		b.Fatalf("versions %d, %v", versions, err)
	}
	if got := b.value("a") + b.value("b") + b.value("c"); got != "newmade-" {
		b.Errorf("values are %q", got)
	}
	if e, err := b.Get(b.Context(), "b"); err != nil || e.Version != versions[1] {
		b.Errorf("got %+v, %v", e, err)
	}
	if none, err := b.Update(b.Context(), nil); err != nil || len(none) != 0 {
		b.Errorf("an update of nothing: %d, %v", none, err)
	}
	_, err = b.Update(b.Context(), []store.Change{{Key: "a"}, {Key: "a"}})
	b.wantErr(err, store.ErrKey)
	_, err = b.Update(b.Context(), make([]store.Change, store.MaxChanges+1))
	b.wantErr(err, store.ErrTooMany)
	many := make([]store.Change, store.MaxChanges)
	for i := range many {
		many[i] = store.Change{Key: fmt.Sprintf("many/%03d", i), Value: fmt.Append(nil, i), How: store.Put{TTL: 1000 * b.unit}}
	}
	if _, err := b.Update(b.Context(), many); err != nil {
		b.Fatal(err)
	}
	if got := b.keys("many/"); len(got) != store.MaxChanges {
		b.Errorf("%d of %d keys", len(got), store.MaxChanges)
	}
}

func allOrNothing(b *bench) {
	stranger := b.put("there", "old", store.Put{}) + 1000
	l, err := b.Acquire(b.Context(), "l", "me", 1000*b.unit)
	if err != nil {
		b.Fatal(err)
	}
	if err := b.Release(b.Context(), l); err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		change store.Change
		want   error
	}{
		{store.Change{Key: "there", How: store.Put{Create: true}}, store.ErrConflict},
		{store.Change{Key: "there", How: store.Put{Version: stranger}}, store.ErrConflict},
		{store.Change{Key: "there", Remove: true, How: store.Put{Version: stranger}}, store.ErrConflict},
		{store.Change{Key: "there", How: store.Put{Under: &l}}, store.ErrFenced},
		{store.Change{Key: "", Value: []byte("x")}, store.ErrKey},
		{store.Change{Key: "there", Value: make([]byte, store.MaxValue+1)}, store.ErrTooLarge},
	} {
		for _, order := range [][]store.Change{{{Key: "new"}, c.change}, {c.change, {Key: "new"}}} {
			_, err := b.Update(b.Context(), order)
			b.wantErr(err, c.want)
		}
	}
	if got := b.value("new") + b.value("there"); got != "-old" {
		b.Errorf("half of an update was done: %q", got)
	}
}

// seenWhole writes two keys at once from several clients: nobody sees one without the other for good.
func seenWhole(b *bench) {
	var wg sync.WaitGroup
	for i := range 4 {
		client := b.connect()
		wg.Go(func() {
			for j := range 20 {
				value := fmt.Appendf(nil, "%d-%d", i, j)
				if _, err := client.Update(b.Context(), []store.Change{{Key: "x", Value: value}, {Key: "y", Value: value}}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if x, y := b.value("x"), b.value("y"); x != y || x == "-" {
		b.Errorf("x is %s and y is %s", x, y)
	}
}

func (b *bench) acquire(name, owner string, ttl time.Duration) store.Lease {
	b.Helper()
	l, err := b.Acquire(b.Context(), name, owner, ttl)
	if err != nil {
		b.Fatal(err)
	}
	return l
}

func lease(b *bench) {
	began := time.Now()
	a := b.acquire("account/x", "host a, pid 1", 1000*b.unit)
	if a.Token == 0 || a.Owner != "host a, pid 1" || a.Name != "account/x" || a.Expires.Before(began.Add(1000*b.unit)) {
		b.Fatalf("got %+v", a)
	}
	_, err := b.connect().Acquire(b.Context(), "account/x", "host b, pid 2", b.unit)
	b.wantErr(err, store.ErrHeld)
	var held *store.HeldError
	if !errors.As(err, &held) || held.Owner != "host a, pid 1" || held.Expires.Sub(a.Expires).Abs() > 10*time.Second {
		b.Errorf("the holder is %+v", held)
	}
	if !strings.Contains(err.Error(), "host a, pid 1") {
		b.Errorf("error %q does not name the holder", err)
	}
	b.acquire("account/y", "host b, pid 2", b.unit)
	renewed, err := b.Renew(b.Context(), a, 2000*b.unit)
	if err != nil || renewed.Token != a.Token || renewed.Expires.Before(a.Expires.Add(900*b.unit)) {
		b.Fatalf("got %+v after %+v, %v", renewed, a, err)
	}
	if err := b.Release(b.Context(), renewed); err != nil {
		b.Fatal(err)
	}
	c := b.acquire("account/x", "host c, pid 3", 1000*b.unit)
	if c.Token <= renewed.Token {
		b.Errorf("got %+v after %+v", c, renewed)
	}
	b.wantErr(b.Release(b.Context(), renewed), store.ErrFenced)
	_, err = b.Acquire(b.Context(), "account/x", "host d, pid 4", b.unit)
	b.wantErr(err, store.ErrHeld)
}

func sameOwner(b *bench) {
	a := b.acquire("l", "me", 1000*b.unit)
	again := b.acquire("l", "me", 1000*b.unit)
	if again.Token <= a.Token {
		b.Errorf("the owner again: %+v after %+v", again, a)
	}
	_, err := b.Renew(b.Context(), a, b.unit)
	b.wantErr(err, store.ErrFenced)
}

func takeOver(b *bench) {
	other := b.connect()
	first := time.Now()
	a := b.acquire("l", "a", b.unit)
	for i := range 3 { // renewed, it is held for longer than it was taken for
		next, err := b.Renew(b.Context(), a, b.unit)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := other.Acquire(b.Context(), "l", "b", b.unit); !errors.Is(err, store.ErrHeld) && time.Now().Before(next.Expires) {
			b.Fatalf("renewal %d: got %v", i, err)
		}
		a = next
		b.until(func() bool { return time.Since(first) > time.Duration(i+1)*b.unit/2 })
	}
	var taken store.Lease
	b.until(func() bool {
		l, err := other.Acquire(b.Context(), "l", "b", 1000*b.unit)
		if early := time.Until(a.Expires); err == nil && early > 5*time.Millisecond {
			b.Fatalf("taken over %v before its end", early)
		}
		taken = l
		return err == nil
	})
	if taken.Token <= a.Token {
		b.Errorf("took over %+v after %+v", taken, a)
	}

	// One that has run out and was taken by nobody goes on.
	c := b.acquire("m", "c", b.unit/10)
	b.until(func() bool { return time.Now().After(c.Expires) })
	b.put("k", "late, but nobody has taken over", store.Put{Under: &c})
	if _, err := b.Renew(b.Context(), c, b.unit); err != nil {
		b.Error(err)
	}
}

// oneOwner lets several clients fight for a lease that is given back again and again.
func oneOwner(b *bench) {
	var holders, most atomic.Int32
	var tokens sync.Map
	var wg sync.WaitGroup
	for i := range 4 {
		client, owner := b.connect(), fmt.Sprintf("owner %d", i)
		wg.Go(func() {
			for got := 0; got < 5; {
				l, err := client.Acquire(b.Context(), "l", owner, 1000*b.unit)
				if errors.Is(err, store.ErrHeld) {
					time.Sleep(time.Millisecond)
					continue
				}
				if err != nil {
					b.Error(err)
					return
				}
				got++
				if _, twice := tokens.LoadOrStore(l.Token, owner); twice {
					b.Errorf("token %d was given twice", l.Token)
				}
				most.Store(max(most.Load(), holders.Add(1)))
				holders.Add(-1)
				if err := client.Release(b.Context(), l); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if most.Load() != 1 {
		b.Errorf("%d held the lease at once", most.Load())
	}
}

// fencing: whoever comes too late writes nothing, by no way.
func fencing(b *bench) {
	stale := b.acquire("l", "a", b.unit/10)
	b.put("k", "a's", store.Put{Under: &stale})
	var fresh store.Lease
	b.until(func() bool {
		var err error
		fresh, err = b.Acquire(b.Context(), "l", "b", 1000*b.unit)
		return err == nil
	})
	v := b.put("k", "b's", store.Put{Under: &fresh})
	for _, how := range []store.Put{{Under: &stale}, {Under: &stale, Version: v}, {Under: &stale, TTL: b.unit}} {
		_, err := b.Put(b.Context(), "k", []byte("too late"), how)
		b.wantErr(err, store.ErrFenced)
	}
	_, err := b.Update(b.Context(), []store.Change{{Key: "k", Remove: true, How: store.Put{Under: &stale}}})
	b.wantErr(err, store.ErrFenced)
	_, err = b.Renew(b.Context(), stale, b.unit)
	b.wantErr(err, store.ErrFenced)
	b.wantErr(b.Release(b.Context(), stale), store.ErrFenced)
	_, err = b.Put(b.Context(), "k", nil, store.Put{Under: &store.Lease{Name: "never taken", Token: 7}})
	b.wantErr(err, store.ErrFenced)
	if err := b.Release(b.Context(), fresh); err != nil {
		b.Fatal(err)
	}
	_, err = b.Put(b.Context(), "k", []byte("given back"), store.Put{Under: &fresh})
	b.wantErr(err, store.ErrFenced)
	_, err = b.Renew(b.Context(), fresh, b.unit)
	b.wantErr(err, store.ErrFenced)
	if got := b.value("k"); got != "b's" {
		b.Errorf("k is %q", got)
	}
}

func limits(b *bench) {
	for _, k := range []string{"", strings.Repeat("k", store.MaxKey+1)} {
		_, err := b.Get(b.Context(), k)
		b.wantErr(err, store.ErrKey)
		_, err = b.Put(b.Context(), k, nil, store.Put{})
		b.wantErr(err, store.ErrKey)
		b.wantErr(b.Delete(b.Context(), k), store.ErrKey)
		_, err = b.Acquire(b.Context(), k, "me", b.unit)
		b.wantErr(err, store.ErrKey)
	}
	b.put(strings.Repeat("k", store.MaxKey), "v", store.Put{TTL: b.unit})
	_, err := b.Put(b.Context(), "big", make([]byte, store.MaxValue+1), store.Put{})
	b.wantErr(err, store.ErrTooLarge)

	ctx, cancel := context.WithCancel(b.Context())
	cancel()
	_, err = b.Get(ctx, "k")
	b.wantErr(err, context.Canceled)
	_, err = b.Put(ctx, "k", nil, store.Put{})
	b.wantErr(err, context.Canceled)
	b.wantErr(b.Scan(ctx, "", func(store.Entry) error { return nil }), context.Canceled)
}

func closed(b *bench) {
	b.put("k", "v", store.Put{})
	if err := errors.Join(b.Close(), b.Close()); err != nil {
		b.Fatal(err)
	}
	_, err := b.Get(b.Context(), "k")
	b.wantErr(err, store.ErrClosed)
	_, err = b.Put(b.Context(), "k", nil, store.Put{})
	b.wantErr(err, store.ErrClosed)
	_, err = b.Acquire(b.Context(), "l", "me", b.unit)
	b.wantErr(err, store.ErrClosed)
	b.wantErr(b.Scan(b.Context(), "", func(store.Entry) error { return nil }), store.ErrClosed)
}
