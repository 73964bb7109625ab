package esl

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/media"
)

// direct is a call into the dialplan whose media channel enters it itself, as any caller's does: no loopback channel
// stands between, so audio keeps its rate. The leg has no main channel, only the media one. It is parked by an extension
// that does not answer, gets its variables, and is transferred to where the route says; what the dialplan makes of it,
// mod_verto tells.
type direct struct {
	called
	at      place
	session *vertoSession
	format  media.Format
	parked  bool // it has reached the extension that parks, and was sent on
	heard   bool // mod_verto has said that it is over
	wasUp   bool // it was answered
}

// place is where a call enters the dialplan.
type place struct{ extension, context string }

// enter returns the role that calls into the dialplan without loopback; nil where that cannot be. A target that is no
// place in the dialplan is left to outbound, which says what is wrong with it.
func (out *outbound) enter() *direct {
	at := place{out.target.Extension, out.target.Context}
	orDefault(&at.context, out.link.opt.Context)
	if !validExtension(at.extension) || !validContext(at.context) || !out.link.Connected() {
		return nil
	}
	ctx, cancel := context.WithTimeout(out.setup.ctx, out.link.opt.RequestTimeout)
	defer cancel()
	way, err := out.link.way(ctx)
	if err != nil {
		return nil // it is known when the party answers, if not before
	}
	verto, can := way.(vertoWay)
	if !can {
		return nil
	}
	session, err := out.link.awaitVerto(ctx)
	if err != nil {
		return nil
	}
	return &direct{called: out.called, at: at, session: session, format: verto.base}
}

func (d *direct) begin() {
	d.deadline.Reset(2 * d.link.opt.RequestTimeout) // to reach the extension that parks
	d.audio.count = 1
	d.audio.channel = d.call()
	d.link.legs.Own(d.audio.channel, d.leg)
	here, err := d.link.advertised(d.setup.ctx)
	if err == nil {
		err = d.session.call(d.setup.ctx, invitation{
			call: d.audio.channel, extension: d.link.opt.Verto.DialExtension, sdp: offerSDP(here, d.format), caller: d.who.shown,
		}, func(m vertoMessage) { d.inbox.Put(vertoSaid{m}) })
	}
	if err != nil {
		d.fail(bridge.AccountDown, fmt.Errorf("dial: %w", err))
		return
	}
	d.link.legs.Confirm(d.audio.channel, d.leg)
	d.log.Debug("dialling", "technology", "verto")
}

// proceed sends the parked channel into the dialplan, with all that it is to know.
func (d *direct) proceed() {
	d.parked = true
	d.deadline.Reset(d.limit())
	set := d.variables()
	maps.Copy(set, map[string]string{
		varTransfer: d.at.context,
		// Those of mod_verto's user, in the place of FreeSWITCH's own.
		"user_name": "", "domain_name": "", "user_context": "",
	})
	v := d.link.verbs()
	err := v.setVariables(d.setup.ctx, d.audio.channel, set)
	if err == nil {
		err = v.do(d.setup.ctx, "uuid_transfer", d.audio.channel, d.at.extension, "XML", d.at.context)
	}
	if err != nil && !isGone(err) {
		d.fail(bridge.Failure, fmt.Errorf("enter the dialplan: %w", err))
	}
}

// mediaEvent takes an event of the channel.
func (d *direct) mediaEvent(e event) {
	d.main.note(e)
	switch e.name {
	case "CHANNEL_PARK":
		switch {
		case !d.parked:
			d.proceed()
		case d.isCall(e):
			d.turnBack(e)
		}
	case "CHANNEL_PROGRESS": // of early media verto.media tells; that event comes with an answer too
		d.ringing()
	case "CHANNEL_BRIDGE":
		d.meetOther(e)
		d.identify(e)
	case "CHANNEL_HANGUP_COMPLETE":
		d.main.cause = e.header["Hangup-Cause"]
		// FreeSWITCH lets a dialplan go on after a call that nobody answered; where that has no more to say, it ends in order.
		if failed := e.variable("originate_disposition"); d.state == waiting && d.main.cause == "NORMAL_CLEARING" && failed != "" {
			d.main.cause = failed
		}
		d.disown()
		d.over()
	}
}

// peerEvent takes what a channel says that the dialplan has called: its ringing may be passed over by its answer.
func (d *direct) peerEvent(e event) {
	switch e.name {
	case "CHANNEL_PROGRESS", "CHANNEL_PROGRESS_MEDIA":
		d.ringing()
	default:
		d.leg.peerEvent(e)
	}
}

