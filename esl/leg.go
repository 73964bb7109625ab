package esl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/bridge/pbx"
	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/routing"
)

// state is where a leg stands.
type state uint8

const (
	waiting    state = iota // offered, or being dialled
	connecting              // answered or to be answered: the media channel is being opened and bridged
	up                      // audio flows
	parting                 // audio has ended, and what that means will be seen in a moment
	over                    // has ended; nothing counts any more
)

// leg is our half of one call: a channel of FreeSWITCH and the media channel it is bridged with. The call lasts as long
// as the media channel: the phone's channel may be replaced by a transfer. One goroutine (run) owns everything below the
// line.
type leg struct {
	id    string
	link  *Link
	inbox *pbx.Inbox
	out   pbx.Outbox
	setup scope // of commands that build the call up; ends with the first Hangup

	// ——— run's
	log      *slog.Logger
	role     role
	state    state
	main     mainChannel
	party    routing.Party // who has answered behind a loopback channel, or has come in their place
	audio    audio
	deadline *time.Timer // of the state; role or connect sets it
	ended    bridge.Ended
}

// mainChannel is the channel of the party.
type mainChannel struct {
	id     string // "" before it exists and after it has gone
	name   string // as FreeSWITCH calls it
	codec  string // its read codec, as FreeSWITCH names it
	dials  string // dialplan context that its transfers go to
	cause  string // of its end
	parked bool   // it is parked, as it is when its media channel has gone
}

// scope is a stretch of work that can be cut short from another goroutine.
type scope struct {
	ctx context.Context
	end context.CancelFunc
}

func newScope(parent context.Context) (s scope) {
	s.ctx, s.end = context.WithCancel(parent)
	return s
}

// role is what differs between an inbound and an outbound leg. Its methods run in the leg's goroutine.
type role interface {
	begin()                            // the first thing the leg does
	order(item any)                    // Ring, Answer, the end of a job
	event(e event)                     // an event of the main channel
	join(ctx context.Context) error    // the media channel is there: what is left before both are bridged
	expired()                          // the deadline has passed before audio was up
	release(ctx context.Context) error // the call is over: what becomes of the main channel, if it is still there
}

func (l *Link) newLeg(ctx context.Context, direction string) *leg {
	leg := &leg{id: l.ids.next(), link: l, inbox: pbx.NewInbox(), out: pbx.NewOutbox(), setup: newScope(ctx)}
	leg.log = l.opt.Log.With("leg", leg.id, "direction", direction)
	leg.deadline = time.NewTimer(time.Hour)
	leg.deadline.Stop()
	return leg
}

// ID is the prefix of the uuids of everything the leg creates in FreeSWITCH.
func (l *leg) ID() string { return l.id }

// Events delivers what happens to the leg.
func (l *leg) Events() <-chan bridge.Event { return l.out.Events() }

// Ring tells the caller of an inbound leg that the far end rings.
func (l *leg) Ring() { l.inbox.Put(ringOrder{}) }

// Answer answers an inbound leg, once its audio can flow.
func (l *leg) Answer() { l.inbox.Put(answerOrder{}) }

// SendDigit plays a DTMF digit to whoever the leg is bridged with, if audio is up.
func (l *leg) SendDigit(digit byte) { l.inbox.Put(digitOrder{digit}) }

// Hangup ends the leg. Setting up stops at once, in the middle of a command.
func (l *leg) Hangup(c bridge.Cause) {
	l.inbox.Put(hangupOrder{c})
	l.setup.end()
}

// run works the leg off until it has ended and nothing of it is left in FreeSWITCH, or FreeSWITCH does not answer.
func (l *leg) run(ctx context.Context) {
	defer l.link.legs.Remove(l)
	defer l.setup.end()
	defer l.deadline.Stop()
	l.role.begin()
	done := ctx.Done()
	for l.state != over {
		select {
		case <-l.inbox.Ready():
			l.workOff()
		case <-l.deadline.C:
			l.expired()
		case <-done:
			l.end(l.closingCause(closingOrder{reason: bridge.Cancelled}), nil)
		}
	}
	l.finish()
}

// closingCause is the cause of a leg that our side ends without an order of its call.
func (l *leg) closingCause(c closingOrder) bridge.Cause {
	if l.state == up && c.err == nil {
		return bridge.CauseOf(bridge.Normal)
	}
	return bridge.CauseOf(c.reason)
}

