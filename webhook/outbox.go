package webhook

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// item is a stored event.
type item struct {
	key   string
	event Event
}

// line is the events of one call, in order.
type line struct {
	items    []item
	attempts int       // of the first one
	next     time.Time // when it may be tried
	busy     bool      // it is being tried
}

// outbox is what is known of the store's queue.
type outbox struct {
	wake chan struct{} // holds a token when something has changed
	gone *atomic.Bool  // the receiver has said 410

	mu    sync.Mutex
	lines map[string]*line // by call
	known map[string]bool  // keys of all items
	done  map[string]bool  // keys of what was taken and may be in the store still
	pause time.Time        // nothing is sent before
}

func newOutbox() outbox {
	return outbox{
		wake: make(chan struct{}, 1), gone: new(atomic.Bool),
		lines: map[string]*line{}, known: map[string]bool{}, done: map[string]bool{},
	}
}

func (o *outbox) size() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.known)
}

// add takes an item up, unless it is known or was taken already.
func (o *outbox) add(i item) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.known[i.key] || o.done[i.key] {
		return false
	}
	o.known[i.key] = true
	l := o.lines[i.event.Call]
	if l == nil {
		l = &line{}
		o.lines[i.event.Call] = l
	}
	at := len(l.items) // what another process has queued may be found late
	for at > 0 && l.items[at-1].key > i.key && (at > 1 || !l.busy) {
		at--
	}
	l.items = append(l.items, item{})
	copy(l.items[at+1:], l.items[at:])
	l.items[at] = i
	o.poke()
	return true
}

// has says whether an item is known, or was taken already.
func (o *outbox) has(key string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.known[key] || o.done[key]
}

func (o *outbox) poke() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// due returns up to most lines that may be tried now, and marks them; else how long until there is one.
func (o *outbox) due(most int) (lines []*line, wait time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	wait = time.Hour
	if left := o.pause.Sub(now); left > 0 {
		return nil, left
	}
	for _, l := range o.lines {
		if l.busy || len(lines) == most {
			continue
		}
		if left := l.next.Sub(now); left > 0 {
			wait = min(wait, left)
			continue
		}
		l.busy = true
		lines = append(lines, l)
	}
	return lines, wait
}

// first is the item of a busy line that is to be tried, and how often it was.
func (o *outbox) first(l *line) (i item, attempts int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l.attempts++
	return l.items[0], l.attempts
}

// passed takes the first item off a busy line: it was taken, or given up.
func (o *outbox) passed(l *line) {
	o.mu.Lock()
	defer o.mu.Unlock()
	i := l.items[0]
	delete(o.known, i.key)
	o.done[i.key] = true
	l.items, l.attempts, l.next, l.busy = l.items[1:], 0, time.Time{}, false
	if len(l.items) == 0 {
		delete(o.lines, i.event.Call)
	}
	o.poke()
}

// later puts a busy line off.
func (o *outbox) later(l *line, wait time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l.next, l.busy = time.Now().Add(wait), false
	o.poke()
}

// stop sends nothing for a while.
func (o *outbox) stop(wait time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.pause = time.Now().Add(wait)
}

// taken are the keys that were taken and may be in the store still.
func (o *outbox) taken() map[string]bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.done)
}

// forgotten forgets those of the keys that a scan has not seen.
func (o *outbox) forgotten(keys, seen map[string]bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for key := range keys {
		if !seen[key] {
			delete(o.done, key)
		}
	}
}

// keys are those of all items.
func (o *outbox) keys() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Collect(maps.Keys(o.known))
}

// remove forgets items for good. Nothing is being tried.
func (o *outbox) remove(keys []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, key := range keys {
		delete(o.known, key)
		o.done[key] = true
	}
	for call, l := range o.lines {
		l.items = slices.DeleteFunc(l.items, func(i item) bool { return !o.known[i.key] })
		if len(l.items) == 0 {
			delete(o.lines, call)
		}
	}
}

// clear forgets everything that is not being tried; the store knows it.
func (o *outbox) clear() {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.lines)
	clear(o.known)
}
