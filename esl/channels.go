package esl

import (
	"errors"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
)

// mainChannel is the channel of the party.
type mainChannel struct {
	id     string // "" before it exists and after it has gone
	name   string // as FreeSWITCH calls it
	codec  string // its read codec, as FreeSWITCH names it
	dials  string // dialplan context that its transfers go to
	cause  string // of its end
	parked bool   // it is parked, as it is when its media channel has gone
	took   int    // event.profile of the way on which it came to us
}

// event takes an event of the leg's channels, or of one that is bridged with its media channel.
func (l *leg) event(e event) {
	switch {
	case e.id == "":
	case e.id == l.main.id:
		l.mainEvent(e)
	case e.id == l.audio.channel:
		l.mediaEvent(e)
	case e.other == l.audio.channel:
		l.peerEvent(e)
	}
}

// mainEvent takes an event of the party's own channel.
func (l *leg) mainEvent(e event) {
	l.main.note(e)
	switch e.name {
	case "CHANNEL_PARK":
		if (l.state == up || l.state == parting) && l.main.movedOn(e) {
			l.sentElsewhere()
			return
		}
		l.main.parked = true
		if l.state == parting {
			l.reattach()
			return
		}
	case "CHANNEL_BRIDGE":
		l.main.parked, l.main.took = false, max(l.main.took, e.profile())
		if l.state == connecting && e.other == l.audio.channel {
			l.connected()
		}
	case "CHANNEL_HANGUP_COMPLETE":
		l.main.cause = e.header["Hangup-Cause"]
		if l.state == up || l.state == parting {
			l.mainGone()
			return
		}
	}
	l.peerEvent(e)
	l.role.event(e)
}

// movedOn reports whether a CHANNEL_PARK is the work of a dialplan that the channel was sent to since it came to us. The
// park with which it came may be told late.
func (m *mainChannel) movedOn(e event) bool {
	return e.inDialplan() && m.took != 0 && e.profile() > m.took
}

// sentElsewhere: somebody has sent the party to another extension, and that is over with us. The party is let be: it may
// wait there for somebody, or for us in another call.
func (l *leg) sentElsewhere() {
	l.takeMain()
	l.end(bridge.CauseOf(bridge.Normal), nil)
}

// note keeps what an event says of the channel.
func (m *mainChannel) note(e event) {
	if name := e.header["Channel-Name"]; name != "" {
		m.name = name
	}
	if m.took == 0 {
		m.took = e.profile()
	}
	if codec := e.header["Channel-Read-Codec-Name"]; codec != "" {
		m.codec = codec
	}
	dials := e.variable(varTransfer)
	if dials == "" {
		dials = e.header["Caller-Context"]
	}
	if validContext(dials) {
		m.dials = dials
	}
}

// mainGone: the party's channel has ended. If the media channel ends with it the call is over; if it lives on, the
// party was transferred and somebody else is at the other end.
func (l *leg) mainGone() {
	l.takeMain()
	if l.state == parting || l.audio.channel == "" {
		l.end(clearing(l.main.cause), nil)
		return
	}
	l.deadline.Reset(transferSettles)
}

// transferSettles is how long after the end of the party's channel the media channel's own end may come.
const transferSettles = 2 * time.Second

// peerEvent takes what a channel says that is in the call: the party's own, or the one a transfer has put there.
func (l *leg) peerEvent(e event) {
	switch e.name {
	case "DTMF":
		if digit := e.header["DTMF-Digit"]; len(digit) == 1 && isDigit(digit[0]) {
			l.emitUp(bridge.Digit{Digit: digit[0]})
		}
	case "CHANNEL_HOLD":
		l.emitUp(bridge.Held{On: true})
	case "CHANNEL_UNHOLD":
		l.emitUp(bridge.Held{On: false})
	}
}

// mediaEvent takes an event of the media channel.
func (l *leg) mediaEvent(e event) {
	switch e.name {
	case "CHANNEL_BRIDGE":
		if l.state == connecting && e.other == l.main.id {
			l.connected()
		}
	case "CHANNEL_PARK":
		// With the party gone nobody is left that it could be bridged with.
		if l.state == up && l.main.id == "" {
			l.end(clearing(l.main.cause), nil)
		}
	case "CHANNEL_HANGUP_COMPLETE":
		if l.main.cause == "" {
			l.main.cause = e.header["Hangup-Cause"]
		}
		l.mediaGone()
	}
}

// mediaGone: the media channel has ended. With the party's channel it is the end of the call; alone, it was lost with
// its WebSocket, or the party was sent elsewhere.
func (l *leg) mediaGone() {
	l.link.legs.Disown(l.audio.channel)
	l.audio.channel = ""
	switch {
	case l.state == connecting:
		l.fail(bridge.MediaFailed, errors.New("media channel was hung up from outside"))
	case l.main.id == "":
		l.end(clearing(l.main.cause), nil)
	default:
		l.state = parting
		l.deadline.Reset(partingSettles)
		l.reattach()
	}
}

// partingSettles is how long the reason may take to show why the media channel has ended.
const partingSettles = time.Second

// vanished ends the leg when something it needs has gone from FreeSWITCH without an event.
func (l *leg) vanished(id string) {
	switch id {
	case l.main.id:
		l.takeMain()
		if l.audio.channel != "" && l.state == up {
			l.deadline.Reset(transferSettles)
			return
		}
		l.end(bridge.CauseOf(bridge.Failure), ErrChannelGone)
	case l.audio.channel:
		l.mediaGone()
	}
}

// takeMain returns the leg's main channel and forgets it: the caller decides its fate.
func (l *leg) takeMain() string {
	id := l.main.id
	l.main.id = ""
	if id != "" {
		l.link.legs.Disown(id)
	}
	return id
}
