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
)

// outbound is a channel that we create to a dial string; or into the dialplan, as a loopback channel, where direct cannot.
type outbound struct {
	called
	dialing bool              // the originate job runs
	later   map[string]string // variables that a dial string cannot carry
}

// spareTimeout is how much longer FreeSWITCH itself lets ring: its clock counts whole seconds, ours ends the call.
const spareTimeout = 2 * time.Second

func (out *outbound) begin() {
	if out.target.Endpoint == "" {
		if entered := out.enter(); entered != nil {
			out.role = entered
			entered.begin()
			return
		}
	}
	out.originate()
}

// originate lets FreeSWITCH dial.
func (out *outbound) originate() {
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
	out.main.id, out.main.placed = out.id+"-out", out.target.Endpoint != ""
	out.link.legs.Own(out.main.id, out.leg)
	if out.setup.ctx.Err() != nil {
		return // hung up before it began
	}
	out.dialing = true
	// A command that was sent and then given up would be a job whose end nobody hears.
	err = conn.start(context.WithoutCancel(out.setup.ctx), line, func(r result) { out.inbox.Put(jobDone{r}) })
	if err != nil {
		out.dialing = false
		out.link.condemn(out.main.id)
		out.fail(bridge.AccountDown, fmt.Errorf("dial: %w", err))
		return
	}
	out.log.Debug("dialling", "technology", technology(out.target.Endpoint))
}

// command is the originate command. Everything that strangers chose is cleaned here.
func (out *outbound) command() (line string, err error) {
	endpoint, err := out.endpoint()
	if err != nil {
		return "", err
	}
	set := out.variables()
	if out.target.Endpoint == "" {
		// The loopback channel hands these on to the one that enters the dialplan.
		set["loopback_export"] = strings.Join(slices.Sorted(maps.Keys(set)), ",")
	}
	maps.Copy(set, map[string]string{
		"origination_uuid":   out.id + "-out",
		"originate_timeout":  strconv.Itoa(int((out.limit() + spareTimeout + time.Second - 1) / time.Second)),
		"ignore_early_media": "true",
		// Kept in the path, where our uuid and events are.
		"loopback_bowout": "false", "loopback_bowout_on_execute": "false",
	})
	if name := cleanText(out.target.Caller.Name, maxNameBytes); name != "" {
		set["origination_caller_id_name"] = name
	}
	if number := cleanNumber(out.target.Caller.Number); number != "" {
		set["origination_caller_id_number"] = number
	}
	line, out.later = originate(set, endpoint)
	return command(line)
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

func (out *outbound) order(item any) {
	done, ok := item.(jobDone)
	if !ok {
		return // nobody rings or answers towards the party we call
	}
	out.dialing = false
	if out.state != waiting {
		return
	}
	if done.lost != nil {
		out.link.condemn(out.takeMain()) // who answers it now would hear nothing
		out.end(bridge.CauseOf(bridge.AccountDown), fmt.Errorf("dial: %w", done.lost))
		return
	}
	if !strings.HasPrefix(done.text, "+OK") {
		if out.main.cause == "" { // no channel has said it
			out.main.cause = causeName(done.text)
		}
		out.takeMain()
		out.end(failedDial(done.text), nil)
		return
	}
	if out.main.cause != "" { // hung up at once, and told before the job
		out.takeMain()
		out.end(clearing(out.main.cause), nil)
		return
	}
	out.link.legs.Confirm(out.main.id, out.leg)
	if err := out.link.verbs().setVariables(out.setup.ctx, out.main.id, out.later); err != nil && !isGone(err) {
		out.log.Warn("cannot set variables", "error", err)
	}
	out.prepare()
}

func (out *outbound) event(e event) {
	switch e.name {
	case "CHANNEL_PROGRESS", "CHANNEL_PROGRESS_MEDIA":
		out.ringing()
	case "CHANNEL_HANGUP_COMPLETE":
		if out.state == waiting && out.dialing {
			return // the job's answer tells whether it had been answered, and that nothing is left of it
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
	sentOn := out.sentOn(ctx)
	id := out.takeMain()
	if id == "" {
		return nil
	}
	if sentOn {
		return out.link.setFree(ctx, id)
	}
	if out.dialing && technology(out.target.Endpoint) == "loopback" {
		out.tellElsewhere(ctx, id)
	}
	cause := out.farewell(!out.dialing)
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
