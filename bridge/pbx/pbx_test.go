package pbx_test

import (
	"testing"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/bridge/pbx"
)

// TestOutboxKeepsRoom: a call that does not read loses digits, but never what comes at most once.
func TestOutboxKeepsRoom(t *testing.T) {
	out, dropped := pbx.NewOutbox(), 0
	for range 2 * pbx.OutboxSize {
		if !out.Put(bridge.Digit{}) {
			dropped++
		}
	}
	if dropped <= pbx.OutboxSize {
		t.Errorf("%d of %d digits were dropped: no room is left", dropped, 2*pbx.OutboxSize)
	}
	if !out.Put(bridge.Ringing{}) || !out.Put(bridge.Answered{}) {
		t.Error("an event that comes once was dropped")
	}
	out.End(bridge.Ended{})
	var last bridge.Event
	for e := range out.Events() {
		last = e
	}
	if _, ok := last.(bridge.Ended); !ok {
		t.Errorf("the last event is %T", last)
	}
}

// TestOutboxKeepsTheEnd: whatever a call does not read, the end of the leg is not among what it loses.
func TestOutboxKeepsTheEnd(t *testing.T) {
	for _, e := range []bridge.Event{bridge.Identified{}, bridge.Facts{}, bridge.Media{}, bridge.Held{}} {
		out := pbx.NewOutbox()
		for range 2 * pbx.OutboxSize {
			out.Put(e)
		}
		out.End(bridge.Ended{Cause: bridge.CauseOf(bridge.Busy)})
		var last bridge.Event
		for next := range out.Events() {
			last = next
		}
		if end, ok := last.(bridge.Ended); !ok || end.Cause.Reason != bridge.Busy {
			t.Errorf("after many a %T the last event is %T", e, last)
		}
	}
}

// TestRegistry: a leg that is gone owns nothing, and a closed registry takes none.
func TestRegistry(t *testing.T) {
	var r pbx.Registry[*int]
	first, second := new(int), new(int)
	if !r.Add(first) {
		t.Fatal("a new leg is refused")
	}
	r.Own("a", first)
	r.Confirm("b", first)
	r.Own("c", second) // it does not live
	if r.Owner("a") != first || r.Owner("c") != nil || r.Snapshot()["a"].Confirmed || !r.Snapshot()["b"].Confirmed {
		t.Errorf("owners are %v", r.Snapshot())
	}
	if live := r.Close(); len(live) != 1 || r.Add(second) {
		t.Errorf("%d legs live, or a closed registry takes another", len(live))
	}
	r.Remove(first)
	r.Wait()
	if len(r.Snapshot()) != 0 || len(r.All()) != 0 {
		t.Errorf("a leg that is gone owns %v", r.Snapshot())
	}
}

func TestInboxKeepsOrder(t *testing.T) {
	in := pbx.NewInbox()
	in.Put(1)
	in.Put(2)
	<-in.Ready()
	for want := 1; want <= 2; want++ {
		if got, ok := in.Take(); !ok || got != want {
			t.Errorf("%v, %v: want %d", got, ok, want)
		}
	}
	if got, ok := in.Take(); ok {
		t.Errorf("an empty inbox has %v", got)
	}
}
