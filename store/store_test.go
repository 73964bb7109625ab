package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/tgtrunk/tgtrunk/store"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("STORE_TEST_HOLD"); path != "" {
		hold(path)
		return
	}
	goleak.VerifyTestMain(m)
}

// hold is the other process of TestFileIsForOneProcess: it keeps the file open until its input ends.
func hold(path string) {
	f, err := store.OpenFile(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("held")
	_, _ = os.Stdin.Read(make([]byte, 1))
	_ = f.Close()
}

func openFile(t *testing.T) store.Store {
	t.Helper()
	f, err := store.OpenFile(filepath.Join(t.TempDir(), "deep", "er", "tgtrunk.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// drivers are what the conformance tests run against.
var drivers = map[string]func(*testing.T) store.Store{"file": openFile}

func conform(t *testing.T, test func(*testing.T, store.Store)) {
	t.Helper()
	for name, open := range drivers {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, open(t)) })
		})
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
}

func put(t *testing.T, s store.Store, key, value string, how store.Put) uint64 {
	t.Helper()
	v, err := s.Put(t.Context(), key, []byte(value), how)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestPutAndGet(t *testing.T) {
	conform(t, func(t *testing.T, s store.Store) {
		_, err := s.Get(t.Context(), "a")
		wantErr(t, err, store.ErrNotFound)

		first := put(t, s, "a", "one", store.Put{})
		e, err := s.Get(t.Context(), "a")
		if err != nil || string(e.Value) != "one" || e.Version != first || !e.Expires.IsZero() || e.Key != "a" {
			t.Fatalf("got %+v, %v", e, err)
		}
		e.Value[0] = 'X' // the bytes are ours
		if second := put(t, s, "b", "two", store.Put{}); second <= first {
			t.Errorf("version %d after %d", second, first)
		}
		if e, _ := s.Get(t.Context(), "a"); string(e.Value) != "one" {
			t.Errorf("the stored value became %q", e.Value)
		}
		if err := s.Delete(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		wantErr(t, s.Delete(t.Context(), "a"), store.ErrNotFound)
		_, err = s.Get(t.Context(), "a")
		wantErr(t, err, store.ErrNotFound)
	})
}

func TestPutIfVersion(t *testing.T) {
	conform(t, func(t *testing.T, s store.Store) {
		_, err := s.Put(t.Context(), "k", nil, store.Put{Version: 1})
		wantErr(t, err, store.ErrConflict)
		v := put(t, s, "k", "1", store.Put{Create: true})
		_, err = s.Put(t.Context(), "k", []byte("2"), store.Put{Create: true})
		wantErr(t, err, store.ErrConflict)
		w := put(t, s, "k", "2", store.Put{Version: v})
		_, err = s.Put(t.Context(), "k", []byte("3"), store.Put{Version: v})
		wantErr(t, err, store.ErrConflict)

		// A version seen before the key was deleted does not fit the key made anew.
		if err := s.Delete(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		put(t, s, "k", "4", store.Put{})
		_, err = s.Put(t.Context(), "k", []byte("5"), store.Put{Version: w})
		wantErr(t, err, store.ErrConflict)
	})
}

func TestOneOfManyWritersWins(t *testing.T) {
	conform(t, func(t *testing.T, s store.Store) {
		v := put(t, s, "k", "0", store.Put{})
		var won, lost int
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				_, err := s.Put(t.Context(), "k", fmt.Append(nil, i), store.Put{Version: v})
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					won++
				} else if errors.Is(err, store.ErrConflict) {
					lost++
				}
			})
		}
		wg.Wait()
		if won != 1 || lost != 7 {
			t.Errorf("%d writers won and %d lost, want 1 and 7", won, lost)
		}
	})
}

