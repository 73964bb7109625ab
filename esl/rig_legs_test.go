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

// bridgedWith is the uuid of the channel that the media channel of a leg is bridged with.
func bridgedWith(r *rig, leg bridge.Leg) string {
	return r.api("uuid_getvar " + leg.ID() + "-media1 bridge_uuid")
}
