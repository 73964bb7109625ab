package esl

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
	vanished  struct{ id string }             // reconciliation misses this channel
	audioLost struct{ session *vertoSession } // that WebSocket was lost, and with it its media channels
	jobDone   struct{ result }                // the dialling job has come to its end
	// entryClosed says that the socket application no longer holds the caller.
	entryClosed struct{ entry *entry }
	// enteredAgain says that the dialplan has handed a leg's own channel to our socket.
	enteredAgain struct{ event event }
	// parkedAgain says that the dialplan has parked a leg's own channel for this trunk once more; again offers it.
	parkedAgain struct {
		event event
		again func()
	}
	// vertoSaid is a message of mod_verto about the leg's media channel.
	vertoSaid struct{ message vertoMessage }
)
