package esl

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/routing"
)

// outbound is a channel that we create: into the dialplan as a loopback channel, or to a dial string.
type outbound struct {
	*leg
	target  routing.Target
	rang    bool
	dialing bool // the originate job runs
}

// spareTimeout is how much longer FreeSWITCH itself lets ring: its clock counts whole seconds, ours ends the call.
const spareTimeout = 2 * time.Second

func (out *outbound) begin() {
	conn, err := out.link.current()
	if err != nil {
		out.end(bridge.CauseOf(bridge.AccountDown), err)
		return
	}
	line, err := out.command()
	if err != nil {
		out.end(bridge.CauseOf(bridge.BadNumber), fmt.Errorf("dial: %w", err))
		return
	}
	out.deadline.Reset(out.limit())
	out.main.id = out.id + "-out"
	out.link.legs.Own(out.main.id, out.leg)
	if out.setup.ctx.Err() != nil {
		return // hung up before it began
	}
	out.dialing = true
	// A command that was sent and then given up would be a job whose end nobody hears.
	err = conn.start(context.WithoutCancel(out.setup.ctx), line, func(answer string) { out.inbox.Put(jobDone{answer}) })
	if err != nil {
		out.dialing = false
		out.link.condemn(out.main.id)
		out.fail(bridge.AccountDown, fmt.Errorf("dial: %w", err))
		return
	}
	out.log.Debug("dialling", "technology", technology(out.target.Endpoint))
}

// command is the originate command. Everything that strangers chose is cleaned here.
func (out *outbound) command() (string, error) {
	endpoint, err := out.endpoint()
	if err != nil {
		return "", err
	}
	set := out.variables()
	seconds := strconv.Itoa(int((out.limit() + spareTimeout + time.Second - 1) / time.Second))
	add := func(name, value string) { set[name] = value }
	add("origination_uuid", out.id+"-out")
	add("originate_timeout", seconds)
	add("ignore_early_media", "true")
	// Kept in the path, where our uuid and events are.
	add("loopback_bowout", "false")
	add("loopback_bowout_on_execute", "false")
	if name := cleanText(out.target.Caller.Name, maxNameBytes); name != "" {
		add("origination_caller_id_name", name)
	}
	if number := cleanNumber(out.target.Caller.Number); number != "" {
		add("origination_caller_id_number", number)
	}
	return command("originate", "{"+joinVariables(set)+"}"+endpoint, "&park()")
}

// endpoint is the dial string.
func (out *outbound) endpoint() (string, error) {
	t := out.target
	if t.Endpoint != "" {
		if !validEndpoint(t.Endpoint) {
			return "", fmt.Errorf("endpoint %q: want a dial string as user/100@example.org or sofia/gateway/line/100", t.Endpoint)
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
	return "loopback/" + t.Extension + "/" + dialplan + "/XML", nil
}

// technology is the part of a dial string or a channel name that may stand in logs.
func technology(endpoint string) string {
	name, _, ok := strings.Cut(endpoint, "/")
	if !ok {
		return "loopback"
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
			set[name] = cleanText(value, maxValueBytes)
		}
	}
	if caller.UserID != 0 {
		add("TGTRUNK_USER_ID", strconv.FormatInt(caller.UserID, 10))
	}
	add("TGTRUNK_USERNAME", caller.Username)
	add("TGTRUNK_PHONE", caller.Phone)
	add("TGTRUNK_NAME", caller.Name)
	set["TGTRUNK_LEG"] = out.id
	if out.target.Endpoint == "" {
		// The loopback channel hands these on to the one that enters the dialplan.
		set["loopback_export"] = strings.Join(slices.Sorted(maps.Keys(set)), ",")
	}
	return set
}

func (out *outbound) order(item any) {
	done, ok := item.(jobDone)
	if !ok {
		return // nobody rings or answers towards the party we call
	}
	out.dialing = false
	if out.state != waiting {
		return
	}
	if !strings.HasPrefix(done.answer, "+OK") {
		if out.main.cause == "" { // no channel has said it
			out.main.cause = causeName(done.answer)
		}
		out.takeMain()
		out.end(failedDial(done.answer), nil)
		return
	}
	out.link.legs.Confirm(out.main.id, out.leg)
	out.prepare()
}

func (out *outbound) event(e event) {
	switch e.name {
	case "CHANNEL_PROGRESS", "CHANNEL_PROGRESS_MEDIA":
		if !out.rang && out.state == waiting {
			out.rang = true
			out.emit(bridge.Ringing{})
		}
	case "CHANNEL_HANGUP_COMPLETE":
		if out.state == waiting && out.dialing {
			return // the job's answer says the same, and that nothing is left of it
		}
		out.takeMain()
		out.end(clearing(out.main.cause), nil)
	}
}

func (out *outbound) join(context.Context) error { return nil }

func (out *outbound) expired() {
	if out.state == waiting {
		out.end(bridge.CauseOf(bridge.NoAnswer), nil)
		return
	}
	out.end(bridge.CauseOf(bridge.MediaFailed), errors.New("media channel did not come up in time"))
}

// release hangs up: a channel that still rings is cancelled by that. A job that has only just begun may have no channel
// yet: then it is looked for until the job has come to its end.
func (out *outbound) release(ctx context.Context) error {
	id := out.takeMain()
	if id == "" {
		return nil
	}
	cause := farewellOf(out.ended.Cause).name
	if out.dialing {
		cause = "ORIGINATOR_CANCEL"
	}
	for {
		done := !out.dialing
		err := out.link.verbs().kill(ctx, id, cause)
		if err != nil || done {
			if err != nil {
				out.link.condemn(id)
			}
			return err
		}
		out.awaitJob(ctx)
		if ctx.Err() != nil {
			out.link.condemn(id)
			return fmt.Errorf("cancel: %w", ctx.Err())
		}
	}
}

const cancelAgain = 50 * time.Millisecond

// awaitJob waits a moment for the end of the dialling job.
func (out *outbound) awaitJob(ctx context.Context) {
	limit := time.NewTimer(cancelAgain)
	defer limit.Stop()
	for out.dialing {
		select {
		case <-out.inbox.Ready():
		case <-limit.C:
			return
		case <-ctx.Done():
			return
		}
		for {
			item, ok := out.inbox.Take()
			if !ok {
				break
			}
			if _, done := item.(jobDone); done {
				out.dialing = false
			}
		}
	}
}
