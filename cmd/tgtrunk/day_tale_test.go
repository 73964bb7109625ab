package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tgtrunk/tgtrunk/lab"
	"github.com/tgtrunk/tgtrunk/telegram/calls"
	"github.com/tgtrunk/tgtrunk/telegram/cloud"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/phone"
)

const (
	ends      = 10 * time.Second       // for whatever should happen by itself
	ringsFor  = 700 * time.Millisecond // until whoever is to give up does
	packetsOK = 1                      // each way, in a call that was up
)

// tale is what a call of the script has come to.
type tale struct {
	errand
	span
	who     cloud.User
	sip     lab.Outcome
	id      string      // SIP Call-ID
	reached bool        // the user's phone rang
	tg      calls.Ended // incoming: how it ended for the user
	wrong   string      // what should not be in undisturbed times
}

// tell makes one call and returns when nothing of it is left.
func (d *day) tell(ctx context.Context, e errand) tale {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	t := tale{errand: e, who: dayAbsent}
	free := d.friends
	if e.stranger {
		free = d.strangers
	}
	switch {
	case e.plot == outPrivate:
		t.who = dayPrivate
	case e.plot == outBlocked:
		t.who = dayBlocks
	case e.meets():
		name := <-free
		defer func() { free <- name }()
		t.who = d.People[name].User()
	}
	t.from = time.Now()
	if e.in() {
		d.callIn(ctx, &t)
	} else {
		d.callOut(ctx, &t)
	}
	d.clear(ctx, &t)
	t.to = time.Now()
	return t
}

// fail notes the first thing that is wrong.
func (t *tale) fail(format string, args ...any) {
	if t.wrong == "" {
		t.wrong = fmt.Sprintf(format, args...)
	}
}

// dialled is how the SIP caller calls somebody.
func (t *tale) dialled() string {
	switch {
	case t.plot == outUnknown:
		return "nobody_of_that_name"
	case t.plot == outNoNumber:
		return "*12"
	case t.how == 1:
		return fmt.Sprintf("*%d", t.who.ID)
	case t.how == 2:
		return "0" + strings.TrimPrefix(t.who.Phone, "+49")
	}
	return t.who.Username
}

func (d *day) callOut(ctx context.Context, t *tale) {
	person, next := d.People[t.who.FirstName], 0
	if person != nil {
		does := phone.Behaviour{Voice: d.Voice, After: t.ring, Deaf: true}
		switch t.plot {
		case outDeclined:
			does.Action = phone.Decline
		case outIgnored, outGivenUp, outVanishesEarly:
			does.Action = phone.Ignore
		}
		person.Behave(does)
		next = person.Received()
	}
	o := lab.CallOptions{FromNumber: t.number()}
	if t.plot == outIgnored {
		o.FromName = "2 s"
	}
	sip, err := d.Phones["201"].Call(ctx, t.dialled(), o)
	if err != nil {
		t.fail("%v", err)
		return
	}
	t.id = sip.ID()
	defer func() {
		if t.sip, err = sip.WaitOver(ctx); err != nil {
			t.fail("the SIP caller hangs: %v", err)
		}
	}()
	if person == nil || !t.meets() {
		d.over(sip, t)
		return
	}
	ringing, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // a call that fails does not ring
		select {
		case <-sip.Over():
		case <-ringing.Done():
		}
		cancel()
	}()
	tg, err := person.Incoming(ringing, next)
	if t.reached = err == nil; t.reached {
		d.live(ctx, t, sip, tg)
	}
	d.over(sip, t)
}

// live plays the part of a call in which both sides know of it.
func (d *day) live(ctx context.Context, t *tale, sip *lab.PhoneCall, tg *phone.Call) {
	switch t.plot {
	case outGivenUp:
		pause(sip.Over(), ringsFor)
		sip.Hangup()
	case outVanishesEarly:
		pause(sip.Over(), ringsFor)
		d.vanish(t.who.ID)
	case outAnswered, outVanishesLate:
		if !d.talk(t, sip, tg) {
			return
		}
		switch {
		case t.plot == outVanishesLate:
			d.vanish(t.who.ID)
		case t.farEnd:
			tg.Hangup()
		default:
			sip.Hangup()
		}
		if _, err := tg.Wait(ctx); err != nil {
			t.fail("the Telegram user hangs: %v", err)
		}
	}
}

