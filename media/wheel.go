package media

import (
	"context"
	"math/bits"
	"sync"
	"time"
)

const (
	wheelSlot  = 5 * time.Millisecond
	wheelSlots = 256 // a power of two; timers further away than 1.28 s go round more than once
)

// Wheel runs the timers of all calls in one goroutine, at a grain of 5 ms: the later slices of long packets and the
// slow checks of connections. It sleeps while nothing is due.
//
// One Wheel serves a whole process.
type Wheel struct {
	epoch time.Time     // set once
	wake  chan struct{} // capacity 1: something is due earlier than the wheel sleeps

	mu       sync.Mutex
	slots    [wheelSlots]*WheelTimer // heads of intrusive lists
	occupied [wheelSlots / 64]uint64 // bit set: slot is not empty
	done     int64                   // ticks up to this one have been run
	sleeping int64                   // the tick the wheel sleeps until
	due      []*WheelTimer           // scratch of Run
}

// WheelTimer is one timer of a Wheel. It is embedded in what it serves and never allocated for a packet.
// Its function runs in the wheel's goroutine, must not block, and may still run once after Cancel returned.
type WheelTimer struct {
	f          func(now time.Time) // set once
	next, prev *WheelTimer         // guarded by Wheel.mu, as all below
	tick       int64
	queued     bool
}

// NewWheelTimer returns a timer that calls f.
func NewWheelTimer(f func(now time.Time)) *WheelTimer { return &WheelTimer{f: f} }

// NewWheel returns a wheel; timers wait until Run turns it.
func NewWheel() *Wheel {
	return &Wheel{epoch: time.Now(), wake: make(chan struct{}, 1), sleeping: -1}
}

// Run turns the wheel until ctx ends and returns nil.
func (w *Wheel) Run(ctx context.Context) error {
	sleep := time.NewTimer(0)
	defer sleep.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.wake:
		case <-sleep.C:
		}
		now := time.Now()
		for _, t := range w.collect(now) {
			t.f(now)
		}
		if next, any := w.nextTick(); any {
			sleep.Reset(time.Until(w.epoch.Add(time.Duration(next) * wheelSlot)))
		} else {
			sleep.Stop()
		}
	}
}

// Schedule has t run at the first turn at or after at, instead of any time it was set to before.
func (w *Wheel) Schedule(t *WheelTimer, at time.Time) {
	tick := int64((at.Sub(w.epoch) + wheelSlot - 1) / wheelSlot)
	w.mu.Lock()
	w.unlink(t)
	t.tick = max(tick, w.done+1)
	w.link(t)
	early := w.sleeping < 0 || t.tick < w.sleeping
	if early {
		w.sleeping = t.tick
	}
	w.mu.Unlock()
	if early {
		select {
		case w.wake <- struct{}{}:
		default: // it is being woken already and will see t
		}
	}
}

// Cancel takes t off the wheel.
func (w *Wheel) Cancel(t *WheelTimer) {
	w.mu.Lock()
	w.unlink(t)
	w.mu.Unlock()
}

// collect takes everything off the wheel that is due at now.
func (w *Wheel) collect(now time.Time) []*WheelTimer {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.due)
	w.due = w.due[:0]
	last := int64(now.Sub(w.epoch) / wheelSlot)
	// After a long sleep one round visits every slot; the ticks in the timers tell which are due.
	for tick := max(w.done+1, last-wheelSlots+1); tick <= last; tick++ {
		for t := w.slots[tick&(wheelSlots-1)]; t != nil; {
			next := t.next
			if t.tick <= last {
				w.unlink(t)
				w.due = append(w.due, t)
			}
			t = next
		}
	}
	w.done = max(w.done, last)
	return w.due
}

// nextTick returns the tick of the next slot with a timer in it, and remembers it as the one Run sleeps until.
func (w *Wheel) nextTick() (int64, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sleeping = -1
	for ahead := int64(1); ahead <= wheelSlots; {
		slot := (w.done + ahead) & (wheelSlots - 1)
		word := w.occupied[slot/64] >> (slot % 64)
		if word == 0 {
			ahead += 64 - slot%64
			continue
		}
		// The word may begin past the first slot we asked for, or show a slot of the round before this one's end.
		w.sleeping = w.done + ahead + int64(bits.TrailingZeros64(word))
		return w.sleeping, true
	}
	return 0, false
}

func (w *Wheel) link(t *WheelTimer) {
	slot := t.tick & (wheelSlots - 1)
	t.prev, t.next = nil, w.slots[slot]
	if t.next != nil {
		t.next.prev = t
	}
	w.slots[slot] = t
	w.occupied[slot/64] |= 1 << (slot % 64)
	t.queued = true
}

func (w *Wheel) unlink(t *WheelTimer) {
	if !t.queued {
		return
	}
	slot := t.tick & (wheelSlots - 1)
	if t.next != nil {
		t.next.prev = t.prev
	}
	if t.prev != nil {
		t.prev.next = t.next
	} else if w.slots[slot] = t.next; t.next == nil {
		w.occupied[slot/64] &^= 1 << (slot % 64)
	}
	t.next, t.prev, t.queued = nil, nil, false
}
