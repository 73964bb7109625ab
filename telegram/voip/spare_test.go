package voip

import (
	"strings"
	"testing"
	"time"
)

// relaySockets counts the open sockets of an engine's TURN allocations.
func (s *side) relaySockets() int {
	n := s.live.Load().ice.relays
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.open)
}

func spareAfter(d time.Duration) func(caller, callee *Engine) {
	return func(caller, callee *Engine) { caller.times.spare, callee.times.spare = d, d }
}

// TestSpareRelays: a direct call gives its TURN allocations up and goes on; a restart makes new ones, and they go too.
func TestSpareRelays(t *testing.T) {
	server := startTURN(t)
	var sent func() []string
	p := newPair(t, pairOptions{servers: []Server{server}, prepare: func(a, b *Engine) {
		spareAfter(300*time.Millisecond)(a, b)
		sent = spy(a)
	}})
	p.establish(t)
	up, down, _ := p.talk(t)
	relays := func() int { return strings.Count(strings.Join(sent(), "\n"), "typ relay") }
	for round := range 2 {
		for _, s := range []*side{p.caller, p.callee} {
			until(t, 10*time.Second, "relays given up", func() bool { return relays() > round && s.relaySockets() == 0 })
			if st := s.Stats(); st.Local == "relay" {
				t.Errorf("local side is a relay: %+v", st)
			}
		}
		up.more(t, 20, "up without relays")
		down.more(t, 20, "down without relays")
		if round == 0 {
			p.caller.restartICE()
			for _, s := range []*side{p.caller, p.callee} {
				awaitState(t, s.Engine, 5*time.Second, Reconnecting)
				awaitState(t, s.Engine, 5*time.Second, Established)
			}
		}
	}
}

// TestNeededRelaysStay: relays are kept by a call that goes through them, and where the peer has none.
func TestNeededRelaysStay(t *testing.T) {
	server := startTURN(t)
	t.Run("in use", func(t *testing.T) {
		p := newPair(t, pairOptions{servers: []Server{server}, relayOnly: true, prepare: spareAfter(20 * time.Millisecond)})
		p.establish(t)
		_, down, _ := p.talk(t)
		down.more(t, 30, "down")
		if p.caller.relaySockets() == 0 || p.callee.relaySockets() == 0 {
			t.Error("relay in use was given up")
		}
		// The moment may come when the agent has left a direct pair and the session has not been told.
		looked := make(chan struct{})
		p.caller.command(func(s *session) error {
			s.spareRelays()
			close(looked)
			return nil
		})
		<-looked
		if p.caller.relaySockets() == 0 {
			t.Error("relay that the agent has just selected was given up")
		}
		down.more(t, 30, "down, still")
	})
	t.Run("peer has none", func(t *testing.T) {
		p := newPair(t, pairOptions{mine: []Server{server}, prepare: spareAfter(20 * time.Millisecond)})
		p.establish(t)
		until(t, 5*time.Second, "a relay", func() bool { return p.caller.relaySockets() > 0 })
		_, down, _ := p.talk(t)
		down.more(t, 30, "down")
		if p.caller.relaySockets() == 0 {
			t.Error("the only relay was given up")
		}
	})
}

// TestRestartsKeepNoSockets: the allocations of former generations are forgotten, however often the peer restarts.
func TestRestartsKeepNoSockets(t *testing.T) {
	p := newPair(t, pairOptions{servers: []Server{startTURN(t)}, relayOnly: true})
	p.establish(t)
	for range 3 {
		p.callee.restartICE()
		for _, s := range []*side{p.caller, p.callee} {
			awaitState(t, s.Engine, 10*time.Second, Reconnecting)
			awaitState(t, s.Engine, 10*time.Second, Established)
		}
	}
	p.exchange(t, "after")
	for _, s := range []*side{p.caller, p.callee} {
		until(t, 5*time.Second, "sockets of one generation", func() bool { return s.relaySockets() == 1 })
	}
}
