package esl

import (
	"errors"
	"fmt"

	"github.com/tgtrunk/tgtrunk/bridge"
)

// isCall reports whether a CHANNEL_PARK is that of a dialplan which hands the channel to us for a call.
func (l *leg) isCall(e event) bool {
	return e.inDialplan() && !e.heldBySocket() && e.variable(varApp) == l.link.opt.App
}

// enteredAgain: the dialplan has handed a channel of this leg to our socket. The party's own begins another call, and this
// one is over.
func (l *leg) enteredAgain(e event) {
	switch {
	case e.id == l.audio.channel:
		l.turnBack(e)
	case e.id != l.main.id: // it was given up meanwhile
	case l.state == up || l.state == parting:
		l.sentElsewhere()
	default:
		l.letBe()
		l.end(bridge.CauseOf(bridge.Cancelled), nil)
	}
}

// turnBack: the dialplan calls Telegram with the media channel, that is with the Telegram user of this leg: his call was
// forwarded there, or transferred by the phone he talked to. As the same channel cannot be a leg of two calls, a loopback
// channel takes the second one; it has the rate of this one.
func (l *leg) turnBack(e event) {
	extension, context := e.header["Caller-Destination-Number"], e.header["Caller-Context"]
	if !validExtension(extension) || !validContext(context) {
		l.end(bridge.CauseOf(bridge.NoRoute), errors.New("the dialplan calls telegram from an extension that cannot be dialled"))
		return
	}
	l.audio.parked = false
	v, ctx := l.link.verbs(), l.setup.ctx
	err := v.setVariables(ctx, l.audio.channel, map[string]string{varApp: "", "hangup_after_bridge": "true"})
	if err == nil {
		err = v.do(ctx, "uuid_transfer", l.audio.channel,
			"m:;:bridge:{loopback_bowout=false,loopback_bowout_on_execute=false}loopback/"+extension+"/"+context+"/XML", "inline")
	}
	switch {
	case err == nil:
		l.log.Info("call goes back into telegram, as another call")
	case !isGone(err):
		l.fail(bridge.Failure, fmt.Errorf("call back into telegram: %w", err))
	}
}
