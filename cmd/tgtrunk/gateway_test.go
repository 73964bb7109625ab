package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/lab"
	"github.com/tgtrunk/tgtrunk/lab/stage"
	"github.com/tgtrunk/tgtrunk/telegram/cloud"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/phone"
)

const gatewayConfiguration = `data: {{.Dir}}/data
` + onAsterisk + `guard: {strangers: {per_day: 5, warm_up: 0, gap: 0s, declines: {count: 0}}}
caller_id: ["*99{userid}"]
caller_name: {show: ["{name}"], charset: ascii}
numbers: {country: "49", national_prefix: "0"}
aliases: {"7001": "@bob_lab"}
routes:
  - {from: company, to: office, context: from-telegram, extension: "100"}
  - {from: office, caller: "203", to: [company, second]}
  - {from: office, caller: "204", to: company, reached_in: 1s}
  - {from: office, to: company}
records: {file: {{.Dir}}/calls.jsonl}
`

// gatewayDialplan lets the caller named "3 s" give a device so long to be reached.
const gatewayDialplan = `
exten => _[*+0-9a-zA-Z].,1,Set(CHANNEL(hangup_handler_push)=telling,s,1)
 same => n,ExecIf($["${CALLERID(name)}" = "3 s"]?Set(TGTRUNK_REACHED_IN=3))
 same => n,Stasis(tgtrunk,${FILTER(0-9a-zA-Z+*#@_.\-,${EXTEN})})
 same => n,Hangup(${TGTRUNK_CAUSE})

[from-telegram]
exten => 100,1,Dial(PJSIP/100,60)
 same => n,Hangup()
` + stage.Telling

// outgoing makes a call from a SIP phone to somebody who answers, and returns what the dialplan and the record say of it.
func outgoing(ctx context.Context, t *testing.T, s *stage.Stage, who, dialled string, o lab.CallOptions) (stage.Verdict, bridge.Record) {
	t.Helper()
	person := s.People[who]
	person.Behave(phone.Behaviour{Voice: s.Voice})
	next := person.Received()
	sip, err := s.Phones["201"].Call(ctx, dialled, o)
	if err != nil {
		t.Fatal(err)
	}
	defer sip.Hangup()
	waiting, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tg, err := person.Incoming(waiting, next)
	if err != nil {
		t.Fatalf("%s dialled, and %s does not ring; the caller gets %s", dialled, who, pbxCause(sip.Outcome()))
	}
	r := judgeTones(ctx, result{}, tones{sip: sip, sipTone: stage.Extensions["201"], tg: tg, answered: tg.Times().Begun})
	if !r.OK {
		t.Errorf("%s dialled: %s", dialled, r.Problem)
	}
	sip.Hangup()
	return toldOf(ctx, t, s, sip)
}

// toldOf waits for what the dialplan and the record say of a call that has ended.
func toldOf(ctx context.Context, t *testing.T, s *stage.Stage, sip *lab.PhoneCall) (stage.Verdict, bridge.Record) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if _, err := sip.WaitOver(ctx); err != nil {
		t.Fatal(err)
	}
	told, err := s.Verdict(ctx, sip.ID())
	if err != nil {
		t.Fatal(err)
	}
	record, err := stage.Record(ctx, s.Records(), told.Leg, func(r bridge.Record) bool { return r.Offering.Leg == told.Leg })
	if err != nil {
		t.Fatal(err)
	}
	return told, record
}

