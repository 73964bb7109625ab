package memory_test

import (
	"path/filepath"
	"testing"

	"github.com/tgtrunk/tgtrunk/routing"
)

// TestCallBackThroughARouteThatStrips: what a route takes off chooses the account, and is no part of the number that is
// remembered.
func TestCallBackThroughARouteThatStrips(t *testing.T) {
	path := filepath.Join(t.TempDir(), "memory.db")
	routes := []routing.Match{{Suffix: "*2", Strip: true}, {Prefix: "88", Strip: true}, {Prefix: "77"}}
	s := start(t, path, routes...)
	anna := routing.Party{UserID: 5_000_000_201, Username: "anna_lab", Name: "Anna"}
	s.call(s.sales, s.office, routing.Request{Caller: anna})
	s.stop() // all is written then

	s = start(t, path, routes...)
	defer s.stop()
	for _, dialled := range []string{"5000000201*2", "85000000201*2", "885000000201", "8875000000201", "775000000201", "5000000201"} {
		target, r := s.call(s.office, s.sales, routing.Request{Dialled: dialled, Caller: routing.Party{Number: "201"}})
		if target.Number != (routing.Number{Kind: routing.UserID, UserID: anna.UserID}) || r.Matched != routing.ByMemory {
			t.Errorf("%s calls %+v, by %s", dialled, target.Number, r.Matched)
		}
	}
}
