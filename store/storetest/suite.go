package storetest

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tgtrunk/tgtrunk/store"
)

// Driver is what the suite is run against.
type Driver struct {
	// Open makes an empty store and returns what connects to it: each call is another client, or the same one where a
	// store has one only. They close with the test.
	Open func(t testing.TB) (connect func() store.Store)
	// Virtual says that the store's time is that of the process, so that hours pass at once.
	Virtual bool
	// Unit is the time that a short-lived thing lives.
	Unit time.Duration
}

// bench is one test's store.
type bench struct {
	*testing.T
	connect func() store.Store
	store.Store
	unit time.Duration
}

// Run runs the suite.
func Run(t *testing.T, d Driver) {
	for _, test := range []struct {
		name string
		run  func(*bench)
	}{
		{"PutAndGet", putAndGet}, {"Versions", versions}, {"OneOfManyWritersWins", oneWins}, {"CountersLoseNothing", counters},
		{"Expiry", expiry}, {"Scan", scan}, {"ScanUnderChange", scanUnderChange}, {"OddKeys", oddKeys}, {"Sizes", sizes},
		{"Update", update}, {"UpdateIsAllOrNothing", allOrNothing}, {"UpdateIsSeenWhole", seenWhole}, {"Lease", lease},
		{"LeaseOfTheSameOwner", sameOwner}, {"LeaseIsTakenOverAfterItsEnd", takeOver}, {"LeaseHasOneOwner", oneOwner},
		{"Fencing", fencing}, {"Limits", limits}, {"Closed", closed},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := func(t *testing.T) {
				b := &bench{T: t, connect: d.Open(t), unit: d.Unit}
				b.Store = b.connect()
				test.run(b)
			}
			if d.Virtual {
				synctest.Test(t, in)
			} else {
				in(t)
			}
		})
	}
}

func (b *bench) wantErr(err, want error) {
	b.Helper()
	if !errors.Is(err, want) {
		b.Fatalf("error %v, want %v", err, want)
	}
}

func (b *bench) put(key, value string, how store.Put) uint64 {
	b.Helper()
	v, err := b.Put(b.Context(), key, []byte(value), how)
	if err != nil {
		b.Fatal(err)
	}
	return v
}

// value returns what a key holds, "-" where there is none.
func (b *bench) value(key string) string {
	b.Helper()
	e, err := b.Get(b.Context(), key)
	if errors.Is(err, store.ErrNotFound) {
		return "-"
	}
	if err != nil {
		b.Fatal(err)
	}
	return string(e.Value)
}

