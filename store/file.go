package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

var (
	bucketValues = []byte("values") // key -> version(8) expires(8, Unix ns, 0 never) value
	bucketExpiry = []byte("expiry") // expires(8) key -> nothing; what the sweeper looks through
	bucketLeases = []byte("leases") // name -> see leaseHeader
)

const (
	valueHeader  = 16
	sweepAtOnce  = 32 // expired keys removed with one write
	lockPatience = 300 * time.Millisecond
)

// File is a Store in one bbolt file, for one process. Expired keys are invisible at once and removed by later writes.
type File struct {
	db     *bbolt.DB
	now    func() time.Time
	life   uint64     // grows with every OpenFile
	holder holderFile // "" where the file is a copy
	closed atomic.Bool
}

// OpenFile opens or creates the store in the file at path, readable by its owner only; a missing directory is made.
// It fails with ErrLocked, naming the file, when another process has it open, and with ErrDamaged where it is no whole store.
func OpenFile(path string) (*File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("create directory of store %q: %w", path, err)
	}
	db, err := undamaged(path, &bbolt.Options{Timeout: lockPatience, FreelistType: bbolt.FreelistMapType})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("open store %q: %w: %s", path, ErrLocked, holderFile(path+holderSuffix).read())
	case err != nil:
		return nil, fmt.Errorf("open store %q: %w", path, err)
	}
	f := &File{db: db, now: time.Now, holder: holderFile(path + holderSuffix)}
	if err := errors.Join(f.prepare(path), f.holder.write()); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return f, nil
}

func (f *File) prepare(path string) error {
	// A file that was made by hand or restored from a backup may be readable by others; it holds session keys.
	if err := os.Chmod(path, 0o600); err != nil {
		return fmt.Errorf("protect store %q: %w", path, err)
	}
	err := f.db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{bucketValues, bucketExpiry, bucketLeases} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		var err error
		f.life, err = tx.Bucket(bucketLeases).NextSequence()
		return err
	})
	if err != nil {
		return fmt.Errorf("prepare store %q: %w", path, err)
	}
	return nil
}

// Get implements Store.
func (f *File) Get(ctx context.Context, key string) (Entry, error) {
	var e Entry
	err := checkChanges(ctx, []Change{{Key: key}})
	if err == nil {
		err = closed(f.db.View(func(tx *bbolt.Tx) error {
			found, ok := f.entry(key, tx.Bucket(bucketValues).Get([]byte(key)))
			if !ok {
				return ErrNotFound
			}
			e = found
			return nil
		}))
	}
	if err != nil {
		return Entry{}, fmt.Errorf("get %q: %w", key, err)
	}
	return e, nil
}

// Put implements Store.
func (f *File) Put(ctx context.Context, key string, value []byte, how Put) (uint64, error) {
	versions, err := f.change(ctx, []Change{{Key: key, Value: value, How: how}})
	if err != nil {
		return 0, fmt.Errorf("put %w", err)
	}
	return versions[0], nil
}

// Update implements Store.
func (f *File) Update(ctx context.Context, changes []Change) ([]uint64, error) {
	versions, err := f.change(ctx, changes)
	if err != nil {
		return nil, fmt.Errorf("update %w", err)
	}
	return versions, nil
}

