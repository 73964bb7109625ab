package voip

import (
	"math"
	"runtime"
	"runtime/metrics"
	"slices"
	"testing"
	"time"
)

// memory is what the process holds.
type memory struct{ heap, stacks, goroutines float64 }

// settledMemory is what the process holds once two measurements agree: what a handshake left behind takes more than one
// collection to go.
func settledMemory(t *testing.T) memory {
	last := measureMemory()
	until(t, 10*time.Second, "memory settled", func() bool {
		m := measureMemory()
		settled := math.Abs(m.heap-last.heap) < last.heap/100 && m.goroutines == last.goroutines
		last = m
		return settled
	})
	return last
}

// measureMemory measures after a collection, in kB.
func measureMemory() memory {
	runtime.GC()
	runtime.GC() // what pools and finalizers held
	s := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/stacks:bytes"},
		{Name: "/sched/goroutines:goroutines"},
	}
	metrics.Read(s)
	value := func(i int) float64 { return float64(s[i].Value.Uint64()) }
	return memory{value(0) / 1000, value(1) / 1000, value(2)}
}

func (m memory) since(before memory, engines int) memory {
	n := float64(engines)
	return memory{(m.heap - before.heap) / n, (m.stacks - before.stacks) / n, (m.goroutines - before.goroutines) / n}
}

// TestMemoryOfACall prints what an established engine holds, and fails where that is much more than it was. The TURN
// server's part is counted as well.
func TestMemoryOfACall(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's memory is not ours")
	}
	for _, c := range []struct {
		name  string
		turn  bool
		limit memory // an engine
	}{
		{"direct", false, memory{heap: 150, stacks: 130, goroutines: 24}},
		{"direct, with a TURN server", true, memory{heap: 200, stacks: 140, goroutines: 30}},
	} {
		t.Run(c.name, func(t *testing.T) {
			const pairs = 20
			o := pairOptions{callerNet: loopbackNet(t, 1), calleeNet: loopbackNet(t, 1), prepare: spareAfter(500 * time.Millisecond)}
			if c.turn {
				o.servers = []Server{startTURN(t)}
			}
			more := func(n int) memory {
				var all []*side
				for range n {
					p := newPair(t, o)
					p.establish(t)
					all = append(all, p.caller, p.callee)
				}
				// On a machine that is busy a call may have met its peer by a relay, and keeps that: two are no matter.
				until(t, 10*time.Second, "relays given up", func() bool {
					return len(slices.DeleteFunc(slices.Clone(all), func(s *side) bool { return s.relaySockets() == 0 })) <= 2
				})
				return settledMemory(t)
			}
			before := more(10) // and what is made once for all
			got := more(pairs).since(before, 2*pairs)
			t.Logf("an engine holds %.0f kB of heap, %.0f kB of stacks, %.1f goroutines", got.heap, got.stacks, got.goroutines)
			if got.heap > c.limit.heap || got.stacks > c.limit.stacks || got.goroutines > c.limit.goroutines {
				t.Errorf("more than %+v", c.limit)
			}
		})
	}
}
