package calls

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gotd/td/tg"
	"github.com/gotd/td/tgerr"

	"github.com/tgtrunk/tgtrunk/telegram/voip"
)

const (
	sendPatience   = 30 * time.Second       // for one signalling packet, all attempts together
	sendAttempts   = 3                      //
	retryDelay     = 300 * time.Millisecond // doubles
	refusalGrace   = 2 * time.Second        // for phoneCallDiscarded to say why signalling is refused
	enginePatience = 5 * time.Second        // for the engine to stop
)

// mediaState is a call's engine. It belongs to the call's goroutine.
type mediaState struct {
	engine  Engine // nil until the key is there
	cancel  context.CancelFunc
	events  <-chan voip.Event
	done    chan error // holds what Run returned
	early   backlog    // signalling that came before the engine
	dropped int        // signalling that found no room
	heard   bool       // the peer's engine has sent something
	since   time.Time  // of the first Established; zero until then
	lost    bool       // Reconnecting has been told
	muted   bool       // last MediaState told
}

// startMedia makes the engine and lets it run.
func (c *Call) startMedia(u *tg.PhoneCall, version string) {
	usable := servers(u.Connections)
	parameters, _ := u.GetCustomParameters()
	e, err := c.line.opts.Engine(voip.Config{
		Role:             c.role(),
		Key:              c.key,
		Version:          version,
		P2P:              u.P2PAllowed && !c.line.opts.RelayOnly,
		Servers:          usable,
		CustomParameters: parameters.Data,
		Prefer:           c.line.opts.Prefer,
		Other:            c.line.opts.Other,
		Send:             c.send,
		Net:              c.line.opts.Net,
		Log:              c.log,
	})
	if err != nil {
		c.fail(&Error{Kind: NoMedia, Err: err})
		return
	}
	ctx, cancel := context.WithCancel(c.jobs.ctx)
	c.media.engine, c.media.cancel, c.media.events = e, cancel, e.Events()
	c.media.done = make(chan error, 1)
	c.facts.engine.Store(&e)
	go func() { c.media.done <- e.Run(ctx) }()
	for _, p := range c.media.early.parcels {
		c.media.heard = true
		e.Receive(p.signal)
	}
	c.media.early = backlog{}
	c.log.Debug("started media", "version", version, "p2p_allowed", u.P2PAllowed, "relay_only", c.line.opts.RelayOnly, "servers", len(usable))
	c.enter(connecting, c.line.timeouts().Connect)
}

// signal takes a signalling packet; before the engine runs it is kept. The first one begins the time to connect anew: a web
// caller sends nothing until its user has allowed the microphone.
func (c *Call) signal(packet []byte) {
	if c.media.engine != nil {
		if !c.media.heard && c.phase == connecting {
			c.enter(connecting, c.line.timeouts().Connect)
		}
		c.media.heard = true
		c.media.engine.Receive(packet)
		return
	}
	if !c.media.early.add(parcel{signal: packet}) {
		c.media.dropped++
		c.log.Debug("dropped early signalling", "dropped", c.media.dropped)
	}
}

func (c *Call) engineEvent(e voip.Event, open bool) {
	if !open {
		c.media.events = nil // Run's result comes through done
		return
	}
	switch e := e.(type) {
	case voip.PeerMediaState:
		if e.Muted != c.media.muted {
			c.media.muted = e.Muted
			c.emit(MediaState{Muted: e.Muted})
		}
	case voip.StateChanged:
		c.engineState(e.State)
	}
}

// engineState tells edges: the engine reports levels.
func (c *Call) engineState(s voip.State) {
	switch {
	case s == voip.Established && c.phase == connecting:
		c.media.since = time.Now()
		c.enter(established, 0)
		c.log.Debug("established call")
		c.emit(Established{Flow: c.media.engine.Flow()})
	case s == voip.Established && c.media.lost:
		c.media.lost = false
		c.emit(Reconnected{})
	case s == voip.Reconnecting && c.phase == established && !c.media.lost:
		c.media.lost = true
		c.emit(Reconnecting{})
	}
}

func (c *Call) engineDone(err error) {
	c.media.done <- err // for stopMedia
	if err == nil {
		err = errors.New("engine has stopped")
	}
	c.fail(&Error{Kind: NoMedia, Err: err})
}

// stopMedia ends the engine; no audio is delivered after it returns.
func (c *Call) stopMedia() {
	if c.media.engine == nil {
		return
	}
	c.media.cancel()
	alarm := time.NewTimer(enginePatience)
	defer alarm.Stop()
	select {
	case <-c.media.done:
	case <-alarm.C:
		c.log.Error("media engine does not stop")
	}
}

// send hands one signalling packet to Telegram. The engine calls it with one packet after the other, so one is on its
// way at a time and they arrive in order.
func (c *Call) send(packet []byte) error {
	ctx, cancel := context.WithTimeout(c.jobs.ctx, sendPatience)
	defer cancel()
	request := &tg.PhoneSendSignalingDataRequest{Peer: c.input(), Data: packet}
	delay := retryDelay
	for attempt := 1; ; attempt++ {
		ok, err := c.line.opts.API.PhoneSendSignalingData(ctx, request)
		switch {
		case err == nil && ok:
			return nil
		case err == nil || tgerr.Is(err, "CALL_NOT_ACTIVE", "CALL_PEER_INVALID"):
			if err == nil {
				err = errors.New("telegram answered false")
			}
			c.mail.post(func() {
				c.suspect(verdict{reason: Disconnect, discard: true, err: &Error{Kind: Failed, Err: fmt.Errorf("send signalling: %w", err)}})
			})
			return fmt.Errorf("send signalling: %w", err)
		case ctx.Err() != nil || attempt == sendAttempts:
			return fmt.Errorf("send signalling: %w", err)
		}
		if wait, flood := tgerr.AsFloodWait(err); flood {
			delay = max(delay, wait)
		}
		if !sleep(ctx, delay) {
			return fmt.Errorf("send signalling: %w", err)
		}
		delay *= 2
	}
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
