package records

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
)

const soon = 20 * time.Second

// eventually waits until it is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	limit, again := time.NewTimer(soon), time.NewTicker(2*time.Millisecond)
	defer limit.Stop()
	defer again.Stop()
	for !so() {
		select {
		case <-again.C:
		case <-limit.C:
			t.Fatalf("not in time: %s", what)
		}
	}
}

// log keeps what is logged.
type log struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *log) count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), part)
}

// start runs a writer until stop, or the end of the test.
func start(t *testing.T, o Options) (w *Writer, l *log, stop func() error) {
	t.Helper()
	l = &log{}
	o.Log = slog.New(slog.NewTextHandler(l, nil))
	w, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { _ = stop() })
	return w, l, stop
}

func record(call string) bridge.Record {
	return bridge.Record{
		Schema: bridge.RecordSchema, Call: call, Dialled: "+4915112345678", Reason: bridge.Busy, Q850: 17,
		Offering: bridge.LegRecord{Trunk: "office", Party: bridge.Party{Number: "4930123456", Name: "Anna Berg"}},
		Times:    bridge.Times{Offered: time.Date(2026, 11, 22, 9, 30, 0, 120e6, time.UTC), Ended: time.Date(2026, 11, 22, 9, 31, 0, 0, time.UTC)},
	}
}

func calls(t *testing.T, path string) (ids []string, bad int) {
	t.Helper()
	unread, err := Read(t.Context(), path, func(l Line) error { ids = append(ids, l.Call); return nil })
	if err != nil || len(unread.Files) > 0 {
		t.Fatal(err, unread.Files)
	}
	return ids, unread.Lines
}

func TestLinesAreAppended(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "calls.jsonl")
	for round := range 2 { // the second time to a file that is there
		w, _, stop := start(t, Options{Path: path})
		var writing sync.WaitGroup
		for n := range 50 {
			writing.Go(func() { w.Write(record(fmt.Sprintf("%d-%d", round, n))) })
		}
		writing.Wait()
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if w.Lost() != 0 || w.Waiting() != 0 {
			t.Errorf("%d lost, %d waiting", w.Lost(), w.Waiting())
		}
	}
	ids, bad := calls(t, path)
	slices.Sort(ids)
	if different := slices.Compact(slices.Clone(ids)); len(ids) != 100 || len(different) != 100 || bad != 0 {
		t.Errorf("%d records, %d different ones, %d lines are none", len(ids), len(different), bad)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&0o007 != 0 {
		t.Errorf("others may read it: %v, %v", info.Mode(), err)
	}
}

func TestMaskedRecordsHideWhoCalls(t *testing.T) {
	path := filepath.Join(t.TempDir(), "calls.jsonl")
	for _, mask := range []bool{true, false} {
		w, _, stop := start(t, Options{Path: path, Mask: mask})
		w.Write(record("a"))
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"15112345678", "30123456", "Anna Berg"} {
			if strings.Contains(string(text), secret) == mask {
				t.Errorf("masked %v: %s", mask, text)
			}
		}
	}
}

// A file that was moved away is left, whether or not anybody says so.
func TestRotatedFileIsLeft(t *testing.T) {
	for _, told := range []bool{true, false} {
		path := filepath.Join(t.TempDir(), "calls.jsonl")
		w, _, stop := start(t, Options{Path: path})
		w.Write(record("before"))
		eventually(t, "the first is written", func() bool { return w.Waiting() == 0 })
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
		if told {
			w.Reopen()
			eventually(t, "there is a new file", func() bool { _, err := os.Stat(path); return err == nil })
		}
		w.Write(record("after"))
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(text), `"after"`) || strings.Contains(string(text), `"before"`) {
			t.Errorf("told %v: %s, %v", told, text, err)
		}
		if ids, _ := calls(t, path); !slices.Equal(ids, []string{"before", "after"}) {
			t.Errorf("told %v: %v", told, ids)
		}
	}
}

