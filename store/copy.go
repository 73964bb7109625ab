package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// A bbolt file begins with two meta pages, which say in turn where the newest state is. Offsets within a page, little
// endian or whatever the machine has (bbolt's internal/common: page header of 16 bytes, then magic, version, page size).
const (
	boltMagic    = 0xED0CDAED
	metaMagic    = 16
	metaPageSize = 24
	metaEnd      = 80 // of the checksum
	maxPageSize  = 64 << 10

	copyTries = 50
	copyAgain = 20 * time.Millisecond
)

// OpenFileCopy opens the store in the file at path for reading, as it is at this moment, also while another process has
// it open: what it reads is a copy, in the directory for temporary files, that goes with it. Writes fail with
// ErrReadOnly. Nothing is made where there is no file: fs.ErrNotExist.
//
// bbolt never changes a page that its newest state needs: it writes elsewhere, and then, with a meta page, says so. A
// copy during which no meta page changed is therefore whole, whatever else was written meanwhile.
func OpenFileCopy(ctx context.Context, path string) (*File, error) {
	f, err := openFileCopy(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("read store %q: %w", path, err)
	}
	return f, nil
}

func openFileCopy(ctx context.Context, path string) (*File, error) {
	from, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	to, err := os.CreateTemp("", "tgtrunk-*.db") // readable by its owner only
	if err != nil {
		return nil, err
	}
	if err := errors.Join(os.Remove(to.Name()), copyWhole(ctx, from, to)); err != nil { // it lives as long as it is open
		return nil, errors.Join(err, to.Close())
	}
	db, err := undamaged(to.Name(), &bbolt.Options{
		ReadOnly: true, OpenFile: func(string, int, os.FileMode) (*os.File, error) { return to, nil },
	})
	if err != nil {
		return nil, err // it has closed the file
	}
	f := &File{db: db, now: time.Now}
	err = db.View(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{bucketValues, bucketExpiry, bucketLeases} {
			if tx.Bucket(name) == nil {
				return fmt.Errorf("it has no %s: it is no store of tgtrunk", name)
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// source is the file that is copied.
type source interface {
	io.ReaderAt
	Stat() (os.FileInfo, error)
}

// copyWhole copies until it has not been disturbed.
func copyWhole(ctx context.Context, from source, to *os.File) error {
	for range copyTries {
		before, err := metas(from)
		if err != nil {
			return err
		}
		if err := to.Truncate(0); err != nil {
			return err
		}
		info, err := from.Stat()
		if err != nil {
			return err
		}
		n, err := io.Copy(io.NewOffsetWriter(to, 0), io.NewSectionReader(from, 0, info.Size()))
		if err != nil {
			return err
		}
		after, err := metas(from)
		if err != nil {
			return err
		}
		if n == info.Size() && bytes.Equal(before, after) {
			return nil
		}
		t := time.NewTimer(copyAgain)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
	}
	return errors.New("it is written to all the time: try again")
}

var errNoStore = errors.New("it is no store of tgtrunk, or not yet")

// metas returns what both meta pages say.
func metas(file source) ([]byte, error) {
	both := make([]byte, 2*metaEnd)
	if _, err := file.ReadAt(both[:metaEnd], 0); err != nil {
		return nil, notYet(err)
	}
	size := binary.NativeEndian.Uint32(both[metaPageSize:])
	if binary.NativeEndian.Uint32(both[metaMagic:]) != boltMagic || size < metaEnd || size > maxPageSize {
		return nil, errNoStore
	}
	if _, err := file.ReadAt(both[metaEnd:], int64(size)); err != nil {
		return nil, notYet(err)
	}
	return both, nil
}

func notYet(err error) error {
	if errors.Is(err, io.EOF) {
		return errNoStore
	}
	return err
}

// readOnly makes bbolt's refusal to write one of this room's.
func readOnly(err error) error {
	if errors.Is(err, bolterrors.ErrDatabaseReadOnly) {
		return ErrReadOnly
	}
	return err
}
