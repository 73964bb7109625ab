package records

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
)

// settle makes the file ready for so many more bytes: the one that Path names, and not beyond its size.
func (w *Writer) settle(more int64) error {
	if w.reopen.Swap(false) || w.out == nil || !w.inPlace() {
		w.close()
		if err := w.open(); err != nil {
			return err
		}
	}
	if w.opt.MaxSize <= 0 || w.size == 0 || w.size+more <= w.opt.MaxSize {
		return nil
	}
	w.close()
	if err := w.rotate(); err != nil {
		// A file that is too long is better than none.
		w.opt.Log.Warn("call records cannot be rotated", "file", w.opt.Path, "error", err)
	}
	return w.open()
}

// inPlace says whether the open file is still the one that Path names: logrotate moves it away and may forget to say so.
func (w *Writer) inPlace() bool {
	named, err := os.Stat(w.opt.Path)
	if err != nil {
		return false
	}
	open, err := w.out.Stat()
	return err == nil && os.SameFile(named, open)
}

func (w *Writer) open() error {
	out, err := w.opt.open(w.opt.Path)
	if err != nil {
		return fmt.Errorf("open the call records: %w", err)
	}
	info, err := out.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("open the call records: %w", err), out.Close())
	}
	w.out, w.size = out, info.Size()
	return w.mend()
}

// mend closes a line that a crash, or a full disk, has torn.
func (w *Writer) mend() error {
	in, ok := w.out.(io.ReaderAt)
	if !ok || w.size == 0 {
		return nil
	}
	var end [1]byte
	if _, err := in.ReadAt(end[:], w.size-1); err != nil || end[0] == '\n' {
		return nil //nolint:nilerr // what cannot be read, such as a pipe, cannot be torn
	}
	w.opt.Log.Warn("the last call record of the file is torn", "file", w.opt.Path)
	n, err := w.out.Write([]byte{'\n'})
	if err != nil {
		w.close()
		return fmt.Errorf("mend the call records: %w", err)
	}
	w.size += int64(n)
	return nil
}

// rotate moves Path to Path.1, that one to Path.2 and so on; the last one is overwritten.
func (w *Writer) rotate() error {
	for n := w.opt.Keep - 1; n >= 0; n-- {
		err := os.Rename(numbered(w.opt.Path, n), numbered(w.opt.Path, n+1))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func numbered(path string, n int) string {
	if n == 0 {
		return path
	}
	return path + "." + strconv.Itoa(n)
}

func (w *Writer) close() {
	if w.out == nil {
		return
	}
	if err := w.out.Close(); err != nil {
		w.opt.Log.Warn("closing the call records failed", "error", err)
	}
	w.out = nil
}
