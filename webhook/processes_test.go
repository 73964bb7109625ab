package webhook

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/store"
	"github.com/tgtrunk/tgtrunk/store/storetest"
)

// asSender names, to this very program, a Redis and a receiver: it is then a process with a sender.
const asSender = "WEBHOOK_TEST_SENDER"

// sharedPace is that of processes on one Redis.
func sharedPace() Pace {
	return Pace{First: 5 * time.Millisecond, Last: 50 * time.Millisecond, Lease: 1500 * time.Millisecond, Look: 25 * time.Millisecond, Parallel: 3}
}

// beSender sends the events that its input names, "call what" a line; after "stored" it says so when all are in the store.
func beSender(to string) {
	store.QuietRedis()
	redis, receiver, _ := strings.Cut(to, " ")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	keep, err := store.OpenRedis(ctx, store.RedisOptions{URL: redis, Timeout: soon})
	if err != nil {
		fmt.Println(err)
		return
	}
	s, err := New(Options{URL: receiver, Secret: secret, Store: keep, Timeout: 5 * time.Second, Pace: sharedPace()})
	if err != nil {
		fmt.Println(err)
		return
	}
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		call, what, ok := strings.Cut(lines.Text(), " ")
		if ok {
			s.Send(event(call, what))
			continue
		}
		for s.unsaved() > 0 {
			<-time.After(time.Millisecond)
		}
		fmt.Println("stored")
	}
	cancel()
	running.Wait()
	_ = keep.Close()
}

// other is a process with a sender.
type other struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Scanner
}

func startOther(t *testing.T, name, redis, receiver string) *other {
	t.Helper()
	o := &other{t: t, name: name, cmd: exec.Command(os.Args[0])}
	o.cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s/%s", asSender, redis, receiver, name))
	var err error
	if o.in, err = o.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := o.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	o.out = bufio.NewScanner(out)
	if err := o.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = o.cmd.Process.Signal(syscall.SIGCONT)
		_ = o.in.Close()
		kill := time.AfterFunc(soon, func() { _ = o.cmd.Process.Kill() })
		defer kill.Stop()
		_ = o.cmd.Wait() // one of them was killed
	})
	return o
}

// calls lets the process tell of calls, three events each, and waits until the store has them.
func (o *other) calls(from, to int) {
	o.t.Helper()
	var text strings.Builder
	for _, what := range stages {
		for n := from; n < to; n++ {
			fmt.Fprintf(&text, "%s-%02d %s\n", o.name, n, what)
		}
	}
	if _, err := io.WriteString(o.in, text.String()+"stored\n"); err != nil {
		o.t.Fatal(err)
	}
	if !o.out.Scan() || o.out.Text() != "stored" {
		o.t.Fatalf("process %s says %q", o.name, o.out.Text())
	}
}

func (o *other) signal(s os.Signal) {
	o.t.Helper()
	if err := o.cmd.Process.Signal(s); err != nil {
		o.t.Fatal(err)
	}
}

var stages = []string{"started", "connected", "ended"}

// judge is the receiver of several processes. It takes its time, and refuses every seventh request.
type judge struct {
	*httptest.Server
	t *testing.T

	mu    sync.Mutex
	asked int
	by    []string            // who has sent, request by request
	busy  map[string]string   // by call, the process whose request is being answered
	taken map[string][]string // by call, what was taken, the first time it was
	again int                 // events that were taken once more
}

func newJudge(t *testing.T) *judge {
	j := &judge{t: t, busy: map[string]string{}, taken: map[string][]string{}}
	j.Server = httptest.NewServer(j)
	t.Cleanup(j.Close)
	return j
}

