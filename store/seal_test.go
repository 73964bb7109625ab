package store_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/store"
	"github.com/tgtrunk/tgtrunk/store/storetest"
)

func ring(t testing.TB, secrets ...string) *store.Keyring {
	t.Helper()
	k, err := store.NewKeyring(secrets...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func file(t testing.TB) *store.File {
	t.Helper()
	f, err := store.OpenFile(filepath.Join(t.TempDir(), "tgtrunk.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func TestSealed(t *testing.T) {
	f, k := file(t), ring(t, store.NewSecret())
	s := store.Sealed(f, k)
	put(t, s, "telegram/sales/session", "the secret key of an account", store.Put{TTL: time.Hour})
	if _, err := s.Update(t.Context(), []store.Change{{Key: "b", Value: []byte("another secret")}, {Key: "gone", Remove: true}}); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"telegram/sales/session": "the secret key of an account", "b": "another secret"} {
		if e, err := s.Get(t.Context(), key); err != nil || string(e.Value) != want {
			t.Errorf("got %+v, %v", e, err)
		}
		if e, err := f.Get(t.Context(), key); err != nil || bytes.Contains(e.Value, []byte("secret")) {
			t.Errorf("%q at rest, %v", e.Value, err)
		}
	}
	seen := 0
	if err := s.Scan(t.Context(), "", func(store.Entry) error { seen++; return nil }); err != nil || seen != 2 {
		t.Errorf("%d entries, %v", seen, err)
	}
	if n, err := store.Reseal(t.Context(), f, k); err != nil || n != 0 {
		t.Errorf("%d records sealed once more, %v", n, err)
	}
}

// A record is good under its own key only, unchanged, with the right key of the ring.
func TestSealedRecordsAreProtected(t *testing.T) {
	secret := store.NewSecret()
	k := ring(t, secret)
	record := k.Seal("telegram/sales/session", []byte("value"))
	if again := k.Seal("telegram/sales/session", []byte("value")); bytes.Equal(record, again) {
		t.Error("the same value looks the same")
	}
	if v, err := k.Open("telegram/sales/session", record); err != nil || string(v) != "value" {
		t.Fatalf("got %q, %v", v, err)
	}
	_, err := k.Open("telegram/support/session", record)
	wantErr(t, err, store.ErrSealed)
	for i := range record {
		changed := bytes.Clone(record)
		changed[i] ^= 1
		if _, err := k.Open("telegram/sales/session", changed); !errors.Is(err, store.ErrSealed) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		if _, err := k.Open("telegram/sales/session", record[:i]); !errors.Is(err, store.ErrSealed) {
			t.Errorf("cut after %d bytes: %v", i, err)
		}
	}
	_, err = ring(t, store.NewSecret()).Open("telegram/sales/session", record)
	if !errors.Is(err, store.ErrSealed) || !strings.Contains(err.Error(), "store.key") || !strings.Contains(err.Error(), k.ID()) {
		t.Errorf("another key: %v", err)
	}
	raw, _ := hex.DecodeString(secret)
	if v, err := ring(t, base64.StdEncoding.EncodeToString(raw)).Open("telegram/sales/session", record); err != nil || string(v) != "value" {
		t.Errorf("the same key in base64: %q, %v", v, err)
	}
	for _, bad := range []string{"", "short", strings.Repeat("0", 63), strings.Repeat("z", 64)} {
		if _, err := store.NewKeyring(bad); err == nil {
			t.Errorf("%q is a key", bad)
		}
	}
	if _, err := store.NewKeyring(); err == nil {
		t.Error("a ring without keys")
	}
}

func TestKeysAreChanged(t *testing.T) {
	server := storetest.StartRedis(t)
	for name, s := range map[string]store.Store{"file": file(t), "redis": server.Open(t, store.RedisOptions{Timeout: patient})} {
		t.Run(name, func(t *testing.T) {
			older, newer := store.NewSecret(), store.NewSecret()
			put(t, s, "plain", "from before there were keys", store.Put{})
			put(t, store.Sealed(s, ring(t, older)), "old", "sealed", store.Put{TTL: time.Hour})
			both := ring(t, newer, older)
			if n, err := store.Reseal(t.Context(), s, both); err != nil || n != 2 {
				t.Fatalf("%d, %v", n, err)
			}
			only := store.Sealed(s, ring(t, newer))
			if e, err := only.Get(t.Context(), "old"); err != nil || string(e.Value) != "sealed" || time.Until(e.Expires).Round(time.Minute) != time.Hour {
				t.Errorf("got %+v, %v", e, err)
			}
			if e, err := only.Get(t.Context(), "plain"); err != nil || string(e.Value) != "from before there were keys" {
				t.Errorf("got %+v, %v", e, err)
			}
			_, err := store.Reseal(t.Context(), s, ring(t, older))
			wantErr(t, err, store.ErrSealed)
			put(t, s, "smuggled", "in", store.Put{})
			_, err = only.Get(t.Context(), "smuggled")
			wantErr(t, err, store.ErrSealed)
		})
	}
}

func TestKeyFile(t *testing.T) {
	f := file(t)
	path := filepath.Join(t.TempDir(), "tgtrunk.key")
	secret, made, err := store.LoadOrMakeKey(t.Context(), path, f)
	if err != nil || !made {
		t.Fatalf("made %v, %v", made, err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	if again, made, err := store.LoadOrMakeKey(t.Context(), path, f); err != nil || made || again != secret {
		t.Errorf("made again %v, %v", made, err)
	}
	put(t, store.Sealed(f, ring(t, secret)), "k", "v", store.Put{})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	_, _, err = store.LoadOrMakeKey(t.Context(), path, f)
	if !errors.Is(err, store.ErrSealed) || !strings.Contains(err.Error(), path) {
		t.Errorf("a lost key: %v", err)
	}
	if err := os.WriteFile(path, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := store.LoadOrMakeKey(t.Context(), path, f); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a file without a key: %v", err)
	}
}

func TestExport(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sales.tgtrunk")
	e := store.Export{Account: "sales", Made: time.Now().UTC().Round(time.Second), Records: []store.ExportedValue{
		{Key: "session", Value: []byte("secret \x00 bytes")}, {Key: "number/x", Value: nil, Expires: time.Now().UTC().Round(time.Second)}}}
	if err := store.SaveExport(path, e, "short"); err == nil {
		t.Error("a passphrase of five letters will do")
	}
	if err := store.SaveExport(path, e, "correct horse"); err != nil {
		t.Fatal(err)
	}
	if err := store.SaveExport(path, e, "correct horse"); !errors.Is(err, os.ErrExist) {
		t.Errorf("written over: %v", err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	sealed, err := os.ReadFile(path)
	if err != nil || bytes.Contains(sealed, []byte("session")) {
		t.Fatalf("%q, %v", sealed, err)
	}
	got, err := store.OpenExport(sealed, "correct horse")
	if err != nil || got.Account != "sales" || len(got.Records) != 2 || string(got.Records[0].Value) != "secret \x00 bytes" ||
		!got.Made.Equal(e.Made) || !got.Records[0].Expires.IsZero() || !got.Records[1].Expires.Equal(e.Records[1].Expires) {
		t.Errorf("got %+v, %v", got, err)
	}
	_, err = store.OpenExport(sealed, "wrong horse")
	wantErr(t, err, store.ErrExport)
	for _, i := range []int{0, 20, 40, len(sealed) - 1} {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		_, err = store.OpenExport(changed, "correct horse")
		wantErr(t, err, store.ErrExport)
	}
	_, err = store.OpenExport(sealed[:10], "correct horse")
	wantErr(t, err, store.ErrExport)
}
