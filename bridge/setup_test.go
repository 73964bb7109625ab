package bridge_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/routing"
)

// TestSetupFollowsItsTargets: a route may let targets ring for longer than five minutes, one after the other; each has
// the time that its route gives it.
func TestSetupFollowsItsTargets(t *testing.T) {
	inLab(t, bridge.Options{}, func(l *lab) {
		l.plan.Targets = []routing.Target{
			{Trunk: "pbx", Extension: "100", Timeout: 6 * time.Minute}, {Trunk: "pbx", Extension: "101", Timeout: 10 * time.Minute},
		}
		began := time.Now()
		caller := l.telegram.Offer(routing.Request{})
		first := l.dialled(l.pbx)
		first.Emit(bridge.Ringing{})
		<-first.Done()
		if took := time.Since(began); took != 6*time.Minute {
			t.Errorf("the first target rang for %v", took)
		}
		second := l.dialled(l.pbx)
		second.Emit(bridge.Ringing{})
		time.Sleep(10*time.Minute - time.Second)
		second.Emit(bridge.Media{Flow: second.Flow})
		synctest.Wait()
		caller.Emit(bridge.Ended{Cause: bridge.CauseOf(bridge.Normal)})
		if r := l.record(); r.Times.Connected.IsZero() || r.Reason != bridge.Normal {
			t.Errorf("the call ended for %s after %v, connected %v", r.Reason, time.Since(began), r.Times.Connected)
		}
	})
}

// TestEveryTargetHasItsTime: where nobody answers the caller hears so when the last target has had its time.
func TestEveryTargetHasItsTime(t *testing.T) {
	inLab(t, bridge.Options{}, func(l *lab) {
		l.plan.Targets = []routing.Target{{Trunk: "pbx", Extension: "100", Timeout: 10 * time.Minute}, {Trunk: "pbx", Extension: "101"}}
		began := time.Now()
		<-l.telegram.Offer(routing.Request{}).Done()
		r := l.record()
		if took := time.Since(began); took != 11*time.Minute || r.Reason != bridge.NoAnswer || len(r.Attempts) != 2 {
			t.Errorf("ended for %s after %v and %d attempts", r.Reason, took, len(r.Attempts))
		}
	})
}
