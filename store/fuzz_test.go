package store

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
)

// spoilt are the ways in which a sealed thing reaches us: whole, cut at every interesting place, with one bit turned at
// each of some, longer than it was, and written by a version that is not there yet.
func spoilt(whole []byte, version int, cuts ...int) [][]byte {
	all := [][]byte{whole, append(bytes.Clone(whole), 0), nil}
	for _, at := range append(cuts, len(whole)-1) {
		all = append(all, whole[:at])
		flipped := bytes.Clone(whole)
		flipped[at] ^= 1
		all = append(all, flipped)
	}
	foreign := bytes.Clone(whole)
	foreign[version]++
	return append(all, foreign)
}

// FuzzOpen feeds the opener of sealed values. Nothing opens but what was sealed with the key, for the name: the value
// that comes out, sealed again with the nonce that was there, is the record that went in.
func FuzzOpen(f *testing.F) {
	ring, err := NewKeyring(strings.Repeat("7", 2*secretLen))
	if err != nil {
		f.Fatal(err)
	}
	other, err := NewKeyring(strings.Repeat("8", 2*secretLen))
	if err != nil {
		f.Fatal(err)
	}
	const name = "telegram/sales/session"
	whole := ring.Seal(name, []byte("value"))
	for _, record := range spoilt(whole, len(sealFamily), 1, len(sealFamily), len(sealMagic), sealHeader, sealHeader+chacha20poly1305.NonceSizeX, sealOverhead-1) {
		f.Add(name, record)
		f.Add("telegram/support/session", record)
	}
	f.Add(name, other.Seal(name, []byte("value")))
	f.Add("", []byte(sealMagic))
	f.Fuzz(func(t *testing.T, key string, record []byte) {
		value, err := ring.Open(key, record)
		if err != nil {
			if !errors.Is(err, ErrSealed) || value != nil {
				t.Errorf("%d bytes and the error %v", len(value), err)
			}
			return
		}
		nonce := record[sealHeader : sealHeader+chacha20poly1305.NonceSizeX]
		again := ring.keys[0].aead.Seal(bytes.Clone(record[:sealHeader+len(nonce)]), nonce, value, associated(record, key))
		if !bytes.Equal(again, record) {
			t.Errorf("%x opens as %q, which is sealed as %x", record, value, again)
		}
	})
}

