package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

const leaseHeader = 24 // token(8) expires(8, Unix ns) life(8), then the owner

// Acquire implements Store. One process at a time has the file open, so a lease that was taken before this one opened
// it is nobody's any more, however long it was meant to last.
func (f *File) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (Lease, error) {
	var l Lease
	err := f.lease(ctx, name, func(tx *bbolt.Tx) error {
		held, life := readLease(tx, name)
		if life == f.life && held.Owner != owner && f.now().Before(held.Expires) {
			return &HeldError{Name: name, Owner: held.Owner, Expires: held.Expires}
		}
		l = Lease{Name: name, Owner: owner, Token: held.Token + 1, Expires: f.now().Add(ttl)}
		return writeLease(tx, l, f.life)
	})
	if err != nil {
		return Lease{}, fmt.Errorf("acquire lease %q: %w", name, err)
	}
	return l, nil
}

// Renew implements Store.
func (f *File) Renew(ctx context.Context, l Lease, ttl time.Duration) (Lease, error) {
	next := l
	next.Expires = f.now().Add(ttl)
	if err := f.replace(ctx, "renew", l, next); err != nil {
		return l, err
	}
	return next, nil
}

// Release implements Store.
func (f *File) Release(ctx context.Context, l Lease) error {
	next := l
	next.Token, next.Owner, next.Expires = l.Token+1, "", f.now()
	return f.replace(ctx, "release", l, next)
}

// replace writes next where l is the newest lease of its name.
func (f *File) replace(ctx context.Context, what string, l, next Lease) error {
	err := f.lease(ctx, l.Name, func(tx *bbolt.Tx) error {
		held, life := readLease(tx, l.Name)
		if held.Token != l.Token {
			return ErrFenced
		}
		return writeLease(tx, next, life)
	})
	if err != nil {
		return fmt.Errorf("%s lease %q: %w", what, l.Name, err)
	}
	return nil
}

func (f *File) lease(ctx context.Context, name string, do func(*bbolt.Tx) error) error {
	if err := checkChanges(ctx, []Change{{Key: name}}); err != nil {
		return err
	}
	return f.update(do)
}

// readLease returns the newest lease of a name, expired or not, and in which life of the file it was taken. Token 0 and
// life 0 are never given out.
func readLease(tx *bbolt.Tx, name string) (l Lease, life uint64) {
	raw := tx.Bucket(bucketLeases).Get([]byte(name))
	if len(raw) < leaseHeader {
		return Lease{}, 0
	}
	return Lease{
		Name:    name,
		Owner:   string(raw[leaseHeader:]),
		Token:   binary.BigEndian.Uint64(raw),
		Expires: time.Unix(0, int64(binary.BigEndian.Uint64(raw[8:]))),
	}, binary.BigEndian.Uint64(raw[16:])
}

func writeLease(tx *bbolt.Tx, l Lease, life uint64) error {
	raw := make([]byte, leaseHeader, leaseHeader+len(l.Owner))
	binary.BigEndian.PutUint64(raw, l.Token)
	binary.BigEndian.PutUint64(raw[8:], uint64(l.Expires.UnixNano()))
	binary.BigEndian.PutUint64(raw[16:], life)
	return tx.Bucket(bucketLeases).Put([]byte(l.Name), append(raw, l.Owner...))
}
