package telegram_test

import (
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/telegram/guard"
)

// TestFirstPeerFloodOfAnImport: the call that learns of the limit while it looks for a number says already how long it
// holds.
func TestFirstPeerFloodOfAnImport(t *testing.T) {
	g := withLimits(t, guard.Limits{PerDay: -1, PeerFlood: 24 * time.Hour})
	g.control.FailNext(trunk, "contacts.importContacts", 400, "PEER_FLOOD")
	g.fails(byPhone("+99966159999"), bridge.PeerFlood, 23*time.Hour, 24*time.Hour)
}

// TestPeerFloodWithoutAPause: where the guard is told not to pause nobody knows when to try again.
func TestPeerFloodWithoutAPause(t *testing.T) {
	g := withLimits(t, guard.Limits{PerDay: -1})
	g.control.FailNext(trunk, "phone.requestCall", 400, "PEER_FLOOD")
	g.fails(byName("bob_b"), bridge.PeerFlood, 0, 0)
}