func (b *bench) keys(prefix string) (keys []string) {
	b.Helper()
	err := b.Scan(b.Context(), prefix, func(e store.Entry) error {
		keys = append(keys, e.Key)
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return keys
}

// until tries until done, which must come by itself.
func (b *bench) until(done func() bool) {
	b.Helper()
	for last := time.Now().Add(time.Minute); !done(); {
		if time.Now().After(last) {
			b.Fatal("it does not happen")
		}
		time.Sleep(b.unit / 50)
	}
}

func putAndGet(b *bench) {
	_, err := b.Get(b.Context(), "a")
	b.wantErr(err, store.ErrNotFound)
	first := b.put("a", "one", store.Put{})
	e, err := b.Get(b.Context(), "a")
	if err != nil || string(e.Value) != "one" || e.Version != first || first == 0 || !e.Expires.IsZero() || e.Key != "a" {
		b.Fatalf("got %+v, %v", e, err)
	}
	e.Value[0] = 'X' // the bytes are ours
	if second := b.put("b", "two", store.Put{}); second <= first {
		b.Errorf("version %d after %d", second, first)
	}
	if got := b.value("a"); got != "one" {
		b.Errorf("the stored value became %q", got)
	}
	if err := b.Delete(b.Context(), "a"); err != nil {
		b.Fatal(err)
	}
	b.wantErr(b.Delete(b.Context(), "a"), store.ErrNotFound)
	if got := b.value("a"); got != "-" {
		b.Errorf("the deleted value is %q", got)
	}
}

func versions(b *bench) {
	_, err := b.Put(b.Context(), "k", nil, store.Put{Version: 1})
	b.wantErr(err, store.ErrConflict)
	v := b.put("k", "1", store.Put{Create: true})
	_, err = b.Put(b.Context(), "k", []byte("2"), store.Put{Create: true})
	b.wantErr(err, store.ErrConflict)
	w := b.put("k", "2", store.Put{Version: v})
	_, err = b.Put(b.Context(), "k", []byte("3"), store.Put{Version: v})
	b.wantErr(err, store.ErrConflict)
	if !strings.Contains(err.Error(), `"k"`) {
		b.Errorf("error %q does not name the key", err)
	}
	// A version seen before the key was deleted does not fit the key made anew.
	if err := b.Delete(b.Context(), "k"); err != nil {
		b.Fatal(err)
	}
	b.put("k", "4", store.Put{})
	_, err = b.Put(b.Context(), "k", []byte("5"), store.Put{Version: w})
	b.wantErr(err, store.ErrConflict)
}

func expiry(b *bench) {
	began := time.Now()
	v := b.put("short", "x", store.Put{TTL: b.unit})
	b.put("long", "y", store.Put{TTL: 1000 * b.unit})
	b.put("kept", "z", store.Put{TTL: b.unit})
	b.put("kept", "z", store.Put{}) // written anew: for good
	e, err := b.Get(b.Context(), "long")
	if off := e.Expires.Sub(began.Add(1000 * b.unit)); err != nil || off < -time.Second || off > 30*time.Second {
		b.Fatalf("got %+v, %v, %v off", e, err, off)
	}
	b.until(func() bool { return b.value("short") == "-" })
	if lived := time.Since(began); lived < b.unit-10*time.Millisecond {
		b.Errorf("expired after %v of %v", lived, b.unit)
	}
	_, err = b.Put(b.Context(), "short", nil, store.Put{Version: v})
	b.wantErr(err, store.ErrConflict)
	b.wantErr(b.Delete(b.Context(), "short"), store.ErrNotFound)
	if got := b.keys(""); !slices.Equal(got, []string{"kept", "long"}) {
		b.Errorf("keys after the expiry: %q", got)
	}
	b.put("short", "again", store.Put{Create: true})
	if got := b.keys(""); !slices.Equal(got, []string{"kept", "long", "short"}) {
		b.Errorf("keys in the end: %q", got)
	}
}

func scan(b *bench) {
	for _, k := range []string{"p/2", "p/10", "p", "q/1", "p/1", "o"} {
		b.put(k, "v"+k, store.Put{})
	}
	if got := b.keys("p/"); !slices.Equal(got, []string{"p/1", "p/10", "p/2"}) {
		b.Errorf("scan of p/: %q", got)
	}
	if got := b.keys("nothing"); got != nil {
		b.Errorf("scan of nothing: %q", got)
	}
	stop := errors.New("enough")
	seen := 0
	err := b.Scan(b.Context(), "p/", func(e store.Entry) error {
		seen++
		if string(e.Value) != "v"+e.Key || e.Version == 0 {
			b.Errorf("got %+v", e)
		}
		if err := b.Delete(b.Context(), e.Key); err != nil { // a scan may write
			b.Error(err)
		}
		return stop
	})
	if !errors.Is(err, stop) || seen != 1 {
		b.Errorf("scan went on: %d entries, %v", seen, err)
	}
}

func oddKeys(b *bench) {
	odd := []string{" ", "a b", "a*", "a*b", "a?", "a[b]", "a[^b]", `a\`, `a\*`, "{a}", "}{", "\x00", "a\x00b", "\xff\xfe", "\xff", "\xff\xff", "\xfe", "\xfe\xff", "\xfe\xff\xff", "ключ", "a\r\nb", "%s", "'\"`"}
	for _, k := range odd {
		b.put(k, "is "+k, store.Put{Create: true})
	}
	want := slices.Clone(odd)
	slices.Sort(want)
	if got := b.keys(""); !slices.Equal(got, want) {
		b.Errorf("keys %q, want %q", got, want)
	}
	for _, k := range odd {
		if got := b.value(k); got != "is "+k {
			b.Errorf("%q holds %q", k, got)
		}
		var begin []string
		for _, o := range want {
			if strings.HasPrefix(o, k) {
				begin = append(begin, o)
			}
		}
		if got := b.keys(k); !slices.Equal(got, begin) {
			b.Errorf("keys that begin with %q: %q, want %q", k, got, begin)
		}
	}
}

func sizes(b *bench) {
	for _, size := range []int{0, 1, 1 << 20, store.MaxValue} {
		value := bytes.Repeat([]byte{'\r', 0, 255, ' ', '\n', '7'}, size/6+1)[:size]
		if _, err := b.Put(b.Context(), "k", value, store.Put{}); err != nil {
			b.Fatal(err)
		}
		if e, err := b.Get(b.Context(), "k"); err != nil || !bytes.Equal(e.Value, value) {
			b.Errorf("%d bytes became %d, %v", size, len(e.Value), err)
		}
		err := b.Scan(b.Context(), "k", func(e store.Entry) error {
			if !bytes.Equal(e.Value, value) {
				b.Errorf("%d bytes are %d in a scan", size, len(e.Value))
			}
			return nil
		})
		if err != nil {
			b.Error(err)
		}
	}
}
