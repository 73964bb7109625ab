package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/tgtrunk/tgtrunk/lab"
	"github.com/tgtrunk/tgtrunk/lab/stage"
	"github.com/tgtrunk/tgtrunk/telegram/calls"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/phone"
)

// scene is one entry of the demo's script; it yields one result for each of its calls.
type scene struct {
	letter, what string
	play         func(context.Context, *stage.Stage) []result
}

// talkTime is how long the tones of a call are listened to.
const talkTime = 3 * time.Second

const (
	inbound  = "telegram → pbx"
	outbound = "pbx → telegram"
)

var scenes = []scene{
	{"a", "a Telegram user calls, extension 100 answers", one(func(ctx context.Context, s *stage.Stage) result { return callIn(ctx, s, "alice") })},
	{"b", "a user-id is dialled", one(func(ctx context.Context, s *stage.Stage) result {
		return callOut(ctx, s, "201", "alice", fmt.Sprintf("*%d", stage.People["alice"].ID))
	})},
	{"c", "a username is dialled", one(func(ctx context.Context, s *stage.Stage) result {
		return callOut(ctx, s, "201", "bob", stage.People["bob"].Username)
	})},
	{"d", "a phone number is dialled", one(func(ctx context.Context, s *stage.Stage) result {
		return callOut(ctx, s, "201", "carol", "0"+strings.TrimPrefix(stage.People["carol"].Phone, "+49"))
	})},
	{"e", "the callee is in another call", one(calleeBusy)},
	{"f", "the callee declines", one(calleeDeclines)},
	{"g", "no device of the callee is on", one(neverReached)},
	{"h", "the PBX caller gives up while it rings", one(callerGivesUp)},
	{"i", "three calls at once on one account", threeAtOnce},
}

func one(play func(context.Context, *stage.Stage) result) func(context.Context, *stage.Stage) []result {
	return func(ctx context.Context, s *stage.Stage) []result { return []result{play(ctx, s)} }
}

// failed completes a result that is not right.
func (r result) failed(format string, args ...any) result {
	r.OK, r.Problem = false, fmt.Sprintf(format, args...)
	return r
}

// callIn lets somebody call the account; extension 100 answers.
func callIn(ctx context.Context, s *stage.Stage, who string) result {
	r := result{Direction: inbound, Dialled: "@" + stage.Company.Username}
	desk := s.Phones["100"]
	desk.SetAnswer(lab.AnswerAfter(200 * time.Millisecond))
	tg, err := s.People[who].CallUsername(ctx, stage.Company.Username, phone.Behaviour{Voice: s.Voice})
	if err != nil {
		return r.failed("%v", err)
	}
	defer tg.Hangup()
	sip, err := desk.NextCall(ctx)
	if err != nil {
		return r.failed("extension 100 does not ring: %v", err)
	}
	defer sip.Hangup()
	if want := fmt.Sprintf("*%d", stage.People[who].ID); sip.Number() != want {
		return r.failed("extension 100 sees the number %q, not %q", sip.Number(), want)
	}
	if err := sip.WaitAnswered(ctx); err != nil {
		return r.failed("%v", err)
	}
	r = judgeTones(ctx, r, tones{sip: sip, sipTone: stage.Extensions["100"], tg: tg, answered: sip.Outcome().Answered})
	tg.Hangup()
	return judgeEnd(ctx, r, sip, tg, ending{q850: 16, telegram: calls.Hangup})
}

// callOut lets an extension dial somebody, who answers.
func callOut(ctx context.Context, s *stage.Stage, extension, who, dialled string) result {
	r := result{Direction: outbound, Dialled: dialled}
	person := s.People[who]
	person.Behave(phone.Behaviour{After: 300 * time.Millisecond, Voice: s.Voice})
	next := person.Received()
	sip, err := s.Phones[extension].Call(ctx, dialled, lab.CallOptions{})
	if err != nil {
		return r.failed("%v", err)
	}
	defer sip.Hangup()
	tg, err := person.Incoming(ctx, next)
	if err != nil {
		return r.failed("%v; the PBX says %s", err, pbxCause(sip.Outcome()))
	}
	defer tg.Hangup()
	if err := sip.WaitAnswered(ctx); err != nil {
		return r.failed("%v", err)
	}
	if sip.Outcome().Ringing.IsZero() {
		return r.failed("the caller did not hear it ring")
	}
	r = judgeTones(ctx, r, tones{sip: sip, sipTone: stage.Extensions[extension], tg: tg, answered: tg.Times().Accepted})
	sip.Hangup()
	return judgeEnd(ctx, r, sip, tg, ending{q850: 0, telegram: calls.Hangup})
}

