package ari_test

import (
	"strings"
	"testing"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/lab"
	"github.com/tgtrunk/tgtrunk/routing"
)

// TestFunctionsAreSet: a route may write what the call's detail record holds on the channel of an endpoint, and the
// language of a call into the dialplan, which hears of it before its first priority.
func TestFunctionsAreSet(t *testing.T) {
	r, _ := newPhoneRig(t, "in", lab.PhoneOptions{})
	dial := func(target routing.Target) (end func()) {
		leg := r.link.Dial(t.Context(), target)
		for {
			switch e := (<-leg.Events()).(type) {
			case bridge.Media:
				return func() {
					leg.Hangup(bridge.CauseOf(bridge.Normal))
					ended(t, leg, bridge.Normal)
				}
			case bridge.Ended, nil:
				t.Fatalf("%#v", e)
			}
		}
	}
	end := dial(routing.Target{Endpoint: "PJSIP/alice", Variables: map[string]string{"CDR(userfield)": "gold customer", "CHANNEL(language)": "de"}})
	channel, _, _ := strings.Cut(r.cli("core show channels concise"), "!")
	for line := range strings.Lines(r.cli("core show channels concise")) {
		if strings.HasPrefix(line, "PJSIP/alice") {
			channel, _, _ = strings.Cut(line, "!")
		}
	}
	if shown := r.cli("core show channel " + channel); !strings.Contains(shown, "userfield=gold customer") || !strings.Contains(shown, "Language: de") {
		t.Errorf("channel %s:\n%s", channel, shown)
	}
	end()

	end = dial(routing.Target{Context: "record", Extension: "100", Variables: map[string]string{"CHANNEL(language)": "de", "COLOUR": "gold"}})
	if got := r.global("RECORD"); got != "de/gold" {
		t.Errorf("the dialplan finds %q", got)
	}
	end()
}
