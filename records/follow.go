package records

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// Follow gives every record to each that Read would, calls current once with what could not be read of them, and goes on
// with every record that is added to the file at path after that, over rotations. It looks every interval until ctx ends,
// which is no error, or each or current returns one.
func Follow(ctx context.Context, path string, interval time.Duration, each func(Line) error, current func(Bad) error) error {
	f := &follower{path: path, lines: lines{each: each}}
	defer f.close()
	err := f.catchUp(ctx)
	if err == nil {
		err = current(f.lines.bad)
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for err == nil {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			err = f.look(ctx)
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

type follower struct {
	path  string
	file  *os.File
	lines lines
}

// catchUp reads what there is. The file that grows is opened first: what is rotated or written meanwhile is neither missed
// nor read twice.
func (f *follower) catchUp(ctx context.Context) error {
	var last os.FileInfo
	err := f.open()
	if err == nil {
		last, err = f.file.Stat()
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("follow call records: %w", err)
	}
	files, err := Files(f.path)
	if err != nil {
		return err
	}
	for _, name := range files {
		if name == f.path {
			continue // look reads it
		}
		if err := f.lines.readFile(ctx, name, last); err != nil {
			return err
		}
	}
	return f.look(ctx)
}

// open opens what the path names now.
func (f *follower) open() error {
	file, err := os.Open(f.path)
	if err != nil {
		return err
	}
	f.file = file
	return nil
}

func (f *follower) close() {
	if f.file != nil {
		_ = f.file.Close()
		f.file = nil
	}
}

// look reads what there is, to the end of the file that was, and then from the one in its place.
func (f *follower) look(ctx context.Context) error {
	for {
		moved := f.moved()
		if f.file != nil {
			spoilt, err := f.lines.readAll(ctx, f.file)
			if err != nil {
				return err
			}
			if spoilt != nil {
				return fmt.Errorf("follow call records: %w", spoilt)
			}
		}
		if !moved {
			return nil
		}
		f.close()
		if err := f.lines.end(); err != nil {
			return err
		}
		if err := f.open(); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // the next record makes it
			}
			return fmt.Errorf("follow call records: %w", err)
		}
	}
}

// moved says whether the path names another file now than the one that is open, or a shorter one.
func (f *follower) moved() bool {
	if f.file == nil {
		return true
	}
	named, err := os.Stat(f.path)
	if err != nil {
		return true
	}
	open, err := f.file.Stat()
	if err != nil || !os.SameFile(named, open) {
		return true
	}
	at, err := f.file.Seek(0, io.SeekCurrent)
	return err == nil && open.Size() < at
}