func calleeBusy(ctx context.Context, s *stage.Stage) result {
	r := result{Direction: outbound, Dialled: stage.People["bob"].Username}
	// bob talks to carol.
	s.People["carol"].Behave(phone.Behaviour{})
	other, err := s.People["carol"].CallUsername(ctx, stage.People["bob"].Username, phone.Behaviour{})
	if err != nil {
		return r.failed("%v", err)
	}
	defer other.Hangup()
	s.People["bob"].Behave(phone.Behaviour{})
	if !other.Reaches(ctx, func(t phone.Times) time.Time { return t.Established }) {
		return r.failed("bob and carol cannot talk")
	}
	sip, err := s.Phones["201"].Call(ctx, r.Dialled, lab.CallOptions{})
	if err != nil {
		return r.failed("%v", err)
	}
	r = judgeRefusal(ctx, r, sip, 486, 17)
	return judgeAtServer(ctx, r, s, "bob", "busy")
}

func calleeDeclines(ctx context.Context, s *stage.Stage) result {
	r := result{Direction: outbound, Dialled: stage.People["dora"].Username}
	person := s.People["dora"]
	person.Behave(phone.Behaviour{Action: phone.Decline, After: 500 * time.Millisecond})
	next := person.Received()
	sip, err := s.Phones["201"].Call(ctx, r.Dialled, lab.CallOptions{})
	if err != nil {
		return r.failed("%v", err)
	}
	tg, err := person.Incoming(ctx, next)
	if err != nil {
		return r.failed("%v", err)
	}
	r = judgeRefusal(ctx, r, sip, 486, 17) // official apps decline with "busy"
	return judgeTelegramEnd(ctx, r, tg, calls.Busy)
}

func neverReached(ctx context.Context, s *stage.Stage) result {
	r := result{Direction: outbound, Dialled: stage.People["egon"].Username}
	sip, err := s.Phones["201"].Call(ctx, r.Dialled, lab.CallOptions{})
	if err != nil {
		return r.failed("%v", err)
	}
	r = judgeRefusal(ctx, r, sip, 480, 20)
	return judgeAtServer(ctx, r, s, "egon", "missed")
}

func callerGivesUp(ctx context.Context, s *stage.Stage) result {
	r := result{Direction: outbound, Dialled: stage.People["carol"].Username}
	person := s.People["carol"]
	person.Behave(phone.Behaviour{Action: phone.Ignore})
	next := person.Received()
	sip, err := s.Phones["201"].Call(ctx, r.Dialled, lab.CallOptions{})
	if err != nil {
		return r.failed("%v", err)
	}
	defer sip.Hangup()
	tg, err := person.Incoming(ctx, next)
	if err != nil {
		return r.failed("%v", err)
	}
	ringing := time.NewTimer(time.Second)
	defer ringing.Stop()
	select {
	case <-ringing.C:
	case <-sip.Over():
		return r.failed("the call ended by itself: %s", pbxCause(sip.Outcome()))
	}
	sip.Hangup()
	r = judgeRefusal(ctx, r, sip, 487, 0)
	return judgeTelegramEnd(ctx, r, tg, calls.Missed)
}

func threeAtOnce(ctx context.Context, s *stage.Stage) []result {
	results := make([]result, 3)
	var all sync.WaitGroup
	all.Go(func() { results[0] = callIn(ctx, s, "alice") })
	all.Go(func() { results[1] = callOut(ctx, s, "201", "bob", stage.People["bob"].Username) })
	all.Go(func() { results[2] = callOut(ctx, s, "202", "carol", stage.People["carol"].Username) })
	all.Wait()
	return results
}
