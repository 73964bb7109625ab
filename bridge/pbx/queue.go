package pbx

import (
	"sync"

	"github.com/tgtrunk/tgtrunk/bridge"
)

// Inbox is what a leg has to work off: orders of its call and events of the PBX, in the order they came. Putting in
// never blocks, so that neither the call nor the reader of the event socket waits for a leg that waits for the PBX.
type Inbox struct {
	mu    sync.Mutex
	items []any
	ready chan struct{} // capacity 1
}

// NewInbox makes an empty Inbox.
func NewInbox() *Inbox { return &Inbox{ready: make(chan struct{}, 1)} }

// Ready holds a token when something has been put in since it was read last.
func (q *Inbox) Ready() <-chan struct{} { return q.ready }

// Put adds an item.
func (q *Inbox) Put(item any) {
	q.mu.Lock()
	q.items = append(q.items, item)
	q.mu.Unlock()
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// Take returns the oldest item; ok is false where there is none.
func (q *Inbox) Take() (item any, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) == 0 {
		return nil, false
	}
	item, q.items = q.items[0], q.items[1:]
	return item, true
}

const (
	// OutboxSize is how many events wait for the owner of a call.
	OutboxSize = 64

	outboxReserved = 8 // of these: room for the events that come once or seldom; the last of it for Ended
)

// Outbox is the events of a leg. The owner of the call keeps reading; should it not, repeatable events are dropped, and
// nothing ever blocks. One goroutine puts in.
type Outbox struct{ events chan bridge.Event }

// NewOutbox makes an empty Outbox.
func NewOutbox() Outbox { return Outbox{make(chan bridge.Event, OutboxSize)} }

// Events is what the owner of the call reads.
func (o Outbox) Events() <-chan bridge.Event { return o.events }

// Put delivers an event; it reports false when it had to be dropped.
func (o Outbox) Put(e bridge.Event) bool {
	room := OutboxSize - 1
	switch e.(type) {
	case bridge.Digit, bridge.Held, bridge.Identified:
		room = OutboxSize - outboxReserved
	case bridge.Ended:
		room = OutboxSize
	}
	if len(o.events) >= room {
		return false
	}
	select {
	case o.events <- e:
		return true
	default:
		return false
	}
}

// End delivers the last event.
func (o Outbox) End(e bridge.Ended) {
	o.Put(e)
	close(o.events)
}
