package signaling

import (
	"bytes"
	"slices"
	"sync"
)

// queue is a bounded queue of byte slices between goroutines. It never blocks: what does not fit is refused.
type queue struct {
	wake chan struct{} // holds a token when something was pushed

	mu    sync.Mutex
	items [][]byte
	bytes int
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

// push appends an item, which is the queue's from then on, and reports whether it fitted.
func (q *queue) push(item []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) >= maxQueued || q.bytes+len(item) > maxQueuedBytes {
		return false
	}
	q.items = append(q.items, item)
	q.bytes += len(item)
	q.poke()
	return true
}

// pushOnce is push, but an item that waits already is not queued again: retransmissions of a packet that has not even
// left are pointless, and where a web engine receives INIT it must not come late.
func (q *queue) pushOnce(item []byte) bool {
	q.mu.Lock()
	waits := slices.ContainsFunc(q.items, func(i []byte) bool { return bytes.Equal(i, item) })
	q.mu.Unlock()
	return waits || q.push(item)
}

// remove drops the waiting items that f selects.
func (q *queue) remove(f func(item []byte) bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items = slices.DeleteFunc(q.items, f)
	q.bytes = 0
	for _, item := range q.items {
		q.bytes += len(item)
	}
}

// pop takes the oldest item, or nil.
func (q *queue) pop() []byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) == 0 {
		return nil
	}
	item := q.items[0]
	q.items[0] = nil
	q.items = q.items[1:]
	q.bytes -= len(item)
	return item
}

// take takes all items.
func (q *queue) take() [][]byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	items := q.items
	q.items, q.bytes = nil, 0
	return items
}

func (q *queue) poke() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}
