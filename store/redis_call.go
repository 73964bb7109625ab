package store

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	firstAgain = 20 * time.Millisecond // wait between two attempts
	lastAgain  = 250 * time.Millisecond
	grace      = 50 * time.Millisecond
	remembered = 2 * time.Minute // the outcome of a write: longer than anybody repeats it
)

var errLate = errors.New("redis got to the request too late")

// read calls the server until it has answered, the store's timeout is over, or ctx ends. do must be safe to repeat.
//
// The library cannot be interrupted while it waits for an answer: a call that its caller gives up runs on beside, for no
// longer than an attempt may take, and no longer than the store is open.
func read[T any](ctx context.Context, r *Redis, do func(context.Context) (T, error)) (value T, err error) {
	bounded, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	type answer struct {
		value T
		err   error
	}
	answered := make(chan answer, 1)
	err = r.begin(func() {
		value, err := repeat(bounded, r, do)
		answered <- answer{value, err}
	})
	if err != nil {
		return value, err
	}
	select {
	case a := <-answered:
		value, err = a.value, a.err
	case <-bounded.Done():
		err = fmt.Errorf("redis %s: %w", r.addr, ErrAway)
		select { // the reason is on its way, mostly
		case a := <-answered:
			value, err = a.value, a.err
		case <-time.After(grace):
		}
	}
	if err != nil && ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return value, err
}

// begin runs a call that Close waits for.
func (r *Redis) begin(call func()) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrClosed
	}
	r.calls.Go(call)
	return nil
}

func repeat[T any](ctx context.Context, r *Redis, do func(context.Context) (T, error)) (T, error) {
	wait := firstAgain
	for {
		attempt, cancel := context.WithTimeout(ctx, r.timeout/2)
		value, err := do(attempt)
		cancel()
		again, err := r.judge(err)
		if !again {
			return value, err
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return value, err
		}
		wait = min(2*wait, lastAgain)
	}
}

// judge says whether a call may be repeated, and makes its error one of this room's.
func (r *Redis) judge(err error) (again bool, judged error) {
	var answered redis.Error
	var untrusted *tls.CertificateVerificationError
	switch {
	case err == nil:
		return false, nil
	case errors.Is(err, redis.Nil):
		return false, ErrNotFound
	case errors.Is(err, redis.ErrClosed):
		return false, ErrClosed
	case errors.As(err, &answered):
		word, _, _ := strings.Cut(answered.Error(), " ")
		switch word {
		case "LOADING", "BUSY", "MASTERDOWN", "TRYAGAIN", "CLUSTERDOWN":
			return true, fmt.Errorf("redis %s: %w: %w", r.addr, ErrAway, err)
		}
		return false, fmt.Errorf("redis %s: %w%s", r.addr, err, advice[word])
	case errors.As(err, &untrusted):
		return false, fmt.Errorf("redis %s: %w", r.addr, err)
	default: // the connection, or the time
		return true, fmt.Errorf("redis %s: %w: %w", r.addr, ErrAway, err)
	}
}

// advice says what to do about an error of the server, by its first word.
var advice = map[string]string{
	"NOAUTH":    ": it wants a password",
	"WRONGPASS": ": its access list has another password, or no such user",
	"NOPERM":    ": its access list must allow this user +@read +@write +@scripting +@connection +time +info on the keys of the prefix",
	"READONLY":  ": it is a replica; name the primary",
	"OOM":       ": its memory is full",
	"MISCONF":   ": it cannot write to its disk",
	"MOVED":     ": it is a cluster; name a single server",
	"WRONGTYPE": ": somebody else uses these keys; give tgtrunk a prefix of its own",
}

// write runs a script exactly once, however often it has to be sent: the script remembers its outcome under the name of
// the operation, and does nothing where it is got to after the last moment that anybody waited for it. So a write that
// failed with ErrAway may have happened, but cannot happen later, behind the back of a newer one.
func (r *Redis) write(ctx context.Context, script *redis.Script, keys []string, args ...any) ([]string, error) {
	operation := r.prefix + "o:" + rand.Text()
	keys = append([]string{operation}, keys...)
	bounded, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	until, _ := bounded.Deadline()
	answer, err := read(bounded, r, func(ctx context.Context) ([]string, error) {
		asked := time.Now()
		all := append([]any{r.clock.at(until), remembered.Milliseconds()}, args...)
		answer, err := script.Run(ctx, r.client, keys, all...).StringSlice()
		if err != nil || len(answer) != 2 {
			return answer, err
		}
		if now, err := strconv.ParseInt(answer[1], 10, 64); err == nil {
			r.clock.learn(now, asked)
		}
		if answer[0] == "late" {
			return nil, errLate
		}
		return answer, nil
	})
	if err != nil {
		return nil, err
	}
	if len(answer) != 2 {
		return nil, fmt.Errorf("redis %s answers a script with %d values, not 2", r.addr, len(answer))
	}
	return strings.Split(answer[0], " "), nil
}

// serverClock knows the server's time well enough to say "not after". Times are microseconds; ours count from began, by
// the monotonic clock, so that nobody who sets this machine's clock matters.
type serverClock struct {
	began time.Time

	mu     sync.Mutex
	offset int64 // server's time less ours: what it was at least. Guarded by mu
}

// learn takes a time that the server told after it was asked.
func (c *serverClock) learn(server int64, asked time.Time) {
	least := server - time.Since(c.began).Microseconds() // as if it had told just now
	most := server - asked.Sub(c.began).Microseconds()   // as if it had told when asked
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.offset < least || c.offset > most { // the latter: the server's clock was set back
		c.offset = least
	}
}

// at returns the server's time at a moment of ours, or up to a network delay less.
func (c *serverClock) at(t time.Time) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return t.Sub(c.began).Microseconds() + c.offset
}
