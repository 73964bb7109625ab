package bridge

import (
	"maps"
	"time"
)

// note writes an event other than Ended into the log and the record.
func (c *call) note(from side, e Event) {
	leg, now, times := c.legs[from].log, time.Now(), &c.record.Times
	switch e := e.(type) {
	case Reached:
		leg.Info("called device reached")
		if from == dialled {
			times.Reached = now
		}
	case Ringing:
		leg.Info("called party rings")
		if from == dialled {
			times.Ringing = now
		}
	case Answered:
		if from == dialled {
			leg.Info("called party answered")
		} else {
			leg.Info("caller's side answered")
		}
		if from == dialled && times.Answered.IsZero() {
			times.Answered = now
		}
	case Media:
		c.noteMedia(from, e, now)
	case Facts:
		c.noteFacts(from, e)
	case Identified:
		leg.Debug("party is known", "number", Mask(e.Party.Number))
	case Held:
		leg.Info("party put the call on hold or took it back", "on", e.On)
	case Digit:
		leg.Debug("digit received") // which one is the caller's secret: digits are PINs
	}
}

func (c *call) noteMedia(from side, e Media, now time.Time) {
	times := &c.record.Times
	if e.Flow == nil {
		c.legs[from].log.Error("leg announces media without a flow")
		return
	}
	format := e.Flow.Format()
	c.legs[from].log.Info("audio usable", "codec", format.Codec, "rate", format.Rate)
	first := &times.OfferedMedia
	if from == dialled {
		first = &times.DialledMedia
		if times.Answered.IsZero() {
			times.Answered = now
		}
	}
	if first.IsZero() {
		*first = now
	}
}

func (c *call) noteFacts(from side, e Facts) {
	r := c.record.leg(from)
	if r.Facts == nil {
		r.Facts = make(map[string]string, len(e.Variables))
	}
	maps.Copy(r.Facts, e.Variables)
	c.legs[from].log.Debug("trunk has found out about the party", "facts", len(e.Variables))
}

// noteEnd writes the end of a leg into the log and the record.
func (c *call) noteEnd(from side, e Ended) {
	r := c.record.leg(from)
	r.Reason, r.Q850, r.EndedMS = e.Cause.Reason, e.Cause.Q850, c.sinceOffer()
	r.RetryS = int64((e.Cause.RetryAfter + time.Second - 1) / time.Second)
	r.report(e.Report)
	attrs := []any{"cause", e.Cause, "hung_up", r.HungUp}
	if e.Report.Note != "" {
		attrs = append(attrs, "note", e.Report.Note)
	}
	if e.Err != nil {
		r.Error = e.Err.Error()
		attrs = append(attrs, "error", e.Err)
	}
	c.legs[from].log.Info("leg ended", attrs...)
}

// noteOver marks the end of the conversation: the first leg has ended or is told to.
func (c *call) noteOver() {
	if t := &c.record.Times; !t.Connected.IsZero() {
		t.TalkMS = time.Since(t.Connected).Milliseconds()
	}
}
