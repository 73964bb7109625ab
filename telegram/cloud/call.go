package cloud

import (
	"slices"
	"time"

	"github.com/gotd/td/tg"
)

// call is one call, from phone.requestCall until it is forgotten. Guarded by Server.mu.
type call struct {
	info           CallInfo
	caller, callee *account
	from           *device // that requested
	to             *device // that accepted; nil: none yet
	silent         bool    // the callee's devices were not told (it was busy)

	dh    halves
	terms terms
	relay credentials
	tags  *peerTags // at the reflector

	reason  tg.PhoneCallDiscardReasonClass
	asks    feedback // once discarded
	timer   *time.Timer
	touched time.Time // last change of state
}

// feedback is what the sides of a call that has ended are asked for.
type feedback struct{ rating, debug bool }

// halves are what the sides have shown of their key exchange.
type halves struct {
	hash        []byte // of g_a
	ga, gb      []byte
	fingerprint int64
}

// terms are what the engines are told.
type terms struct {
	offered     tg.PhoneCallProtocol // the caller's
	agreed      tg.PhoneCallProtocol // merged, once accepted
	connections []tg.PhoneConnectionClass
	custom      string // custom_parameters
}

func (c *call) live() bool { return c.info.State != CallDiscarded }

// rings says whether nobody has accepted yet.
func (c *call) rings() bool { return c.info.State == CallRequested || c.info.State == CallReceived }

// device of a side; nil for a callee that has not accepted.
func (c *call) device(side *account) *device {
	if side == c.caller {
		return c.from
	}
	return c.to
}

func (c *call) other(side *account) *account {
	if side == c.caller {
		return c.callee
	}
	return c.caller
}

func (s *Server) callHash(c *call, viewer *account) int64 {
	return s.derive("call", c.info.ID, viewer.ID)
}

// seenBy is the call as one device of a side is told of it.
func (c *call) seenBy(s *Server, viewer *account, d *device) tg.PhoneCallClass {
	id, hash, date, admin, participant := c.info.ID, s.callHash(c, viewer), int(c.info.Requested.Unix()), c.caller.ID, c.callee.ID
	video := c.info.Video
	if !c.live() {
		return c.discarded()
	}
	if viewer == c.callee && c.to != nil && c.to != d { // taken on another device
		return &tg.PhoneCallDiscarded{ID: id, Video: video}
	}
	switch {
	case c.info.State == CallActive:
		return c.confirmed(s, hash, viewer)
	case c.info.State == CallAccepted && viewer == c.caller:
		return &tg.PhoneCallAccepted{ID: id, AccessHash: hash, Date: date, AdminID: admin, ParticipantID: participant, Video: video, GB: c.dh.gb, Protocol: c.terms.agreed}
	case c.rings() && viewer == c.callee:
		return &tg.PhoneCallRequested{ID: id, AccessHash: hash, Date: date, AdminID: admin, ParticipantID: participant, Video: video, GAHash: c.dh.hash, Protocol: c.terms.offered}
	}
	w := &tg.PhoneCallWaiting{ID: id, AccessHash: hash, Date: date, AdminID: admin, ParticipantID: participant, Video: video, Protocol: c.terms.offered}
	if c.info.State == CallAccepted {
		w.Protocol = c.terms.agreed
	}
	if !c.info.Received.IsZero() {
		w.SetReceiveDate(int(c.info.Received.Unix()))
	}
	return w
}

func (c *call) confirmed(s *Server, hash int64, viewer *account) *tg.PhoneCall {
	p := &tg.PhoneCall{
		ID: c.info.ID, AccessHash: hash, Date: int(c.info.Requested.Unix()), AdminID: c.caller.ID, ParticipantID: c.callee.ID, Video: c.info.Video,
		P2PAllowed: c.info.P2P, GAOrB: c.dh.ga, KeyFingerprint: c.dh.fingerprint, Protocol: c.terms.agreed, Connections: slices.Concat(s.mirror.connections(c.tags, viewer == c.caller), c.terms.connections), StartDate: int(c.info.Active.Unix()),
	}
	if viewer == c.caller {
		p.GAOrB = c.dh.gb
	}
	if c.terms.custom != "" {
		p.SetCustomParameters(tg.DataJSON{Data: c.terms.custom})
	}
	return p
}

func (c *call) discarded() *tg.PhoneCallDiscarded {
	d := &tg.PhoneCallDiscarded{ID: c.info.ID, Video: c.info.Video}
	if c.reason != nil {
		d.SetReason(c.reason)
	}
	if !c.info.Active.IsZero() {
		d.SetDuration(c.info.Duration)
	}
	d.NeedRating, d.NeedDebug = c.asks.rating, c.asks.debug
	return d
}

