package pbx

import (
	"maps"
	"slices"
	"sync"
)

// Registry knows the legs that live, and which of them owns which channel or bridge of the PBX. L is a pointer to a leg.
// The zero value is ready to use.
type Registry[L comparable] struct {
	mu     sync.Mutex
	legs   map[L]struct{}
	owners map[string]Ownership[L] // by id of a channel or bridge
	closed bool                    // no leg begins any more
	alive  sync.WaitGroup          // one for each leg
}

// Ownership says whose a channel or bridge is.
type Ownership[L comparable] struct {
	Leg       L
	Confirmed bool // the PBX has said that it exists
}

// Add takes a new leg; it reports false when the link is closing. The leg's end is Remove.
func (r *Registry[L]) Add(l L) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	if r.legs == nil {
		r.legs, r.owners = map[L]struct{}{}, map[string]Ownership[L]{}
	}
	r.legs[l] = struct{}{}
	r.alive.Add(1)
	return true
}

// Remove forgets a leg and what it owned.
func (r *Registry[L]) Remove(l L) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.legs, l)
	maps.DeleteFunc(r.owners, func(_ string, o Ownership[L]) bool { return o.Leg == l })
	r.alive.Done()
}

// Own notes that a channel or bridge belongs to a leg. It is called before the object is asked for, because its events
// may come before the reply.
func (r *Registry[L]) Own(id string, l L) { r.set(id, Ownership[L]{Leg: l}) }

// Confirm notes that the PBX knows the object.
func (r *Registry[L]) Confirm(id string, l L) { r.set(id, Ownership[L]{Leg: l, Confirmed: true}) }

func (r *Registry[L]) set(id string, o Ownership[L]) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, lives := r.legs[o.Leg]; lives {
		r.owners[id] = o
	}
}

// Disown forgets whose a channel or bridge is.
func (r *Registry[L]) Disown(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.owners, id)
}

// Owner returns the leg that owns a channel or bridge; the zero L where nobody does.
func (r *Registry[L]) Owner(id string) L {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.owners[id].Leg
}

// Snapshot returns who owns what now.
func (r *Registry[L]) Snapshot() map[string]Ownership[L] {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.owners)
}

// All returns the legs that live.
func (r *Registry[L]) All() []L {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.legs))
}

// Close lets no further leg begin and returns those that live.
func (r *Registry[L]) Close() []L {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	return r.All()
}

// Wait returns when every leg has been removed.
func (r *Registry[L]) Wait() { r.alive.Wait() }