// change does all changes in one transaction; its errors begin with the key.
func (f *File) change(ctx context.Context, changes []Change) (versions []uint64, err error) {
	if err := checkChanges(ctx, changes); err != nil {
		return nil, err
	}
	var key string
	err = f.update(func(tx *bbolt.Tx) error {
		for _, c := range changes { // a change does not see those beside it
			key = c.Key
			if err := f.allowed(tx, c); err != nil {
				return err
			}
		}
		for _, c := range changes {
			key = c.Key
			version, err := f.apply(tx, c)
			if err != nil {
				return err
			}
			versions = append(versions, version)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%q: %w", key, err)
	}
	return versions, nil
}

// allowed checks the conditions of a change.
func (f *File) allowed(tx *bbolt.Tx, c Change) error {
	if c.How.Under != nil {
		if held, _ := readLease(tx, c.How.Under.Name); held.Token != c.How.Under.Token {
			return ErrFenced
		}
	}
	current, exists := f.entry(c.Key, tx.Bucket(bucketValues).Get([]byte(c.Key)))
	if c.How.Create && exists || c.How.Version > 0 && current.Version != c.How.Version {
		return ErrConflict
	}
	return nil
}

// apply writes or removes the key, and returns the new version.
func (f *File) apply(tx *bbolt.Tx, c Change) (uint64, error) {
	values := tx.Bucket(bucketValues)
	if err := forgetExpiry(tx, c.Key, values.Get([]byte(c.Key))); err != nil {
		return 0, err
	}
	if c.Remove {
		return 0, values.Delete([]byte(c.Key))
	}
	version, err := values.NextSequence()
	if err != nil {
		return 0, err
	}
	return version, f.write(tx, c.Key, c.Value, version, c.How.TTL)
}

// Delete implements Store.
func (f *File) Delete(ctx context.Context, key string) error {
	err := checkChanges(ctx, []Change{{Key: key}})
	if err == nil {
		err = f.update(func(tx *bbolt.Tx) error {
			if _, exists := f.entry(key, tx.Bucket(bucketValues).Get([]byte(key))); !exists {
				return ErrNotFound
			}
			_, err := f.apply(tx, Change{Key: key, Remove: true})
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("delete %q: %w", key, err)
	}
	return nil
}

// Scan implements Store.
func (f *File) Scan(ctx context.Context, prefix string, each func(Entry) error) error {
	// Collected first: a write from within each would wait for the read transaction to let the file grow.
	var found []Entry
	err := closed(f.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucketValues).Cursor()
		for k, v := c.Seek([]byte(prefix)); k != nil && bytes.HasPrefix(k, []byte(prefix)); k, v = c.Next() {
			if err := ctx.Err(); err != nil {
				return err
			}
			if e, ok := f.entry(string(k), v); ok {
				found = append(found, e)
			}
		}
		return nil
	}))
	if err != nil {
		return fmt.Errorf("scan %q: %w", prefix, err)
	}
	for _, e := range found {
		if err := each(e); err != nil {
			return err
		}
	}
	return nil
}

// Close implements Store.
func (f *File) Close() error {
	if !f.closed.CompareAndSwap(false, true) {
		return nil
	}
	var err error
	if f.holder != "" { // The name goes while the file is still ours: afterwards it would be another process's.
		err = f.holder.remove()
	}
	return errors.Join(err, f.db.Close())
}

// update runs do in a read-write transaction.
func (f *File) update(do func(*bbolt.Tx) error) error {
	return readOnly(closed(f.db.Update(func(tx *bbolt.Tx) error {
		if err := f.sweep(tx); err != nil {
			return err
		}
		return do(tx)
	})))
}

func closed(err error) error {
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return ErrClosed
	}
	return err
}

// entry decodes a stored value; false where there is none, or none any more.
func (f *File) entry(key string, raw []byte) (Entry, bool) {
	if len(raw) < valueHeader {
		return Entry{}, false
	}
	e := Entry{Key: key, Version: binary.BigEndian.Uint64(raw), Value: bytes.Clone(raw[valueHeader:])}
	if ns := binary.BigEndian.Uint64(raw[8:]); ns != 0 {
		e.Expires = time.Unix(0, int64(ns))
		if !f.now().Before(e.Expires) {
			return Entry{}, false
		}
	}
	return e, true
}

func (f *File) write(tx *bbolt.Tx, key string, value []byte, version uint64, ttl time.Duration) error {
	raw := make([]byte, valueHeader, valueHeader+len(value))
	binary.BigEndian.PutUint64(raw, version)
	if ttl > 0 {
		binary.BigEndian.PutUint64(raw[8:], uint64(f.now().Add(ttl).UnixNano()))
		if err := tx.Bucket(bucketExpiry).Put(expiryKey(raw, key), nil); err != nil {
			return err
		}
	}
	return tx.Bucket(bucketValues).Put([]byte(key), append(raw, value...))
}

// expiryKey is the key of the expiry index for a stored value.
func expiryKey(raw []byte, key string) []byte {
	return append(bytes.Clone(raw[8:valueHeader]), key...)
}

func forgetExpiry(tx *bbolt.Tx, key string, raw []byte) error {
	if len(raw) < valueHeader || binary.BigEndian.Uint64(raw[8:]) == 0 {
		return nil
	}
	return tx.Bucket(bucketExpiry).Delete(expiryKey(raw, key))
}

// sweep removes a few expired keys, the oldest first.
func (f *File) sweep(tx *bbolt.Tx) error {
	var now [8]byte
	binary.BigEndian.PutUint64(now[:], uint64(f.now().UnixNano()))
	var due [][]byte
	c := tx.Bucket(bucketExpiry).Cursor()
	for k, _ := c.First(); k != nil && len(due) < sweepAtOnce && bytes.Compare(k[:8], now[:]) <= 0; k, _ = c.Next() {
		due = append(due, bytes.Clone(k))
	}
	for _, k := range due {
		if err := tx.Bucket(bucketExpiry).Delete(k); err != nil {
			return err
		}
		if err := tx.Bucket(bucketValues).Delete(k[8:]); err != nil {
			return err
		}
	}
	return nil
}
