package esl

import (
	"strings"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/routing"
)

// parties is who is at the two ends of a leg.
type parties struct {
	shown  display       // on Telegram's side, as phones are to show it
	told   routing.Party // at the PBX, as the call was told last
	report bridge.Report // what the record is to know of the PBX's side
}

// display is what phones show of a party. FreeSWITCH tells it to those the media channel is bridged with, and to those a
// transfer lets it call.
type display struct{ name, number string }

// displayOf cleans what a stranger calls himself. mod_verto takes an empty name for that of the session's first leg.
func displayOf(name, number string) display {
	d := display{cleanText(name, maxNameBytes), cleanNumber(number)}
	orDefault(&d.number, "anonymous")
	orDefault(&d.name, d.number)
	return d
}

// nobody is the name FreeSWITCH gives to whom it calls, before the far end says one.
const nobody = "Outbound Call"

// meet notes, from an event of the party's channel, what the record is to know of it. The first channel counts: whom a
// transfer brings later is not who called or was called.
func (l *leg) meet(e event, called bool) {
	if l.who.report.CallID != "" {
		return
	}
	l.who.report.Channel, l.who.report.CallID = e.header["Channel-Name"], e.variable("sip_call_id")
	if !called {
		return // the offer has said who it is
	}
	number, name := e.header["Caller-Callee-ID-Number"], e.header["Caller-Callee-ID-Name"]
	if number == "" || number == l.who.shown.number {
		number, _, _ = strings.Cut(e.header["Caller-Destination-Number"], "@")
	}
	if name == nobody || name == l.who.shown.name || name == number {
		name = ""
	}
	l.who.report.Party = routing.Party{Number: cleanNumber(number), Name: cleanText(name, maxNameBytes)}
}

// meetOther is meet for the channel that an event names as the other one.
func (l *leg) meetOther(e event) {
	if l.who.report.CallID != "" || e.other == "" {
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
	if p.Number == "" || p == l.who.told {
		return
	}
	l.who.told = p
	if l.who.report.Party == (routing.Party{}) {
		l.who.report.Party = p
	}
	l.emit(bridge.Identified{Party: p})
}

// report is what the record is told of the leg.
func (l *leg) report() bridge.Report {
	r := l.who.report
	r.Kind, r.Said = bridge.FreeSWITCH, l.main.cause
	if r.Channel == "" {
		r.Channel = l.main.name
	}
	return r
}
