package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tgtrunk/tgtrunk/store"
	"github.com/tgtrunk/tgtrunk/store/storetest"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("STORE_TEST_HOLD"); path != "" {
		hold(path)
		return
	}
	if path := os.Getenv("STORE_TEST_WRITE"); path != "" {
		crashWriter(path)
		return
	}
	store.QuietRedis()
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

func TestFile(t *testing.T) {
	storetest.Run(t, storetest.Driver{Virtual: true, Unit: time.Minute, Open: func(t testing.TB) func() store.Store {
		f, err := store.OpenFile(filepath.Join(t.TempDir(), "deep", "er", "tgtrunk.db"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		return func() store.Store { return f }
	}})
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
	if holder := fmt.Sprintf("pid %d", other.Process.Pid); !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), holder) {
		t.Errorf("error %q does not name the file and %s", err, holder)
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
