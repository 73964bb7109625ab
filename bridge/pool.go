package bridge

import (
	"cmp"
	"slices"

	"github.com/tgtrunk/tgtrunk/routing"
)

// Appraiser is a Trunk that can say how well it would carry a call, for pools of equals (routing.Target.Pool). It does
// not block.
type Appraiser interface {
	Appraise(t routing.Target) Aptitude
}

// Aptitude is how well a trunk would carry a call now.
type Aptitude struct {
	Limited bool // the call would be refused: the trunk is down, or must not call now
	Bond    Bond // to whom is called
	Load    int  // calls that live on it
	Spare   int  // how many more such calls it may make; more is better
}

// Bond is how well a trunk knows somebody; more is better.
type Bond uint8

// The bonds.
const (
	Unknown     Bond = iota
	Addressable      // it can be called without being looked for
	Met              // there has been correspondence, or it is a contact
)

// arrange puts the members of each pool in the order in which they are tried: those that are not limited first, then
// the one that knows who is called, then the least loaded. Others keep their places.
func (x *Exchange) arrange(targets []routing.Target) []routing.Target {
	if !slices.ContainsFunc(targets, func(t routing.Target) bool { return t.Pool != 0 }) {
		return targets
	}
	targets = slices.Clone(targets)
	for from := 0; from < len(targets); {
		to := from + 1
		for to < len(targets) && targets[from].Pool != 0 && targets[to].Pool == targets[from].Pool {
			to++
		}
		x.arrangePool(targets[from:to])
		from = to
	}
	return targets
}

func (x *Exchange) arrangePool(pool []routing.Target) {
	if len(pool) < 2 {
		return
	}
	apt := make(map[string]Aptitude, len(pool))
	for _, t := range pool {
		apt[t.Trunk] = x.appraise(t)
	}
	slices.SortStableFunc(pool, func(a, b routing.Target) int {
		p, q := apt[a.Trunk], apt[b.Trunk]
		if p.Limited != q.Limited {
			if p.Limited {
				return 1
			}
			return -1
		}
		return cmp.Or(cmp.Compare(q.Bond, p.Bond), cmp.Compare(p.Load, q.Load), cmp.Compare(q.Spare, p.Spare))
	})
}

func (x *Exchange) appraise(t routing.Target) Aptitude {
	x.mu.Lock()
	s := x.trunks[t.Trunk]
	up := s != nil && s.up
	x.mu.Unlock()
	if !up {
		return Aptitude{Limited: true}
	}
	if a, ok := s.trunk.(Appraiser); ok {
		return a.Appraise(t)
	}
	if r, ok := s.trunk.(HealthReporter); ok && r.Health() != nil {
		return Aptitude{Limited: true}
	}
	return Aptitude{}
}
