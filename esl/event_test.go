package esl

import (
	"testing"

	"github.com/tgtrunk/tgtrunk/routing"
)

// Headers as FreeSWITCH 1.10.12 sends them of the half of a loopback channel that runs the dialplan.
func TestTalksTo(t *testing.T) {
	for name, c := range map[string]struct {
		header map[string]string
		want   routing.Party
	}{
		"who was called": {map[string]string{"Other-Leg-Direction": "outbound", "Other-Leg-Caller-ID-Number": "*5000201",
			"Other-Leg-Callee-ID-Number": "201", "Other-Leg-Callee-ID-Name": "Anna\n${x}"}, routing.Party{Number: "201", Name: "Anna x"}},
		"who called": {map[string]string{"Other-Leg-Direction": "inbound", "Other-Leg-Caller-ID-Number": "202",
			"Other-Leg-Caller-ID-Name": "Bea", "Other-Leg-Callee-ID-Number": "201"}, routing.Party{Number: "202", Name: "Bea"}},
		"without a name":  {map[string]string{"Other-Leg-Callee-ID-Number": "201", "Other-Leg-Callee-ID-Name": "Outbound Call"}, routing.Party{Number: "201"}},
		"early media":     {map[string]string{"Other-Leg-Callee-ID-Number": "201", "Answer-State": "early"}, routing.Party{}},
		"bridged no more": {map[string]string{"Other-Leg-Callee-ID-Number": "201", "Other-Leg-Unique-ID": ""}, routing.Party{}},
	} {
		header := map[string]string{"Event-Name": "CHANNEL_BRIDGE", "Answer-State": "answered", "Other-Leg-Unique-ID": "x"}
		for key, value := range c.header {
			header[key] = value
		}
		if got := newEvent(header).talksTo(); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