// Which of its reasons the opener gives: whoever reads it must know what to do.
func TestOpenSaysWhy(t *testing.T) {
	ring, err := NewKeyring(strings.Repeat("7", 2*secretLen))
	if err != nil {
		t.Fatal(err)
	}
	whole := ring.Seal("k", []byte("value"))
	foreign := bytes.Clone(whole)
	foreign[len(sealFamily)] = 2
	for says, record := range map[string][]byte{
		"format 2, this one knows 1":  foreign,
		"cut short, at 47 bytes":      whole[:sealOverhead-1],
		"cut short, at 3 bytes":       whole[:3],
		"is not sealed":               []byte("plain"),
		"was changed, or copied from": append(bytes.Clone(whole), 0),
	} {
		if _, err := ring.Open("k", record); !errors.Is(err, ErrSealed) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
}

// What was sealed and cannot be opened is not taken for a plain value, which sealing once more would bury for good.
func TestResealKeepsOffWhatItDoesNotKnow(t *testing.T) {
	ring, err := NewKeyring(strings.Repeat("7", 2*secretLen))
	if err != nil {
		t.Fatal(err)
	}
	whole := ring.Seal("k", []byte("value"))
	for _, record := range [][]byte{append([]byte(sealFamily+"\x02"), whole[len(sealMagic):]...), whole[:sealOverhead-1]} {
		f, err := OpenFile(t.TempDir() + "/x.db")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Put(t.Context(), "k", record, Put{}); err != nil {
			t.Fatal(err)
		}
		if n, err := Reseal(t.Context(), f, ring); !errors.Is(err, ErrSealed) || n != 0 {
			t.Errorf("%d sealed anew, %v", n, err)
		}
		if _, made, err := LoadOrMakeKey(t.Context(), t.TempDir()+"/key", f); made || !errors.Is(err, ErrSealed) {
			t.Errorf("a new key was made: %v, %v", made, err)
		}
		if e, err := f.Get(t.Context(), "k"); err != nil || !bytes.Equal(e.Value, record) {
			t.Errorf("%x, %v", e.Value, err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// cheapKey stands in for Argon2id, which would leave a fuzzer two tries a second.
func cheapKey([]byte) []byte { return bytes.Repeat([]byte{7}, chacha20poly1305.KeySize) }

// packed is an export under the key of cheapKey, with that text in it.
func packed(t testing.TB, plain []byte) []byte {
	t.Helper()
	header := make([]byte, exportHeader)
	copy(header, exportMagic)
	aead, err := chacha20poly1305.NewX(cheapKey(nil))
	if err != nil {
		t.Fatal(err)
	}
	return aead.Seal(header, header[exportHeader-chacha20poly1305.NonceSizeX:], plain, header)
}

func zipped(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const anExport = `{"account":"sales","made":"2026-11-22T09:30:00Z","records":[{"key":"session","value":"c2VjcmV0"},{"key":"n","value":null,"expires":"2026-11-23T09:30:00Z"}]}`

// FuzzOpenExport feeds the reader of exports whole files.
func FuzzOpenExport(f *testing.F) {
	whole := packed(f, zipped(f, anExport))
	for _, file := range spoilt(whole, len(exportFamily), 1, len(exportFamily), len(exportMagic), exportHeader, exportHeader+chacha20poly1305.Overhead) {
		f.Add(file)
	}
	f.Add([]byte("tgtrunk export 1000000000\n"))
	f.Fuzz(func(t *testing.T, sealed []byte) {
		derived := false
		e, err := openExport(sealed, func(header []byte) []byte {
			derived = true
			if len(header) != exportHeader {
				t.Errorf("a header of %d bytes", len(header))
			}
			return cheapKey(header)
		})
		judgeExport(t, e, err)
		if err == nil && !derived {
			t.Error("opened without a key")
		}
	})
}

// FuzzOpenExportContent feeds it what only the holder of the passphrase can have written.
func FuzzOpenExportContent(f *testing.F) {
	for _, plain := range spoilt(zipped(f, anExport), 2, 3, 10, 20) {
		f.Add(plain)
	}
	for _, text := range []string{"", "{}", "null", "[]", `{"records":[{"key":7}]}`, anExport + anExport, anExport[:40]} {
		f.Add(zipped(f, text))
	}
	f.Fuzz(func(t *testing.T, plain []byte) {
		e, err := openExport(packed(t, plain), cheapKey)
		judgeExport(t, e, err)
		if err != nil {
			return
		}
		text, err := json.Marshal(e)
		if err != nil {
			return // a year that JSON has no form for
		}
		again, err := openExport(packed(t, zipped(t, string(text))), cheapKey)
		if err != nil || again.Account != e.Account || len(again.Records) != len(e.Records) {
			t.Errorf("%+v becomes %+v, %v", e, again, err)
		}
	})
}

func judgeExport(t *testing.T, e Export, err error) {
	t.Helper()
	if err != nil && (!errors.Is(err, ErrExport) || !reflect.DeepEqual(e, Export{})) {
		t.Errorf("%+v and the error %v", e, err)
	}
}

// The same, through the passphrase: every way in which an export is spoilt has its reason.
func TestOpenExportSaysWhy(t *testing.T) {
	const passphrase = "correct horse"
	whole, err := sealExport(Export{Account: "sales", Made: time.Now(), Records: []ExportedValue{{Key: "session", Value: []byte("x")}}}, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	foreign := append([]byte(exportFamily+"12\n"), whole[len(exportMagic):]...)
	flipped := bytes.Clone(whole)
	flipped[len(flipped)/2] ^= 0x10
	for _, c := range []struct {
		says, passphrase string
		sealed           []byte
	}{
		{"no export of tgtrunk", passphrase, []byte("PK\x03\x04")},
		{`version "12", this tgtrunk reads version 1`, passphrase, foreign},
		{"cut short, at 20 bytes", passphrase, whole[:20]},
		{"cut short, at 58 bytes", passphrase, whole[:exportHeader+1]},
		{"passphrase is wrong, or the file is damaged", passphrase, whole[:len(whole)-1]},
		{"passphrase is wrong, or the file is damaged", passphrase, flipped},
		{"passphrase is wrong, or the file is damaged", "wrong horse", whole},
	} {
		if _, err := OpenExport(c.sealed, c.passphrase); !errors.Is(err, ErrExport) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v, want %q", err, c.says)
		}
	}
}
