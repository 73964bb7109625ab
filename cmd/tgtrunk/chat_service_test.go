package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/lab"
	"github.com/tgtrunk/tgtrunk/lab/stage"
	"github.com/tgtrunk/tgtrunk/media/tone"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/phone"
)

// chatConfiguration is that of a company that answers messages; who calls from 205 and does not get through is connected
// with carol instead.
const chatConfiguration = `data: {{.Dir}}/data
log: {level: debug}
telegram:
  listen: "127.0.0.1:0"
  server: {address: "{{.Cloud}}", public_key: {{.Dir}}/cloud.pem.pub}
guard: {strangers: {per_day: -1, gap: 0s, declines: {count: 0}}}
accounts:
{{- range .Accounts}}
  - name: {{.Name}}
    api_id: 1
    api_hash: "00000000000000000000000000000000"
    phone: "{{.User.Phone}}"
    chat:
      language: en
      card: true
      missed: 1h
      offline: message
      auto_answer: 24h
      call_back: {words: {en: [call me]}, extension: "202"}
      extensions: {allow: ["200-299"]}
      departments:
        - {name: {en: Sales}, context: sales, extension: "202", hours: always}
        - {name: {en: Service}, extension: "100", hours: later}
      menu: {words: {en: [menu]}}
      hours:
        always: {zone: UTC, open: {mon-sun: "0:00-24:00"}}
        later: {zone: UTC, open: {%s: "9:00-10:00"}}
      texts:
        card: {en: "Call from {name}[, {DEPARTMENT}][, ext {number}]"}
{{- end}}
pbx:
  - name: office
    asterisk: {url: "{{.ARI}}", username: {{.User}}, password: {file: {{.Dir}}/ari.password}, app: {{.Service}}}
routes:
  - {from: company, to: office, context: from-telegram, extension: "100"}
  - {from: office, caller: "205", to: company, reached_in: 1s, otherwise: [{to: company, number: "@carol_lab"}]}
  - {from: office, to: company, variables: {DEPARTMENT: Orders}}
records: {file: {{.Dir}}/calls.jsonl}
`

// chatDialplan has departments in a context of their own.
const chatDialplan = `
exten => _[*+0-9a-zA-Z].,1,Set(CHANNEL(hangup_handler_push)=telling,s,1)
 same => n,Stasis(tgtrunk,${FILTER(0-9a-zA-Z+*#@_.\-,${EXTEN})})
 same => n,Hangup(${TGTRUNK_CAUSE})

[from-telegram]
exten => 100,1,Dial(PJSIP/100,60)
 same => n,Hangup()
exten => 201,1,Dial(PJSIP/201,60)
 same => n,Hangup()

[sales]
exten => 202,1,Dial(PJSIP/202,60)
 same => n,Hangup()
` + stage.Telling

// A whole chat section on a real Asterisk: the answer to what means nothing, the menu, a department that is closed and one
// that is open, who calls, whose call was missed on either side, the way back to who called last, and where a call goes
// that reaches nobody. What is said is what the people read, and who is connected hears each other.
func TestChatSectionWithARealPBX(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	opens := time.Now().UTC().AddDate(0, 0, 3)
	s, _ := setStageWith(ctx, t, stage.Options{
		Configuration: fmt.Sprintf(chatConfiguration, strings.ToLower(opens.Format("Mon"))), Dialplan: chatDialplan,
	})
	closed := "closed now. Opens on " + opens.Format(time.DateOnly) + " at 09:00."

	// Nobody takes bob's call while the others write.
	s.Phones["100"].SetAnswer(lab.Behaviour{Never: true})
	missed, err := s.People["bob"].CallUsername(ctx, stage.Company.Username, phone.Behaviour{Voice: s.Voice})
	if err != nil {
		t.Fatal(err)
	}
	unanswered, err := s.Phones["100"].NextCall(ctx)
	if err != nil {
		t.Fatal(err)
	}
	enough := time.After(3500 * time.Millisecond) // who gives up within three seconds has missed nobody

	said := []string{"Nobody reads messages here. Please call this account."}
	says := func(text string) {
		t.Helper()
		said = append(said, text)
		companyWrites(ctx, t, s, said...)
	}
	aliceWrites(t, s, "hello")
	companyWrites(ctx, t, s, said...)
	aliceWrites(t, s, "hello again") // once in 24 hours
	aliceWrites(t, s, "Menu!")
	says("Answer with a number, and we call you and connect you:\n1. Sales\n2. Service (" + closed + ")")
	aliceWrites(t, s, "2")
	says("Service: " + closed) // and nobody is called
	asksToBeCalled(ctx, t, s, "1", "202")
	says("We are calling you to connect you with Sales.")

	// A call that alice lets ring, and one that she takes.
	const card = "Call from Anna, Orders, ext 201"
	anna := lab.CallOptions{FromName: "Anna"}
	s.People["alice"].Behave(phone.Behaviour{Action: phone.Ignore})
	ringing, err := s.Phones["201"].Call(ctx, stage.People["alice"].Username, anna)
	if err != nil {
		t.Fatal(err)
	}
	says(card) // while it rings
	ringing.Hangup()
	if _, err := ringing.WaitOver(ctx); err != nil {
		t.Fatal(err)
	}
	says("We tried to reach you: Anna, ext 201.")
	dials(ctx, t, s, stage.People["alice"].Username, "alice", anna)
	says(card)

	// Who called last is who alice is connected with, and no more the department.
	asksToBeCalled(ctx, t, s, "Call me.", "201")
	says("We are calling you to connect you with Anna.")

	chatGoesElsewhere(ctx, t, s, said[0])
	companyWrites(ctx, t, s, said...)
	if n := s.People["alice"].Received(); n != 4 {
		t.Errorf("alice was called %d times, want 4", n)
	}

	select {
	case <-enough:
	case <-ctx.Done():
		t.Fatal(ctx.Err())
	}
	missed.Hangup()
	if _, err := unanswered.WaitOver(ctx); err != nil {
		t.Fatal(err)
	}
	companyWritesTo(ctx, t, s, "bob", "You called, and nobody could take the call. Write “call me”, and we call you.")
	if err := s.Settled(ctx); err != nil {
		t.Error(err)
	}
}

