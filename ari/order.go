package ari

import "github.com/tgtrunk/tgtrunk/bridge"

// The orders of a call, and what the link itself has to say to a leg.
type (
	searchOrder struct{}
	ringOrder   struct{}
	answerOrder struct{}
	digitOrder  struct{ digit byte }
	factsOrder  struct{ variables map[string]string }
	hangupOrder struct{ cause bridge.Cause }
	// closingOrder ends the leg for a reason of the link's own: a leg that is up ends normally where err is nil.
	closingOrder struct {
		reason bridge.Reason
		err    error
	}
	vanished struct{ id string } // reconciliation misses this channel or bridge
)
