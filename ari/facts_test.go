package ari

import (
	"net/http"
	"strings"
	"testing"
)

// TestFacts: what routes may ask for comes from the arguments of Stasis() or from the channel, and the PBX's own facts
// cannot be forged by an argument.
func TestFacts(t *testing.T) {
	f := newFake(t)
	o := fakeOptions(f)
	o.Variables = []string{"TGTRUNK_ACCOUNT", "DEPARTMENT", "UNSET"}
	b := newBench(t, f, o)
	f.on("GET /channels/caller/variable", func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("variable") {
		case "TGTRUNK_ACCOUNT":
			reply(w, http.StatusOK, `{"value":"sales"}`)
		case "DEPARTMENT":
			reply(w, http.StatusOK, `{"value":"never asked"}`)
		default:
			reply(w, http.StatusNotFound, `{"message":"Provided variable was not found"}`)
		}
	})
	b.run(t)
	eventually(t, "connected", b.link.Connected)
	b.event(t, "StasisStart", "caller", `,"args":["5001","DEPARTMENT=support = all","PBX_CHANNEL=forged","a b=c","SHELL(x)=y","plain"]`)
	offer := <-b.offers
	for name, want := range map[string]string{
		"TGTRUNK_ACCOUNT": "sales", "DEPARTMENT": "support = all", "PBX_ARG6": "plain",
	} {
		if got := offer.Variables[name]; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"UNSET", "a b", "SHELL(x)", "plain"} {
		if value, ok := offer.Variables[name]; ok {
			t.Errorf("%s is %q", name, value)
		}
	}
	if offer.Variables["PBX_CHANNEL"] == "forged" {
		t.Error("an argument replaces what the PBX says")
	}
	if asked := strings.Join(f.asked("GET /channels/caller/variable"), "\n"); strings.Contains(asked, "DEPARTMENT") {
		t.Errorf("a variable that was given is asked for: %s", asked)
	}
}

func TestVariableOption(t *testing.T) {
	o := fakeOptions(newFake(t))
	o.Variables = []string{"SHELL(id)"}
	if _, err := New(o); err == nil || !strings.Contains(err.Error(), `variable "SHELL(id)"`) {
		t.Errorf("%v", err)
	}
}