// A caller from Telegram appears as the rules say, and can be called back however the PBX writes the number; aliases,
// pools, what the dialplan is told and may set.
func TestGateway(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	ivan := cloud.User{ID: 5_000_123_456, Phone: "+4930100077", Username: "ivan_lab", FirstName: "Иван", Code: "10100"}
	second := account("second", 1)
	s, _ := setStageWith(ctx, t, stage.Options{
		Configuration: gatewayConfiguration, Dialplan: gatewayDialplan, Extras: []cloud.User{ivan},
		Accounts: []stage.Account{{Name: "company", User: stage.Company}, second},
	})

	s.Phones["100"].SetAnswer(lab.AnswerAfter(0))
	tg, err := s.People["Иван"].CallUsername(ctx, stage.Company.Username, phone.Behaviour{Voice: s.Voice})
	if err != nil {
		t.Fatal(err)
	}
	sip, err := s.Phones["100"].NextCall(ctx)
	if err != nil {
		t.Fatal(err)
	}
	number := fmt.Sprintf("*99%d", ivan.ID)
	if sip.Number() != number || sip.Name() != "Ivan" {
		t.Errorf("the caller appears as %q %q, want %q %q", sip.Name(), sip.Number(), "Ivan", number)
	}
	tg.Hangup()
	if _, err := sip.WaitOver(ctx); err != nil {
		t.Fatal(err)
	}
	for dialled, matched := range map[string]string{
		number: "caller_id", strings.TrimPrefix(number, "*99"): "memory", strings.TrimPrefix(number, "*"): "memory", "8" + strings.TrimPrefix(number, "*99"): "memory",
	} {
		told, record := outgoing(ctx, t, s, "Иван", dialled, lab.CallOptions{})
		if string(record.Matched) != matched {
			t.Errorf("%s is read by %q, want %q", dialled, record.Matched, matched)
		}
		if told.Presence != "recently" {
			t.Errorf("TGTRUNK_PRESENCE is %q", told.Presence)
		}
	}
	told, record := outgoing(ctx, t, s, "bob", "7001", lab.CallOptions{})
	if record.Matched != "alias" {
		t.Errorf("an alias is read by %q", record.Matched)
	}
	if told.BudgetLeft != "4" || record.Attempts[0].Facts["TGTRUNK_BUDGET_LEFT"] != "4" {
		t.Errorf("after a first stranger TGTRUNK_BUDGET_LEFT is %q, in the record %q", told.BudgetLeft, record.Attempts[0].Facts)
	}
	gatewayReach(ctx, t, s)
	clickToCall(ctx, t, s, "asterisk", strings.NewReplacer("PJSIP/201", "PJSIP/100", "*5000201", "7001", "from-internal", "phones"), s.Asterisk.CLI)

	// The second account has more strangers left, so it is tried first, until it is known to be limited.
	s.Cloud.Control().FloodNext(second.User.ID, "phone.requestCall", 3600)
	for i, want := range [][]string{{"second", "company"}, {"company"}} {
		who := []string{"carol", "dora"}[i]
		told, record := outgoing(ctx, t, s, who, person(who).Username, lab.CallOptions{FromNumber: "203"})
		if told.Session != "company" || told.Peer != strconv.FormatInt(person(who).ID, 10) {
			t.Errorf("the dialplan is told that %q has called %q", told.Session, told.Peer)
		}
		var tried []string
		for _, attempt := range record.Attempts {
			tried = append(tried, attempt.Trunk)
		}
		if record.Reason != bridge.Normal || !slices.Equal(tried, want) {
			t.Errorf("a pool with a limited account tries %q and ends as %s", tried, record.Reason)
		}
	}
	if err := s.Settled(ctx); err != nil {
		t.Error(err)
	}
}

// gatewayReach looks at how long a device may take, by the route and by the dialplan.
func gatewayReach(ctx context.Context, t *testing.T, s *stage.Stage) {
	t.Helper()
	for name, want := range map[string]time.Duration{"": time.Second, "3 s": 3 * time.Second} {
		sip, err := s.Phones["201"].Call(ctx, person("egon").Username, lab.CallOptions{FromNumber: "204", FromName: name})
		if err != nil {
			t.Fatal(err)
		}
		told, record := toldOf(ctx, t, s, sip)
		took := sip.Outcome().Ended.Sub(sip.Outcome().Began)
		if told.Reason != "UNREACHABLE" || record.Reason != bridge.Unreachable || took < want || took > want+1900*time.Millisecond {
			t.Errorf("reached_in %v: %s after %v", want, told.Reason, took)
		}
	}
}
