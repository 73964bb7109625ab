package store

import (
	"errors"
	"fmt"
	"runtime/debug"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// ErrDamaged says that the file is no store, or not all of one: it was cut short, or overwritten.
var ErrDamaged = errors.New("file is damaged: bring it back from a backup, or move it away and log the accounts in again")

// undamaged opens the file and reads what leads to every value. bbolt believes its pages: it panics over those that are
// nonsense, and where the file ends too early the machine faults.
func undamaged(path string, o *bbolt.Options) (db *bbolt.DB, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w (%v)", ErrDamaged, p)
		}
		if err != nil && db != nil {
			err = errors.Join(err, db.Close())
			db = nil
		}
	}()
	db, err = bbolt.Open(path, 0o600, o)
	for _, nonsense := range []error{bolterrors.ErrInvalid, bolterrors.ErrChecksum, bolterrors.ErrVersionMismatch} {
		if errors.Is(err, nonsense) {
			return nil, fmt.Errorf("%w (%w)", ErrDamaged, err)
		}
	}
	if err != nil {
		return nil, err
	}
	return db, db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error {
			return b.ForEach(func(_, _ []byte) error { return nil })
		})
	})
}