func TestFileIsRotatedAtItsSize(t *testing.T) {
	path := filepath.Join(t.TempDir(), "calls.jsonl")
	w, _, stop := start(t, Options{Path: path, MaxSize: 1500, Keep: 2})
	for n := range 20 {
		w.Write(record(fmt.Sprintf("%02d", n)))
		eventually(t, "it is written", func() bool { return w.Waiting() == 0 })
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	files, err := Files(path)
	if err != nil || len(files) != 3 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Size() > 1500 || info.Size() == 0 {
			t.Errorf("%s: %v, %v", f, info, err)
		}
	}
	ids, _ := calls(t, path)
	if len(ids) < 3 || !slices.IsSorted(ids) || ids[len(ids)-1] != "19" {
		t.Errorf("left: %v", ids)
	}
}

// fullDisk is a file on a disk that takes only so many bytes more.
type fullDisk struct {
	*os.File
	room *atomic.Int64
}

func (f fullDisk) Write(b []byte) (int, error) {
	if left := f.room.Load(); left < int64(len(b)) {
		n, _ := f.File.Write(b[:max(left, 0)])
		f.room.Store(0)
		return n, syscall.ENOSPC
	}
	return f.File.Write(b)
}

func TestFullDiskLosesNothingThatFitsInMemory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "calls.jsonl")
	var room atomic.Int64
	room.Store(100) // less than a line
	o := Options{Path: path, Retry: time.Millisecond, Waiting: 3, open: func(path string) (file, error) {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
		return fullDisk{f, &room}, err
	}}
	w, l, stop := start(t, o)
	for n := range 5 {
		w.Write(record(fmt.Sprintf("%d", n)))
	}
	eventually(t, "the disk is said to be full", func() bool { return l.count("cannot be written, they wait") == 1 })
	if w.Lost() != 2 || w.Waiting() != 3 || l.count("a call record is lost") != 2 {
		t.Errorf("%d lost, %d waiting", w.Lost(), w.Waiting())
	}
	if text, err := os.ReadFile(path); err != nil || len(text) != 0 {
		t.Errorf("torn: %q, %v", text, err)
	}
	room.Store(1 << 20)
	eventually(t, "they are written again", func() bool { return l.count("are written again") == 1 && w.Waiting() == 0 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	// Which two are given up depends on what was just being tried; each is either in the file or said to be lost.
	ids, bad := calls(t, path)
	for n := range 5 {
		id := fmt.Sprint(n)
		if written := slices.Contains(ids, id); written == (l.count("call="+id) == 1) {
			t.Errorf("record %s: written %v, and said to be lost %d times", id, written, l.count("call="+id))
		}
	}
	if len(ids) != 3 || !slices.IsSorted(ids) || bad != 0 {
		t.Errorf("%v, %d bad", ids, bad)
	}
	if l.count("cannot be written") != 1 {
		t.Errorf("said more than once: %s", l.text.String())
	}
}

// slowDisk takes nothing until goes is closed.
type slowDisk struct {
	*os.File
	asked chan<- struct{}
	goes  <-chan struct{}
}

func (s slowDisk) Write(b []byte) (int, error) {
	select {
	case s.asked <- struct{}{}:
	default:
	}
	<-s.goes
	return s.File.Write(b)
}

// A record that is just being written is not given up: it would be counted as lost, and stand in the file.
func TestWhatIsBeingWrittenIsNotGivenUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "calls.jsonl")
	asked, goes := make(chan struct{}, 1), make(chan struct{})
	w, l, stop := start(t, Options{Path: path, Waiting: 2, open: func(path string) (file, error) {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
		return slowDisk{f, asked, goes}, err
	}})
	w.Write(record("a"))
	<-asked
	for _, call := range []string{"b", "c", "d"} {
		w.Write(record(call))
	}
	if w.Lost() != 2 || w.Waiting() != 2 || l.count("call=b") != 1 || l.count("call=c") != 1 {
		t.Errorf("%d lost, %d waiting: %s", w.Lost(), w.Waiting(), l.text.String())
	}
	close(goes)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if ids, bad := calls(t, path); !slices.Equal(ids, []string{"a", "d"}) || bad != 0 {
		t.Errorf("%v, %d bad", ids, bad)
	}
}

