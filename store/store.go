package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// The errors every driver returns, to be tested with errors.Is.
var (
	ErrNotFound = errors.New("key not found")                    // Get, Delete: no such key, or it has expired
	ErrConflict = errors.New("key has changed")                  // Put, Update: the condition on the version did not hold
	ErrHeld     = errors.New("lease is held by another owner")   // Acquire: a *HeldError says by whom
	ErrFenced   = errors.New("lease has been taken over")        // Put, Update, Renew, Release: the lease is no longer ours
	ErrLocked   = errors.New("file is held by another process")  // OpenFile: a bbolt file serves one process at a time
	ErrKey      = errors.New("key is empty, too long or twice")  // longer than MaxKey bytes, or twice in an Update
	ErrTooLarge = errors.New("value is larger than a store may") // longer than MaxValue bytes
	ErrTooMany  = errors.New("more changes than one update may") // more than MaxChanges
	ErrAway     = errors.New("store does not answer")            // Redis: whether a write has happened is not known
	ErrSealed   = errors.New("record cannot be opened")          // Sealed: wrong key, or the record was changed or moved
	ErrExport   = errors.New("export cannot be opened")          // OpenExport: wrong passphrase, or the file was changed
	ErrReadOnly = errors.New("store is open for reading only")   // OpenFileCopy: any write
	ErrClosed   = errors.New("store is closed")                  // any call after Close
)

// Limits that every driver keeps.
const (
	MaxKey     = 1024
	MaxValue   = 4 << 20
	MaxChanges = 256
)

// HeldError says who holds a lease that was asked for. It is an ErrHeld.
type HeldError struct {
	Name    string
	Owner   string
	Expires time.Time // unless it is renewed until then
}

// Error names the holder.
func (e *HeldError) Error() string {
	return fmt.Sprintf("%v: %s, until %s unless renewed", ErrHeld, e.Owner, e.Expires.Format(time.TimeOnly))
}

// Unwrap returns ErrHeld.
func (*HeldError) Unwrap() error { return ErrHeld }

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

// Change is one write of an Update. A key that is removed need not exist, unless How asks for a version.
type Change struct {
	Key    string
	Value  []byte
	Remove bool
	How    Put
}

// Lease says that its owner holds a name until it expires. Token grows with every acquisition and release of the name,
// so a write under an older lease is refused (fencing).
//
// Expires is by this machine's clocks, the monotonic one included, and counts from before the store was asked: the
// store never lets another owner in before it.
type Lease struct {
	Name    string
	Owner   string
	Token   uint64
	Expires time.Time
}

// Store keeps values by key. Every method may be called from any goroutine and honours ctx. A call that fails with none
// of the errors above but of ErrAway may have been done nevertheless, but will not be done later.
type Store interface {
	// Get returns the value of key or ErrNotFound.
	Get(ctx context.Context, key string) (Entry, error)
	// Put writes the value and returns its new version, or ErrConflict, or ErrFenced.
	Put(ctx context.Context, key string, value []byte, how Put) (version uint64, err error)
	// Update does all changes or none, and returns the new version of each (0 for a removed key), or ErrConflict, or
	// ErrFenced, naming the key.
	Update(ctx context.Context, changes []Change) (versions []uint64, err error)
	// Delete removes the key; ErrNotFound where there is none.
	Delete(ctx context.Context, key string) error
	// Scan calls each for every key that begins with prefix, in byte order of the keys, until it returns an error,
	// which Scan returns. A key that is there all the while comes once; one that comes or goes meanwhile may be missed.
	// each may call the store.
	Scan(ctx context.Context, prefix string, each func(Entry) error) error
	// Acquire takes the lease of name, or renews it where owner holds it already (the token then grows too); a
	// *HeldError where another owner's lease has not run out. owner is how the holder shows in the errors of others.
	Acquire(ctx context.Context, name, owner string, ttl time.Duration) (Lease, error)
	// Renew moves the end of a lease that is still the newest of its name, expired or not; ErrFenced otherwise.
	Renew(ctx context.Context, l Lease, ttl time.Duration) (Lease, error)
	// Release ends a lease early, and with it what else is done under it; ErrFenced where it has been taken over.
	Release(ctx context.Context, l Lease) error
	// Close gives the store back; it is idempotent. Calls after it fail.
	Close() error
}

// checkChanges is what every driver checks before it touches anything.
func checkChanges(ctx context.Context, changes []Change) error {
	if len(changes) > MaxChanges {
		return fmt.Errorf("%w: %d", ErrTooMany, len(changes))
	}
	seen := make(map[string]bool, len(changes))
	for _, c := range changes {
		if seen[c.Key] {
			return fmt.Errorf("%w: %q", ErrKey, c.Key)
		}
		seen[c.Key] = true
		if err := checkKey(c.Key); err != nil {
			return err
		}
		if len(c.Value) > MaxValue {
			return fmt.Errorf("%w: %d bytes", ErrTooLarge, len(c.Value))
		}
	}
	return ctx.Err()
}

func checkKey(key string) error {
	if key == "" || len(key) > MaxKey {
		return ErrKey
	}
	return nil
}
