package ari

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	ariapi "github.com/CyCoreSystems/ari/v6"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/routing"
)

// outbound is a channel that we create: into the dialplan as a Local channel, or to an endpoint.
type outbound struct {
	*leg
	target routing.Target
	seen   progress
	rang   bool
	local  bool // a Local channel, which has the law we gave it
	party  farEnd
}

// spareTimeout is how much longer Asterisk itself lets ring: its clock counts whole seconds, ours ends the call.
const spareTimeout = 2 * time.Second

func (out *outbound) begin() {
	if err := out.link.connected(); err != nil {
		out.end(bridge.CauseOf(bridge.AccountDown), err)
		return
	}
	request, err := out.request()
	if err != nil {
		out.end(bridge.CauseOf(bridge.BadNumber), fmt.Errorf("dial: %w", err))
		return
	}
	out.deadline.Reset(out.limit())
	out.channel = request.ChannelID
	out.link.legs.Own(out.channel, out.leg)
	if out.local {
		out.link.legs.Own(out.far, out.leg)
	}
	if err := out.link.rest.originate(out.setup.ctx, request); err != nil {
		out.fail(refusedDial(err), fmt.Errorf("dial %s: %w", technology(request.Endpoint), err))
		return
	}
	out.link.legs.Confirm(out.channel, out.leg)
	out.log.Debug("dialling", "technology", technology(request.Endpoint))
}

// request is what Asterisk is asked to create. Everything that strangers chose is cleaned here.
func (out *outbound) request() (ariapi.OriginateRequest, error) {
	endpoint, err := out.endpoint()
	if err != nil {
		return ariapi.OriginateRequest{}, err
	}
	q := ariapi.OriginateRequest{
		Endpoint: endpoint, App: out.link.opt.App,
		Timeout:  int((out.limit() + spareTimeout + time.Second - 1) / time.Second),
		CallerID: callerID(out.target.Caller.Name, out.target.Caller.Number), Variables: out.variables(),
		ChannelID: out.id + "-out",
	}
	if out.local = technology(endpoint) == "Local"; out.local {
		out.far = out.id + farSuffix
		q.OtherChannelID = out.far
		// Without formats Asterisk gives a Local channel 192 kHz linear: two conversions, and 6 dB lost on the way.
		q.Formats = formatName(out.link.opt.Media.Law)
	}
	return q, nil
}

// endpoint is the dial string. /n keeps a Local channel in the path, where our ids and events are.
func (out *outbound) endpoint() (string, error) {
	t := out.target
	if t.Endpoint != "" {
		if !validEndpoint(t.Endpoint) {
			return "", fmt.Errorf("endpoint %q: want technology/resource", t.Endpoint)
		}
		return t.Endpoint, nil
	}
	dialplan := t.Context
	if dialplan == "" {
		dialplan = out.link.opt.Context
	}
	if !validContext(dialplan) {
		return "", fmt.Errorf("context %q: want letters, digits, '-', '_' and '.'", dialplan)
	}
	if !validExtension(t.Extension) {
		return "", errors.New("extension is empty or holds characters that cannot be dialled")
	}
	return "Local/" + t.Extension + "@" + dialplan + "/n", nil
}

// technology is the part of an endpoint that may stand in logs.
func technology(endpoint string) string {
	name, _, _ := strings.Cut(endpoint, "/")
	if strings.EqualFold(name, "Local") {
		return "Local"
	}
	return name
}

func (out *outbound) limit() time.Duration {
	if out.target.Timeout > 0 {
		return out.target.Timeout
	}
	return out.link.opt.DialTimeout
}

// variables are what the dialplan finds set: what is known of the caller, and what the route says, which wins.
func (out *outbound) variables() map[string]string {
	caller := out.target.Caller
	set, refused := cleanVariables(out.target.Variables)
	if len(refused) > 0 {
		out.log.Warn("variables with names that may not be set were left out", "names", refused)
	}
	add := func(name, value string) {
		if _, given := set[name]; !given && value != "" {
			set[name] = routing.SanitizeText(value, maxValueBytes)
		}
	}
	if caller.UserID != 0 {
		add("TGTRUNK_USER_ID", strconv.FormatInt(caller.UserID, 10))
	}
	if id := set[routing.VarUserID]; id != "" {
		set[routing.VarUserID2] = id // of two that differ this one is believed
	}
	add("TGTRUNK_USERNAME", caller.Username)
	add("TGTRUNK_PHONE", caller.Phone)
	add("TGTRUNK_NAME", caller.Name)
	set["TGTRUNK_LEG"] = out.id
	return set
}

// refusedDial says why Asterisk would not even begin to dial.
func refusedDial(err error) bridge.Reason {
	var refused *ResponseError
	switch {
	case !errors.As(err, &refused):
		return bridge.AccountDown
	case refused.Status == http.StatusInternalServerError && strings.Contains(refused.Message, "Allocation failed"):
		return bridge.NoRoute // an endpoint or technology that does not exist
	}
	return bridge.Failure
}

func (out *outbound) order(any) {} // nobody rings or answers towards the party we call

func (out *outbound) event(e event) {
	if e.channel != out.channel {
		out.farEvent(e)
		return
	}
	switch event := e.Event.(type) {
	case *ariapi.Dial:
		out.progress(event.Dialstatus)
	case *ariapi.StasisStart:
		out.known.Channel, out.known.CallID = event.Channel.GetName(), event.Channel.GetProtocolId()
		out.party.up = out.party.up || !out.local // no dialplan is between
		out.accepted()
		out.identify()
	case *ariapi.StasisEnd, *ariapi.ChannelDestroyed:
		out.gone(e.techCause)
	case *ariapi.ChannelConnectedLine:
		if !out.local {
			out.party.name(event.Channel.GetConnected())
			out.identify()
		}
	}
}

func (out *outbound) progress(status string) {
	out.seen.dialled = true
	if status != "" {
		out.seen.status = status
	}
	if (status == "RINGING" || status == "PROGRESS") && !out.rang && out.state == waiting {
		out.rang = true
		out.emit(bridge.Ringing{})
	}
}

// accepted: an originated channel enters Stasis only when it has been answered.
func (out *outbound) accepted() {
	if out.state != waiting {
		return
	}
	law := out.link.opt.Media.Law
	if !out.local {
		law = out.askLaw()
	}
	out.prepare(law)
}

func (out *outbound) gone(techCause int) {
	out.takeChannel()
	if out.state == waiting {
		out.end(failedDial(out.cause, techCause, out.seen), nil)
		return
	}
	out.end(clearing(out.cause), nil)
}

func (out *outbound) join(context.Context) error { return nil }

func (out *outbound) expired() {
	if out.state == waiting {
		out.end(bridge.CauseOf(bridge.NoAnswer), nil)
		return
	}
	out.end(bridge.CauseOf(bridge.MediaFailed), errors.New("media channel did not come up in time"))
}

// release hangs up: a channel that still rings is cancelled by that.
func (out *outbound) release(ctx context.Context) error {
	if id := out.takeChannel(); id != "" {
		return out.link.rest.hangup(ctx, id, out.ended.Cause.Q850)
	}
	return nil
}
