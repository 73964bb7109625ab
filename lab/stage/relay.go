package stage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// Relay is a TCP relay on loopback whose connections can be cut, as a network between a service and its PBX does.
type Relay struct {
	listener net.Listener
	target   string
	running  sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool // both halves of every connection; nil when closed
}

// newRelay relays to a TCP address until close.
func newRelay(target string) (*Relay, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open a relay: %w", err)
	}
	r := &Relay{listener: listener, target: target, conns: map[net.Conn]bool{}}
	r.running.Go(r.serve)
	return r, nil
}

// Addr is where the relay listens.
func (r *Relay) Addr() string { return r.listener.Addr().String() }

// Cut ends every connection there is and says how many there were; new ones may be made at once.
func (r *Relay) Cut() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	for conn := range r.conns {
		_ = conn.Close()
	}
	return len(r.conns) / 2
}

func (r *Relay) close() {
	_ = r.listener.Close()
	r.Cut()
	r.mu.Lock()
	r.conns = nil
	r.mu.Unlock()
	r.running.Wait()
}

func (r *Relay) serve() {
	for {
		near, err := r.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			r.running.Go(func() { r.carry(near) })
		}
	}
}

// carry copies in both directions until either end is closed.
func (r *Relay) carry(near net.Conn) {
	defer near.Close()
	far, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", r.target)
	if err != nil {
		return
	}
	defer far.Close()
	if !r.enter(near, far) {
		return
	}
	defer r.leave(near, far)
	var there sync.WaitGroup
	there.Go(func() {
		_, _ = io.Copy(far, near)
		_ = far.Close()
	})
	_, _ = io.Copy(near, far)
	_ = near.Close()
	there.Wait()
}

func (r *Relay) enter(both ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conns == nil {
		return false
	}
	for _, conn := range both {
		r.conns[conn] = true
	}
	return true
}

func (r *Relay) leave(both ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range both {
		delete(r.conns, conn)
	}
}
