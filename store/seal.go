package store

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
)

// A sealed record is magic, the id of the key, a random nonce and what XChaCha20-Poly1305 makes of the value. The
// storage key is associated data: a record that is put under another key cannot be opened there.
const (
	sealFamily   = "tgs" // and the version
	sealMagic    = sealFamily + "\x01"
	sealIDLen    = 4
	sealHeader   = len(sealMagic) + sealIDLen
	sealOverhead = sealHeader + chacha20poly1305.NonceSizeX + chacha20poly1305.Overhead
	secretLen    = 32
)

// Keyring seals records with its first key and opens those of all its keys.
type Keyring struct{ keys []sealKey }

type sealKey struct {
	id   [sealIDLen]byte
	aead cipher.AEAD
}

// NewKeyring takes secrets of 32 bytes as 64 hexadecimal digits or base64, the newest first.
func NewKeyring(secrets ...string) (*Keyring, error) {
	if len(secrets) == 0 {
		return nil, errors.New("a keyring needs a key")
	}
	k := new(Keyring)
	for i, secret := range secrets {
		raw, err := parseSecret(secret)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		derived, err := hkdf.Key(sha256.New, raw, nil, "tgtrunk store", chacha20poly1305.KeySize+sealIDLen)
		if err != nil {
			return nil, fmt.Errorf("derive the key: %w", err)
		}
		aead, err := chacha20poly1305.NewX(derived[:chacha20poly1305.KeySize])
		if err != nil {
			return nil, fmt.Errorf("derive the key: %w", err)
		}
		k.keys = append(k.keys, sealKey{id: [sealIDLen]byte(derived[chacha20poly1305.KeySize:]), aead: aead})
	}
	return k, nil
}

// parseSecret reads a key as NewKeyring takes it.
func parseSecret(text string) ([]byte, error) {
	for _, decode := range []func(string) ([]byte, error){
		hex.DecodeString, base64.StdEncoding.DecodeString, base64.RawStdEncoding.DecodeString, base64.RawURLEncoding.DecodeString,
	} {
		if raw, err := decode(text); err == nil && len(raw) == secretLen {
			return raw, nil
		}
	}
	return nil, errors.New("a store's key is 32 random bytes as 64 hexadecimal digits or in base64: openssl rand -hex 32 makes one")
}

// NewSecret makes a key.
func NewSecret() string {
	raw := make([]byte, secretLen)
	_, _ = rand.Read(raw) // never fails
	return hex.EncodeToString(raw)
}

// ID names the key that seals; it tells nothing of the key.
func (k *Keyring) ID() string { return hex.EncodeToString(k.keys[0].id[:]) }

// Seal makes the record of a value that is stored under key.
func (k *Keyring) Seal(key string, value []byte) []byte {
	newest := k.keys[0]
	record := make([]byte, sealHeader+chacha20poly1305.NonceSizeX, len(value)+sealOverhead)
	copy(record, sealMagic)
	copy(record[len(sealMagic):], newest.id[:])
	nonce := record[sealHeader:]
	_, _ = rand.Read(nonce) // never fails
	return newest.aead.Seal(record, nonce, value, associated(record, key))
}

// Open returns the value of the record that is stored under key, or ErrSealed.
func (k *Keyring) Open(key string, record []byte) ([]byte, error) {
	switch sealed, err := isSealed(record); {
	case err != nil:
		return nil, err
	case !sealed:
		return nil, fmt.Errorf("%w: it is not sealed", ErrSealed)
	}
	id := record[len(sealMagic):sealHeader]
	rest := record[sealHeader:]
	for _, sealer := range k.keys {
		if !bytes.Equal(id, sealer.id[:]) {
			continue
		}
		nonce, text := rest[:chacha20poly1305.NonceSizeX], rest[chacha20poly1305.NonceSizeX:]
		value, err := sealer.aead.Open(nil, nonce, text, associated(record, key))
		if err != nil {
			return nil, fmt.Errorf("%w: it was changed, or copied from another key", ErrSealed)
		}
		return value, nil
	}
	return nil, fmt.Errorf("%w: it was sealed with the key %x, which is neither store.key nor one of store.old_keys (those are %s)",
		ErrSealed, id, k.ids())
}

