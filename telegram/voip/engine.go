package voip

import (
	"context"

	"github.com/tgtrunk/tgtrunk/media"
)

// Engine is the transport and the media of one call. All methods may be called from any goroutine.
type Engine struct{}

// New makes the engine of a call. It fails with ErrConfig, ErrMTProto or signaling.ErrVersion and starts nothing.
func New(c Config) (*Engine, error) { return &Engine{}, nil }

// Run carries the call until ctx ends, which returns nil, or the transport has failed for good. It is called once;
// nothing outlives it.
func (e *Engine) Run(ctx context.Context) error { return nil }

// Receive takes one packet of updatePhoneCallSignalingData and keeps nothing of it. It never blocks and may be called
// before Run.
func (e *Engine) Receive(packet []byte) {}

// Events delivers what happens. Nobody needs to read it: when its buffer is full the oldest event is dropped. It is
// closed when Run returns.
func (e *Engine) Events() <-chan Event { return nil }

// Flow is the call's audio: Opus, 48 kHz. What is written before the call is established is dropped and counted.
func (e *Engine) Flow() media.Flow { return nil }

// SetMuted tells the peer that we are silent, or no longer. It does not stop audio that is written to the Flow.
func (e *Engine) SetMuted(muted bool) {}

// Stats returns the figures so far.
func (e *Engine) Stats() Stats { return Stats{} }
