package records

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
)

// Line is one record as it stands in a file.
type Line struct {
	bridge.Record
	Text []byte // as it was written, without its newline; good until the next one is read
}

// maxLine bounds a line; a record has a few kilobytes.
const maxLine = 1 << 20

// Read gives every record of the file at path, and of the files it was rotated to, oldest file first, to each, until that
// returns an error, which Read returns. Lines that are no records are counted.
func Read(ctx context.Context, path string, each func(Line) error) (bad int, err error) {
	files, err := Files(path)
	if err != nil {
		return 0, err
	}
	for _, name := range files {
		n, err := readFile(ctx, name, each)
		bad += n
		if err != nil {
			return bad, err
		}
	}
	return bad, nil
}

// Files lists what there is of the records at path: what it was rotated to, by this package or by logrotate (path.1,
// path-20261122, either with .gz), oldest change first, and path itself last. It is an error when there is none.
func Files(path string) ([]string, error) {
	found, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("look for call records: %w", err)
	}
	type aged struct {
		name    string
		changed time.Time
	}
	var old []aged
	for _, e := range found {
		suffix, ok := strings.CutPrefix(e.Name(), filepath.Base(path))
		if !ok || !rotated(suffix) {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // rotated this very moment
		}
		if err != nil {
			return nil, fmt.Errorf("look for call records: %w", err)
		}
		old = append(old, aged{filepath.Join(filepath.Dir(path), e.Name()), info.ModTime()})
	}
	slices.SortFunc(old, func(a, b aged) int {
		if c := a.changed.Compare(b.changed); c != 0 {
			return c
		}
		return strings.Compare(b.name, a.name) // .2 is older than .1
	})
	var names []string
	for _, f := range old {
		names = append(names, f.name)
	}
	if _, err := os.Stat(path); err == nil {
		names = append(names, path)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("look for call records: %s: %w", path, fs.ErrNotExist)
	}
	return names, nil
}

// rotated says whether what follows the file's name is a number or a date.
func rotated(suffix string) bool {
	suffix = strings.TrimSuffix(suffix, ".gz")
	return len(suffix) > 1 && (suffix[0] == '.' || suffix[0] == '-') && strings.Trim(suffix[1:], "0123456789-") == ""
}

func readFile(ctx context.Context, name string, each func(Line) error) (bad int, err error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil // rotated away meanwhile
	}
	if err != nil {
		return 0, fmt.Errorf("read call records: %w", err)
	}
	defer f.Close()
	var in io.Reader = f
	if strings.HasSuffix(name, ".gz") {
		if in, err = gzip.NewReader(f); err != nil {
			return 0, fmt.Errorf("read call records %s: %w", name, err)
		}
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		if ctx.Err() != nil {
			return bad, ctx.Err()
		}
		n, err := take(lines.Bytes(), each)
		bad += n
		if err != nil {
			return bad, err
		}
	}
	if err := lines.Err(); err != nil {
		return bad, fmt.Errorf("read call records %s: %w", name, err)
	}
	return bad, nil
}

// take gives a line to each, unless it is empty or no record.
func take(text []byte, each func(Line) error) (bad int, err error) {
	text = bytes.TrimSpace(text)
	if len(text) == 0 {
		return 0, nil
	}
	l := Line{Text: text}
	if json.Unmarshal(text, &l.Record) != nil || l.Call == "" {
		return 1, nil //nolint:nilerr // it is counted
	}
	return 0, each(l)
}

// Follow gives every record that is added to the file at path from now on to each, over rotations, until ctx ends, which
// is no error. It looks every interval.
func Follow(ctx context.Context, path string, interval time.Duration, each func(Line) error) error {
	f := &follower{path: path, each: each}
	defer f.close()
	if err := f.open(); err == nil {
		_, _ = f.file.Seek(0, io.SeekEnd)
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := f.look(); err != nil {
			return err
		}
	}
}

type follower struct {
	path string
	each func(Line) error
	file *os.File
	rest []byte // the beginning of a line
}

// open opens what the path names now.
func (f *follower) open() error {
	file, err := os.Open(f.path)
	if err != nil {
		return err
	}
	f.file, f.rest = file, nil
	return nil
}

func (f *follower) close() {
	if f.file != nil {
		_ = f.file.Close()
		f.file = nil
	}
}

// look reads what there is, to the end of the file that was, and then from the one in its place.
func (f *follower) look() error {
	for {
		moved := f.moved()
		if f.file != nil {
			if err := f.read(); err != nil {
				return err
			}
		}
		if !moved {
			return nil
		}
		f.close()
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

func (f *follower) read() error {
	more, err := io.ReadAll(io.LimitReader(f.file, 16*maxLine))
	if err != nil {
		return fmt.Errorf("follow call records: %w", err)
	}
	f.rest = append(f.rest, more...)
	for {
		end := bytes.IndexByte(f.rest, '\n')
		if end < 0 {
			if len(f.rest) > maxLine {
				f.rest = nil
			}
			return nil
		}
		if _, err := take(f.rest[:end], f.each); err != nil {
			return err
		}
		f.rest = f.rest[end+1:]
	}
}
