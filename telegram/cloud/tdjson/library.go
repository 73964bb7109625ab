package tdjson

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/ebitengine/purego"
)

// Object is a TDLib object: "@type" and fields as JSON has them.
type Object map[string]any

// Type is the object's TL type.
func (o Object) Type() string { return o.text("@type") }

func (o Object) text(field string) string { s, _ := o[field].(string); return s }

// Sub is an inner object; empty when there is none.
func (o Object) Sub(field string) Object {
	m, _ := o[field].(map[string]any)
	return m
}

// Int is a number; TDLib writes 64-bit ones as strings.
func (o Object) Int(field string) int64 {
	switch v := o[field].(type) {
	case float64:
		return int64(v)
	case string:
		n, _ := strconv.ParseInt(v, 10, 64)
		return n
	}
	return 0
}

// Error is an "error" object.
type Error struct {
	Code    int64
	Message string
}

func (e *Error) Error() string { return fmt.Sprintf("tdlib: %d %s", e.Code, e.Message) }

// Library is a loaded libtdjson.so. It is never unloaded: its threads live as long as the process.
type Library struct {
	create  func() int32
	send    func(int32, string)
	receive func(float64) string
	execute func(string) string

	mu      sync.Mutex
	clients map[int32]*Client
}

// Open loads the library.
func Open(path string) (*Library, error) {
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", path, err)
	}
	l := &Library{clients: map[int32]*Client{}}
	for name, f := range map[string]any{"td_create_client_id": &l.create, "td_send": &l.send, "td_receive": &l.receive, "td_execute": &l.execute} {
		if _, err := purego.Dlsym(handle, name); err != nil {
			return nil, fmt.Errorf("load %s: %w", path, err)
		}
		purego.RegisterLibFunc(f, handle, name)
	}
	return l, nil
}

// Quiet sets how much the library logs to stderr, 0..5.
func (l *Library) Quiet(level int) {
	l.execute(fmt.Sprintf(`{"@type":"setLogVerbosityLevel","new_verbosity_level":%d}`, level))
}

// Run hands what comes to the clients until ctx ends.
func (l *Library) Run(ctx context.Context) {
	for ctx.Err() == nil {
		text := l.receive(0.2)
		if text == "" {
			continue
		}
		var o Object
		if json.Unmarshal([]byte(text), &o) != nil {
			continue
		}
		l.mu.Lock()
		c := l.clients[int32(o.Int("@client_id"))]
		l.mu.Unlock()
		if c != nil {
			c.take(o)
		}
	}
}

// Client is one TDLib instance, one account.
type Client struct {
	lib *Library
	id  int32

	mu      sync.Mutex
	last    int
	waiting map[string]chan Object
	updates []Object
	changed chan struct{} // closed and replaced when an update comes
}

// Client makes an instance; Run must be running.
func (l *Library) Client() *Client {
	c := &Client{lib: l, id: l.create(), waiting: map[string]chan Object{}, changed: make(chan struct{})}
	l.mu.Lock()
	l.clients[c.id] = c
	l.mu.Unlock()
	return c
}

func (c *Client) take(o Object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if extra := o.text("@extra"); extra != "" {
		if ch := c.waiting[extra]; ch != nil {
			delete(c.waiting, extra)
			ch <- o
		}
		return
	}
	c.updates = append(c.updates, o)
	close(c.changed)
	c.changed = make(chan struct{})
}

// Call sends a request and waits for its answer; an "error" becomes an *Error.
func (c *Client) Call(ctx context.Context, request Object) (Object, error) {
	answer := make(chan Object, 1)
	c.mu.Lock()
	c.last++
	extra := strconv.Itoa(c.last)
	c.waiting[extra] = answer
	c.mu.Unlock()
	request["@extra"] = extra
	text, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", request.Type(), err)
	}
	c.lib.send(c.id, string(text))
	select {
	case o := <-answer:
		if o.Type() == "error" {
			return nil, fmt.Errorf("%s: %w", request.Type(), &Error{Code: o.Int("code"), Message: o.text("message")})
		}
		return o, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%s: %w", request.Type(), ctx.Err())
	}
}

// Send sends a request whose answer nobody waits for. Some requests are answered only after setTdlibParameters.
func (c *Client) Send(request Object) error {
	text, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("encode %s: %w", request.Type(), err)
	}
	c.lib.send(c.id, string(text))
	return nil
}

// Await takes the first update that ok likes, out of those that came and were not taken.
func (c *Client) Await(ctx context.Context, what string, ok func(Object) bool) (Object, error) {
	for {
		c.mu.Lock()
		changed := c.changed
		for i, u := range c.updates {
			if ok(u) {
				c.updates = append(c.updates[:i:i], c.updates[i+1:]...)
				c.mu.Unlock()
				return u, nil
			}
		}
		c.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for %s: %w", what, ctx.Err())
		}
	}
}

// Close ends the instance and waits until it has written its database.
func (c *Client) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if _, err := c.Call(ctx, Object{"@type": "close"}); err != nil {
		return err
	}
	_, err := c.Await(ctx, "authorizationStateClosed", func(o Object) bool {
		return o.Sub("authorization_state").Type() == "authorizationStateClosed"
	})
	return err
}
