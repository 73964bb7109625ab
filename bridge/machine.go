package bridge

import (
	"errors"

	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/routing"
)

// side says whom an event of a call comes from, or an action is for.
type side uint8

const (
	offering side = iota // the leg that came with the offer
	dialled              // the leg of the target that is being tried
	outside              // the call itself: its route, its timers, orders from the exchange
)

func (s side) String() string { return [...]string{"offering", "dialled", "outside"}[s] }

func (s side) other() side { return dialled - s }

// timer is a limit of a call. Each runs at most once at a time.
type timer uint8

const (
	ringTimer     timer = iota // one target may ring
	mediaTimer                 // from the answer until audio flows
	setupTimer                 // from the offer until audio flows, over all targets
	teardownTimer              // from the first hang-up until both legs have ended
	timers                     // how many there are
)

// Events from outside the legs.
type (
	routed  struct{ targets []routing.Target } // the first event of a call that has a route
	stopped struct{ cause Cause }              // no route, no room, or an order to end the call
	expired struct{ timer timer }
)

func (routed) event()  {}
func (stopped) event() {}
func (expired) event() {}

// action is what the call's goroutine is to do next, one of the types below.
type action interface{ action() }

type (
	dial       struct{ target int }
	ring       struct{}
	answer     struct{}
	connect    struct{ a, b media.Flow } // of the offering and of the dialled leg
	disconnect struct{}
	sendDigit  struct {
		to    side
		digit byte
	}
	hold struct {
		to side
		on bool
	}
	introduce struct {
		to    side
		party routing.Party
	}
	hangup struct {
		to    side
		cause Cause
	}
	annotate struct {
		to        side
		variables map[string]string
	}
	arm     struct{ timer timer }
	disarm  struct{ timer timer }
	abandon struct{ leg side } // it did not end in time: read its events no more
	finish  struct{}           // the last action
)

func (dial) action()       {}
func (ring) action()       {}
func (answer) action()     {}
func (connect) action()    {}
func (disconnect) action() {}
func (sendDigit) action()  {}
func (hold) action()       {}
func (introduce) action()  {}
func (hangup) action()     {}
func (annotate) action()   {}
func (arm) action()        {}
func (disarm) action()     {}
func (abandon) action()    {}
func (finish) action()     {}

// state is all that a call remembers to decide what comes next.
type state struct {
	targets   []routing.Target // never written
	target    int              // the one being tried
	legs      [2]legState
	rung      bool // the offering leg was told to ring
	answered  bool // the offering leg was told to answer
	connected bool // audio flows
	over      bool // no target is tried any more; cause says why
	cause     Cause
	failed    Cause // of the targets tried so far, what tells most; zero while none has failed
	armed     [timers]bool
}

// legState is what a call knows of one of its legs.
type legState struct {
	live     bool       // exists and has not ended
	hung     Cause      // the cause it was ordered to hang up with; zero Reason while it was not
	reached  bool       // its party's device has the call (dialled leg)
	accepted bool       // its party has answered (dialled leg)
	held     bool       // its party has put the call on hold
	flow     media.Flow // nil until its audio is usable
}

func (l legState) ending() bool { return l.hung.Reason != "" }

// offered is the state of a call that has nothing but its offer.
func offered() state {
	var s state
	s.legs[offering].live = true
	return s
}

// errStuck is the error of a leg that did not end within the teardown limit.
var errStuck = errors.New("leg did not end when told to")

// step is the call machine: what a call in state s does about the event e. It does no I/O.
//
// The offering leg is answered when the dialled leg has media, so that nobody pays for silence; the first leg that ends
// ends the other; a dialled leg that fails before it was answered makes room for the next target where trying it makes
// sense. Events of a leg that was told to hang up no longer matter, except that it ended.
func step(s state, from side, e Event) (state, []action) {
	m := machine{state: s}
	switch e := e.(type) {
	case routed:
		m.targets = e.targets
		m.arm(setupTimer)
		m.dial(0)
	case stopped:
		if m.connected && e.cause.Reason == Congestion {
			e.cause = CauseOf(Normal) // a call that is up has its room; it ends because the service stops
		}
		m.end(e.cause)
	case expired:
		m.expired(e.timer)
	case Ended:
		m.ended(from, e)
	default:
		if from != outside && m.legs[from].live && !m.legs[from].ending() && !m.over {
			m.progress(from, e)
		}
	}
	return m.state, m.actions
}

// machine collects the actions of one step.
type machine struct {
	state
	actions []action
}

func (m *machine) do(a action) { m.actions = append(m.actions, a) }

func (m *machine) arm(t timer) {
	if !m.armed[t] {
		m.armed[t] = true
		m.do(arm{t})
	}
}

func (m *machine) disarm(t timer) {
	if m.armed[t] {
		m.armed[t] = false
		m.do(disarm{t})
	}
}

func (m *machine) dial(target int) {
	m.target = target
	m.legs[dialled] = legState{live: true}
	m.do(dial{target})
	m.arm(ringTimer)
}

// progress takes an event other than Ended of a leg that counts.
func (m *machine) progress(from side, e Event) {
	switch e := e.(type) {
	case Reached, Ringing:
		m.legs[from].reached = true
		if from == dialled && !m.rung {
			m.rung = true
			m.do(ring{})
		}
	case Answered:
		m.accept(from)
	case Media:
		if e.Flow != nil {
			m.legs[from].flow = e.Flow
			m.accept(from)
			m.join()
		}
	case Facts:
		m.do(annotate{from.other(), e.Variables})
	case Identified:
		m.do(introduce{from.other(), e.Party})
	case Digit:
		if m.connected {
			m.do(sendDigit{from.other(), e.Digit})
		}
	case Held:
		if m.legs[from].held != e.On {
			m.legs[from].held = e.On
			if m.connected {
				m.do(hold{from.other(), e.On})
			}
		}
	}
}

