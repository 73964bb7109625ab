package records

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
)

// Options say where records go and how. Path is needed.
type Options struct {
	Path    string        // a directory that is missing is made
	Mask    bool          // numbers, names and what else tells who it was are masked
	NoSync  bool          // the system decides when lines reach the disk
	MaxSize int64         // bytes; a file that would grow beyond it is moved away to Path.1, that one to Path.2; 0: never
	Keep    int           // how many are kept that way, default 10
	Waiting int           // lines that are kept in memory while they cannot be written; default 10000
	Retry   time.Duration // between two attempts to write; default 1 s
	Log     *slog.Logger  // nil discards
	open    func(path string) (file, error)
}

func (o Options) withDefaults() Options {
	o.Keep = cmp.Or(o.Keep, 10)
	o.Waiting = cmp.Or(o.Waiting, 10_000)
	o.Retry = cmp.Or(o.Retry, time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.open == nil {
		o.open = openFile
	}
	return o
}

// file is what a Writer needs of an *os.File.
type file interface {
	io.WriteCloser
	Sync() error
	Stat() (os.FileInfo, error)
	Truncate(size int64) error
}

// Writer appends records to a file, from one goroutine, so that no call waits for a disk. Its methods may be called from
// any goroutine.
type Writer struct {
	opt    Options
	lost   atomic.Uint64
	wake   chan struct{} // holds a token while there is something to do
	reopen atomic.Bool

	mu      sync.Mutex
	waiting []line // guarded by mu
	writing int    // how many of the first are just being written; guarded by mu
	number  uint64 // of the last line; guarded by mu

	// ——— Run's
	out    file
	size   int64 // of out, without a torn line at its end
	broken bool  // the last attempt failed, which has been said
}

// line is a record that has not been written.
type line struct {
	number uint64 // grows by one
	call   string
	text   []byte // with its newline
}

// Open makes a writer and opens its file, so that what is wrong with it is known at the start. Run writes, and closes it.
func Open(o Options) (*Writer, error) {
	w := &Writer{opt: o.withDefaults(), wake: make(chan struct{}, 1)}
	if err := os.MkdirAll(filepath.Dir(o.Path), 0o750); err != nil {
		return nil, fmt.Errorf("open the call records: %w", err)
	}
	if err := w.open(); err != nil {
		return nil, err
	}
	return w, nil
}

func openFile(path string) (file, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o640)
}

// Write hands a record over. It does not block. When too many wait for a disk that takes none, the oldest that is not
// just being written is given up.
func (w *Writer) Write(r bridge.Record) {
	if w.opt.Mask {
		r = r.Masked()
	}
	text, err := json.Marshal(r)
	if err != nil {
		w.giveUp(line{call: r.Call}, err)
		return
	}
	w.mu.Lock()
	w.number++
	w.waiting = append(w.waiting, line{w.number, r.Call, append(text, '\n')})
	var oldest line
	full := len(w.waiting) > w.opt.Waiting
	if full {
		oldest = w.waiting[w.writing]
		w.waiting = slices.Delete(w.waiting, w.writing, w.writing+1)
	}
	w.mu.Unlock()
	if full {
		w.giveUp(oldest, errors.New("too many wait to be written"))
	}
	w.poke()
}

// Reopen lets the next record begin with the file that Path then names (SIGHUP). It does not block.
func (w *Writer) Reopen() {
	w.reopen.Store(true)
	w.poke()
}

// Lost is how many records were given up.
func (w *Writer) Lost() uint64 { return w.lost.Load() }

// Waiting is how many records have not been written yet.
func (w *Writer) Waiting() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.waiting)
}

func (w *Writer) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *Writer) giveUp(l line, why error) {
	w.lost.Add(1)
	w.opt.Log.Error("a call record is lost", "call", l.call, "error", why, "lost", w.lost.Load())
}

// Close closes the file of a writer that does not run.
func (w *Writer) Close() { w.close() }

// Run writes until ctx ends, then writes what is left, once, and closes the file.
func (w *Writer) Run(ctx context.Context) error {
	defer w.close()
	retry := time.NewTimer(time.Hour)
	retry.Stop()
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return w.last()
		case <-w.wake:
		case <-retry.C:
		}
		if !w.flush() {
			retry.Reset(w.opt.Retry)
		}
	}
}

// last tries once more, and gives up what cannot be written.
func (w *Writer) last() error {
	if w.flush() {
		return nil
	}
	w.mu.Lock()
	left := w.waiting
	w.waiting = nil
	w.mu.Unlock()
	for _, l := range left {
		w.giveUp(l, errors.New("the service has ended"))
	}
	return fmt.Errorf("write call records: %d are lost", len(left))
}

// batchSize bounds how much is written at once, in bytes.
const batchSize = 256 << 10

// flush writes what waits; false where something is left because it cannot be written now.
func (w *Writer) flush() bool {
	for {
		last, text := w.batch()
		if len(text) == 0 && !w.reopen.Load() {
			return true
		}
		if err := w.append(text); err != nil {
			w.written(0)
			if !w.broken {
				w.broken = true
				w.opt.Log.Error("call records cannot be written, they wait", "file", w.opt.Path, "waiting", w.Waiting(), "error", err)
			}
			return false
		}
		if w.broken {
			w.broken = false
			w.opt.Log.Info("call records are written again", "file", w.opt.Path, "lost", w.Lost())
		}
		w.written(last)
	}
}

// batch copies the first lines that wait, which stay until written is called, and says which is the last of them.
func (w *Writer) batch() (last uint64, text []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.waiting {
		if len(text) > 0 && len(text)+len(l.text) > batchSize {
			break
		}
		last, text = l.number, append(text, l.text...)
		w.writing++
	}
	return last, text
}

// written takes lines up to that number off the queue; 0: none of the batch could be written.
func (w *Writer) written(last uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writing = 0
	for len(w.waiting) > 0 && w.waiting[0].number <= last {
		w.waiting = w.waiting[1:]
	}
	if len(w.waiting) == 0 {
		w.waiting = nil // the array behind it may be large
	}
}

// append writes whole lines, or nothing.
func (w *Writer) append(text []byte) error {
	if err := w.settle(int64(len(text))); err != nil {
		return err
	}
	if len(text) == 0 {
		return nil
	}
	n, err := w.out.Write(text)
	if err == nil && !w.opt.NoSync {
		err = w.out.Sync()
	}
	if err == nil {
		w.size += int64(n)
		return nil
	}
	// What was written of it would stand there twice, or be torn.
	if cut := w.out.Truncate(w.size); cut != nil {
		err = errors.Join(err, cut)
		w.close()
	}
	return fmt.Errorf("append to the call records: %w", err)
}