func (k *Keyring) ids() string {
	var ids []string
	for _, s := range k.keys {
		ids = append(ids, hex.EncodeToString(s.id[:]))
	}
	return fmt.Sprint(ids)
}

// isSealed tells sealed records from plain ones. ErrSealed is for what was sealed and cannot be opened here, whatever the
// key: it must not be taken for a plain value.
func isSealed(record []byte) (bool, error) {
	version, sealed := bytes.CutPrefix(record, []byte(sealFamily))
	switch {
	case !sealed:
		return false, nil
	case len(version) > 0 && version[0] != sealMagic[len(sealFamily)]:
		return false, fmt.Errorf("%w: it was sealed by another version of tgtrunk (format %d, this one knows %d)",
			ErrSealed, version[0], sealMagic[len(sealFamily)])
	case len(record) < sealOverhead:
		return false, fmt.Errorf("%w: it is cut short, at %d bytes", ErrSealed, len(record))
	}
	return true, nil
}

func associated(record []byte, key string) []byte {
	return append(bytes.Clone(record[:sealHeader]), key...)
}

// sealed is a Store whose values are sealed; keys, versions and leases are not.
type sealed struct {
	Store
	ring *Keyring
}

// Sealed returns a store that keeps its values sealed in s, which it closes with itself. Values may be 48 bytes shorter
// than MaxValue. Everything in s must be sealed already: see Reseal.
func Sealed(s Store, ring *Keyring) Store { return sealed{s, ring} }

// Get implements Store.
func (s sealed) Get(ctx context.Context, key string) (Entry, error) {
	e, err := s.Store.Get(ctx, key)
	if err != nil {
		return Entry{}, err
	}
	return s.open(e)
}

func (s sealed) open(e Entry) (Entry, error) {
	value, err := s.ring.Open(e.Key, e.Value)
	if err != nil {
		return Entry{}, fmt.Errorf("open %q: %w", e.Key, err)
	}
	e.Value = value
	return e, nil
}

// Put implements Store.
func (s sealed) Put(ctx context.Context, key string, value []byte, how Put) (uint64, error) {
	return s.Store.Put(ctx, key, s.ring.Seal(key, value), how)
}

// Update implements Store.
func (s sealed) Update(ctx context.Context, changes []Change) ([]uint64, error) {
	shut := make([]Change, len(changes))
	for i, c := range changes {
		if !c.Remove {
			c.Value = s.ring.Seal(c.Key, c.Value)
		}
		shut[i] = c
	}
	return s.Store.Update(ctx, shut)
}

// Scan implements Store.
func (s sealed) Scan(ctx context.Context, prefix string, each func(Entry) error) error {
	return s.Store.Scan(ctx, prefix, func(e Entry) error {
		e, err := s.open(e)
		if err != nil {
			return err
		}
		return each(e)
	})
}

// Reseal seals whatever in s is not sealed with the newest key of the ring, and returns how many records that were. It
// fails with ErrSealed where the ring has no key for a record. Processes that write meanwhile do no harm.
func Reseal(ctx context.Context, s Store, ring *Keyring) (n int, err error) {
	err = s.Scan(ctx, "", func(e Entry) error {
		value := e.Value
		sealed, err := isSealed(e.Value)
		if err != nil {
			return fmt.Errorf("open %q: %w", e.Key, err)
		}
		if sealed {
			opened, err := ring.Open(e.Key, e.Value)
			if err != nil {
				return fmt.Errorf("open %q: %w", e.Key, err)
			}
			if bytes.Equal(e.Value[len(sealMagic):sealHeader], ring.keys[0].id[:]) {
				return nil
			}
			value = opened
		}
		how := Put{Version: e.Version}
		if !e.Expires.IsZero() {
			how.TTL = max(time.Until(e.Expires), time.Millisecond)
		}
		switch _, err := s.Put(ctx, e.Key, ring.Seal(e.Key, value), how); {
		case errors.Is(err, ErrConflict): // somebody has written it anew
			return nil
		case err != nil:
			return err
		}
		n++
		return nil
	})
	if err != nil {
		return n, fmt.Errorf("seal the store: %w", err)
	}
	return n, nil
}
