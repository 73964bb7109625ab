package voip

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
)

// outbox hands signalling packets to Config.Send one after the other, so that the signalling itself never waits.
type outbox struct {
	dropped atomic.Uint64
	send    func([]byte) error
	log     *slog.Logger

	mu    sync.Mutex
	queue [][]byte      // guarded by mu
	more  chan struct{} // the queue is not empty
}

const outboxSize = 512

func newOutbox(send func([]byte) error, log *slog.Logger) *outbox {
	return &outbox{more: make(chan struct{}, 1), send: send, log: log}
}

// put queues a packet; a full queue drops it, and the framing may send it again.
func (o *outbox) put(packet []byte) {
	o.mu.Lock()
	full := len(o.queue) >= outboxSize
	if !full {
		o.queue = append(o.queue, packet)
	}
	o.mu.Unlock()
	if full {
		o.dropped.Add(1)
		return
	}
	select {
	case o.more <- struct{}{}:
	default:
	}
}

// take empties the queue.
func (o *outbox) take() [][]byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := o.queue
	o.queue = nil
	return all
}

func (o *outbox) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-o.more:
		}
		for _, packet := range o.take() {
			if ctx.Err() != nil {
				return
			}
			if err := o.send(packet); err != nil {
				o.dropped.Add(1)
				if ctx.Err() == nil {
					o.log.Warn("signalling packet was not sent", "error", err)
				}
			}
		}
	}
}
