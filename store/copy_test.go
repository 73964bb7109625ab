package store

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// disturbed is a file that is written to while it is read.
type disturbed struct {
	*os.File
	reads, at int
	write     func()
	always    bool // once in every copy
}

func (d *disturbed) ReadAt(b []byte, off int64) (int, error) {
	d.reads++
	if d.always && off == 0 && len(b) > metaEnd || !d.always && d.reads >= d.at && d.write != nil {
		d.write()
	}
	return d.File.ReadAt(b, off)
}

// A copy that is disturbed, wherever in the file it is by then, is made once more; one that always is, is given up.
func TestDisturbedCopyIsMadeAgain(t *testing.T) {
	f, err := OpenFile(filepath.Join(t.TempDir(), "x.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	number := 0
	write := func() {
		number++
		var changes []Change
		for i := range 100 {
			value := append(fmt.Appendf(nil, "%d ", number), make([]byte, 50*(number%40)+1000)...)
			changes = append(changes, Change{Key: fmt.Sprint(i), Value: value})
		}
		if _, err := f.Update(t.Context(), changes); err != nil {
			t.Fatal(err)
		}
	}
	for range 4 {
		write()
	}
	to, err := os.Create(filepath.Join(t.TempDir(), "copy"))
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	for at := 3; at < 9; at++ { // the first two reads are of the meta pages
		from, err := os.Open(f.db.Path())
		if err != nil {
			t.Fatal(err)
		}
		d := &disturbed{File: from, at: at}
		d.write = func() { d.write = nil; write(); write(); write() }
		if err := copyWhole(t.Context(), d, to); err != nil {
			t.Fatal(err)
		}
		if d.write != nil {
			t.Fatalf("the file is read in %d goes only", d.reads)
		}
		judgeCopy(t, to.Name(), number)
		if at == 8 {
			d.write, d.always = write, true
			began := time.Now()
			if err := copyWhole(t.Context(), d, to); err == nil || time.Since(began) > time.Minute {
				t.Errorf("disturbed all the time: %v after %v", err, time.Since(began))
			}
		}
		if err := from.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// judgeCopy looks for the numbered update in a copy, all of it.
func judgeCopy(t *testing.T, path string, number int) {
	t.Helper()
	c, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	err = c.View(func(tx *bbolt.Tx) error {
		for problem := range tx.Check() {
			t.Errorf("the copy is no whole file: %v", problem)
		}
		n := 0
		return tx.Bucket(bucketValues).ForEach(func(k, v []byte) error {
			var got int
			if _, err := fmt.Sscan(string(v[valueHeader:valueHeader+8]), &got); err != nil || got != number {
				t.Errorf("%s is of update %d, not %d: %v", k, got, number, err)
			}
			n++
			return nil
		})
	})
	if err != nil {
		t.Error(err)
	}
}
