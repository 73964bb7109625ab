package bridge_test

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/bridge/trunktest"
	"github.com/tgtrunk/tgtrunk/routing"
)

// edges keeps what is told of a call while it lives.
type edges struct {
	mu   sync.Mutex
	told []string // edge, account, kinds of the legs so far
}

func (e *edges) watch(edge bridge.Edge, r bridge.Record) {
	e.mu.Lock()
	defer e.mu.Unlock()
	line := map[bridge.Edge]string{bridge.CallStarted: "started", bridge.CallConnected: "connected"}[edge]
	line += " account=" + r.Account + " offering=" + string(r.Offering.Kind)
	for _, leg := range r.Attempts {
		line += " " + leg.Trunk + "=" + string(leg.Kind)
	}
	e.told = append(e.told, line)
}

func (e *edges) want(t *testing.T, lines ...string) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if !slices.Equal(e.told, lines) {
		t.Errorf("told was %q, want %q", e.told, lines)
	}
}

// Who is told of a call while it lives learns which account it is about, and of what kind its legs are, in both
// directions, and for a target that is tried after another.
func TestWatchersKnowAccountAndKind(t *testing.T) {
	t.Run("to Telegram", func(t *testing.T) {
		e := &edges{}
		inLab(t, bridge.Options{Watch: e.watch}, func(l *lab) {
			a, _ := l.up()
			e.want(t, "started account=telegram offering=asterisk", "connected account=telegram offering=asterisk telegram=telegram")
			a.Emit(ended(bridge.Normal))
			if r := l.record(); r.Account != "telegram" || r.Offering.Kind != bridge.Asterisk || r.Attempts[0].Kind != bridge.Telegram {
				t.Errorf("record %+v", r)
			}
		})
	})
	t.Run("from Telegram", func(t *testing.T) {
		e := &edges{}
		inLab(t, bridge.Options{Watch: e.watch}, func(l *lab) {
			l.plan.Targets = []routing.Target{{Trunk: "pbx", Context: "in", Extension: "s"}}
			a := l.telegram.Offer(routing.Request{Caller: routing.Party{UserID: 12345}})
			b := l.dialled(l.pbx)
			b.Emit(bridge.Answered{})
			b.Emit(bridge.Media{Flow: b.Flow})
			l.ordered(a, trunktest.Answer)
			synctest.Wait()
			e.want(t, "started account=telegram offering=telegram", "connected account=telegram offering=telegram pbx=asterisk")
			a.Emit(ended(bridge.Normal))
			time.Sleep(time.Minute)
		})
	})
	t.Run("first a target at the PBX", func(t *testing.T) {
		e := &edges{}
		inLab(t, bridge.Options{Watch: e.watch}, func(l *lab) {
			l.plan.Targets = []routing.Target{{Trunk: "pbx", Context: "in", Extension: "s"}, {Trunk: "telegram", Number: aliceNumber}}
			a := l.offer()
			l.dialled(l.pbx).Emit(ended(bridge.Failure))
			b := l.dialled(l.telegram)
			b.Emit(bridge.Answered{})
			b.Emit(bridge.Media{Flow: b.Flow})
			l.ordered(a, trunktest.Answer)
			synctest.Wait()
			e.want(t, "started account=telegram offering=asterisk", "connected account=telegram offering=asterisk pbx=asterisk telegram=telegram")
			a.Emit(ended(bridge.Normal))
			time.Sleep(time.Minute)
		})
	})
	t.Run("no account at all", func(t *testing.T) {
		e := &edges{}
		inLab(t, bridge.Options{Watch: e.watch}, func(l *lab) {
			l.plan.Targets = []routing.Target{{Trunk: "pbx", Context: "in", Extension: "s"}}
			l.offer()
			l.dialled(l.pbx).Emit(ended(bridge.Busy))
			if r := l.record(); r.Account != "" {
				t.Errorf("account %q", r.Account)
			}
			e.want(t, "started account= offering=asterisk")
		})
	})
}
