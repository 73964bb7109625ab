package ari_test

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
)

// wire carries the TCP connections between a link and its Asterisk, and can be cut.
type wire struct {
	listener net.Listener
	target   string
	pumps    sync.WaitGroup

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]struct{}
}

// newWire returns a wire to the host of a URL, and the URL that leads through it.
func newWire(t *testing.T, raw string) (*wire, string) {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: l, target: u.Host, conns: map[net.Conn]struct{}{}}
	w.pumps.Go(w.accept)
	t.Cleanup(func() {
		l.Close()
		w.setCut(true)
		w.pumps.Wait()
	})
	u.Host = l.Addr().String()
	return w, u.String()
}

func (w *wire) accept() {
	for {
		near, err := w.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", w.target)
		if err != nil || !w.keep(near, far) {
			near.Close()
			if err == nil {
				far.Close()
			}
			continue
		}
		w.pump(near, far)
		w.pump(far, near)
	}
}

func (w *wire) pump(from, to net.Conn) {
	w.pumps.Go(func() {
		_, _ = io.Copy(to, from)
		from.Close()
		to.Close()
	})
}

func (w *wire) keep(conns ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		w.conns[c] = struct{}{}
	}
	return !w.cut
}

// setCut breaks every connection, and lets none through until it is set back.
func (w *wire) setCut(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = on
	for c := range w.conns {
		c.Close()
	}
	clear(w.conns)
}
