package store

import (
	"context"
	"errors"
	"time"
)

// The errors every driver returns, to be tested with errors.Is.
var (
	ErrNotFound = errors.New("key not found")                    // Get, Delete: no such key, or it has expired
	ErrConflict = errors.New("key has changed")                  // Put: the condition on the version did not hold
	ErrHeld     = errors.New("lease is held by another owner")   // Acquire: somebody else's lease has not run out
	ErrFenced   = errors.New("lease has been taken over")        // Put, Renew, Release: the lease is no longer ours
	ErrLocked   = errors.New("file is held by another process")  // Open: a bbolt file serves one process at a time
	ErrKey      = errors.New("key is empty or too long")         // longer than MaxKey bytes
	ErrTooLarge = errors.New("value is larger than a store may") // longer than MaxValue bytes
)

// Limits that every driver keeps.
const (
	MaxKey   = 1024
	MaxValue = 4 << 20
)

// Entry is a stored value. The value's bytes belong to the receiver.
type Entry struct {
	Key     string
	Value   []byte
	Version uint64    // grows with every Put of any key of the store; never 0
	Expires time.Time // zero: never
}

// Put says how a value is written. The zero Put writes it for good, whatever was there.
type Put struct {
	TTL     time.Duration // > 0: the key vanishes after that long
	Version uint64        // > 0: only if the key still has this version
	Create  bool          // only if the key does not exist
	Under   *Lease        // only while this lease is the newest of its name
}

// Lease says that its owner holds a name until it expires. Token grows with every acquisition of the name, so a
// write under an older lease is refused (fencing).
type Lease struct {
	Name    string
	Owner   string
	Token   uint64
	Expires time.Time
}

// Store keeps values by key. Every method may be called from any goroutine and honours ctx.
type Store interface {
	// Get returns the value of key or ErrNotFound.
	Get(ctx context.Context, key string) (Entry, error)
	// Put writes the value and returns its new version, or ErrConflict, or ErrFenced.
	Put(ctx context.Context, key string, value []byte, how Put) (version uint64, err error)
	// Delete removes the key; ErrNotFound where there is none.
	Delete(ctx context.Context, key string) error
	// Scan calls each for every key that begins with prefix, in byte order of the keys, until it returns an error,
	// which Scan returns. It sees one moment of the store; each may call the store.
	Scan(ctx context.Context, prefix string, each func(Entry) error) error
	// Acquire takes the lease of name, or renews it where owner holds it already (the token then grows too);
	// ErrHeld where another owner's lease has not run out.
	Acquire(ctx context.Context, name, owner string, ttl time.Duration) (Lease, error)
	// Renew moves the end of a lease that is still the newest of its name, expired or not; ErrFenced otherwise.
	Renew(ctx context.Context, l Lease, ttl time.Duration) (Lease, error)
	// Release ends a lease early; ErrFenced where it has been taken over.
	Release(ctx context.Context, l Lease) error
	// Close gives the store back; it is idempotent. Calls after it fail.
	Close() error
}
