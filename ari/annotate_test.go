package ari

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tgtrunk/tgtrunk/bridge"
)

// Facts of the called side are on the channel when the dialplan goes on, whether they could be set at once or not.
func TestFactsReachTheDialplan(t *testing.T) {
	for name, status := range map[string]int{"at once": http.StatusNoContent, "at the end": http.StatusInternalServerError} {
		t.Run(name, func(t *testing.T) {
			b := startBench(t)
			leg := b.arrive(t, "caller-1").Leg
			path := "POST /channels/caller-1/variables"
			before := len(b.asked(path))
			if status != http.StatusNoContent {
				b.refuse(path, status, `{"message":"try later"}`)
			}
			leg.(bridge.Annotator).Annotate(map[string]string{"TGTRUNK_PRESENCE": "online", "TGTRUNK BAD": "x"})
			leg.(bridge.Annotator).Annotate(map[string]string{"TGTRUNK_BUDGET_LEFT": "7"})
			b.waitAsked(t, path, before+2)
			if status != http.StatusNoContent {
				b.on(path, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
			}
			leg.Hangup(bridge.CauseOf(bridge.Budget))
			ended(t, leg, bridge.Budget)
			all := strings.Join(b.asked(path)[before:], "\n")
			last := b.variables(t, "caller-1")
			if last["TGTRUNK_REASON"] != "BUDGET" || last["TGTRUNK_STATUS"] != "CONGESTION" || last["TGTRUNK_CAUSE"] != "42" {
				t.Errorf("at the end %v was set", last)
			}
			if late := status != http.StatusNoContent; late && (last["TGTRUNK_PRESENCE"] != "online" || last["TGTRUNK_BUDGET_LEFT"] != "7") {
				t.Errorf("at the end %v was set", last)
			}
			if !strings.Contains(all, `"TGTRUNK_PRESENCE":"online"`) || !strings.Contains(all, `"TGTRUNK_BUDGET_LEFT":"7"`) || strings.Contains(all, "TGTRUNK BAD") {
				t.Errorf("was set:\n%s", all)
			}
		})
	}
}

// What the dialplan could not be told, or a caller who could not be given back to it, is in the log.
func TestLostFarewellIsLogged(t *testing.T) {
	for begins, says := range map[string]string{
		"POST /channels/caller-1/variables": "cannot tell the dialplan how the call has ended",
		"POST /channels/caller-1/continue":  "cannot give the caller back to the dialplan",
	} {
		t.Run(begins, func(t *testing.T) {
			b := startBench(t)
			leg := b.arrive(t, "caller-1").Leg
			b.refuse(begins, http.StatusInternalServerError, `{"message":"try later"}`)
			leg.Hangup(bridge.CauseOf(bridge.Busy))
			ended(t, leg, bridge.Busy)
			if log := b.log.String(); !strings.Contains(log, says) || !strings.Contains(log, "try later") {
				t.Error("the log does not say so")
			}
			if n := len(b.asked("DELETE /channels/caller-1")); n != 1 == strings.HasSuffix(begins, "continue") {
				t.Errorf("%d times hung up", n)
			}
		})
	}
}
