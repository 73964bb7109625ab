package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/store"
)

// What the writing process writes with every update: so many keys, all with the number of the update, some of which come
// and go.
const (
	crashKeys  = 12
	crashLease = "account"
)

// crashWriter is the other process: it writes update after update and says the number of each that is done.
func crashWriter(path string) {
	f, err := store.OpenFile(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	lease, err := f.Acquire(ctx, crashLease, store.ProcessName(), time.Hour)
	if err != nil {
		fmt.Println(err)
		return
	}
	first := 1
	if e, err := f.Get(ctx, "crash/00"); err == nil {
		n, _ := strconv.Atoi(strings.TrimLeft(string(e.Value), "."))
		first = n + 1
	}
	for n := first; ; n++ {
		if _, err := f.Update(ctx, crashUpdate(n, &lease)); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(n)
	}
}

// crashUpdate writes the number to every key, in values of many sizes, so that pages split and go, and removes every
// third key every other time.
func crashUpdate(n int, lease *store.Lease) []store.Change {
	var changes []store.Change
	for i := range crashKeys {
		c := store.Change{Key: fmt.Sprintf("crash/%02d", i), How: store.Put{Under: lease}}
		if c.Remove = i%3 == 2 && n%2 == 0; !c.Remove {
			c.Value = fmt.Appendf(nil, "%s%d", strings.Repeat(".", n*i*37%6000), n)
		}
		changes = append(changes, c)
	}
	return changes
}

// A process that is killed in the middle of writes leaves a file that the next one opens at once: everything that was
// acknowledged is in it, and of every update all or nothing. A copy that is read meanwhile is whole as well.
func TestKilledWriterLeavesWholeUpdates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tgtrunk.db")
	rounds, last := 20, 0
	for round := range rounds {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "STORE_TEST_WRITE="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		acknowledged, lines := last, bufio.NewScanner(out)
		take := func() bool {
			if !lines.Scan() {
				return false
			}
			n, err := strconv.Atoi(lines.Text())
			if err != nil || n != acknowledged+1 {
				t.Errorf("round %d: the writer says %q after %d", round, lines.Text(), acknowledged)
			}
			acknowledged = n
			return true
		}
		for range 3 {
			take()
		}
		wholeCopy(t, path, acknowledged)
		// Somewhere in the next writes; the moments differ, and the writer does not wait for us.
		after := time.NewTimer(time.Duration(rand.IntN(8000)) * time.Microsecond)
		<-after.C
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for take() {
		}
		_ = cmd.Wait() // it was killed
		began := time.Now()
		f, err := store.OpenFile(path)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("round %d: opening took %v", round, took)
		}
		n := wholeUpdate(t, f)
		if n != acknowledged && n != acknowledged+1 {
			t.Errorf("round %d: update %d is in the file, %d was acknowledged", round, n, acknowledged)
		}
		if _, err := f.Acquire(t.Context(), crashLease, "another", time.Hour); err != nil {
			t.Errorf("round %d: the dead process's lease: %v", round, err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			return
		}
		last = n
	}
	if last < 3*rounds {
		t.Errorf("only %d updates in %d rounds", last, rounds)
	}
}

// wholeUpdate returns the number of the update that the store holds, all of it.
func wholeUpdate(t *testing.T, s store.Store) (n int) {
	t.Helper()
	found := map[string]string{}
	err := s.Scan(t.Context(), "crash/", func(e store.Entry) error {
		found[e.Key] = string(e.Value)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	n, _ = strconv.Atoi(strings.TrimLeft(found["crash/00"], "."))
	want := map[string]string{}
	for _, c := range crashUpdate(n, nil) {
		if !c.Remove {
			want[c.Key] = string(c.Value)
		}
	}
	for key, value := range want {
		if found[key] != value {
			t.Errorf("of update %d, %s is %d bytes, not %d", n, key, len(found[key]), len(value))
		}
	}
	if len(found) != len(want) {
		t.Errorf("of update %d there are %d keys, not %d", n, len(found), len(want))
	}
	return n
}

// wholeCopy reads a copy while the writer writes.
func wholeCopy(t *testing.T, path string, acknowledged int) {
	t.Helper()
	c, err := store.OpenFileCopy(t.Context(), path)
	if err != nil {
		t.Error(err)
		return
	}
	if n := wholeUpdate(t, c); n < acknowledged {
		t.Errorf("the copy has update %d, %d was acknowledged before", n, acknowledged)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestFileCopy(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "tgtrunk.db")
	if _, err := store.OpenFileCopy(t.Context(), path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a copy of nothing: %v", err)
	}
	for _, text := range []string{"", "short", strings.Repeat("no database ", 2000)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := store.OpenFileCopy(t.Context(), path); err == nil || !strings.Contains(err.Error(), "no store of tgtrunk") {
			t.Errorf("a copy of %d bytes of text: %v", len(text), err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	f, err := store.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	t.Setenv("TMPDIR", t.TempDir())
	put(t, f, "k", "before", store.Put{})
	c, err := store.OpenFileCopy(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	put(t, f, "k", "after", store.Put{})
	if e, err := c.Get(t.Context(), "k"); err != nil || string(e.Value) != "before" {
		t.Errorf("got %+v, %v", e, err)
	}
	_, err = c.Put(t.Context(), "k", nil, store.Put{})
	wantErr(t, err, store.ErrReadOnly)
	wantErr(t, c.Delete(t.Context(), "k"), store.ErrReadOnly)
	_, err = c.Acquire(t.Context(), "l", "me", time.Hour)
	wantErr(t, err, store.ErrReadOnly)
	if err := errors.Join(c.Close(), c.Close()); err != nil {
		t.Error(err)
	}
	_, err = c.Get(t.Context(), "k")
	wantErr(t, err, store.ErrClosed)
	if e, err := f.Get(t.Context(), "k"); err != nil || string(e.Value) != "after" {
		t.Errorf("got %+v, %v", e, err)
	}
	if _, err := os.Stat(path + ".holder"); err != nil {
		t.Errorf("who holds the file is forgotten: %v", err)
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