func (d *direct) order(item any) {
	said, ok := item.(vertoSaid)
	if !ok {
		return // nobody rings or answers towards the party we call
	}
	switch m := said.message; m.Method {
	case "verto.media":
		d.ringing()
		d.early(m.Params.SDP)
	case "verto.answer":
		d.answered(m.Params.SDP)
	case "verto.bye":
		d.heard = true
		if d.main.cause == "" {
			d.main.cause = m.Params.Cause
		}
		d.over()
	}
}

// early opens the sound of a call that has early media: nobody listens yet, but what arrives has a place.
func (d *direct) early(sdp string) {
	if d.state != waiting || d.audio.flow != nil {
		return
	}
	flow, err := d.link.openFlow(sdp, d.format)
	if err != nil {
		d.fail(bridge.MediaFailed, fmt.Errorf("set up audio: %w", err))
		return
	}
	d.audio.flow = flow
}

// answered: the dialplan, or whom it has called, has answered. Audio flows from now on.
func (d *direct) answered(sdp string) {
	if d.state != waiting {
		return
	}
	if d.early(sdp); d.audio.flow == nil {
		return // it has failed
	}
	d.deadline.Stop()
	d.state, d.wasUp = up, true
	d.log.Debug("leg is up", "audio", d.audio.flow.Format().Codec.String())
	d.emit(bridge.Answered{})
	d.emit(bridge.Media{Flow: d.audio.flow})
}

// over: the channel has ended, by its event or by mod_verto's word. In a call that is up the event alone may mean that
// the WebSocket was lost, and the word alone comes while the event socket is down: the other follows, or does not.
func (d *direct) over() {
	gone := d.audio.channel == ""
	switch {
	case gone && d.state == waiting && !d.parked && strings.Contains(d.main.cause, "ROUTE"):
		d.fallBack()
	case gone && d.state == waiting:
		d.end(failedDial(d.main.cause), nil)
	case d.state == waiting:
		d.deadline.Reset(partingSettles)
	case gone && d.heard:
		d.end(clearing(d.main.cause), nil)
	default:
		d.state = parting
		d.deadline.Reset(partingSettles)
	}
}

// parted: of the channel's event and mod_verto's word only one has come.
func (d *direct) parted() { d.end(clearing(d.main.cause), nil) }

// fallBack dials as it is done without the extension that parks.
func (d *direct) fallBack() {
	d.link.ways.sayNarrow(d.link.opt)
	d.session.forget(d.call())
	d.main = mainChannel{}
	out := &outbound{called: d.called}
	d.role = out
	out.originate()
}

// call is the uuid of the channel, also when that is gone.
func (d *direct) call() string { return d.id + "-media1" }

// disown forgets the channel, which is gone.
func (d *direct) disown() {
	d.link.legs.Disown(d.audio.channel)
	d.audio.channel = ""
}

// vanished ends the leg: its channel has gone without an event.
func (d *direct) vanished(id string) {
	if id != d.audio.channel || id == "" {
		return
	}
	d.disown()
	if d.state == waiting {
		d.end(bridge.CauseOf(bridge.Failure), ErrChannelGone)
		return
	}
	d.end(clearing(d.main.cause), nil)
}

// audioLost ends the leg: FreeSWITCH ends the channels of a WebSocket with it. The leg may have been placed over the next.
func (d *direct) audioLost(lost audioLost) {
	if lost.session != d.session {
		return
	}
	d.end(bridge.CauseOf(bridge.MediaFailed), errVertoLost)
}

func (d *direct) event(event) {} // there is no main channel

func (d *direct) join(context.Context) error { return nil }

func (d *direct) expired() {
	switch {
	case d.heard:
		d.end(failedDial(d.main.cause), nil)
	case d.parked:
		d.end(bridge.CauseOf(bridge.NoAnswer), nil)
	default:
		d.end(bridge.CauseOf(bridge.Failure), fmt.Errorf("extension %s does not park", d.link.opt.Verto.DialExtension))
	}
}

// release hangs up: what the dialplan rings is cancelled by that.
func (d *direct) release(ctx context.Context) error {
	defer d.session.forget(d.call())
	if d.audio.channel == "" {
		return nil
	}
	if !d.parked {
		// The WebSocket keeps the order: should the invitation still be on its way, this comes after it.
		_ = d.session.bye(ctx, d.audio.channel)
	}
	if !d.wasUp {
		d.tellElsewhere(ctx, d.audio.channel)
	}
	if err := d.link.verbs().kill(ctx, d.audio.channel, d.farewell(d.wasUp)); err != nil {
		return err // what remains is tried the other way
	}
	d.disown()
	return nil
}