// talk waits until a call is up, lets both talk, and looks whether they have heard something.
func (d *day) talk(t *tale, sip *lab.PhoneCall, tg *phone.Call) bool {
	select {
	case <-sip.Answered():
	case <-sip.Over():
		return false
	case <-time.After(ends):
		t.fail("not answered within %v", ends)
		return false
	}
	pause(sip.Over(), t.talk)
	atPBX, atPhone := sip.Audio().Stats().PacketsReceived, tg.Heard().Packets
	if atPBX < packetsOK || atPhone < packetsOK {
		t.fail("%d packets at the PBX and %d at Telegram", atPBX, atPhone)
	}
	return true
}

// vanish lets Telegram find out that somebody's device is gone.
func (d *day) vanish(who int64) {
	for _, c := range d.Cloud.Control().ActiveCalls() {
		if c.Callee == who {
			d.Cloud.Control().EndCall(c.ID, "disconnect")
		}
	}
}

// over gives the SIP side time to end, and ends it then.
func (d *day) over(sip *lab.PhoneCall, t *tale) {
	select {
	case <-sip.Over():
	case <-time.After(ends):
		t.fail("the call has not ended after %v", ends)
		sip.Hangup()
	}
}

func (d *day) callIn(ctx context.Context, t *tale) {
	c := &deskCall{come: make(chan *lab.PhoneCall, 1), does: lab.AnswerAfter(t.ring)}
	switch t.plot {
	case inRefused:
		c.does = lab.Refuse(486, t.ring)
	case inGivenUp:
		c.does = lab.RingForever()
	}
	number := fmt.Sprintf("*%d", t.who.ID)
	d.expect(number, c)
	defer d.expect(number, nil)
	tg, err := d.People[t.who.FirstName].CallUsername(ctx, d.accounts[t.via].User.Username, phone.Behaviour{Voice: d.Voice, Deaf: true})
	if err != nil {
		t.fail("%v", err)
		return
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		t.tg, err = tg.Wait(ctx)
	}()
	var sip *lab.PhoneCall
	select {
	case sip = <-c.come:
		t.reached = true
		d.liveIn(ctx, t, sip, tg, ended)
	case <-ended:
	case <-time.After(ends):
		t.fail("the desk phone does not ring within %v", ends)
	}
	pause(ended, ends)
	select {
	case <-ended:
	default:
		t.fail("the Telegram user's call has not ended after %v", ends)
		tg.Hangup()
		<-ended
	}
	if sip != nil {
		d.over(sip, t)
		if t.sip, err = sip.WaitOver(ctx); err != nil {
			t.fail("the desk phone hangs: %v", err)
		}
	}
}

func (d *day) liveIn(ctx context.Context, t *tale, sip *lab.PhoneCall, tg *phone.Call, ended <-chan struct{}) {
	switch t.plot {
	case inGivenUp:
		pause(ended, ringsFor)
		tg.Hangup()
	case inAnswered:
		// The phones of Telegram are up a little later than the desk phone is answered.
		if !tg.Reaches(ctx, func(at phone.Times) time.Time { return at.Established }) || !d.talk(t, sip, tg) {
			return
		}
		if t.farEnd {
			sip.Hangup()
		} else {
			tg.Hangup()
		}
	}
}

// expect says what the desk phone does with a call from a number; nil: none is expected.
func (d *day) expect(number string, c *deskCall) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c == nil {
		delete(d.desk, number)
		return
	}
	d.desk[number] = c
}

// clear waits until Telegram has no call of a person any more, or ends it.
func (d *day) clear(ctx context.Context, t *tale) {
	if !t.meets() {
		return
	}
	deadline := time.Now().Add(ends)
	for {
		left := int64(0)
		for _, c := range d.Cloud.Control().ActiveCalls() {
			if c.Caller == t.who.ID || c.Callee == t.who.ID {
				left = c.ID
			}
		}
		switch {
		case left == 0 || ctx.Err() != nil:
			return
		case time.Now().After(deadline):
			t.fail("a call is left at Telegram")
			d.Cloud.Control().EndCall(left, "disconnect")
		}
		pause(ctx.Done(), 20*time.Millisecond)
	}
}

// pause waits for so long, or until done.
func pause(done <-chan struct{}, most time.Duration) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}
