package telegram_test

import (
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/routing"
	"github.com/tgtrunk/tgtrunk/telegram/chat"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/phone"
)

// Whoever at the PBX has taken a person's call is whom a call-back is connected with: the last of them, after a restart,
// too, and as long as people may have that extension.
func TestCallBackToWhoTookTheCall(t *testing.T) {
	w, options := loginOnce(t)
	answering(t, chat.Options{
		CallBack:   chat.CallBack{Words: chat.Words{"en": {"call me"}}, Place: chat.Place{Extension: "600"}},
		Extensions: chat.Extensions{Allow: []routing.Range{{First: "200", Last: "299"}}},
		Limits:     chat.Limits{Calls: chat.Bucket{Count: 20, Per: time.Hour}, Messages: chat.Bucket{Count: 20, Per: time.Hour}},
	})(&options)
	o := w.run(newAccount(t, options))
	w.listening()
	p := w.phone(alice, phone.Behaviour{})
	talk := func(met ...routing.Party) {
		t.Helper()
		c := w.calls(p, phone.Behaviour{})
		l := o.offer().Leg
		for _, agent := range met {
			l.(bridge.Introducer).Introduce(agent)
		}
		l.Answer()
		up(t, l)
		c.Hangup()
		wantEnd(t, l, bridge.Normal)
		over(t, c)
		w.noCalls()
	}
	calledBack := func(extension string, met ...routing.Party) {
		t.Helper()
		w.writes(alice, "call me")
		offer := o.offer()
		if offer.Place.Extension != extension {
			t.Errorf("the call-back goes to %q, want %q", offer.Place.Extension, extension)
		}
		up(t, offer.Leg)
		for _, agent := range met {
			offer.Leg.(bridge.Introducer).Introduce(agent)
		}
		offer.Leg.Answer()
		offer.Leg.Hangup(bridge.CauseOf(bridge.Normal))
		end(t, offer.Leg)
		w.noCalls()
	}
	talk() // the PBX does not say who it was
	calledBack("600")
	talk(routing.Party{Number: "201", Name: "Anna"}, routing.Party{Number: "202", Name: "Bea"})
	o.stop()
	o = w.run(newAccount(t, options))
	calledBack("202", routing.Party{Number: "203"}) // whose colleague has taken it
	talk(routing.Party{Number: "+4930123456"})      // outside: nobody gets that by message
	calledBack("203")

	// Nobody has taken this one, though one was rung.
	c := w.calls(p, phone.Behaviour{})
	l := o.offer().Leg
	l.(bridge.Introducer).Introduce(routing.Party{Number: "299"})
	c.Hangup()
	end(t, l)
	w.noCalls()
	calledBack("203")

	// In a call from the PBX who has come in the place of the one who began it counts.
	l = o.Dial(t.Context(), routing.Target{Trunk: "office", Number: byName("alice_a"), Caller: routing.Party{Number: "201", Name: "Anna"}})
	up(t, l)
	l.(bridge.Introducer).Introduce(routing.Party{Number: "204", Name: "Dora"})
	l.Hangup(bridge.CauseOf(bridge.Normal))
	end(t, l)
	w.noCalls()
	calledBack("204")
	const to = "We are calling you to connect you with "
	w.wantAnswers(alice, "We are calling you.", to+"Bea.", "We are calling you.", "We are calling you.", to+"Dora.")
}