// chatGoesElsewhere calls egon, whose phone is off and who has written before: carol is rung instead, and egon learns of
// it; nothing says that he is called, for nothing rings.
func chatGoesElsewhere(ctx context.Context, t *testing.T, s *stage.Stage, answer string) {
	t.Helper()
	if err := s.Cloud.Control().SendMessage(stage.People["egon"].ID, stage.Company.ID, "hello"); err != nil {
		t.Fatal(err)
	}
	companyWritesTo(ctx, t, s, "egon", answer)
	record := dials(ctx, t, s, stage.People["egon"].Username, "carol", lab.CallOptions{FromNumber: "205", FromName: "Dana"})
	var verdicts []bridge.Reason
	for _, attempt := range record.Attempts {
		verdicts = append(verdicts, attempt.Reason)
	}
	if record.Reason != bridge.Normal || !slices.Equal(verdicts, []bridge.Reason{bridge.Unreachable, bridge.Normal}) {
		t.Errorf("the call to nobody's device ends as %s after %v", record.Reason, verdicts)
	}
	companyWritesTo(ctx, t, s, "egon", answer, "We tried to reach you: Dana, ext 205.")
	companyWritesTo(ctx, t, s, "carol") // a stranger
}

// asksToBeCalled lets alice write, and takes the call that comes of it at both ends, with sound.
func asksToBeCalled(ctx context.Context, t *testing.T, s *stage.Stage, text, extension string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	alice, sip := s.People["alice"], s.Phones[extension]
	alice.Behave(phone.Behaviour{Voice: s.Voice})
	sip.SetAnswer(lab.AnswerAfter(0))
	before := alice.Received()
	aliceWrites(t, s, text)
	call, err := alice.Incoming(ctx, before)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	agent, err := sip.NextCall(ctx)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	if agent.Name() != "Alice Lab" {
		t.Errorf("%q: extension %s is called by %q", text, extension, agent.Name())
	}
	hearEachOther(ctx, t, text, call, agent, stage.Extensions[extension])
	hangUp(ctx, t, call, agent)
}

// dials makes a call from extension 201 to where somebody answers, with sound, and returns its record.
func dials(ctx context.Context, t *testing.T, s *stage.Stage, dialled, who string, o lab.CallOptions) bridge.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	callee := s.People[who]
	callee.Behave(phone.Behaviour{Voice: s.Voice})
	before := callee.Received()
	sip, err := s.Phones["201"].Call(ctx, dialled, o)
	if err != nil {
		t.Fatal(err)
	}
	call, err := callee.Incoming(ctx, before)
	if err != nil {
		t.Fatalf("%s dialled, and %s does not ring; the caller gets %s", dialled, who, pbxCause(sip.Outcome()))
	}
	hearEachOther(ctx, t, dialled, call, sip, stage.Extensions["201"])
	hangUp(ctx, t, call, sip)
	_, record := toldOf(ctx, t, s, sip)
	return record
}

// hearEachOther waits until either end of a call has heard half a second of the other's tone.
func hearEachOther(ctx context.Context, t *testing.T, what string, tg *phone.Call, sip *lab.PhoneCall, sipTone float64) {
	t.Helper()
	if err := sip.WaitAnswered(ctx); err != nil {
		t.Fatal(err)
	}
	if heard, err := sip.Audio().WaitTone(ctx, stage.TelegramTone, 500*time.Millisecond); err != nil {
		t.Errorf("%q: the PBX does not hear the user: %v, %v", what, heard, err)
	}
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		samples := tg.Heard().Samples
		latest := samples[max(0, len(samples)-recordingRate/2):]
		if len(latest) == recordingRate/2 && tone.Purity(latest, recordingRate, sipTone) >= purityWanted {
			return
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			t.Fatalf("%q: the user does not hear %.0f Hz but %.0f Hz", what, sipTone, tone.Dominant(latest, recordingRate))
		}
	}
}