func (j *judge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, err := io.ReadAll(r.Body); err != nil {
		return
	}
	by := strings.Trim(r.URL.Path, "/")
	call, what, _ := strings.Cut(r.Header.Get(HeaderEventID), ".")
	j.mu.Lock()
	j.asked++
	j.by = append(j.by, by)
	refuse := j.asked%7 == 0
	if who, two := j.busy[call]; two {
		j.t.Errorf("%s tells of %s while %s does", by, call, who)
	}
	j.busy[call] = by
	j.mu.Unlock()
	select {
	case <-time.After(10 * time.Millisecond):
	case <-r.Context().Done(): // its sender is dead
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.busy, call)
	switch {
	case refuse:
		w.WriteHeader(http.StatusServiceUnavailable)
	case slices.Contains(j.taken[call], what):
		j.again++
	default:
		j.taken[call] = append(j.taken[call], what)
	}
}

func (j *judge) count() (events int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, what := range j.taken {
		events += len(what)
	}
	return events
}

// sender is who has sent the last request, and how many there were.
func (j *judge) sender() (name string, requests int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.by) == 0 {
		return "", 0
	}
	return j.by[len(j.by)-1], len(j.by)
}

// wantAll waits until every event of so many calls was taken, and looks at their order.
func (j *judge) wantAll(calls int) {
	j.t.Helper()
	eventually(j.t, "every event is taken", func() bool { return j.count() == 3*calls })
	j.mu.Lock()
	defer j.mu.Unlock()
	for call, what := range j.taken {
		if !slices.Equal(what, stages) {
			j.t.Errorf("of %s comes %v", call, what)
		}
	}
}

// wantOneChange looks at who has sent: first one, and then, for good, the other.
func (j *judge) wantOneChange(first, second string) {
	j.t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	who := slices.Compact(slices.Clone(j.by))
	if !slices.Equal(who, []string{first, second}) {
		j.t.Errorf("the senders were %v, want %s and then %s", who, first, second)
	}
}

const callsEach = 25

// shared starts two processes on one Redis and waits until the one that sends has begun to.
func shared(t *testing.T) (j *judge, keep store.Store, sends, waits *other) {
	t.Helper()
	redis := storetest.StartRedis(t)
	j = newJudge(t)
	keep = redis.Open(t, store.RedisOptions{Timeout: soon})
	sends, waits = startOther(t, "one", redis.URL(), j.URL), startOther(t, "two", redis.URL(), j.URL)
	var both sync.WaitGroup
	for _, o := range []*other{sends, waits} {
		both.Go(func() { o.calls(0, callsEach) })
	}
	both.Wait()
	eventually(t, "somebody sends", func() bool { return j.count() >= callsEach })
	if name, _ := j.sender(); name == "two" {
		sends, waits = waits, sends
	}
	if name, _ := j.sender(); name != sends.name {
		t.Errorf("%s and %s send by turns", name, sends.name)
	}
	return j, keep, sends, waits
}

// On a real Redis: the process that sends dies in the middle. The other sends everything that was stored, both processes'
// events, those of a call in order; only what was under way at that moment comes twice.
func TestSenderDiesOnRedis(t *testing.T) {
	j, keep, sends, waits := shared(t)
	sends.signal(syscall.SIGKILL)
	died := time.Now()
	waits.calls(callsEach, callsEach+5) // it goes on having calls
	j.wantAll(2*callsEach + 5)
	t.Logf("all is sent %v after the death, with a lease of %v", time.Since(died).Round(time.Millisecond), sharedPace().Lease)
	j.wantOneChange(sends.name, waits.name)
	j.mu.Lock()
	if most := 2 * sharedPace().Parallel; j.again > most { // what was not answered, and what was not yet forgotten
		t.Errorf("%d events came once more, more than %d", j.again, most)
	}
	j.mu.Unlock()
	eventually(t, "the store is empty", func() bool { return left(t, keep) == 0 })
}

// The process that sends stands still for longer than its lease, as on a machine that was suspended, and then goes on: it
// sends nothing more, and finds out that it is the other's turn.
func TestSenderStandsStillOnRedis(t *testing.T) {
	j, keep, sends, waits := shared(t)
	sends.signal(syscall.SIGSTOP)
	eventually(t, "the other sends", func() bool { name, _ := j.sender(); return name == waits.name })
	sends.signal(syscall.SIGCONT)
	sends.calls(callsEach, callsEach+5)
	j.wantAll(2*callsEach + 5)
	j.wantOneChange(sends.name, waits.name)
	eventually(t, "the store is empty", func() bool { return left(t, keep) == 0 })
}