// What cannot be written at the end is said, one line a call.
func TestFullDiskAtTheEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "calls.jsonl")
	var room atomic.Int64
	w, l, stop := start(t, Options{Path: path, Retry: time.Millisecond, open: func(path string) (file, error) {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
		return fullDisk{f, &room}, err
	}})
	w.Write(record("a"))
	w.Write(record("b"))
	if err := stop(); err == nil || w.Lost() != 2 || l.count("call=a") != 1 || l.count("call=b") != 1 {
		t.Errorf("%v, %d lost: %s", err, w.Lost(), l.text.String())
	}
}

// A directory that goes away and comes back.
func TestMissingDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	path := filepath.Join(dir, "calls.jsonl")
	w, l, stop := start(t, Options{Path: path, Retry: time.Millisecond})
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	w.Write(record("a"))
	eventually(t, "it is said", func() bool { return l.count("cannot be written") == 1 })
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is written", func() bool { return w.Waiting() == 0 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if ids, _ := calls(t, path); !slices.Equal(ids, []string{"a"}) {
		t.Error(ids)
	}
}

func TestTornLineIsMended(t *testing.T) {
	path := filepath.Join(t.TempDir(), "calls.jsonl")
	if err := os.WriteFile(path, []byte("{\"call\":\"to"), 0o600); err != nil {
		t.Fatal(err)
	}
	w, l, stop := start(t, Options{Path: path})
	w.Write(record("whole"))
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if ids, bad := calls(t, path); !slices.Equal(ids, []string{"whole"}) || bad != 1 || l.count("torn") != 1 {
		t.Errorf("%v, %d bad", ids, bad)
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	_, err := Open(Options{Path: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "open the call records") {
		t.Error(err)
	}
	if _, err := Files(filepath.Join(t.TempDir(), "calls.jsonl")); err == nil {
		t.Error("files of nothing")
	}
}

func TestFilesInOrder(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "calls.jsonl")
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	for i, name := range []string{"calls.jsonl.2.gz", "calls.jsonl-20261101", "calls.jsonl.1", "calls.jsonl", "calls.jsonl.bak", "calls.jsonl.tmp1", "other.jsonl.1"} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf("{\"call\":\"%d\"}\nnonsense\n{}\n\n", i)
		if strings.HasSuffix(name, ".gz") {
			z := gzip.NewWriter(f)
			fmt.Fprint(z, text)
			if err := z.Close(); err != nil {
				t.Fatal(err)
			}
		} else {
			fmt.Fprint(f, text)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		when := at.Add(time.Duration(i) * time.Hour)
		if err := os.Chtimes(f.Name(), when, when); err != nil {
			t.Fatal(err)
		}
	}
	if ids, bad := calls(t, path); !slices.Equal(ids, []string{"0", "1", "2", "3"}) || bad != 8 {
		t.Errorf("%v, %d bad", ids, bad)
	}
}

// followed is what Follow gives, in a goroutine of its own.
type followed struct {
	mu      sync.Mutex
	seen    []string
	atFirst int // how many of seen there were already
}

func (f *followed) has(id string) func() bool {
	return func() bool { f.mu.Lock(); defer f.mu.Unlock(); return slices.Contains(f.seen, id) }
}

// follow begins to follow, and returns when Follow says that what follows is new. stop waits for its end.
func follow(t *testing.T, path string, interval time.Duration, current func()) (f *followed, stop func()) {
	t.Helper()
	f = &followed{}
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- Follow(ctx, path, interval, func(l Line) error {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.seen = append(f.seen, l.Call)
			return nil
		}, func(Bad) error {
			current()
			f.mu.Lock()
			defer f.mu.Unlock()
			f.atFirst = len(f.seen)
			close(ready)
			return nil
		})
	}()
	select {
	case <-ready:
	case err := <-done:
		t.Fatalf("follow: %v", err)
	}
	return f, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestFollowOverRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "calls.jsonl")
	w, _, _ := start(t, Options{Path: path})
	w.Write(record("old"))
	eventually(t, "it is written", func() bool { return w.Waiting() == 0 })
	f, stop := follow(t, path, time.Millisecond, func() {})
	for round := range 3 {
		eventually(t, "it is written", func() bool { return w.Waiting() == 0 })
		if err := os.Rename(path, fmt.Sprintf("%s.%d", path, round+1)); err != nil {
			t.Fatal(err)
		}
		w.Write(record(fmt.Sprintf("round%d", round)))
		eventually(t, "the new file is read", f.has(fmt.Sprintf("round%d", round)))
	}
	stop()
	if want := []string{"old", "round0", "round1", "round2"}; !slices.Equal(f.seen, want) || f.atFirst != 1 {
		t.Errorf("%v, %d at first", f.seen, f.atFirst)
	}
}

