package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// A file that was cut short or overwritten, as by a copy to a full disk, is an error and no crash.
func TestDamagedFileIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tgtrunk.db")
	f, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		if _, err := f.Put(t.Context(), fmt.Sprintf("key/%d", i), bytes.Repeat([]byte{'x'}, 300), Put{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page := os.Getpagesize()
	overwritten := bytes.Clone(whole)
	for i := 2 * page; i < len(overwritten); i += 7 {
		overwritten[i] ^= 0x55
	}
	for name, text := range map[string][]byte{
		"three pages": whole[:3*page], "half": whole[:len(whole)/2], "half a page": whole[:page/2],
		"overwritten": overwritten, "no store": bytes.Repeat([]byte("text\n"), 20_000),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "tgtrunk.db")
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
			if f, err := OpenFile(path); !errors.Is(err, ErrDamaged) {
				t.Errorf("opened: %v, %v", f, err)
			}
			if f, err := OpenFileCopy(t.Context(), path); err == nil {
				t.Errorf("copy opened: %v", f.Close())
			}
		})
	}
}
