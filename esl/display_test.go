package esl_test

import (
	"strings"
	"testing"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/lab"
	"github.com/tgtrunk/tgtrunk/routing"
)

// TestShownParty: a phone that takes updates shows, once it is connected, whom it talks to on Telegram, and so does one
// the call is transferred to.
func TestShownParty(t *testing.T) {
	zoe := lab.Display{Name: "Zoë", Number: "+4930123"}
	for _, c := range []struct {
		name  string
		begin func(*desk) *conversation
		want  lab.Display
	}{
		{"from the dialplan", func(d *desk) *conversation { return d.answer("updates*5000201", nil) }, lab.Display{Name: "*5000201", Number: "*5000201"}},
		{"to a phone", func(d *desk) *conversation {
			return d.dialAlice(routing.Target{Endpoint: "sofia/internal/alice@" + d.alice.Addr(), Variables: map[string]string{"update_ignore_ua": "true"}}, nil)
		}, zoe},
		{"into the dialplan", func(d *desk) *conversation {
			return d.dialAlice(routing.Target{Extension: "u" + extensionOf(d.alice)}, nil)
		}, zoe},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t, lab.PhoneOptions{}, lab.PhoneOptions{})
			talk := c.begin(d)
			talk.bothHear(t)
			shows(t, talk.phone, c.want)
			if err := talk.phone.Transfer(soon(t), "u"+extensionOf(d.bob)); err != nil {
				t.Fatal(err)
			}
			bob, err := d.bob.NextCall(soon(t))
			if err != nil {
				t.Fatal(err)
			}
			if rung := (lab.Display{Name: bob.Name(), Number: bob.Number()}); rung != c.want {
				t.Errorf("rings with %v, want %v", rung, c.want)
			}
			phoneHears(t, bob, ourTone)
			shows(t, bob, c.want)
			talk.end(t)
		})
	}
}

// shows waits until a phone was told whom it talks to, and checks that it was told nothing else.
func shows(t *testing.T, c *lab.PhoneCall, want lab.Display) {
	t.Helper()
	eventually(t, "an update of the display", func() bool { return len(c.Shown()) > 0 })
	for _, shown := range c.Shown() {
		if shown != want {
			t.Errorf("phone was told %v, want %v", shown, want)
		}
	}
}

// TestReportedParty: the record learns who has answered, on which channel and under which Call-ID.
func TestReportedParty(t *testing.T) {
	for _, direction := range directions {
		t.Run(direction.name, func(t *testing.T) {
			talk := direction.begin(newDesk(t, lab.PhoneOptions{}, lab.PhoneOptions{}), nil)
			talk.bothHear(t)
			talk.leg.Hangup(bridge.CauseOf(bridge.Normal))
			report := ended(t, talk.leg, bridge.Normal).Report
			number := map[string]string{"to a phone": "alice", "into the dialplan": "phone"}[direction.name]
			if report.CallID != talk.phone.ID() || !strings.HasPrefix(report.Channel, "sofia/internal/") || report.Party.Number != number || report.Party.Name != "" {
				t.Errorf("report %+v, want Call-ID %s, number %q", report, talk.phone.ID(), number)
			}
		})
	}
}