// accept notes that the dialled party has answered: from now on only its audio is waited for.
func (m *machine) accept(from side) {
	if from == dialled && !m.legs[dialled].accepted {
		m.legs[dialled].accepted = true
		m.disarm(ringTimer)
		m.arm(mediaTimer)
	}
}

// join answers the offering leg once the dialled one has media, and connects the two once both have. A flow that
// replaces another is connected anew.
func (m *machine) join() {
	a, b := m.legs[offering].flow, m.legs[dialled].flow
	if b == nil {
		return
	}
	if !m.answered {
		m.answered = true
		m.do(answer{})
	}
	if a == nil {
		return
	}
	if m.connected {
		m.do(disconnect{})
		m.do(connect{a, b})
		return
	}
	m.connected = true
	m.disarm(mediaTimer)
	m.disarm(setupTimer)
	m.do(connect{a, b})
	for s := range m.legs {
		if m.legs[s].held {
			m.do(hold{side(s).other(), true})
		}
	}
}

// expired takes a limit that has passed.
func (m *machine) expired(t timer) {
	m.armed[t] = false
	switch {
	case t == teardownTimer:
		m.giveUp()
	case m.over || m.connected:
	case t == ringTimer:
		m.hangup(dialled, CauseOf(m.unanswered()))
	case t == mediaTimer, m.legs[dialled].accepted:
		m.end(CauseOf(MediaFailed))
	default:
		m.end(CauseOf(NoAnswer))
	}
}

// unanswered says what a target that has not answered in time means. Only a Telegram account tells whether anybody was
// there to hear it.
func (m *machine) unanswered() Reason {
	if m.targets[m.target].Number.Kind != 0 && !m.legs[dialled].reached {
		return Unreachable
	}
	return NoAnswer
}

// ended takes the end of a leg: of the offering one it ends the call, of the dialled one only when it was answered or no
// other target is worth trying.
func (m *machine) ended(from side, e Ended) {
	if from == outside || !m.legs[from].live {
		return
	}
	leg := m.legs[from]
	m.legs[from].live = false
	cause := m.verdict(from, leg, e)
	switch {
	case m.over:
		m.settle()
	case from == offering || leg.accepted:
		m.end(cause)
	default:
		m.disarm(ringTimer)
		m.disarm(teardownTimer)
		m.failed = m.failed.heavier(cause)
		if next, ok := m.nextTarget(cause.Reason); ok {
			m.dial(next)
			return
		}
		m.end(m.failed)
	}
}

// verdict is why the leg ended, as the other side should be told.
func (m *machine) verdict(from side, leg legState, e Ended) Cause {
	cause := e.Cause
	switch {
	case leg.ending():
		return leg.hung
	case cause.Reason == "":
		return CauseFromError(e.Err)
	case cause.Reason != Normal || m.connected:
		return cause
	case from == offering && !m.answered:
		return CauseOf(Cancelled)
	case from == dialled && !leg.accepted:
		return CauseOf(NoAnswer) // a dialplan that ran to its end without an answer clears normally
	}
	return cause
}

// nextTarget returns the next target worth trying after one failed for that reason.
func (m *machine) nextTarget(why Reason) (int, bool) {
	switch why {
	case Cancelled, Elsewhere, BadNumber:
		return 0, false
	}
	failed := m.targets[m.target].Number
	for i := m.target + 1; i < len(m.targets); i++ {
		same := failed.Kind != 0 && failed.Key() == m.targets[i].Number.Key()
		if !same || !personal(why) {
			return i, true
		}
	}
	return 0, false
}

// personal reports whether the reason is about the person who was called, whichever account calls: ringing somebody
// again from another account who just declined is no service to anybody.
func personal(why Reason) bool {
	switch why {
	case Busy, Declined, NoAnswer, Unreachable, Blocked, OldClient:
		return true
	}
	return false
}

// end ends the call: both legs are hung up, first the signalling, then the audio between them.
func (m *machine) end(cause Cause) {
	if m.over {
		return
	}
	if cause.Reason == "" {
		cause = CauseOf(Failure) // a leg that is hung up without a reason would count as one that is not
	}
	m.over, m.cause = true, cause
	for t := range teardownTimer {
		m.disarm(t)
	}
	m.hangup(offering, cause)
	m.hangup(dialled, cause)
	if m.connected {
		m.connected = false
		m.do(disconnect{})
	}
	m.settle()
}

// hangup tells a leg to end, once.
func (m *machine) hangup(to side, cause Cause) {
	if leg := &m.legs[to]; leg.live && !leg.ending() {
		leg.hung = cause
		m.do(hangup{to, cause})
		m.arm(teardownTimer)
	}
}

// settle finishes the call when nothing of it is left.
func (m *machine) settle() {
	if !m.legs[offering].live && !m.legs[dialled].live {
		m.disarm(teardownTimer)
		m.do(finish{})
	}
}

// giveUp takes the legs that were told to end and did not for ended.
func (m *machine) giveUp() {
	for s := range m.legs {
		if m.legs[s].live && m.legs[s].ending() {
			m.do(abandon{side(s)})
			m.ended(side(s), Ended{Cause: m.legs[s].hung, Err: errStuck})
		}
	}
}
