package voip

import (
	"context"
	"log/slog"
	"sync/atomic"
)

// outbox hands signalling packets to Config.Send one after the other, so that the signalling itself never waits.
type outbox struct {
	queue   chan []byte
	dropped atomic.Uint64
	send    func([]byte) error
	log     *slog.Logger
}

const outboxSize = 512

func newOutbox(send func([]byte) error, log *slog.Logger) *outbox {
	return &outbox{queue: make(chan []byte, outboxSize), send: send, log: log}
}

// put queues a packet; a full queue drops it, and the framing may send it again.
func (o *outbox) put(packet []byte) {
	select {
	case o.queue <- packet:
	default:
		o.dropped.Add(1)
	}
}

func (o *outbox) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case packet := <-o.queue:
			if err := o.send(packet); err != nil {
				o.dropped.Add(1)
				if ctx.Err() == nil {
					o.log.Warn("signalling packet was not sent", "error", err)
				}
			}
		}
	}
}
