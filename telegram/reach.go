package telegram

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gotd/td/exchange"
)

// reach.go is about a Telegram that is not there: the client tries for ever, and says nothing of it.

const (
	unreachedIn = 10 * time.Second // without a connection: it is logged
	commandIn   = 30 * time.Second // for a command to be connected
)

// errNoConnection ends a command that waits for Telegram in vain.
var errNoConnection = errors.New("no connection to telegram")

// Why there is no connection where no dial has failed.
var (
	errMute   = errors.New("the server takes the connection and does not answer as telegram does")
	errSilent = errors.New("nothing comes back from the server, not even a refusal: a firewall on the way may drop what is sent")
)

// unreached says why there is no connection.
func (f *fence) unreached() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last != nil {
		return f.last
	}
	return errMute
}

// outage says once of each time without a connection that it lasts.
type outage struct {
	after time.Duration
	say   func()

	mu    sync.Mutex
	timer *time.Timer // guarded by mu; nil while there is a connection, and after stop
	over  bool        // guarded by mu
}

// set hears whether there is a connection.
func (o *outage) set(connected bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.heard(connected)
}

// heard is set; o.mu is held.
func (o *outage) heard(connected bool) {
	switch {
	case connected && o.timer != nil:
		o.timer.Stop()
		o.timer = nil
	case !connected && o.timer == nil && !o.over:
		o.timer = time.AfterFunc(o.after, o.say)
	}
}

// stop ends it.
func (o *outage) stop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.heard(true)
	o.over = true // at once: the client may still lose its connection
}

// soon ends the context that it returns, with the reason as its cause, and shuts the fence, unless connected is called
// within limit.
func (f *fence) soon(ctx context.Context, limit time.Duration) (_ context.Context, connected func() bool, stop func()) {
	ctx, end := context.WithCancelCause(ctx)
	timer := time.AfterFunc(limit, func() {
		end(fmt.Errorf("%w within %v: %w", errNoConnection, limit, f.unreached()))
		f.shut() // the client waits for an answer, whatever its context says
	})
	return ctx, timer.Stop, func() { timer.Stop(); end(nil) }
}

// explainKey says what to do about a server that proves itself with another key.
func (s Server) explainKey(err error) error {
	if err == nil || s.Addr == "" || !errors.Is(err, exchange.ErrKeyFingerprintNotFound) {
		return err
	}
	return fmt.Errorf("%s proves itself with another key than the one of telegram.server.public_key: %w", s.Addr, err)
}
