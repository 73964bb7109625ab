package esl

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/bridge/pbx"
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
	varTaken    = "tgtrunk_taken"    // set by us, in the place of varApp, on a caller who waits for an answer
)

// varResponse overrides the SIP code that mod_sofia makes of a hang-up cause. It is set only where the next thing is the
// hang-up: left on a channel that goes on, it would give the code of whatever comes to fail later.
const varResponse = "last_bridge_proto_specific_hangup_cause"

// inbound is a channel that the dialplan parked for us, or sent to our socket.
type inbound struct {
	*leg
	start    event  // its CHANNEL_PARK, or what the socket said of it
	entry    *entry // it came over our socket; nil for not
	accept   func(bridge.Offer)
	told     stage             // what the caller was told last
	tone     bool              // he hears a tone of early media
	answered bool              // we answered it, or tried to
	settling bool              // parked anew and not heard of since: it is offered when it is
	due      bool              // it was to be answered while it was gone
	gone     bool              // it waits for us no more: it hangs up, or runs the dialplan
	facts    map[string]string // variables that were ordered and are not known to be set
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
	in.who.shown = displayOf("", in.dialled())
	in.meet(in.start, false)
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
	request := in.request()
	in.read(request.Variables)
	in.accept(bridge.Offer{Request: request, Leg: in.leg})
}

// take marks the channel, and parks it anew where the dialplan gave its park a time limit: that was for the case that
// nobody comes. The dialplan's own mark is taken off: left on a caller who is sent elsewhere, it would make a call for us
// of whatever parks him next.
func (in *inbound) take() error {
	v, ctx := in.link.verbs(), in.setup.ctx
	set := map[string]string{"TGTRUNK_LEG": in.id, varApp: "", varTaken: in.link.opt.App, varFree: ""}
	repark := in.entry == nil
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

// dialled is whom to call.
func (in *inbound) dialled() string {
	if dialled := in.start.variable(varDialled); dialled != "" {
		return dialled
	}
	return in.start.header["Caller-Destination-Number"]
}

// read asks for the variables that the exchange or a route needs and that the channel itself has not.
func (in *inbound) read(facts map[string]string) {
	for _, name := range append([]string{routing.VarTimeout, routing.VarReachedIn}, in.link.opt.Variables...) {
		if _, given := facts[name]; given {
			continue
		}
		value, err := in.start.variable(name), error(nil)
		if value == "" {
			value, err = in.link.verbs().variable(in.setup.ctx, in.main.id, name)
		}
		switch {
		case err != nil:
			if !isGone(err) && in.setup.ctx.Err() == nil {
				in.log.Warn("cannot read a variable of the caller's channel", "variable", name, "error", err)
			}
		case value != "":
			facts[name] = value
		}
	}
}

// annotate sets variables; those that cannot be set now are set when the channel is given back.
func (in *inbound) annotate(variables map[string]string) {
	if in.facts == nil {
		in.facts = make(map[string]string, len(variables))
	}
	clean, refused := cleanVariables(variables)
	if len(refused) > 0 {
		in.log.Warn("refused variables of the called side", "names", refused)
	}
	maps.Copy(in.facts, clean)
	if in.main.id == "" {
		return
	}
	if err := in.link.verbs().setVariables(in.setup.ctx, in.main.id, in.facts); err != nil {
		in.log.Debug("cannot set variables now", "error", err)
		return
	}
	clear(in.facts)
}

// request says what is known of the call.
func (in *inbound) request() routing.Request {
	e := in.start
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
		Dialled:   in.dialled(),
		Variables: facts,
	}
}

func (in *inbound) order(item any) {
	switch item := item.(type) {
	case searchOrder:
		in.tell(searching)
	case ringOrder:
		in.tell(ringing)
	case factsOrder:
		in.annotate(item.variables)
	case answerOrder:
		if in.due = in.gone; in.state == waiting && !in.gone {
			in.prepare()
		}
	case entryClosed:
		if item.entry == in.entry {
			in.leaves()
		}
	}
}

// leaves: the caller is not held for us any more. If that was no hang-up, of which the next event tells, somebody has sent
// the channel elsewhere, or the socket application's connection broke and the dialplan goes on. Once it is to be answered
// it is ours, whatever becomes of its park.
func (in *inbound) leaves() {
	if in.state == waiting && !in.settling {
		in.gone = true
		in.deadline.Reset(partingSettles)
	}
}

// join answers the caller only now: the media channel is there, so the first word is heard.
func (in *inbound) join(ctx context.Context) error {
	in.hush(ctx)
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
	case e.name == "CHANNEL_UNPARK" && !e.hungUp():
		in.leaves()
	case e.name == "CHANNEL_PARK" && in.settling:
		in.deadline.Stop()
		in.offer()
	case e.name == "CHANNEL_PARK" && in.state == waiting && in.main.movedOn(e):
		in.letBe() // somebody has sent the caller to another extension, which parks
		in.end(bridge.CauseOf(bridge.Cancelled), nil)
	case e.name == "CHANNEL_PARK" && in.gone:
		in.gone = false // it was told late of our own doing
		in.deadline.Stop()
		if in.due {
			in.prepare()
		}
	}
}

func (in *inbound) expired() {
	switch {
	case in.settling:
		in.offer()
		return
	case in.gone:
		in.letBe() // it lives, and is the dialplan's
		in.end(bridge.CauseOf(bridge.Cancelled), nil)
		return
	}
	in.end(bridge.CauseOf(bridge.MediaFailed), errors.New("media channel did not come up in time"))
}

// release hangs an answered caller up and lets an unanswered one go on in the dialplan, which knows from the variables
// what happened: behind the socket application, or at the extension that tgtrunk_failed names. A dialplan that has
// neither gets the cause as the channel's own.
func (in *inbound) release(ctx context.Context) error {
	sentOn := in.sentOn(ctx)
	id := in.takeMain()
	defer in.entry.close()
	if id == "" {
		return nil
	}
	if sentOn {
		return in.link.setFree(ctx, id)
	}
	status := pbx.StatusOf(in.ended.Cause.Reason)
	if in.answered {
		status = "ANSWER"
	}
	variables := causeVariables(status, in.ended.Cause)
	if _, set := variables[varReason]; !set && in.start.variable(varReason) == takenElsewhere {
		variables[varReason] = "" // of an attempt before
	}
	maps.Copy(variables, in.facts)
	return in.link.letGo(ctx, id, departure{
		variables: variables, farewell: farewellOf(in.ended.Cause),
		onward: !in.answered, entry: in.entry != nil, failed: in.start.variable(varFailed),
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
	d.variables[varApp], d.variables[varTaken] = "", "" // parked once more, for whatever reason, it is no new call
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
