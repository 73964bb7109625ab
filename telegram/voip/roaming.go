package voip

import (
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"

	"github.com/tgtrunk/tgtrunk/telegram/voip/signaling"
)

// roaming follows a peer whose address changes during the call, as when it goes from one network to another or its NAT
// forgets it. ICE agents of pion stay with the pair they have selected until it fails; the peer's checks, which come
// from the new address meanwhile, tell where it is.
type roaming struct {
	role  Role
	after time.Duration // silence of the selected pair
	log   *slog.Logger

	selected atomic.Pointer[addresses]
	heard    time.Time // when a check came through the selected pair; agent's goroutine only
	known    addresses // the pair that heard is about
}

// addresses tell a pair of candidates from others.
type addresses struct {
	local, remote         string
	localPort, remotePort int
}

func addressesOf(local, remote ice.Candidate) addresses {
	return addresses{local.Address(), remote.Address(), local.Port(), remote.Port()}
}

// settle notes the selected pair.
func (r *roaming) settle(local, remote ice.Candidate) {
	a := addressesOf(local, remote)
	r.selected.Store(&a)
}

// check looks at a check of the peer, which is authentic, and says whether the agent is to select its pair. It runs in
// the agent's goroutine. The peer follows where our media comes from, as its checks have told us where it is.
func (r *roaming) check(_ *stun.Message, local, remote ice.Candidate, pair *ice.CandidatePair) (selects bool) {
	selected := r.selected.Load()
	if selected == nil {
		return false
	}
	now := time.Now()
	if *selected != r.known {
		r.known, r.heard = *selected, now
	}
	if addressesOf(local, remote) == *selected {
		r.heard = now
		return false
	}
	if now.Sub(r.heard) < r.after {
		return false
	}
	// Without an answer to a check of ours the address may be anybody's. A controlling agent of pion checks nothing but
	// the selected pair any more, so there the answers that follow must do: without them the pair is left again.
	if r.role == signaling.Callee && pair.ResponsesReceived() == 0 && pair.CurrentRoundTripTime() == 0 {
		return false
	}
	r.log.Info("peer has another address", "type", remote.Type().String())
	return true
}