func (l *leg) workOff() {
	for l.state != over {
		item, ok := l.inbox.Take()
		if !ok {
			return
		}
		switch item := item.(type) {
		case hangupOrder:
			l.end(item.cause, nil)
		case closingOrder:
			l.end(l.closingCause(item), item.err)
		case digitOrder:
			l.sendDigit(item.digit)
		case vanished:
			l.vanished(item.id)
		case audioLost:
			l.audioLost(item)
		case event:
			l.event(item)
		default:
			l.role.order(item)
		}
	}
}

// end notes why the leg ends; the first reason counts.
func (l *leg) end(c bridge.Cause, err error) {
	if l.state == over {
		return
	}
	l.state, l.ended = over, bridge.Ended{Cause: c, Err: err}
}

// fail ends the leg because something that should work did not.
func (l *leg) fail(r bridge.Reason, err error) {
	// A command that was cut off by Hangup is no failure: the order is in the inbox and says why.
	if l.setup.ctx.Err() != nil {
		return
	}
	l.end(bridge.CauseOf(r), err)
}

// finish takes the leg out of FreeSWITCH and tells its call that it is over. It is bounded by one request timeout; what
// could not be removed in that time is condemned, and found by the next sweeps.
func (l *leg) finish() {
	ctx, cancel := context.WithTimeout(context.Background(), l.link.opt.RequestTimeout)
	defer cancel()
	if err := errors.Join(l.role.release(ctx), l.audio.release(ctx, l)); err != nil {
		l.log.Warn("leg is not cleanly gone from freeswitch, the next sweep will look again", "error", err)
	}
	attrs := []any{"cause", l.ended.Cause.String()}
	if l.ended.Err != nil {
		attrs = append(attrs, "error", l.ended.Err)
	}
	l.log.Debug("leg ended", attrs...)
	l.ended.Report = bridge.Report{Kind: bridge.FreeSWITCH, Channel: l.main.name, Party: l.party, Said: l.main.cause}
	l.out.End(l.ended)
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
	case e.half == l.main.id:
		l.identify(e)
	}
}

