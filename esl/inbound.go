package esl

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/routing"
)

// The variables by which the dialplan hands us a call. They are FreeSWITCH's side of Asterisk's Stasis(app,dialled).
const (
	varApp      = "tgtrunk_app"      // names the link that the parked channel is for
	varDialled  = "tgtrunk_dialled"  // what to call; without it the extension that was dialled
	varFailed   = "tgtrunk_failed"   // "extension [dialplan [context]]" to go on with when the call does not come about
	varPassword = "tgtrunk_password" // for calls that come over our socket
	varHangup   = "tgtrunk_hangup"   // set by us: FreeSWITCH's name of the cause, for the hangup application
	varSIP      = "tgtrunk_sip"      // set by us: what varResponse is to be, for a dialplan that hangs up
)

// varResponse overrides the SIP code that mod_sofia makes of a hang-up cause. It is set only where the next thing is the
// hang-up: left on a channel that goes on, it would give the code of whatever comes to fail later.
const varResponse = "last_bridge_proto_specific_hangup_cause"

// inbound is a channel that the dialplan parked for us, or sent to our socket.
type inbound struct {
	*leg
	start    event // its CHANNEL_PARK, or what the socket said of it
	accept   func(bridge.Offer)
	rang     bool
	answered bool // we answered it, or tried to
	settling bool // parked anew and not heard of since: it is offered when it is
	gone     bool // the socket application let it go: it hangs up, or runs the dialplan's next action
}

// waitingTimeout is how long FreeSWITCH keeps a caller we have taken, longer than any party may ring: only for the case
// that this process ends without a word.
const waitingTimeout = "300:NORMAL_TEMPORARY_FAILURE"

// parkSettles is how long the event of a park may take. A channel that is sent on before its park has begun parks all the
// same (switch_ivr_park sets the state once more), and nothing would ever be heard of the transfer.
const parkSettles = 2 * time.Second

func (in *inbound) begin() {
	in.main.note(in.start)
	in.main.parked = true
	if err := in.take(); err != nil {
		if isGone(err) {
			in.end(bridge.CauseOf(bridge.Cancelled), nil) // the caller gave up that moment
			return
		}
		in.fail(bridge.Failure, fmt.Errorf("take the caller's channel: %w", err))
		return
	}
	in.log.Debug("call from the dialplan", "technology", technology(in.start.header["Channel-Name"]))
	if in.settling {
		in.deadline.Reset(parkSettles)
		return
	}
	in.offer()
}

func (in *inbound) offer() {
	in.settling = false
	in.accept(bridge.Offer{Request: in.request(), Leg: in.leg})
}

// take marks the channel, and parks it anew where the dialplan gave its park a time limit: that was for the case that
// nobody comes.
func (in *inbound) take() error {
	v, ctx := in.link.verbs(), in.setup.ctx
	set := map[string]string{"TGTRUNK_LEG": in.id}
	repark := !in.link.entries.has(in.main.id)
	if repark {
		set["park_timeout"] = waitingTimeout
	}
	if err := v.setVariables(ctx, in.main.id, set); err != nil {
		return err
	}
	in.settling = repark
	if repark {
		return v.park(ctx, in.main.id)
	}
	return nil
}

// request says what is known of the call.
func (in *inbound) request() routing.Request {
	e := in.start
	dialled := e.variable(varDialled)
	if dialled == "" {
		dialled = e.header["Caller-Destination-Number"]
	}
	facts := map[string]string{
		"PBX_CHANNEL":     e.header["Channel-Name"],
		"PBX_CHANNEL_ID":  e.id,
		"PBX_CONTEXT":     e.header["Caller-Context"],
		"PBX_EXTEN":       e.header["Caller-Destination-Number"],
		"PBX_PROTOCOL_ID": e.variable("sip_call_id"),
		"PBX_ACCOUNT":     e.variable("accountcode"),
		"PBX_LANGUAGE":    e.variable("default_language"),
	}
	for name, value := range e.header {
		name, ok := strings.CutPrefix(name, "variable_")
		if ok && strings.HasPrefix(name, "TGTRUNK_") && name != "TGTRUNK_LEG" {
			facts[name] = value
		}
	}
	for name, value := range facts {
		if value == "" {
			delete(facts, name)
		}
	}
	return routing.Request{
		Trunk:     in.link.opt.Name,
		Caller:    routing.Party{Number: e.header["Caller-Caller-ID-Number"], Name: e.header["Caller-Caller-ID-Name"]},
		Dialled:   dialled,
		Variables: facts,
	}
}