// tellCall pushes the state of a call to a side: to its device in the call, else to all where calls ring, never to skip.
func (s *Server) tellCall(c *call, side *account, skip *device) {
	all := side.sortedDevices()
	if d := c.device(side); d != nil {
		all = []*device{d}
	}
	for _, d := range all {
		deaf := side == c.callee && c.device(side) == nil && d.rec.Login.NoCalls
		if d != skip && d.user == side && !deaf {
			s.push(side, news{
				updates: []tg.UpdateClass{&tg.UpdatePhoneCall{PhoneCall: c.seenBy(s, side, d)}}, users: []*account{c.caller, c.callee}, only: d, numbered: true,
			})
		}
	}
}

// arm ends the call by itself when nothing happens for a while.
func (s *Server) arm(c *call, after time.Duration, reason tg.PhoneCallDiscardReasonClass) {
	if c.timer != nil {
		c.timer.Stop()
	}
	state := c.info.State
	c.timer = time.AfterFunc(after, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if c.info.State == state && !s.stopped {
			s.log.Info("call timed out", "call", c.info.ID, "state", state)
			s.discard(c, nil, reason, 0)
		}
	})
}

// discard ends a call and tells everybody but the device that asked for it.
func (s *Server) discard(c *call, by *device, reason tg.PhoneCallDiscardReasonClass, duration int) {
	if c.timer != nil {
		c.timer.Stop()
	}
	now := s.now()
	c.info.State, c.info.Ended, c.touched, c.reason, c.info.Reason = CallDiscarded, now, now, reason, reasonName(reason)
	c.asks = s.feedback
	if !c.info.Active.IsZero() {
		c.info.Duration = max(duration, 0)
		if by == nil {
			c.info.Duration = int(now.Sub(c.info.Active).Seconds())
		}
	}
	if c.callee.busy == c.info.ID {
		c.callee.busy = 0
	}
	s.relay.forget(c.relay)
	s.mirror.forget(c.tags)
	s.tellCall(c, c.caller, by)
	if !c.silent {
		s.tellCall(c, c.callee, by)
	}
	s.log.Info("call ended", "call", c.info.ID, "reason", c.info.Reason, "duration", c.info.Duration)
	s.deliver(c.caller, c.callee, "", c.action(), by)
}

// action is what remains of the call in the chat of both.
func (c *call) action() *tg.MessageActionPhoneCall {
	a := &tg.MessageActionPhoneCall{CallID: c.info.ID, Video: c.info.Video}
	if c.reason != nil {
		a.SetReason(c.reason)
	}
	if !c.info.Active.IsZero() {
		a.SetDuration(c.info.Duration)
	}
	return a
}

func reasonName(r tg.PhoneCallDiscardReasonClass) string {
	switch r.(type) {
	case *tg.PhoneCallDiscardReasonBusy:
		return "busy"
	case *tg.PhoneCallDiscardReasonMissed:
		return "missed"
	case *tg.PhoneCallDiscardReasonHangup:
		return "hangup"
	case *tg.PhoneCallDiscardReasonDisconnect:
		return "disconnect"
	case *tg.PhoneCallDiscardReasonMigrateConferenceCall:
		return "migrate"
	}
	return ""
}

func reasonOf(name string) tg.PhoneCallDiscardReasonClass {
	switch name {
	case "busy":
		return &tg.PhoneCallDiscardReasonBusy{}
	case "missed":
		return &tg.PhoneCallDiscardReasonMissed{}
	case "hangup":
		return &tg.PhoneCallDiscardReasonHangup{}
	case "disconnect":
		return &tg.PhoneCallDiscardReasonDisconnect{}
	}
	return nil
}

// keepCall files a new call and forgets the oldest ended ones.
func (s *Server) keepCall(c *call) {
	s.calls[c.info.ID] = c
	s.callOrder = append(s.callOrder, c)
	for i := 0; len(s.callOrder) > s.opts.KeepCalls && i < len(s.callOrder); i++ {
		if old := s.callOrder[i]; !old.live() {
			delete(s.calls, old.info.ID)
			s.callOrder = slices.Delete(s.callOrder, i, i+1)
			i--
		}
	}
}

// endCallsOf ends what a device is in when it logs out.
func (s *Server) endCallsOf(d *device) {
	for _, c := range slices.Clone(s.callOrder) {
		if c.live() && (c.from == d || c.to == d) {
			s.discard(c, d, &tg.PhoneCallDiscardReasonDisconnect{}, 0)
		}
	}
}

// callsSince are the calls whose state a device may have missed since a time (whole seconds, as clients tell it).
func (s *Server) callsSince(d *device, since time.Time) []*call {
	var missed []*call
	for _, c := range s.callOrder {
		mine := c.from == d && d.user == c.caller || d.user == c.callee && !c.silent && (c.to == nil || c.to == d || c.live())
		changed := c.touched.Unix() >= since.Unix()
		ringing := c.rings() && c.callee == d.user && !c.silent
		if mine && (changed || ringing) {
			missed = append(missed, c)
		}
	}
	return missed
}
