package bridge

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/tgtrunk/tgtrunk/routing"
)

// call is one call: two legs and the goroutine that owns them. All fields belong to that goroutine but orders, phase and
// what is set once.
type call struct {
	id     string     // set once
	x      *Exchange  // set once
	offer  Offer      // set once
	orders chan Cause // from the exchange: end the call

	log    *slog.Logger
	ctx    context.Context // of the trunks; what is dialled does not outlive it
	state  state
	legs   [2]ownedLeg
	limits deadlines
	audio  func()      // stops the audio between the legs; nil while there is none
	alarm  *time.Timer // speaks up when the teardown sticks; nil before
	record Record
	done   bool
}

// ownedLeg is a leg with what belongs to it in the call.
type ownedLeg struct {
	Leg
	events <-chan Event // nil once nothing is to be read any more
	log    *slog.Logger
}

// errNoEnd is the error of a leg that closed its events without an Ended.
var errNoEnd = errors.New("leg closed its events without an end")

// run takes the call from its offer to its record. refused says that there is no room for it.
func (c *call) run(ctx context.Context, refused bool) {
	c.ctx = ctx
	c.begin()
	if refused {
		c.step(outside, stopped{CauseOf(Congestion)})
	} else {
		c.step(outside, c.route())
	}
	for !c.done {
		select {
		case e, ok := <-c.legs[offering].events:
			c.take(offering, e, ok)
		case e, ok := <-c.legs[dialled].events:
			c.take(dialled, e, ok)
		case cause := <-c.orders:
			c.step(outside, stopped{cause})
		case <-c.limits.fired():
			for t, ok := c.limits.passed(); ok; t, ok = c.limits.passed() {
				c.step(outside, expired{t})
			}
		}
	}
	c.limits.stop()
	c.stopAlarm()
}

func (c *call) begin() {
	q := c.offer.Request
	c.log = c.x.o.Logger.With("call", c.id)
	c.own(offering, c.offer.Leg, q.Trunk)
	c.state = offered()
	c.record = Record{
		Schema: RecordSchema, Call: c.id, Dialled: q.Dialled, Times: Times{Offered: time.Now()},
		Offering: LegRecord{Kind: c.x.kind(q.Trunk), Trunk: q.Trunk, Leg: c.offer.Leg.ID(), Party: partyOf(q.Caller)},
	}
	c.legs[offering].log.Info("call offered", "from", Mask(callerText(q.Caller)), "dialled", Mask(q.Dialled))
}

func (c *call) own(s side, leg Leg, trunk string) {
	c.legs[s] = ownedLeg{Leg: leg, events: leg.Events(), log: c.log.With("leg", leg.ID(), "trunk", trunk)}
}

// callerText is what identifies a caller in a log line, before masking.
func callerText(p routing.Party) string {
	for _, text := range []string{p.Number, p.Phone, p.Username} {
		if text != "" {
			return text
		}
	}
	if p.UserID == 0 {
		return ""
	}
	return routing.Number{Kind: routing.UserID, UserID: p.UserID}.Key()
}

// maskedPlace is where a target goes, for logs. Endpoints and contexts are the administrator's own text.
func maskedPlace(t routing.Target) string {
	switch {
	case t.Number.Kind != 0:
		return Mask(place(t))
	case t.Endpoint == "":
		t.Extension = Mask(t.Extension)
	}
	return place(t)
}

// route returns the call's first event: its targets, or why there are none.
func (c *call) route() Event {
	plan, err := c.x.route(c.ctx, c.offer.Request)
	if err != nil {
		c.record.Error = err.Error()
		cause := CauseFromError(err)
		c.log.Info("call refused", "cause", cause, "error", err)
		return stopped{cause}
	}
	c.record.Rule, c.record.Matched = plan.Rule, plan.Matched
	c.record.Account = c.accountOf(plan.Targets)
	attrs := []any{"rule", plan.Rule, "targets", len(plan.Targets)}
	if plan.Matched != "" {
		attrs = append(attrs, "matched", plan.Matched)
	}
	if len(plan.Denied) > 0 {
		denied := make([]string, len(plan.Denied))
		for i, d := range plan.Denied {
			denied[i] = d.Trunk + ": " + d.Why
		}
		attrs = append(attrs, "denied_by", denied)
	}
	c.log.Info("call routed", attrs...)
	if t, ok := c.legs[offering].Leg.(Taker); ok {
		t.Taken()
	}
	c.watch(CallStarted)
	return routed{plan.Targets}
}

// accountOf is the Telegram account that the call came from, or that is tried first; "" where there is none.
func (c *call) accountOf(targets []routing.Target) string {
	if c.record.Offering.Kind == Telegram {
		return c.record.Offering.Trunk
	}
	for _, t := range targets {
		if c.x.kind(t.Trunk) == Telegram {
			return t.Trunk
		}
	}
	return ""
}

// take passes one event of a leg to the machine.
func (c *call) take(from side, e Event, open bool) {
	if !open {
		e = Ended{Cause: CauseOf(Failure), Err: errNoEnd}
	}
	if end, last := e.(Ended); last {
		c.legs[from].events = nil
		c.noteEnd(from, end)
	} else {
		c.note(from, e)
	}
	c.step(from, e)
}