func (in *inbound) order(item any) {
	switch item.(type) {
	case ringOrder:
		in.ring()
	case answerOrder:
		if in.state == waiting && !in.gone {
			in.prepare()
		}
	case entryClosed:
		if in.state == waiting { // later it is ours whatever becomes of the connection
			in.gone = true
			in.deadline.Reset(partingSettles)
		}
	}
}

func (in *inbound) ring() {
	if in.rang || in.state != waiting || in.gone || in.start.answered() {
		return
	}
	in.rang = true
	if err := in.link.verbs().ring(in.setup.ctx, in.main.id); err != nil && !isGone(err) && in.setup.ctx.Err() == nil {
		in.log.Warn("cannot signal ringing", "error", err)
	}
}

// join answers the caller only now: the media channel is there, so the first word is heard.
func (in *inbound) join(ctx context.Context) error {
	if in.start.answered() || in.answered {
		in.answered = true
		return nil
	}
	err := in.link.verbs().answer(ctx, in.main.id)
	var refused *CommandError
	in.answered = !errors.As(err, &refused) // a lost reply may have been a yes
	return err
}

func (in *inbound) event(e event) {
	switch {
	case e.name == "CHANNEL_HANGUP_COMPLETE":
		in.takeMain()
		in.end(bridge.CauseOf(bridge.Cancelled), nil)
	case e.name == "CHANNEL_PARK" && in.settling:
		in.deadline.Stop()
		in.offer()
	case e.name == "CHANNEL_PARK" && in.state == waiting && in.main.movedOn(e):
		in.takeMain() // somebody has sent the caller to another extension, which parks
		in.end(bridge.CauseOf(bridge.Cancelled), nil)
	}
}

func (in *inbound) expired() {
	switch {
	case in.settling:
		in.offer()
		return
	case in.gone:
		in.takeMain() // it lives, and is the dialplan's
		in.end(bridge.CauseOf(bridge.Cancelled), nil)
		return
	}
	in.end(bridge.CauseOf(bridge.MediaFailed), errors.New("media channel did not come up in time"))
}

// release hangs an answered caller up and lets an unanswered one go on in the dialplan, which knows from the variables
// what happened: behind the socket application, or at the extension that tgtrunk_failed names. A dialplan that has
// neither gets the cause as the channel's own.
func (in *inbound) release(ctx context.Context) error {
	id := in.takeMain()
	entry := in.link.entries.take(in.start.id)
	defer entry.close()
	if id == "" {
		return nil
	}
	status := statusOf(in.ended.Cause.Reason)
	if in.answered {
		status = "ANSWER"
	}
	return in.link.letGo(ctx, id, departure{
		variables: causeVariables(status, in.ended.Cause), farewell: farewellOf(in.ended.Cause),
		onward: !in.answered, entry: entry != nil, failed: in.start.variable(varFailed),
	})
}

// departure is how a caller's channel leaves us.
type departure struct {
	variables map[string]string
	farewell  farewell
	onward    bool   // it may go on in the dialplan
	entry     bool   // it came over our socket: when that is closed, the dialplan goes on by itself
	failed    string // where else it goes on
}

// letGo sends a caller's channel on, or hangs it up.
func (l *Link) letGo(ctx context.Context, id string, d departure) error {
	v := l.verbs()
	d.variables[varHangup], d.variables[varSIP] = d.farewell.name, d.farewell.response()
	d.variables[varApp] = "" // parked once more, for whatever reason, it is no new call
	err := v.setVariables(ctx, id, d.variables)
	switch {
	case isGone(err):
		return nil
	case d.onward && d.entry && err == nil:
		return nil
	case d.onward && d.failed != "" && err == nil:
		if moved := v.transfer(ctx, id, d.failed); moved == nil || isGone(moved) {
			return nil
		}
	}
	if response := d.farewell.response(); response != "" && d.onward {
		err = errors.Join(err, v.setVariables(ctx, id, map[string]string{varResponse: response}))
	}
	if killed := v.kill(ctx, id, d.farewell.name); killed != nil {
		l.condemn(id)
		return errors.Join(err, killed)
	}
	return nil
}
