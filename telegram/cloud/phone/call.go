package phone

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/telegram/calls"
)

// Times are the moments of a call; zero where they did not come.
type Times struct {
	Begun       time.Time // placed, or come in
	Received    time.Time // the callee's device rings
	Accepted    time.Time
	Established time.Time // ICE and DTLS are up
	Ended       time.Time
}

// Call is one call of a phone.
type Call struct {
	call      *calls.Call
	behaviour Behaviour
	log       *slog.Logger
	done      chan struct{}

	mu       sync.Mutex
	times    Times
	moved    chan struct{} // closed and replaced when times change
	talker   *talker
	recorder *recorder
	stats    media.Stats
	ended    calls.Ended
	silent   bool // the other side says that it is muted
}

func newCall(c *calls.Call, b Behaviour, log *slog.Logger) *Call {
	return &Call{
		call: c, behaviour: b, log: log, done: make(chan struct{}), moved: make(chan struct{}),
		times: Times{Begun: time.Now()},
	}
}

// Hangup ends the call as the user's red button does.
func (c *Call) Hangup() { c.call.Discard(calls.Ordinary) }

// Accept takes an incoming call that is ringing.
func (c *Call) Accept() { c.call.Accept() }

// Mute stops and restarts what the phone sends.
func (c *Call) Mute(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.talker != nil {
		c.talker.muted.Store(on)
	}
}

// Silent says whether the other side has told that it is muted.
func (c *Call) Silent() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.silent
}

// Times returns the moments so far.
func (c *Call) Times() Times {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.times
}

// Heard returns what has been recorded so far.
func (c *Call) Heard() Heard {
	c.mu.Lock()
	r := c.recorder
	c.mu.Unlock()
	if r == nil {
		return Heard{}
	}
	return r.result()
}

// Stats returns the figures of the call's audio, the last ones after its end.
func (c *Call) Stats() media.Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

// Wait waits for the end of the call and returns how it ended.
func (c *Call) Wait(ctx context.Context) (calls.Ended, error) {
	select {
	case <-ctx.Done():
		return calls.Ended{}, ctx.Err()
	case <-c.done:
		return c.ended, nil
	}
}

// Reaches waits until a moment of the call has come; false when the call ended without it, or ctx did.
func (c *Call) Reaches(ctx context.Context, moment func(Times) time.Time) bool {
	for {
		c.mu.Lock()
		come, moved := !moment(c.times).IsZero(), c.moved
		c.mu.Unlock()
		if come {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-c.done:
			return !moment(c.Times()).IsZero()
		case <-moved:
		}
	}
}

// run follows the call to its end.
func (c *Call) run() {
	defer close(c.done)
	ctx, stop := context.WithCancel(context.Background()) // ends with the call
	var talking sync.WaitGroup
	defer talking.Wait()
	defer stop()
	if !c.call.Outgoing() && c.behaviour.Action != Ignore {
		act := time.AfterFunc(c.behaviour.After, c.act)
		defer act.Stop()
	}
	for event := range c.call.Events() {
		switch event := event.(type) {
		case calls.Received:
			c.note(func(t *Times) { t.Received = time.Now() })
		case calls.Accepted:
			c.note(func(t *Times) { t.Accepted = time.Now() })
		case calls.Established:
			c.note(func(t *Times) { t.Established = time.Now() })
			if err := c.talk(ctx, event.Flow, &talking); err != nil {
				c.log.Error("phone cannot talk", "error", err)
				c.Hangup()
			}
		case calls.MediaState:
			c.mu.Lock()
			c.silent = event.Muted
			c.mu.Unlock()
		case calls.Ended:
			c.mu.Lock()
			c.ended = event
			c.mu.Unlock()
			c.note(func(t *Times) { t.Ended = time.Now() })
		}
	}
}

func (c *Call) act() {
	if c.behaviour.Action == Decline {
		c.Hangup()
		return
	}
	c.call.Accept()
}

func (c *Call) note(set func(*Times)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	set(&c.times)
	close(c.moved)
	c.moved = make(chan struct{})
}

// talk connects microphone and speaker until ctx ends.
func (c *Call) talk(ctx context.Context, flow media.Flow, talking *sync.WaitGroup) error {
	speaker, err := newRecorder(c.behaviour.Deaf)
	if err != nil {
		return err
	}
	microphone := &talker{flow: flow, voice: c.behaviour.Voice}
	c.mu.Lock()
	c.talker, c.recorder = microphone, speaker
	c.mu.Unlock()
	flow.Attach(speaker)
	talking.Go(func() {
		microphone.run(ctx)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.stats = flow.Stats()
	})
	if c.behaviour.Talk > 0 {
		hangup := time.AfterFunc(c.behaviour.Talk, c.Hangup)
		talking.Go(func() {
			<-ctx.Done()
			hangup.Stop()
		})
	}
	return nil
}
