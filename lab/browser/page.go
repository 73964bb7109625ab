package browser

import (
	"context"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/tgtrunk/tgtrunk/telegram/voip"
	"github.com/tgtrunk/tgtrunk/telegram/voip/signaling"
)

//go:embed page
var pageFiles embed.FS

// Rate is the sample rate of what a page hears, Hz.
const Rate = 48_000

const startDeadline = 60 * time.Second

// Options shape a web peer. Role, Key and Send are required.
type Options struct {
	Role       voip.Role
	Key        *voip.Key
	P2P        bool                // false: relay candidates only
	Servers    []voip.Server       // TURN and STUN; web clients know no reflectors
	Tone       float64             // Hz, of the microphone; default 440
	Microphone time.Duration       // until it is open, the caller is silent and the callee has nothing to offer
	Send       func(packet []byte) // one signalling packet for the other side, in order; called by one goroutine at a time
	Log        *slog.Logger        // nil discards
}

// Event is something that happened in the page. Kind says what, and which of the other fields are set: "ready", the page
// is there; "microphone", it is open; "sent" and "got", Message; "state", the RTCPeerConnection's State; "answered", our
// answer came to its offer and Echoed its ssrc; "silent", it answered and has no audio of its own to offer; "channel", the
// data channel ID and Label are open; "media", the other side is Muted or not; "route", Route; "refused", the web client
// would have dropped something for that Reason.
type Event struct {
	Kind    string          `json:"kind"`
	Message json.RawMessage `json:"message"`
	State   string          `json:"state"`
	Echoed  bool            `json:"echoed"`
	ID      int             `json:"id"`
	Label   string          `json:"label"`
	Muted   bool            `json:"muted"`
	Reason  string          `json:"reason"`
	Route   Route           `json:"route"`
	Packet  string          `json:"packet"` // of "signaling", which is not kept

	At time.Time `json:"-"`
}

// Route is what the browser says of its transport, in its own words.
type Route struct {
	Local  string `json:"local"`  // type of the candidate
	Remote string `json:"remote"` // likewise
	DTLS   string `json:"dtls"`   // version, FEFD is 1.2
	Role   string `json:"role"`   // client or server
	SRTP   string `json:"srtp"`
}

// Page is a web peer of one call. All methods may be called from any goroutine.
type Page struct {
	o       Options
	browser *chromium
	server  *http.Server
	group   sync.WaitGroup
	ctx     context.Context // ends with the page
	cancel  context.CancelFunc
	orders  chan any
	close   func() error

	mu      sync.Mutex
	events  []Event
	changed chan struct{} // closed and replaced when events grew
	pcm     []int16
}

// Open starts Chromium with a page for a call, and returns when the page is there. It must be closed. The error is
// ErrNotInstalled, or carries the last lines of Chromium.
func Open(ctx context.Context, o Options) (*Page, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Tone == 0 {
		o.Tone = 440
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open page: %w", err)
	}
	p := &Page{o: o, orders: make(chan any, 1024), changed: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancel(context.Background()) //nolint:contextcheck // Close ends the page
	p.close = sync.OnceValue(p.end)
	p.server = &http.Server{Handler: p.handler(), ReadHeaderTimeout: startDeadline}
	p.group.Go(func() { _ = p.server.Serve(listener) })
	if p.browser, err = startChromium("http://" + listener.Addr().String() + "/"); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	if err := p.ready(ctx); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// Begin joins the call: a caller calls as soon as its microphone is open. It is the first thing to be done with a page.
func (p *Page) Begin() {
	type server struct {
		URLs       string `json:"urls"`
		Username   string `json:"username,omitempty"`
		Credential string `json:"credential,omitempty"`
	}
	servers := []server{}
	for _, s := range p.o.Servers {
		at := net.JoinHostPort(s.Host, strconv.Itoa(s.Port))
		if s.TURN {
			servers = append(servers, server{"turn:" + at, s.Username, s.Password})
		}
		if s.STUN {
			servers = append(servers, server{URLs: "stun:" + at})
		}
	}
	role := "callee"
	if p.o.Role == signaling.Caller {
		role = "caller"
	}
	p.order(map[string]any{
		"order": "begin", "role": role, "key": hex.EncodeToString(p.o.Key[:]), "p2p": p.o.P2P, "servers": servers,
		"tone": p.o.Tone, "microphone_ms": p.o.Microphone.Milliseconds(),
	})
}

// ready waits for the page's first sign of life.
func (p *Page) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startDeadline)
	defer cancel()
	_, err := p.Await(ctx, func(Event) bool { return true })
	return err
}

// Receive gives the page a signalling packet of the other side.
func (p *Page) Receive(packet []byte) {
	p.order(map[string]any{"order": "signaling", "packet": hex.EncodeToString(packet)})
}

// Mute turns the microphone to silence and tells the other side, or undoes both.
func (p *Page) Mute(muted bool) { p.order(map[string]any{"order": "mute", "muted": muted}) }

// Leave ends the page's connection as a tab that is closed does.
func (p *Page) Leave() { p.order(map[string]any{"order": "leave"}) }

// Route asks the browser which way the call takes.
func (p *Page) Route(ctx context.Context) (Route, error) {
	since := time.Now()
	p.order(map[string]any{"order": "route"})
	ev, err := p.Await(ctx, func(ev Event) bool { return ev.Kind == "route" && ev.At.After(since) })
	return ev.Route, err
}

func (p *Page) order(order any) {
	select {
	case p.orders <- order:
	case <-p.ctx.Done():
	}
}

// Events returns all that happened so far.
func (p *Page) Events() []Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Event(nil), p.events...)
}

// Await returns the first event of all, past ones included, that is wanted.
func (p *Page) Await(ctx context.Context, want func(Event) bool) (Event, error) {
	for seen := 0; ; {
		p.mu.Lock()
		events, changed := p.events[seen:], p.changed
		p.mu.Unlock()
		for _, ev := range events {
			if want(ev) {
				return ev, nil
			}
		}
		seen += len(events)
		select {
		case <-changed:
		case <-ctx.Done():
			return Event{}, fmt.Errorf("await event of the page: %w; chromium says:\n%s", ctx.Err(), p.browser.log)
		case <-p.browser.process.Done():
			return Event{}, fmt.Errorf("chromium has ended, %s:\n%s", p.browser.process.Status(), p.browser.log)
		}
	}
}

// Heard returns what the page has heard so far: 16-bit samples at Rate.
func (p *Page) Heard() []int16 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]int16(nil), p.pcm...)
}

// Close ends the browser as a power cut would: the other side of the call is told nothing.
func (p *Page) Close() error { return p.close() }

func (p *Page) end() error {
	var err error
	if p.browser != nil {
		err = p.browser.kill()
	}
	p.cancel()
	err = errors.Join(err, p.server.Close())
	p.group.Wait()
	return err
}

func (p *Page) handler() http.Handler {
	files, err := fs.Sub(pageFiles, "page")
	if err != nil {
		return http.NotFoundHandler() // cannot happen: the name is a good one
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(files))
	mux.HandleFunc("GET /orders", p.serveOrders)
	mux.HandleFunc("POST /told", p.serveTold)
	mux.HandleFunc("POST /heard", p.serveHeard)
	return mux
}