// mainEvent takes an event of the party's own channel.
func (l *leg) mainEvent(e event) {
	l.main.note(e)
	switch e.name {
	case "CHANNEL_PARK":
		l.main.parked = true
		if l.state == parting {
			l.reattach()
			return
		}
	case "CHANNEL_BRIDGE":
		l.main.parked = false
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

// identify tells who is at the other end: behind a loopback channel the dialplan has decided that.
func (l *leg) identify(e event) {
	if e.name != "CHANNEL_BRIDGE" && e.name != "CHANNEL_ANSWER" {
		return
	}
	if p := e.talksTo(); p.Number != "" && p != l.party {
		l.party = p
		l.emit(bridge.Identified{Party: p})
	}
}

// note keeps what an event says of the channel.
func (m *mainChannel) note(e event) {
	if name := e.header["Channel-Name"]; name != "" {
		m.name = name
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

// audioLost: the way for audio has broken down, and the media channel with it. Its own event may be lost, or be late.
func (l *leg) audioLost(lost audioLost) {
	if l.audio.channel == "" || l.audio.channel == lost.channel || lost.channel == "" {
		l.audio.broken = true
	}
	switch {
	case lost.channel != "" && l.audio.channel == lost.channel && (l.state == up || l.state == connecting):
		l.mediaGone()
	case l.state == parting:
		l.reattach()
	}
}

// reattach gives a party that is parked, because its media channel was lost, another one.
func (l *leg) reattach() {
	if l.state != parting || !l.main.parked || !l.audio.broken {
		return
	}
	l.log.Warn("way for audio was lost, attaching again")
	if l.audio.flow != nil {
		_ = l.audio.flow.Close()
	}
	l.audio.broken = false
	l.prepare()
}

// expired: the deadline of the state has passed.
func (l *leg) expired() {
	switch l.state {
	case up:
		if l.main.id == "" {
			l.log.Info("call was transferred, going on with another party")
		}
	case parting:
		if l.main.parked {
			l.end(bridge.CauseOf(bridge.MediaFailed), errors.New("media channel was hung up from outside"))
			return
		}
		l.takeMain() // it was sent elsewhere, and is not ours any more
		l.end(bridge.CauseOf(bridge.Normal), nil)
	default:
		l.role.expired()
	}
}

func isDigit(d byte) bool {
	return d >= '0' && d <= '9' || d >= 'A' && d <= 'D' || d == '*' || d == '#'
}

// sendDigit lets a digit arrive on the media channel, which FreeSWITCH carries to whoever that is bridged with.
func (l *leg) sendDigit(digit byte) {
	if l.state != up || !isDigit(digit) {
		return
	}
	if err := l.link.verbs().receiveDigit(l.setup.ctx, l.audio.channel, digit); err != nil {
		l.log.Warn("cannot send a digit", "error", err)
	}
}

// emit tells the call what happened.
func (l *leg) emit(e bridge.Event) {
	if !l.out.Put(e) {
		l.log.Warn("nobody reads the events of this leg, one was dropped", "event", fmt.Sprintf("%T", e))
	}
}

func (l *leg) emitUp(e bridge.Event) {
	if l.state == up {
		l.emit(e)
	}
}

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

// audio is how a leg's sound gets in and out of FreeSWITCH: a media channel that is bridged with the main channel. Owned
// by the leg's goroutine; the uuid is set before the channel is asked for.
type audio struct {
	channel string // of the media channel, "" before it exists and after it has gone
	count   int    // of the media channels there were
	broken  bool   // the way for audio broke down
	flow    media.Flow
}

// prepare opens the media channel and bridges it with the main one. CHANNEL_BRIDGE tells when both hear each other.
func (l *leg) prepare() {
	l.state = connecting
	l.deadline.Reset(2 * l.link.opt.RequestTimeout)
	if err := l.openAudio(); err != nil {
		if isGone(err) {
			return // its event is on the way and says why; the deadline runs
		}
		l.fail(bridge.MediaFailed, fmt.Errorf("set up audio: %w", err))
	}
}

func (l *leg) openAudio() error {
	ctx, cancel := context.WithTimeout(l.setup.ctx, 2*l.link.opt.RequestTimeout)
	defer cancel()
	way, err := l.link.way(ctx)
	if err != nil {
		return err
	}
	l.audio.count++
	l.audio.channel = fmt.Sprintf("%s-media%d", l.id, l.audio.count)
	l.link.legs.Own(l.audio.channel, l)
	if l.audio.flow, err = way.open(ctx, l.audio.channel, l.link.opt.Media.wanted(l.main.codec)); err != nil {
		return err
	}
	l.link.legs.Confirm(l.audio.channel, l)
	if err := l.role.join(ctx); err != nil {
		return err
	}
	return l.bridge(ctx)
}

// varTransfer is the context in which a transfer looks for its target, whatever the transferred channel's own is.
const varTransfer = "force_transfer_context"

// bridge joins the main channel and the media channel.
func (l *leg) bridge(ctx context.Context) error {
	dials := l.main.dials
	if dials == "" {
		dials = l.link.opt.Context
	}
	v := l.link.verbs()
	// A party who transfers the call leaves the media channel to run the target, in whose own context there is none.
	if err := v.setVariables(ctx, l.audio.channel, map[string]string{varTransfer: dials, "TGTRUNK_LEG": l.id}); err != nil {
		return err
	}
	// A main channel whose media channel is lost parks, for a while: without us it would wait for ever.
	if err := v.setVariables(ctx, l.main.id, map[string]string{
		"park_after_bridge": "true", "park_timeout": orphanTimeout, varApp: "", varTransfer: dials,
	}); err != nil {
		return err
	}
	return v.bridge(ctx, l.main.id, l.audio.channel)
}

// orphanTimeout is how long FreeSWITCH keeps a party of ours that nobody looks after, and what it says then.
const orphanTimeout = "30:NORMAL_TEMPORARY_FAILURE"

// connected: both channels are bridged.
func (l *leg) connected() {
	l.deadline.Stop()
	l.state = up
	l.main.parked = false
	l.log.Debug("leg is up", "audio", l.audio.flow.Format().Codec.String())
	if l.audio.count == 1 {
		l.emit(bridge.Answered{})
	}
	l.emit(bridge.Media{Flow: l.audio.flow})
}

// release removes the media channel from FreeSWITCH.
func (a *audio) release(ctx context.Context, l *leg) error {
	var errs []error
	if a.flow != nil {
		errs = append(errs, a.flow.Close())
	}
	if a.channel != "" {
		errs = append(errs, l.link.removeMedia(ctx, a.channel))
	}
	return errors.Join(errs...)
}
