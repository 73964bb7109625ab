package telegram_test

import (
	"strconv"
	"testing"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/routing"
	"github.com/tgtrunk/tgtrunk/telegram"
)

// TestWhoCalls: whatever becomes of a call, its caller's side is told which account has called whom, as far as that is
// known; an earlier attempt's person is taken back.
func TestWhoCalls(t *testing.T) {
	w, o := open(t, func(o *telegram.Options) { o.Calls.Most = 1 })
	w.quick(alice)
	check := func(name string, leg bridge.Leg, peer string) {
		t.Helper()
		facts := next[bridge.Facts](t, leg).Variables
		if got, told := facts["TGTRUNK_PEER"]; facts["TGTRUNK_SESSION"] != "office" || got != peer || !told {
			t.Errorf("%s: told %q, want the peer %q", name, facts, peer)
		}
	}
	for name, n := range map[string]routing.Number{"no name": byName("nobody_here"), "no dialogue": byID(carol), "itself": byName("office")} {
		leg := o.dial(n)
		check(name, leg, "")
		end(t, leg)
		eventually(t, func() error { return free(o) })
	}
	leg := o.dial(byName("alice_a"))
	check("a call", leg, strconv.FormatInt(alice, 10))
	full := o.dial(byName("bob_b"))
	check("no room", full, "")
	wantEnd(t, full, bridge.Congestion)
	next[bridge.Reached](t, leg)
	leg.Hangup(bridge.CauseOf(bridge.Cancelled))
	wantEnd(t, leg, bridge.Cancelled)
	o.stop()
	down := o.dial(byName("alice_a"))
	check("the account is down", down, "")
	wantEnd(t, down, bridge.AccountDown)
}

func free(o *office) error {
	if live, _ := o.Calls(); live != 0 {
		return telegram.ErrFull
	}
	return nil
}
