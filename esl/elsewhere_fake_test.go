package esl

import (
	"slices"
	"strings"
	"testing"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/bridge/trunktest"
)

// TestPhonesOfTheDialplanAreTold: of a call that was taken elsewhere the phones that the dialplan rings for it are told
// before its channel is hung up, those and no other; of one that the caller gave up they are not.
func TestPhonesOfTheDialplanAreTold(t *testing.T) {
	for reason, cause := range map[bridge.Reason]string{bridge.Elsewhere: "LOSE_RACE", bridge.Cancelled: "ORIGINATOR_CANCEL"} {
		t.Run(string(reason), func(t *testing.T) {
			w, _ := startWorld(t)
			w.direct = true
			target, _, err := w.Target(trunktest.RingsOn)
			if err != nil {
				t.Fatal(err)
			}
			leg := w.link.Dial(t.Context(), target)
			nextEvent[bridge.Ringing](t, leg)
			ours := leg.ID() + "-media1"
			w.mu.Lock()
			for _, c := range []*fakeChannel{{id: "desk"}, {id: "hall"}, {id: "in-a-call", answered: true}, {id: "of-others"}} {
				c.vars = map[string]string{"call_uuid": ours}
				if c.id == "of-others" {
					c.vars["call_uuid"] = "others"
				}
				w.channels[c.id] = c
			}
			w.mu.Unlock()
			leg.Hangup(bridge.CauseOf(reason))
			nextEvent[bridge.Ended](t, leg)
			for id, rings := range map[string]bool{"desk": true, "hall": true, "in-a-call": false, "of-others": false} {
				want := ""
				if rings && reason == bridge.Elsewhere {
					want = `SIP;cause=200;text="Call completed elsewhere"`
				}
				if got := w.variable(id, "sip_reason"); got != want {
					t.Errorf("reason of %s is %q, want %q", id, got, want)
				}
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			kill := slices.Index(w.asked, "uuid_kill "+ours+" "+cause)
			if kill < 0 || slices.ContainsFunc(w.asked[kill:], func(line string) bool { return strings.Contains(line, "sip_reason") }) {
				t.Errorf("asked: %q", w.asked)
			}
		})
	}
}

// TestReasonIsOfThisAttempt: a caller who is told that his call was taken elsewhere is told 26, as the table has it; once a
// second attempt on the same channel has failed, that is forgotten.
func TestReasonIsOfThisAttempt(t *testing.T) {
	f := newFakeFS(t)
	s := f.serveWith(t, nil)
	soonTrue(t, "connected", s.Connected)
	f.caller("anna")
	for _, attempt := range []struct {
		reason bridge.Reason
		want   string
	}{{bridge.Elsewhere, `Q.850;cause=26;text="Answered elsewhere"`}, {bridge.Busy, ""}} {
		o := s.offered(t)
		o.Leg.Hangup(bridge.CauseOf(attempt.reason))
		endOf(t, o.Leg)
		if got := f.variable("anna", "sip_reason"); got != attempt.want {
			t.Errorf("%s: the reason is %q, want %q", attempt.reason, got, attempt.want)
		}
		f.set("anna", varApp, "tgtrunk") // the dialplan, at "again"
		f.mu.Lock()
		f.park(f.channels["anna"])
		f.mu.Unlock()
	}
}
