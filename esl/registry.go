package esl

import (
	"maps"
	"slices"
	"sync"
)

// registry knows the legs that live, and which of them owns which channel of FreeSWITCH.
type registry struct {
	mu     sync.Mutex
	legs   map[*leg]struct{}
	owners map[string]ownership // by uuid of a channel
	closed bool                 // no leg begins any more
	alive  sync.WaitGroup       // one for each leg
}

type ownership struct {
	leg       *leg
	confirmed bool // FreeSWITCH has said that it exists
}

// add takes a new leg; it reports false when the link is closing. The leg's end is remove.
func (r *registry) add(l *leg) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	if r.legs == nil {
		r.legs, r.owners = map[*leg]struct{}{}, map[string]ownership{}
	}
	r.legs[l] = struct{}{}
	r.alive.Add(1)
	return true
}

// remove forgets a leg and what it owned.
func (r *registry) remove(l *leg) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.legs, l)
	maps.DeleteFunc(r.owners, func(_ string, o ownership) bool { return o.leg == l })
	r.alive.Done()
}

// own notes that a channel belongs to a leg. It is called before the object is asked for, because its events
// may come before the reply.
func (r *registry) own(id string, l *leg) { r.set(id, ownership{leg: l}) }

// confirm notes that FreeSWITCH knows the channel.
func (r *registry) confirm(id string, l *leg) { r.set(id, ownership{leg: l, confirmed: true}) }

func (r *registry) set(id string, o ownership) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, lives := r.legs[o.leg]; lives {
		r.owners[id] = o
	}
}

func (r *registry) disown(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.owners, id)
}

func (r *registry) owner(id string) *leg {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.owners[id].leg
}

// snapshot returns who owns what now.
func (r *registry) snapshot() map[string]ownership {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.owners)
}

// all returns the legs that live.
func (r *registry) all() []*leg {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.legs))
}

// close lets no further leg begin and returns those that live.
func (r *registry) close() []*leg {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	return r.all()
}
