package esl

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// connection is an event socket that is logged in: commands out, events and the results of jobs in. Replies come in the
// order of the commands; every API command is a job (bgapi), because an api command that waits would hold up everything
// else on the socket.
type connection struct {
	socket *socket
	limit  time.Duration // of every command
	job    string        // how the ids of our jobs begin
	count  atomic.Uint64
	core   atomic.Pointer[string] // Core-UUID of the FreeSWITCH at the other end

	mu      sync.Mutex
	waiting []chan message          // guarded by mu; who waits for replies, in order
	jobs    map[string]func(result) // guarded by mu; by Job-UUID
	failed  error                   // guarded by mu; why nothing can be asked any more
	lost    chan struct{}           // closed with failed
}

// result is how a job has come to its end.
type result struct {
	text string
	lost error // why nobody will hear of its end
}

func newConnection(s *socket, limit time.Duration) *connection {
	var random [8]byte
	_, _ = rand.Read(random[:]) // crypto/rand never fails
	return &connection{socket: s, limit: limit, job: "tgtrunk-job-" + hex.EncodeToString(random[:]) + "-",
		jobs: map[string]func(result){}, lost: make(chan struct{})}
}

// run reads until the connection fails or ctx ends, and hands every event to handle, which does not block.
func (c *connection) run(ctx context.Context, handle func(event)) error {
	stop := context.AfterFunc(ctx, c.socket.close)
	defer stop()
	var notice string
	err := c.socket.read(func(m message) {
		switch m.kind {
		case typeReply:
			c.replied(m)
		case typeDisconnect:
			notice, _, _ = strings.Cut(m.body, "\n")
		default:
			c.received(newEvent(m.header), m.body, handle)
		}
	})
	if notice != "" {
		err = fmt.Errorf("freeswitch closed the event socket: %s", notice)
	}
	c.fail(err)
	return err
}

// fail ends everything that waits.
func (c *connection) fail(err error) {
	c.mu.Lock()
	jobs := c.jobs
	if c.failed == nil {
		c.failed = err
		c.waiting, c.jobs = nil, nil
		close(c.lost)
	}
	c.mu.Unlock()
	for _, done := range jobs {
		done(result{lost: err})
	}
}

func (c *connection) replied(m message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) == 0 {
		return // of nobody's command
	}
	c.waiting[0] <- m // has room
	c.waiting = c.waiting[1:]
}

func (c *connection) received(e event, body string, handle func(event)) {
	if core := e.header["Core-UUID"]; core != "" && c.coreUUID() != core {
		c.core.Store(&core)
	}
	if e.name != "BACKGROUND_JOB" {
		handle(e)
		return
	}
	id := e.header["Job-UUID"]
	c.mu.Lock()
	done := c.jobs[id]
	delete(c.jobs, id)
	c.mu.Unlock()
	if done != nil {
		done(result{text: strings.TrimRight(body, "\n")})
	}
}

// coreUUID names the FreeSWITCH process at the other end; "" until an event has come.
func (c *connection) coreUUID() string {
	if core := c.core.Load(); core != nil {
		return *core
	}
	return ""
}

// reason returns why the connection is lost.
func (c *connection) reason() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Errorf("%w: %w", ErrNotConnected, c.failed)
}

// ask sends one command, which may have header lines, and returns the text of its reply.
func (c *connection) ask(ctx context.Context, text string) (string, error) {
	name := firstWord(text)
	reply := make(chan message, 1)
	if err := c.send(text, reply); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	select {
	case m := <-reply:
		answer := m.header["Reply-Text"]
		if answer == "" {
			answer = m.body
		}
		return answer, refusal(name, answer)
	case <-c.lost:
		return "", fmt.Errorf("%s: %w", name, c.reason())
	case <-ctx.Done():
		return "", fmt.Errorf("%s: %w", name, ctx.Err())
	}
}

// send writes a command and takes a place in the row of those that wait. The row and the wire have the same order
// because one lock is held over both.
func (c *connection) send(text string, reply chan message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed != nil {
		return fmt.Errorf("%w: %w", ErrNotConnected, c.failed)
	}
	c.waiting = append(c.waiting, reply)
	if err := c.socket.send(text); err != nil {
		c.socket.close() // half a command may have gone
		return err
	}
	return nil
}

// start begins a job and returns when FreeSWITCH has taken it. done gets the job's result in the reader's goroutine, once;
// where start fails, perhaps not at all.
func (c *connection) start(ctx context.Context, line string, done func(result)) error {
	id := c.job + strconv.FormatUint(c.count.Add(1), 10)
	c.mu.Lock()
	if c.failed == nil {
		c.jobs[id] = done
	}
	c.mu.Unlock()
	_, err := c.ask(ctx, "bgapi "+line+"\nJob-UUID: "+id)
	if err != nil {
		c.mu.Lock()
		delete(c.jobs, id)
		c.mu.Unlock()
	}
	return err
}

// api runs an API command as a job and returns its result. A result that begins with -ERR is a *CommandError.
func (c *connection) api(ctx context.Context, words ...string) (string, error) {
	line, err := command(words...)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	results := make(chan result, 1)
	if err := c.start(ctx, line, func(r result) { results <- r }); err != nil {
		return "", fmt.Errorf("%s: %w", firstWord(line), err)
	}
	select {
	case r := <-results:
		if r.lost != nil {
			return "", fmt.Errorf("%s: %w", firstWord(line), r.lost)
		}
		return r.text, refusal(line, r.text)
	case <-ctx.Done():
		return "", fmt.Errorf("%s: %w", firstWord(line), ctx.Err())
	}
}

// sendMessage sends a channel a message (sendmsg) of header lines.
func (c *connection) sendMessage(ctx context.Context, id string, lines ...string) error {
	for _, line := range append(lines, id) {
		if _, err := command(line); err != nil {
			return fmt.Errorf("sendmsg: %w", err)
		}
	}
	_, err := c.ask(ctx, "sendmsg "+id+"\n"+strings.Join(lines, "\n"))
	return err
}