func TestExpiry(t *testing.T) {
	conform(t, func(t *testing.T, s store.Store) {
		v := put(t, s, "short", "x", store.Put{TTL: time.Minute})
		put(t, s, "long", "y", store.Put{TTL: time.Hour})
		put(t, s, "kept", "z", store.Put{TTL: time.Minute})
		put(t, s, "kept", "z", store.Put{}) // written anew: for good
		e, err := s.Get(t.Context(), "short")
		if err != nil || !e.Expires.Equal(time.Now().Add(time.Minute)) {
			t.Fatalf("got %+v, %v", e, err)
		}
		time.Sleep(time.Minute)
		_, err = s.Get(t.Context(), "short")
		wantErr(t, err, store.ErrNotFound)
		_, err = s.Put(t.Context(), "short", nil, store.Put{Version: v})
		wantErr(t, err, store.ErrConflict)
		if got := keys(t, s, ""); !slices.Equal(got, []string{"kept", "long"}) {
			t.Errorf("keys after the expiry: %q", got)
		}
		put(t, s, "short", "again", store.Put{Create: true})
		time.Sleep(time.Hour)
		if got := keys(t, s, ""); !slices.Equal(got, []string{"kept", "short"}) {
			t.Errorf("keys in the end: %q", got)
		}
	})
}

