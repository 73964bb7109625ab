package records

import (
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

// Bad is what could not be read of the records.
type Bad struct {
	Lines int     // that are no records, or too long for one
	Files []error // that are cut off or spoilt, each with its name; what stands before that place was read
}

// Read gives every record of the file at path, and of the files it was rotated to, oldest file first, to each, until that
// returns an error, which Read returns. What is spoilt costs no other record.
func Read(ctx context.Context, path string, each func(Line) error) (Bad, error) {
	files, err := Files(path)
	if err != nil {
		return Bad{}, err
	}
	in := lines{each: each}
	for _, name := range files {
		if err := in.readFile(ctx, name, nil); err != nil {
			return in.bad, err
		}
	}
	return in.bad, nil
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

// lines puts the lines together of what is read in pieces.
type lines struct {
	each func(Line) error
	rest []byte // the beginning of a line
	long bool   // what has come of this line was too much, and is dropped
	bad  Bad
}

// readFile reads a file, unless it is the one that is left to somebody else.
func (l *lines) readFile(ctx context.Context, name string, except os.FileInfo) error {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // rotated away meanwhile
	}
	if err != nil {
		return fmt.Errorf("read call records: %w", err)
	}
	defer f.Close()
	if is, err := f.Stat(); err == nil && except != nil && os.SameFile(is, except) {
		return nil
	}
	var in io.Reader = f
	if strings.HasSuffix(name, ".gz") {
		if in, err = gzip.NewReader(f); err != nil {
			l.bad.Files = append(l.bad.Files, fmt.Errorf("read call records %s: %w", name, err))
			return nil
		}
	}
	spoilt, err := l.readAll(ctx, in)
	if err != nil {
		return err
	}
	if spoilt != nil {
		l.bad.Files = append(l.bad.Files, fmt.Errorf("read call records %s: %w", name, spoilt))
	}
	return l.end()
}

// readAll reads to the end. What goes wrong with reading is spoilt; err is that of each, or of ctx.
func (l *lines) readAll(ctx context.Context, in io.Reader) (spoilt, err error) {
	piece := make([]byte, 64<<10)
	for {
		n, spoilt := in.Read(piece)
		if err := errors.Join(ctx.Err(), l.take(piece[:n])); err != nil {
			return nil, err
		}
		if errors.Is(spoilt, io.EOF) {
			return nil, nil
		}
		if spoilt != nil {
			return spoilt, nil
		}
	}
}

// take reads a piece, which may end anywhere.
func (l *lines) take(piece []byte) error {
	for len(piece) > 0 {
		part, after, whole := bytes.Cut(piece, []byte("\n"))
		if l.long = l.long || len(l.rest)+len(part) > maxLine; !l.long {
			l.rest = append(l.rest, part...)
		}
		if !whole {
			return nil
		}
		if err := l.end(); err != nil {
			return err
		}
		piece = after
	}
	return nil
}

// end gives the line that has come to each, unless it is empty or no record.
func (l *lines) end() error {
	text, long := bytes.TrimSpace(l.rest), l.long
	l.rest, l.long = l.rest[:0], false
	if len(text) == 0 && !long {
		return nil
	}
	r := Line{Text: text}
	if long || json.Unmarshal(text, &r.Record) != nil || r.Call == "" {
		l.bad.Lines++
		return nil //nolint:nilerr // it is counted
	}
	return l.each(r)
}
