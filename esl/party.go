package esl

import (
	"strings"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/routing"
)

// nobody is the name FreeSWITCH gives to whom it calls, before the far end says one.
const nobody = "Outbound Call"

// meet notes, from an event of the party's channel, what the record is to know of it. The first channel counts: whom a
// transfer brings later is not who called or was called.
func (l *leg) meet(e event, called bool) {
	if l.known.CallID != "" {
		return
	}
	l.known.Channel, l.known.CallID = e.header["Channel-Name"], e.variable("sip_call_id")
	if !called {
		return // the offer has said who it is
	}
	number, name := e.header["Caller-Callee-ID-Number"], e.header["Caller-Callee-ID-Name"]
	if number == "" || number == l.party.number {
		number, _, _ = strings.Cut(e.header["Caller-Destination-Number"], "@")
	}
	if name == nobody || name == l.party.name || name == number {
		name = ""
	}
	l.known.Party = routing.Party{Number: cleanNumber(number), Name: cleanText(name, maxNameBytes)}
}

// meetOther is meet for the channel that an event names as the other one.
func (l *leg) meetOther(e event) {
	if l.known.CallID != "" || e.other == "" {
		return
	}
	other, err := l.link.verbs().dump(l.setup.ctx, e.other)
	if err != nil {
		return // it has gone, or the connection has: the record does without
	}
	l.meet(other, true)
}

// identify tells who is at the other end: in the dialplan that is decided there. Of whom a transfer brings it tells too.
func (l *leg) identify(e event) {
	if e.name != "CHANNEL_BRIDGE" && e.name != "CHANNEL_ANSWER" {
		return
	}
	p := e.talksTo()
	if p.Number == "" || p == l.main.who {
		return
	}
	l.main.who = p
	if l.known.Party == (routing.Party{}) {
		l.known.Party = p
	}
	l.emit(bridge.Identified{Party: p})
}

// report is what the record is told of the leg.
func (l *leg) report() bridge.Report {
	r := l.known
	r.Kind, r.Said = bridge.FreeSWITCH, l.main.cause
	if r.Channel == "" {
		r.Channel = l.main.name
	}
	return r
}
