package telegram

import (
	"math"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/routing"
)

// Appraise implements bridge.Appraiser, so that of a pool of accounts the one that knows the person calls, else the one
// with the least to do, and none that would be refused.
func (a *Account) Appraise(t routing.Target) bridge.Aptitude {
	apt := bridge.Aptitude{Load: int(a.legs.live.Load()), Spare: a.guard.Left(t.Caller.Number)}
	if apt.Spare < 0 {
		apt.Spare = math.MaxInt
	}
	p, found := a.peers.find(t.Number)
	switch {
	case found && !p.callee().Stranger:
		apt.Bond = bridge.Met
	case found && p.AccessHash != 0:
		apt.Bond = bridge.Addressable
	}
	apt.Limited = a.Health() != nil || a.legs.full(a.opts.Calls.Most) || a.guard.Flooded("phone.requestCall") > 0 || a.guard.Hurried() ||
		apt.Bond != bridge.Met && apt.Spare == 0 ||
		apt.Bond == bridge.Unknown && a.cannotFind(t.Number)
	return apt
}

// cannotFind reports whether the account must not look for somebody now, or has no way to.
func (a *Account) cannotFind(n routing.Number) bool {
	switch n.Kind {
	case routing.Username:
		return a.guard.Flooded("contacts.resolveUsername") > 0
	case routing.Phone:
		return a.guard.Flooded("contacts.resolvePhone") > 0
	}
	return true // a user id that it has never met
}