func keys(t *testing.T, s store.Store, prefix string) (keys []string) {
	t.Helper()
	err := s.Scan(t.Context(), prefix, func(e store.Entry) error {
		keys = append(keys, e.Key)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestScan(t *testing.T) {
	conform(t, func(t *testing.T, s store.Store) {
		for _, k := range []string{"p/2", "p/10", "p", "q/1", "p/1", "o"} {
			put(t, s, k, "v"+k, store.Put{})
		}
		if got := keys(t, s, "p/"); !slices.Equal(got, []string{"p/1", "p/10", "p/2"}) {
			t.Errorf("scan of p/: %q", got)
		}
		if got := keys(t, s, "nothing"); got != nil {
			t.Errorf("scan of nothing: %q", got)
		}
		stop := errors.New("enough")
		seen := 0
		err := s.Scan(t.Context(), "p/", func(e store.Entry) error {
			seen++
			if err := s.Delete(t.Context(), e.Key); err != nil { // a scan may write
				t.Error(err)
			}
			return stop
		})
		if !errors.Is(err, stop) || seen != 1 {
			t.Errorf("scan went on: %d entries, %v", seen, err)
		}
	})
}

func TestLimits(t *testing.T) {
	conform(t, func(t *testing.T, s store.Store) {
		for _, k := range []string{"", strings.Repeat("k", store.MaxKey+1)} {
			_, err := s.Get(t.Context(), k)
			wantErr(t, err, store.ErrKey)
			_, err = s.Put(t.Context(), k, nil, store.Put{})
			wantErr(t, err, store.ErrKey)
			wantErr(t, s.Delete(t.Context(), k), store.ErrKey)
		}
		put(t, s, strings.Repeat("k", store.MaxKey), "v", store.Put{TTL: time.Minute})
		_, err := s.Put(t.Context(), "big", make([]byte, store.MaxValue+1), store.Put{})
		wantErr(t, err, store.ErrTooLarge)

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = s.Get(ctx, "k")
		wantErr(t, err, context.Canceled)
		_, err = s.Put(ctx, "k", nil, store.Put{})
		wantErr(t, err, context.Canceled)
	})
}

func TestLease(t *testing.T) {
	conform(t, func(t *testing.T, s store.Store) {
		a, err := s.Acquire(t.Context(), "account/x", "a", time.Minute)
		if err != nil || a.Token == 0 {
			t.Fatalf("got %+v, %v", a, err)
		}
		_, err = s.Acquire(t.Context(), "account/x", "b", time.Minute)
		wantErr(t, err, store.ErrHeld)
		if _, err = s.Acquire(t.Context(), "account/y", "b", time.Minute); err != nil {
			t.Fatal(err)
		}

		time.Sleep(50 * time.Second)
		if a, err = s.Renew(t.Context(), a, time.Minute); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Second)
		_, err = s.Acquire(t.Context(), "account/x", "b", time.Minute)
		wantErr(t, err, store.ErrHeld)
		put(t, s, "k", "a's", store.Put{Under: &a})

		time.Sleep(10 * time.Second)
		put(t, s, "k", "late, but nobody has taken over", store.Put{Under: &a})
		b, err := s.Acquire(t.Context(), "account/x", "b", time.Minute)
		if err != nil || b.Token <= a.Token {
			t.Fatalf("got %+v after %+v, %v", b, a, err)
		}
		_, err = s.Put(t.Context(), "k", []byte("too late"), store.Put{Under: &a})
		wantErr(t, err, store.ErrFenced)
		_, err = s.Renew(t.Context(), a, time.Minute)
		wantErr(t, err, store.ErrFenced)
		wantErr(t, s.Release(t.Context(), a), store.ErrFenced)

		put(t, s, "k", "b's", store.Put{Under: &b})
		if err := s.Release(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		c, err := s.Acquire(t.Context(), "account/x", "c", time.Minute)
		if err != nil || c.Token <= b.Token {
			t.Fatalf("got %+v after %+v, %v", c, b, err)
		}
		again, err := s.Acquire(t.Context(), "account/x", "c", time.Minute)
		if err != nil || again.Token <= c.Token {
			t.Fatalf("the owner again: %+v after %+v, %v", again, c, err)
		}
	})
}

func TestFileKeepsValues(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d", "tgtrunk.db")
	f, err := store.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	v := put(t, f, "k", "v", store.Put{})
	l, err := f.Acquire(t.Context(), "l", "me", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Get(t.Context(), "k"); err == nil {
		t.Error("a closed store answers")
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}

	if f, err = store.OpenFile(path); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if e, err := f.Get(t.Context(), "k"); err != nil || e.Version != v || !bytes.Equal(e.Value, []byte("v")) {
		t.Errorf("got %+v, %v", e, err)
	}
	// Who had the lease when the file was closed is gone.
	m, err := f.Acquire(t.Context(), "l", "another", time.Hour)
	if err != nil || m.Token != l.Token+1 {
		t.Errorf("got %+v after %+v, %v", m, l, err)
	}
	_, err = f.Acquire(t.Context(), "l", "me", time.Hour)
	wantErr(t, err, store.ErrHeld)
	_, err = f.Renew(t.Context(), l, time.Hour)
	wantErr(t, err, store.ErrFenced)
	for p, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700 | os.ModeDir} {
		if st, err := os.Stat(p); err != nil || st.Mode() != want {
			t.Errorf("%s: mode %v, %v", filepath.Base(p), st.Mode(), err)
		}
	}
}

func TestFileIsForOneProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tgtrunk.db")
	other := exec.Command(os.Args[0])
	other.Env = append(os.Environ(), "STORE_TEST_HOLD="+path)
	in, _ := other.StdinPipe()
	out, _ := other.StdoutPipe()
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 5)
	if _, err := out.Read(line); err != nil || string(line[:4]) != "held" {
		t.Fatalf("the other process says %q, %v", line, err)
	}
	_, err := store.OpenFile(path)
	wantErr(t, err, store.ErrLocked)
	if !strings.Contains(err.Error(), path) {
		t.Errorf("error %q does not name the file", err)
	}
	_ = in.Close()
	if err := other.Wait(); err != nil {
		t.Fatal(err)
	}
	f, err := store.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
}

func TestFileErrors(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, bytes.Repeat([]byte("no database "), 2000), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, filepath.Join(file, "below"), dir} {
		if f, err := store.OpenFile(path); err == nil {
			_ = f.Close()
			t.Errorf("opened %s", path)
		} else if !strings.Contains(err.Error(), path) {
			t.Errorf("error %q does not name %s", err, path)
		}
	}
}
