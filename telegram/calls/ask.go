package calls

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/gotd/td/tg"
	"github.com/gotd/td/tgerr"
)

const (
	lostFor   = 90 * time.Second // from phone.requestCall on, as long as a phone rings: see trace
	clockSlip = 3 * time.Second  // by how much a call may seem older than the request that made it
)

// errUnanswered is behind an Error of kind NoConnection.
var errUnanswered = errors.New("request call: no answer in time")

// ask is the phone.requestCall of an outgoing call.
type ask struct {
	since  time.Time              // when it was sent
	date   time.Time              // the same by Telegram's clock
	placed chan placed            // holds its outcome, until that has been taken
	unsure bool                   // it failed, and may have been carried out all the same
	found  chan tg.PhoneCallClass // once lost: what came for the call that it has made
}

// placed is the outcome of phone.requestCall.
type placed struct {
	call tg.PhoneCallClass
	err  error
}

// request sends phone.requestCall. It is not cancelled with the call: once it is on its way the callee's phone may
// ring, so its answer is awaited in any case to discard the call.
func (c *Call) request() {
	limit := c.line.opts.Limits.Request
	c.enter(requesting, limit)
	c.ask = ask{
		since: time.Now(), date: c.line.opts.Now(),
		placed: make(chan placed, 1), found: make(chan tg.PhoneCallClass, 1),
	}
	request := &tg.PhoneRequestCallRequest{UserID: c.target, GAHash: c.secret.hash(), Protocol: c.protocol()}
	c.jobs.group.Go(func() {
		ctx, cancel := context.WithTimeout(c.base, max(limit, lostFor))
		defer cancel()
		c.ask.placed <- c.requestCall(withWanted(ctx, c.jobs.ctx), request)
	})
}

func (c *Call) requestCall(ctx context.Context, r *tg.PhoneRequestCallRequest) placed {
	for again := true; ; again = false {
		id, err := randomID()
		if err != nil {
			return placed{err: err}
		}
		r.RandomID = id
		answer, err := c.line.opts.API.PhoneRequestCall(ctx, r)
		if err == nil {
			return placed{call: answer.PhoneCall}
		}
		if !again || !tgerr.Is(err, "RANDOM_ID_DUPLICATE") || Wanted(ctx).Err() != nil {
			return placed{err: fmt.Errorf("request call: %w", err)}
		}
	}
}

func randomID() (int, error) {
	var raw [4]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return 0, fmt.Errorf("read randomness: %w", err)
	}
	return int(int32(binary.LittleEndian.Uint32(raw[:]))), nil
}

// requested goes on after phone.requestCall.
func (c *Call) requested(p placed) {
	c.ask.placed = nil // nothing more comes
	if p.err != nil {
		c.ask.unsure = unsure(p.err)
		c.fail(classify(p.err))
		return
	}
	c.learn(p.call)
	if c.id == 0 {
		c.fail(&Error{Kind: Failed, Err: fmt.Errorf("request call: unexpected answer %T", p.call)})
		return
	}
	c.log = c.log.With("tg_call", c.id)
	c.log.Debug("placed call", "peer", c.Peer())
	c.enter(waiting, c.line.reached())
	c.emit(Requested{})
	c.line.adopt(c, c.id)
	c.receive(parcel{call: p.call})
}

// unsure says whether a request that failed may have been carried out all the same: Telegram did not say that it was not.
func unsure(err error) bool {
	if err == nil {
		return false
	}
	rpc, ok := tgerr.As(err)
	return !ok || rpc.Code < 400 || rpc.Code >= 500
}

// learn takes the identity of the call that we have requested.
func (c *Call) learn(answer tg.PhoneCallClass) {
	w, ok := answer.(interface {
		GetID() int64
		GetAccessHash() int64
		GetParticipantID() int64
	})
	if !ok {
		return
	}
	c.id, c.accessHash = w.GetID(), w.GetAccessHash()
	c.facts.id.Store(c.id)
	c.facts.participant.Store(w.GetParticipantID())
}

// trace looks for a call that a phone.requestCall without an answer may have made, or the callee's phone would ring for
// nobody: its answer comes late, or an update of a call like it comes that nobody knows. It learns the call, and says
// whether the callee has accepted it meanwhile.
func (c *Call) trace() (accepted, found bool) {
	if c.phase != requesting || c.ask.placed == nil && !c.ask.unsure {
		return false, false
	}
	c.line.miss(c)
	defer c.line.giveUp(c)
	limit := time.NewTimer(time.Until(c.ask.since.Add(lostFor)))
	defer limit.Stop()
	for {
		var ending chan struct{}
		if c.ask.placed == nil {
			ending = c.line.ending // an answer may still come then, for an update it is too late
		}
		select {
		case p := <-c.ask.placed:
			c.ask.placed, c.ask.unsure = nil, unsure(p.err)
			if p.err == nil {
				c.learn(p.call)
				return false, c.id != 0 && !c.line.knew(c.id)
			}
			if !c.ask.unsure {
				return false, false
			}
		case u := <-c.ask.found:
			c.ask.unsure = false
			c.learn(u)
			c.log.Info("discarding a call that telegram took without an answer", "tg_call", c.id)
			_, accepted = u.(*tg.PhoneCallAccepted)
			return accepted, true
		case <-limit.C:
			return false, false
		case <-ending:
			return false, false
		case <-c.base.Done():
			return false, false
		}
	}
}

// made says whether an update is of a call that our phone.requestCall has made.
func (c *Call) made(u tg.PhoneCallClass) bool {
	switch u := u.(type) {
	case *tg.PhoneCallWaiting:
		return c.like(u.AdminID, u.ParticipantID, u.Date)
	case *tg.PhoneCallAccepted:
		return c.like(u.AdminID, u.ParticipantID, u.Date)
	}
	return false
}

func (c *Call) like(admin, participant int64, date int) bool {
	return admin == c.line.opts.Self && participant == c.Peer() && !time.Unix(int64(date), 0).Before(c.ask.date.Add(-clockSlip))
}

// miss makes a call known whose phone.requestCall has no answer.
func (l *Line) miss(c *Call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost[c] = true
	l.findLost()
}

// giveUp is the opposite of miss.
func (l *Line) giveUp(c *Call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.lost, c)
}

// knew says whether a call has ended.
func (l *Line) knew(id int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over.has(id, time.Now())
}

// findLost looks among what is parked for updates of lost calls. As long as another call to the same user waits for its id
// they may be that one's. l.mu is held.
func (l *Line) findLost() {
	for c := range l.lost {
		if l.asking(c.Peer()) {
			continue
		}
		if id, u := l.parked.find(c.made); u != nil {
			delete(l.parked, id)
			delete(l.lost, c)
			c.ask.found <- u
		}
	}
}

// asking says whether a call to a user runs that has no id yet. l.mu is held.
func (l *Line) asking(user int64) bool {
	for c := range l.live {
		if c.outgoing && c.Peer() == user && l.calls[c.ID()] != c {
			return true
		}
	}
	return false
}
