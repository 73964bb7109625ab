package esl

import (
	"context"
	"errors"
	"fmt"
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
	placed bool   // we have dialled it
	parked bool   // it is parked, as it is when its media channel has gone
	took   int    // event.profile of the way on which it came to us

	bridged bool // with the media channel
	joined  bool // has been, once
}

// event takes an event of the leg's channels, or of one that is bridged with its media channel.
func (l *leg) event(e event) {
	switch {
	case e.id == "":
	case e.id == l.main.id:
		l.mainEvent(e)
	case e.id == l.audio.channel:
		l.role.mediaEvent(e)
	case e.other != "" && e.other == l.audio.channel:
		l.role.peerEvent(e)
	case e.half != "" && e.half == l.main.id:
		l.identify(e)
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
		if l.state == up && e.inDialplan() {
			return // the park with which it came, told late
		}
		l.main.parked = true
		if l.state == up {
			l.deadline.Reset(partingSettles) // the media channel's end follows, or that was sent away
			return
		}
		if l.state == parting {
			l.reattach()
			return
		}
	case "CHANNEL_BRIDGE":
		l.main.parked, l.main.took = false, max(l.main.took, e.profile())
		l.main.bridged = e.other == l.audio.channel && e.other != ""
		l.audio.parked = l.audio.parked && !l.main.bridged
		if l.state == connecting && l.main.bridged {
			l.connected()
		}
		l.meet(e, l.main.placed)
	case "CHANNEL_UNBRIDGE":
		l.main.bridged = false
	case "CHANNEL_HANGUP_COMPLETE":
		l.main.cause = e.header["Hangup-Cause"]
		if l.state == up || l.state == parting {
			l.mainGone()
			return
		}
	}
	if l.main.bridged {
		l.peerEvent(e)
	}
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
	l.letBe()
	l.end(bridge.CauseOf(bridge.Normal), nil)
}

// letBe gives up the party's channel, which lives on without us.
func (l *leg) letBe() {
	if l.main.id == "" {
		return
	}
	if err := l.link.setFree(l.setup.ctx, l.main.id); err != nil {
		l.log.Warn("cannot undo what was set on a channel", "error", err)
	}
	l.takeMain() // only now may another leg have it
}

// leftBehind: the party has parked and the media channel lives on: somebody has sent that one to another party. Who
// is left would wait for nobody, and is hung up as behind a transfer by a phone.
func (l *leg) leftBehind() {
	v, ctx := l.link.verbs(), l.setup.ctx
	now, err := v.dump(ctx, l.main.id)
	if err != nil || now.header["Channel-State"] != "CS_PARK" {
		return // it is gone, or bridged again
	}
	l.log.Info("call was transferred, going on with another party")
	id := l.takeMain()
	if err := v.kill(ctx, id, "NORMAL_CLEARING"); err != nil {
		l.link.condemn(id)
		l.log.Warn("cannot hang up who transferred the call", "error", err)
	}
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
	switch {
	case dials != "":
	case m.placed: // the context of a channel that is dialled from outside any dialplan is "default", whoever it is
		dials = e.variable("user_context")
	default:
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
	if l.state == parting || l.audio.channel == "" || l.state == up && l.audio.parked {
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
		l.audio.parked = false
		if e.other == l.main.id && e.other != "" {
			l.main.bridged = true
			if l.state == connecting {
				l.connected()
			}
		}
	case "CHANNEL_UNBRIDGE":
		l.main.bridged = false
	case "CHANNEL_PARK":
		switch {
		case e.heldBySocket():
			return // our own says so itself, and in that of others it is not alone
		case l.state == up && l.isCall(e):
			l.turnBack(e)
			return
		}
		// With the party gone nobody is left that it could be bridged with. Its end may be told a moment later.
		if l.state == up && l.main.id == "" {
			l.end(clearing(l.main.cause), nil)
			return
		}
		if l.audio.took == 0 {
			l.audio.took = e.profile() // the park with which it came
		}
		l.audio.parked = e.profile() > l.audio.took
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

// parted: the media channel has gone alone. A party who is not parked was sent elsewhere.
func (l *leg) parted() {
	if l.main.parked {
		l.end(bridge.CauseOf(bridge.MediaFailed), errors.New("media channel was hung up from outside"))
		return
	}
	l.sentElsewhere()
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

// varFree marks a channel of ours that others have taken over: it is in no call of ours any more, and is left alone.
const varFree = "tgtrunk_free"

// sentOn reports whether the party's channel and the media channel were both sent elsewhere, each for itself, as into a
// conference: then the party does not end with us.
func (l *leg) sentOn(ctx context.Context) bool {
	if l.main.id == "" || !l.main.joined || l.main.bridged || l.main.parked || l.audio.channel == "" {
		return false
	}
	// With the media channel gone the party is about to park.
	there, err := l.link.verbs().api(ctx, "uuid_exists", l.audio.channel)
	return err == nil && there == "true"
}

// setFree gives the party's channel up: what we had asked of it is taken back.
func (l *Link) setFree(ctx context.Context, id string) error {
	err := l.verbs().setVariables(ctx, id, map[string]string{varFree: "true", varTaken: "", varHeldEnds: "", "park_after_bridge": "", "park_timeout": ""})
	if err == nil || isGone(err) {
		return nil
	}
	return fmt.Errorf("give a channel up that was sent elsewhere: %w", err)
}

// isFree reports whether a channel that carries our mark was given up, or may have been.
func (l *Link) isFree(ctx context.Context, id string) bool {
	free, err := l.verbs().variable(ctx, id, varFree)
	return free == "true" || err != nil && !isGone(err)
}
