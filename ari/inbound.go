package ari

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"

	ariapi "github.com/CyCoreSystems/ari/v6"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/bridge/pbx"
	"github.com/tgtrunk/tgtrunk/routing"
)

// inbound is a channel that the dialplan sent into our application: Stasis(app,<dialled>).
type inbound struct {
	*leg
	start    *ariapi.StasisStart
	accept   func(bridge.Offer)
	told     stage             // what the caller was told last
	tones    int               // that were played
	tone     string            // id of the playback that he hears as early media, "" for none
	answered bool              // we answered it, or tried to
	facts    map[string]string // variables that were ordered and are not known to be set
}

func (in *inbound) begin() {
	// Without a subscription of its own nothing would be heard of the channel after it has left Stasis, not even why.
	if err := in.link.rest.subscribe(in.setup.ctx, in.link.opt.App, in.channel); err != nil {
		if isStatus(err, http.StatusUnprocessableEntity) {
			in.end(bridge.CauseOf(bridge.Cancelled), nil) // the caller gave up that moment
			return
		}
		in.fail(bridge.Failure, fmt.Errorf("subscribe to the caller's channel: %w", err))
		return
	}
	if err := in.link.rest.setVariables(in.setup.ctx, in.channel, map[string]string{"TGTRUNK_LEG": in.id}); err != nil {
		in.log.Warn("cannot mark the caller's channel", "error", err)
	}
	in.log.Debug("call from the dialplan", "technology", technology(in.start.Channel.GetName()))
	request := in.request()
	in.known.Channel, in.known.CallID = request.Variables["PBX_CHANNEL"], request.Variables["PBX_PROTOCOL_ID"]
	in.read(request.Variables)
	in.accept(bridge.Offer{Request: request, Leg: in.leg})
}

// read asks for the channel variables that the exchange or a route needs, unless Stasis() was given them as arguments.
func (in *inbound) read(facts map[string]string) {
	for _, name := range append([]string{routing.VarTimeout, routing.VarReachedIn}, in.link.opt.Variables...) {
		if _, given := facts[name]; given {
			continue
		}
		value, err := in.link.rest.variable(in.setup.ctx, in.channel, name)
		switch {
		case err == nil && value != "":
			facts[name] = value
		case err != nil && !isStatus(err, http.StatusNotFound):
			in.log.Warn("cannot read a variable of the caller's channel", "variable", name, "error", err)
		}
	}
}