// An orderly end hands over at once: long before the lease would have run out, and nothing comes twice.
func TestSenderEndsOnRedis(t *testing.T) {
	j, keep, sends, waits := shared(t)
	if err := sends.in.Close(); err != nil {
		t.Fatal(err)
	}
	j.wantAll(2 * callsEach)
	j.wantOneChange(sends.name, waits.name)
	j.mu.Lock()
	if j.again > sharedPace().Parallel { // a request that is cut off at the end is not known to have been taken
		t.Errorf("%d events came once more", j.again)
	}
	j.mu.Unlock()
	eventually(t, "the store is empty", func() bool { return left(t, keep) == 0 })
}

// An upgrade: what a version left that kept no index of its keys in Redis is sent, in order, and so is what such a version
// stores afterwards, while the sender runs.
func TestQueueOfAVersionWithoutAnIndex(t *testing.T) {
	redis := storetest.StartRedis(t)
	keep := redis.Open(t, store.RedisOptions{Timeout: soon})
	crowd(t, keep, 1500)
	// leave stores a call's events, and takes away what that version would not have written.
	leave := func(call string) {
		writer, err := New(Options{URL: "http://127.0.0.1:1", Secret: secret, Store: keep}) // which never sends
		if err != nil {
			t.Fatal(err)
		}
		for _, what := range stages {
			writer.Send(event(call, what))
		}
		if err := writer.save(t.Context()); err != nil {
			t.Fatal(err)
		}
		redis.Do("DEL {tgtrunk}i {tgtrunk}e {tgtrunk}k")
	}
	leave("a")
	r := newReceiver(t, nil)
	start(t, Options{URL: r.URL, Store: keep, Pace: sharedPace()})
	if ids := r.wait(3); !slices.Equal(ids, []string{"a.started", "a.connected", "a.ended"}) {
		t.Errorf("order %v", ids)
	}
	leave("b")
	if ids := r.wait(6); !slices.Equal(ids[3:], []string{"b.started", "b.connected", "b.ended"}) {
		t.Errorf("order %v", ids)
	}
	eventually(t, "the store is empty", func() bool { return left(t, keep) == 0 })
	if n := r.asked("a.started") + r.asked("b.ended"); n != 2 {
		t.Errorf("%d requests for two events", n)
	}
}

// missingStore misses, in some scans, a key that is there, as a scan of Redis may that begins before the key is written.
type missingStore struct {
	store.Store
	mu   sync.Mutex
	miss map[string]int // by a part of the value, in how many scans
}

func (m *missingStore) Scan(ctx context.Context, prefix string, each func(store.Entry) error) error {
	m.mu.Lock()
	miss := map[string]bool{}
	for part := range m.miss {
		if m.miss[part]--; m.miss[part] >= 0 {
			miss[part] = true
		}
	}
	m.mu.Unlock()
	return m.Store.Scan(ctx, prefix, func(e store.Entry) error {
		for part := range miss {
			if strings.Contains(string(e.Value), part) {
				return nil
			}
		}
		return each(e)
	})
}

// A scan that has missed the first event of another process's call does not let the second one go first.
func TestScanThatMissesAnEventKeepsTheOrder(t *testing.T) {
	r := newReceiver(t, nil)
	inner := openStore(t)
	writer, err := New(Options{URL: r.URL, Secret: secret, Store: inner}) // of the other process, which never sends
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range stages {
		writer.Send(event("a", what))
	}
	if err := writer.save(t.Context()); err != nil {
		t.Fatal(err)
	}
	start(t, Options{URL: r.URL, Store: &missingStore{Store: inner, miss: map[string]int{`"a.started"`: 1}}})
	if ids := r.wait(3); !slices.Equal(ids, []string{"a.started", "a.connected", "a.ended"}) {
		t.Errorf("order %v", ids)
	}
}
