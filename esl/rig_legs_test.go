package esl_test

import (
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/media"
)

// awaitMedia waits for the audio of a leg, whatever comes before.
func awaitMedia(t testing.TB, leg bridge.Leg) media.Flow {
	t.Helper()
	limit := time.After(15 * time.Second)
	for {
		select {
		case e, open := <-leg.Events():
			if up, ok := e.(bridge.Media); ok {
				return up.Flow
			}
			if !open {
				t.Fatalf("leg %s ends without audio", leg.ID())
			}
			if end, ok := e.(bridge.Ended); ok {
				t.Fatalf("leg %s ends with %v, %v", leg.ID(), end.Cause, end.Err)
			}
		case <-limit:
			t.Fatalf("leg %s has no audio", leg.ID())
		}
	}
}

// answered waits for the answer. A phone that answers at once may be heard to answer before it is heard to ring: the two
// come by different sockets.
func answered(t testing.TB, leg bridge.Leg) {
	t.Helper()
	for {
		select {
		case e := <-leg.Events():
			switch e.(type) {
			case bridge.Ringing, bridge.Identified:
			case bridge.Answered:
				return
			default:
				t.Fatalf("event %#v, want an answer", e)
			}
		case <-time.After(15 * time.Second):
			t.Fatal("no answer comes")
		}
	}
}

// bridgedWith is the uuid of the channel that the media channel of a leg is bridged with.
func bridgedWith(r *rig, leg bridge.Leg) string {
	return r.api("uuid_getvar " + leg.ID() + "-media1 bridge_uuid")
}
