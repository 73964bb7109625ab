package esl

import (
	"sync"

	"github.com/tgtrunk/tgtrunk/bridge"
)

// inbox is what a leg has to work off: orders of its call and events of FreeSWITCH, in the order they came. Putting in
// never blocks, so that neither the call nor the reader of the event socket waits for a leg that waits for FreeSWITCH.
type inbox struct {
	mu    sync.Mutex
	items []any
	ready chan struct{} // capacity 1
}

func newInbox() *inbox { return &inbox{ready: make(chan struct{}, 1)} }

func (q *inbox) put(item any) {
	q.mu.Lock()
	q.items = append(q.items, item)
	q.mu.Unlock()
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

func (q *inbox) take() (item any, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) == 0 {
		return nil, false
	}
	item, q.items = q.items[0], q.items[1:]
	return item, true
}

// The orders of a call, and what the link itself has to say to a leg.
type (
	ringOrder   struct{}
	answerOrder struct{}
	digitOrder  struct{ digit byte }
	hangupOrder struct{ cause bridge.Cause }
	// closingOrder ends the leg for a reason of the link's own: a leg that is up ends normally where err is nil.
	closingOrder struct {
		reason bridge.Reason
		err    error
	}
	vanished struct{ id string } // reconciliation misses this channel
	// audioLost says that a media channel has ended, or, without a channel, that the way for audio broke down.
	audioLost struct{ channel string }
	jobDone   struct{ answer string } // the dialling job has come to its end
)

const (
	outboxSize     = 64
	outboxReserved = 8 // room for the events that come at most once: Ringing, Answered, Media, Ended
)

// outbox is the events of a leg. The owner of the call keeps reading; should it not, repeatable events are dropped, and
// nothing ever blocks.
type outbox struct{ events chan bridge.Event }

func newOutbox() outbox { return outbox{make(chan bridge.Event, outboxSize)} }

// put delivers an event; it reports false when it had to be dropped.
func (o outbox) put(e bridge.Event) bool {
	switch e.(type) {
	case bridge.Digit, bridge.Held:
		if len(o.events) >= outboxSize-outboxReserved {
			return false
		}
	}
	select {
	case o.events <- e:
		return true
	default:
		return false
	}
}

// end delivers the last event.
func (o outbox) end(e bridge.Ended) {
	o.put(e)
	close(o.events)
}