// request says what is known of the call. Whatever the dialplan put behind the application's name comes first:
// Stasis(tgtrunk,${EXTEN}); without that the extension that was dialled. Further arguments of the form NAME=value are facts
// under their names, but not where the extension that was dialled holds a comma: a dialplan that passes it on unfiltered
// lets the phone write arguments.
func (in *inbound) request() routing.Request {
	channel := &in.start.Channel
	at := channel.GetDialplan()
	dialled := at.GetExten()
	if len(in.start.Args) > 0 && in.start.Args[0] != "" {
		dialled = in.start.Args[0]
	}
	facts := map[string]string{
		"PBX_CHANNEL":     channel.GetName(),
		"PBX_CHANNEL_ID":  channel.GetID(),
		"PBX_CONTEXT":     at.GetContext(),
		"PBX_EXTEN":       at.GetExten(),
		"PBX_PROTOCOL_ID": channel.GetProtocolId(), // the SIP Call-ID of a PJSIP channel
		"PBX_ACCOUNT":     channel.GetAccountcode(),
		"PBX_LANGUAGE":    channel.GetLanguage(),
	}
	args := in.start.Args[min(1, len(in.start.Args)):]
	if strings.Contains(at.GetExten(), ",") && len(args) > 0 {
		in.log.Warn("ignored the arguments of Stasis(): a phone has dialled a comma, and may have written them; "+
			"give Stasis() the dialled extension through FILTER()", "context", at.GetContext())
		args = nil
	}
	for i, arg := range args {
		facts["PBX_ARG"+strconv.Itoa(i+2)] = arg
		name, value, named := strings.Cut(arg, "=")
		if named && validVariable(name) && !strings.ContainsAny(name, "(") && !strings.HasPrefix(name, "PBX_") {
			facts[name] = value
		}
	}
	// Those that ari.conf lists as channelvars; an unset one is there and empty.
	for name, value := range channel.GetChannelVars() {
		if _, given := facts[name]; !given {
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
		Caller:    routing.Party{Number: channel.GetCaller().GetNumber(), Name: channel.GetCaller().GetName()},
		Dialled:   dialled,
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
		if in.state == waiting {
			in.hush(in.setup.ctx)
			in.prepare(in.askLaw())
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
	if in.channel == "" {
		return
	}
	playing := in.tone != ""
	in.hush(in.setup.ctx)
	err := in.link.rest.setVariables(in.setup.ctx, in.channel, in.facts)
	if err != nil {
		in.log.Debug("cannot set variables now", "error", err)
	} else {
		clear(in.facts)
	}
	if playing {
		if err := in.earlyMedia(in.told); err != nil {
			in.log.Warn("cannot go on with the tone of early media", "error", err)
		}
	}
}

// join answers the caller only now: both channels are in the bridge, so the first word is heard.
func (in *inbound) join(ctx context.Context) error {
	if !in.wasUp() {
		err := in.link.rest.answer(ctx, in.channel)
		var refused *ResponseError
		in.answered = !errors.As(err, &refused) // a lost reply may have been a yes
		return err
	}
	in.answered = true
	if in.told == ringing && in.link.opt.Ringback == pbx.Signal {
		return in.link.rest.stopRing(ctx, in.channel) // to an answered channel ringing is a tone that goes on
	}
	return nil
}

// wasUp says that the dialplan itself had answered before it called us.
func (in *inbound) wasUp() bool { return in.start.Channel.GetState() == "Up" }

func (in *inbound) event(e event) {
	switch e.Event.(type) {
	case *ariapi.StasisEnd, *ariapi.ChannelDestroyed:
	default:
		return
	}
	// The channel hangs up, or somebody redirected it: either way it is not ours any more.
	in.takeChannel()
	if in.state == up {
		in.end(clearing(in.cause), nil)
		return
	}
	in.end(bridge.CauseOf(bridge.Cancelled), nil)
}

func (in *inbound) expired() {
	in.end(bridge.CauseOf(bridge.MediaFailed), errors.New("media channel did not come up in time"))
}

// release hangs an answered caller up and lets an unanswered one go on in the dialplan, which knows from the variables
// what happened. A dialplan that has nothing behind Stasis() gets the cause as the channel's own.
func (in *inbound) release(ctx context.Context) error {
	id := in.takeChannel()
	if id == "" {
		return nil
	}
	in.hush(ctx)
	status := pbx.StatusOf(in.ended.Cause.Reason)
	if in.answered {
		status = "ANSWER"
	}
	variables := causeVariables(status, in.ended.Cause)
	maps.Copy(variables, in.facts)
	if err := in.link.rest.setVariables(ctx, id, variables); err != nil && !isNotFound(err) {
		in.log.Warn("cannot tell the dialplan how the call has ended", "error", err)
	}
	if !in.answered && in.goesOn(ctx, id) {
		err := in.link.rest.leave(ctx, id)
		if err == nil || isNotFound(err) {
			return nil
		}
		in.log.Warn("cannot give the caller back to the dialplan, hanging up", "error", err)
	}
	return in.link.rest.hangup(ctx, id, in.ended.Cause.Q850)
}

// goesOn asks whether the dialplan has a priority behind the one that called us. When in doubt it has.
func (in *inbound) goesOn(ctx context.Context, id string) bool {
	at := in.start.Channel.GetDialplan()
	if !validContext(at.GetContext()) || !validExtension(at.GetExten()) {
		return true
	}
	question := fmt.Sprintf("DIALPLAN_EXISTS(%s,%s,%d)", at.GetContext(), at.GetExten(), at.GetPriority()+1)
	answer, err := in.link.rest.variable(ctx, id, question)
	return err != nil || answer != "0"
}
