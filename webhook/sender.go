package webhook

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tgtrunk/tgtrunk/store"
)

// Event is something to tell. Its strings are printable ASCII.
type Event struct {
	ID   string    `json:"id"`   // unique; receivers drop what they have seen
	Type string    `json:"type"` // as "call.ended"
	Call string    `json:"call"` // events of one call are sent in the order of Send
	Time time.Time `json:"time"` // when it happened
	Body []byte    `json:"body"` // JSON
}

// Options say who is told. URL, Secret and Store are needed.
type Options struct {
	URL      string
	Secret   string
	Store    store.Store   // keeps what has not been taken, under "webhook/"
	Timeout  time.Duration // of one request; default 10 s
	RetryFor time.Duration // an event that old is given up after a failure; default 24 h
	Queue    int           // events that may wait; default 10000
	Log      *slog.Logger  // nil discards
	Pace     Pace
	// Shown makes of a text with the id of an event or a call what the log may say; nil: the text.
	Shown func(string) string
	// Answered takes the body of the answer by which an event was taken, up to 64 KiB; nil: it is not read. It is called
	// before the event is forgotten, and holds up the events behind it.
	Answered func(context.Context, Event, []byte)
}

// Pace is how fast the sender works. A zero field means its default.
type Pace struct {
	First, Last time.Duration // waits after failures, doubled from the first to the last; 1 s and 5 min
	Lease       time.Duration // how long a process that is not heard of stays the one that sends; 30 s
	Look        time.Duration // how often what other processes have queued is looked for; 5 s
	Parallel    int           // calls whose events are sent at once; 4
}

func (o Options) withDefaults() Options {
	o.Timeout = cmp.Or(o.Timeout, 10*time.Second)
	o.RetryFor = cmp.Or(o.RetryFor, 24*time.Hour)
	o.Queue = cmp.Or(o.Queue, 10_000)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Shown == nil {
		o.Shown = func(text string) string { return text }
	}
	p := &o.Pace
	p.First, p.Last = cmp.Or(p.First, time.Second), cmp.Or(p.Last, 5*time.Minute)
	p.Lease, p.Look = cmp.Or(p.Lease, 30*time.Second), cmp.Or(p.Look, 5*time.Second)
	p.Parallel = cmp.Or(p.Parallel, 4)
	return o
}

// Stats counts since the start of the process.
type Stats struct {
	Waiting   int    // events that are queued
	Delivered uint64 // events that were taken
	Failed    uint64 // attempts that failed
	Dropped   uint64 // events that were given up: too old, no room, or nobody wants them
}

// Sender tells a URL of events. Its methods may be called from any goroutine.
type Sender struct {
	opt    Options
	client *http.Client
	owner  string                // of the lease
	turn   *atomic.Pointer[turn] // this process's last; nil before
	counts
	queue
	outbox outbox
}

type counts struct{ delivered, failed, dropped atomic.Uint64 }

// New makes a sender; nothing is sent before Run.
func New(o Options) (*Sender, error) {
	if o.URL == "" || o.Secret == "" || o.Store == nil {
		return nil, errors.New("make webhook: url, secret or store is missing")
	}
	o = o.withDefaults()
	now := new(atomic.Pointer[turn])
	var dialer net.Dialer
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &fencedConn{Conn: c, turn: now}, nil
		},
		Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: o.Pace.Parallel, IdleConnTimeout: time.Minute,
		TLSHandshakeTimeout: o.Timeout, ForceAttemptHTTP2: true,
	}
	return &Sender{
		opt: o, owner: store.ProcessName() + " (" + rand.Text()[:6] + ")",
		client: &http.Client{
			Transport: transport, Timeout: o.Timeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		turn:   now,
		queue:  queue{fresh: make(chan struct{}, 1)},
		outbox: newOutbox(),
	}, nil
}

// Stats returns the figures so far.
func (s *Sender) Stats() Stats {
	return Stats{Waiting: s.waiting(), Delivered: s.delivered.Load(), Failed: s.failed.Load(), Dropped: s.dropped.Load()}
}

// Send queues an event. It does not block; where there is no room the event is dropped, which is logged and counted.
func (s *Sender) Send(e Event) {
	if s.outbox.gone.Load() {
		s.dropped.Add(1)
		return
	}
	if n := s.waiting(); n >= s.opt.Queue {
		s.drop(e, "too many events wait: is the receiver down? webhook.queue says how many may")
		return
	}
	s.add(e)
}

func (s *Sender) waiting() int { return s.unsaved() + s.outbox.size() }

func (s *Sender) drop(e Event, why string) {
	s.dropped.Add(1)
	s.opt.Log.Error("webhook event is given up", "event", s.opt.Shown(e.ID), "call", s.opt.Shown(e.Call), "why", why, "dropped", s.dropped.Load())
}

// Run queues and sends until ctx ends. What has not been taken by then stays in the store for the next run.
func (s *Sender) Run(ctx context.Context) error {
	defer s.client.CloseIdleConnections()
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { s.keepSaving(ctx) })
	for ctx.Err() == nil {
		s.hold(ctx)
	}
	return nil
}

// sleep reports whether the time has passed without ctx ending.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
