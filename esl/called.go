package esl

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/routing"
)

// called is what the roles of dialled legs share.
type called struct {
	*leg
	target routing.Target
	rang   bool
}

func (c *called) limit() time.Duration {
	if c.target.Timeout > 0 {
		return c.target.Timeout
	}
	return c.link.opt.DialTimeout
}

// ringing says once that the party is alerted.
func (c *called) ringing() {
	if !c.rang && c.state == waiting {
		c.rang = true
		c.emit(bridge.Ringing{})
	}
}

// farewell names the cause with which the party is hung up. With LOSE_RACE mod_sofia says that the call was completed
// elsewhere.
func (c *called) farewell(answered bool) string {
	switch {
	case c.ended.Cause.Reason == bridge.Elsewhere:
		return "LOSE_RACE"
	case !answered:
		return "ORIGINATOR_CANCEL"
	}
	return farewellOf(c.ended.Cause).name
}

// tellElsewhere lets the phones that a channel of ours rings through the dialplan know that the call was taken on another
// device, where that is why it ends. FreeSWITCH itself would tell them, whatever becomes of the channel that calls, that the
// caller gave up (switch_ivr_originate.c, IDX_CANCEL).
func (c *called) tellElsewhere(ctx context.Context, caller string) {
	if c.ended.Cause.Reason != bridge.Elsewhere {
		return
	}
	v := c.link.verbs()
	half, err := v.variable(ctx, caller, varOtherHalf)
	if err == nil {
		err = v.completedElsewhere(ctx, caller, half)
	}
	if err != nil && !isGone(err) {
		c.log.Warn("phones will show a missed call that was taken elsewhere", "error", err)
	}
}

// variables are what the dialplan finds set: what is known of the caller, and what the route says, which wins.
func (c *called) variables() map[string]string {
	caller := c.target.Caller
	set, refused := cleanVariables(c.target.Variables)
	if len(refused) > 0 {
		c.log.Warn("variables that may not be set were left out", "names", refused)
	}
	add := func(name, value string) {
		if _, given := set[name]; !given && value != "" {
			set[name] = cleanText(value, maxValueBytes)
		}
	}
	if caller.UserID != 0 {
		add(routing.VarUserID, strconv.FormatInt(caller.UserID, 10))
	}
	if id := set[routing.VarUserID]; id != "" {
		set[routing.VarUserID2] = id // of two that differ this one is believed
	}
	add(routing.VarUsername, caller.Username)
	add(routing.VarPhone, caller.Phone)
	add(routing.VarName, caller.Name)
	set["TGTRUNK_LEG"] = c.id
	if c.target.Endpoint == "" {
		if set[varMixCodecs] == "" {
			set[varMixCodecs] = "true"
		}
		set[varExport] = strings.TrimPrefix(set[varExport]+","+varMixCodecs, ",")
	}
	return set
}