// step lets the machine decide about an event and carries out its actions, and those of the events they raise.
func (c *call) step(from side, e Event) {
	wasOver := c.state.over
	next, actions := step(c.state, from, e)
	c.state = next
	if next.over && !wasOver {
		c.noteOver()
	}
	var raised Event // at most one action of a step can fail
	for _, a := range actions {
		if failed := c.perform(a); failed != nil {
			raised = failed
		}
	}
	if raised != nil {
		c.step(outside, raised)
	}
}

// perform carries out one action. It returns the event that its failure raises, or nil.
func (c *call) perform(a action) Event {
	switch a := a.(type) {
	case dial:
		c.dial(c.state.targets[a.target])
	case ring:
		c.legs[offering].Ring()
	case answer:
		c.legs[offering].Answer()
	case connect:
		return c.connect(a)
	case disconnect:
		c.disconnect()
	case sendDigit:
		c.sendDigit(a)
	case hold:
		if h, ok := c.legs[a.to].Leg.(Holder); ok {
			h.Hold(a.on)
		}
	case introduce:
		if i, ok := c.legs[a.to].Leg.(Introducer); ok {
			i.Introduce(a.party)
		}
	case annotate:
		if n, ok := c.legs[a.to].Leg.(Annotator); ok {
			n.Annotate(a.variables)
		}
	case hangup:
		c.record.leg(a.to).HungUp = true
		c.legs[a.to].Hangup(a.cause)
	case arm:
		c.arm(a.timer)
	case disarm:
		c.limits.clear(a.timer)
		if a.timer == teardownTimer {
			c.stopAlarm()
		}
	case abandon:
		c.legs[a.leg].events = nil
		c.noteEnd(a.leg, Ended{Cause: CauseOf(Failure), Err: errStuck})
	case finish:
		c.finish()
	}
	return nil
}

func (c *call) arm(t timer) {
	limit := &c.x.o.Timeouts
	switch t {
	case ringTimer:
		c.limits.set(t, limit.ring(c.state.targets[c.state.target]))
	case mediaTimer:
		c.limits.set(t, limit.Media)
	case setupTimer:
		c.limits.set(t, limit.setup(c.state.targets))
	case teardownTimer:
		c.limits.set(t, limit.Teardown)
		c.stopAlarm()
		log, after := c.log, limit.Alarm
		// Not one of the limits: it must speak up also when the call's goroutine is what sticks.
		c.alarm = time.AfterFunc(after, func() { log.Error("teardown of the call is stuck", "after", after) })
	}
}

func (c *call) stopAlarm() {
	if c.alarm != nil {
		c.alarm.Stop()
	}
}

func (c *call) dial(t routing.Target) {
	leg := c.x.dial(c.ctx, t)
	c.own(dialled, leg, t.Trunk)
	c.record.Attempts = append(c.record.Attempts, LegRecord{
		Kind: c.x.kind(t.Trunk), Trunk: t.Trunk, Leg: leg.ID(), Party: calledParty(t), Target: place(t), DialMS: c.sinceOffer(),
		Shown: shownOf(t),
	})
	if s, ok := c.legs[offering].Leg.(Searcher); ok && !c.state.rung {
		s.Search()
	}
	c.legs[dialled].log.Info("target dialled", "to", maskedPlace(t))
	if c.x.o.Memory != nil && t.Presented != nil {
		// Beside the call, which does not wait for a store; the exchange waits for it at its end.
		c.x.work.Go(func() { c.x.o.Memory.Remember(c.ctx, t.Trunk, *t.Presented) })
	}
}

// connect joins the audio of both legs.
func (c *call) connect(a connect) Event {
	stop, err := c.x.o.Connect(c.log, a.a, a.b)
	if err != nil {
		c.log.Error("connect audio of the call", "error", err)
		c.record.Error = err.Error()
		return stopped{CauseOf(MediaFailed)}
	}
	c.audio = stop
	if c.record.Times.Connected.IsZero() {
		c.record.Times.Connected = time.Now()
		c.record.Times.SetupMS = c.sinceOffer()
		c.record.nameAccount()
		c.log.Info("call connected", "setup_ms", c.record.Times.SetupMS)
		c.watch(CallConnected)
	}
	return nil
}

func (c *call) disconnect() {
	for _, s := range []side{offering, dialled} {
		c.record.leg(s).Media = mediaRecord(c.state.legs[s].flow)
	}
	if c.audio != nil {
		c.audio()
		c.audio = nil
	}
}

func (c *call) sendDigit(a sendDigit) {
	from := c.record.leg(a.to.other()).Trunk
	if _, ignored := c.x.ignored[from]; ignored {
		return
	}
	if t, ok := c.legs[a.to].Leg.(ToneSender); ok {
		t.SendDigit(a.digit)
	}
}

// finish completes the record and hands it out.
func (c *call) finish() {
	c.done = true
	c.record.Times.Ended = time.Now()
	c.record.Reason, c.record.Q850 = c.state.cause.Reason, c.state.cause.Q850
	c.log.Info("call ended", "cause", c.state.cause, "talk_ms", c.record.Times.TalkMS, "attempts", len(c.record.Attempts))
	c.record.complete()
	c.x.o.Records(c.record)
}

// watch tells of an edge of the call.
func (c *call) watch(e Edge) {
	if c.x.o.Watch != nil {
		c.x.o.Watch(e, c.record)
	}
}

func (c *call) sinceOffer() int64 { return time.Since(c.record.Times.Offered).Milliseconds() }