// What is written while what is there is shown is neither missed nor given twice, rotated or not.
func TestFollowMissesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "calls.jsonl")
	write := func(name, text string) {
		t.Helper()
		f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		if _, err := f.WriteString(text); err != nil {
			t.Error(err)
		}
	}
	write(path+".1", "{\"call\":\"a\"}\n")
	write(path, "{\"call\":\"b\"}\n{\"call\":")
	f, stop := follow(t, path, time.Millisecond, func() {
		write(path, "\"c\"}\n")
		if err := os.Rename(path, path+".2"); err != nil {
			t.Error(err)
		}
		write(path, "{\"call\":\"d\"}\n")
	})
	eventually(t, "the last is read", f.has("d"))
	stop()
	if want := []string{"a", "b", "c", "d"}; !slices.Equal(f.seen, want) || f.atFirst != 2 {
		t.Errorf("%v, %d at first", f.seen, f.atFirst)
	}
}

// However much is written between two looks, and however the file goes then, all of it is read.
func TestFollowReadsAllOfARotatedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "calls.jsonl")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f, stop := follow(t, path, time.Millisecond, func() {
		var text strings.Builder
		for text.Len() < 17*maxLine {
			fmt.Fprintf(&text, "{\"call\":\"x\",\"dialled\":\"%s\"}\n", strings.Repeat("1", maxLine/2))
		}
		text.WriteString("{\"call\":\"last of the old\"}\n")
		// The file that is followed grows, and is in another's place: all of it between two looks.
		grown, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Error(err)
			return
		}
		defer grown.Close()
		if _, err := grown.WriteString(text.String()); err != nil {
			t.Error(err)
		}
		if err := os.Rename(path, path+".1"); err != nil {
			t.Error(err)
		}
		if err := os.WriteFile(path, []byte("{\"call\":\"first of the new\"}\n"), 0o600); err != nil {
			t.Error(err)
		}
	})
	eventually(t, "the new file is read", f.has("first of the new"))
	stop()
	if !f.has("last of the old")() {
		t.Errorf("the end of the old file is missing, of %d records", len(f.seen))
	}
}

// A line that is too long and a file that is cut off cost no other record, and are said.
func TestSpoiltFilesCostNothingElse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "calls.jsonl")
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	fmt.Fprint(z, "{\"call\":\"a\"}\n")
	if err := z.Flush(); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		path + ".3.gz": packed.String(), // without its end
		path + ".2.gz": "",
		path:           "{\"call\":\"b\"}\n{\"call\":\"" + strings.Repeat("x", 2*maxLine) + "\"}\n{\"call\":\"c\"}\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var ids []string
	bad, err := Read(t.Context(), path, func(l Line) error { ids = append(ids, l.Call); return nil })
	if err != nil || !slices.Equal(ids, []string{"a", "b", "c"}) || bad.Lines != 1 || len(bad.Files) != 2 {
		t.Errorf("%v, %d bad lines, bad files %v, %v", ids, bad.Lines, bad.Files, err)
	}
	for _, err := range bad.Files {
		if !strings.Contains(err.Error(), ".gz: ") {
			t.Errorf("no file is named: %v", err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("{\"call\":\"a\",\"times\":{\"offered\":\"2026-11-22T09:30:00.120Z\"}}\n"))
	f.Add([]byte("{\"call\":\"a\"}\n{\"call\":\"b"))
	f.Add([]byte("\x00\n\n[]\nnull\n"))
	path := filepath.Join(f.TempDir(), "calls.jsonl")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Read(t.Context(), path, func(l Line) error {
			if l.Call == "" {
				t.Error("a record without a call")
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}
