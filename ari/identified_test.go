package ari

import (
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/routing"
)

// Behind a Local channel who answers the dialplan's Dial() is named, and then whoever the connected line names: once each,
// never the caller, and nobody while it rings.
func TestWhoAnswersIsNamed(t *testing.T) {
	b := startBench(t)
	leg := b.link.Dial(t.Context(), routing.Target{Extension: "600", Caller: routing.Party{Number: "*5000201", Name: "Alice"}})
	out, far := leg.ID()+"-out", leg.ID()+"-far"
	b.waitAsked(t, "POST /channels", 1)
	channel := func(id, caller, line string) string {
		return `{"id":"` + id + `","name":"x/` + id + `","state":"Up","caller":` + caller + `,"connected":` + line +
			`,"creationtime":"2026-11-22T00:00:16.340+0000","dialplan":{"context":"in","exten":"600","priority":1}}`
	}
	const nobody, caller = `{"name":"","number":""}`, `{"name":"Alice","number":"*5000201"}`
	agent := func(number, name string) string { return `{"name":"` + name + `","number":"` + number + `"}` }
	line := func(who string) {
		b.send(t, `{"type":"ChannelConnectedLine","application":"tgtrunk","timestamp":"2026-11-22T00:00:16.340+0000","channel":`+channel(far, caller, who)+`}`)
	}
	dial := func(status, peer, who string) {
		b.send(t, `{"type":"Dial","application":"tgtrunk","timestamp":"2026-11-22T00:00:16.340+0000","dialstatus":"`+status+
			`","caller":`+channel(far, caller, nobody)+`,"peer":`+channel(peer, who, caller)+`}`)
	}
	// Two are rung, the second answers, who transfers the call to 204; that one to an extension whose phone has no number.
	line(agent("201", "Anna"))
	dial("", "a", agent("201", "Anna"))
	dial("", "b", agent("202", "Bea"))
	dial("ANSWER", "b", agent("202", "Bea\\nB"))
	dial("CANCEL", "a", agent("201", "Anna"))
	b.send(t, `{"type":"StasisStart","application":"tgtrunk","timestamp":"2026-11-22T00:00:16.340+0000","args":[],"channel":`+channel(out, nobody, caller)+`}`)
	b.waitAsked(t, "POST /channels/externalMedia", 1)
	line(agent("202", "Bea\\nB"))
	line(nobody)
	line(agent("204", ""))
	dial("", "c", nobody)
	line(agent("205", ""))
	dial("RINGING", "c", nobody)
	line(caller)
	line(agent("206", ""))
	dial("ANSWER", "c", nobody)
	want := []routing.Party{{Number: "202", Name: "Bea B"}, {Number: "204"}, {Number: "206"}}
	for i := 0; i < len(want); {
		select {
		case e := <-leg.Events():
			if e, ok := e.(bridge.Identified); ok {
				if e.Party != want[i] {
					t.Errorf("named is %+v, want %+v", e.Party, want[i])
				}
				i++
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%+v is not named", want[i])
		}
	}
	leg.Hangup(bridge.CauseOf(bridge.Normal))
	if r := ended(t, leg, bridge.Normal).Report; r.Party.Number != "206" {
		t.Errorf("the report names %+v", r.Party)
	}
}
