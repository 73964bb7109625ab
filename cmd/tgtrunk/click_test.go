package main

import (
	"context"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/lab"
	"github.com/tgtrunk/tgtrunk/lab/stage"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/phone"
)

// clickToCall lets the PBX call a phone and then somebody at Telegram by the command of docs/operations.md for its
// console, in which only the phone, the person and the context are this stage's.
func clickToCall(ctx context.Context, t *testing.T, s *stage.Stage, console string, here *strings.Replacer, run func(context.Context, string) (string, error)) {
	t.Helper()
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	command := regexp.MustCompile(`(?m)^` + console + ` -r?x "(.*)"$`).FindSubmatch(text)
	if command == nil {
		t.Fatalf("docs/operations.md has no click to call for %s", console)
	}
	bob := s.People["bob"]
	bob.Behave(phone.Behaviour{Voice: s.Voice})
	next := bob.Received()
	s.Phones["100"].SetAnswer(lab.AnswerAfter(0))
	if out, err := run(ctx, here.Replace(string(command[1]))); err != nil || strings.Contains(out, "-ERR") {
		t.Fatal(err, out)
	}
	waiting, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	sip, err := s.Phones["100"].NextCall(waiting)
	if err != nil {
		t.Fatalf("%s: %v", command[1], err)
	}
	tg, err := bob.Incoming(waiting, next)
	if err != nil {
		t.Fatalf("%s: bob does not ring: %v", command[1], err)
	}
	if r := judgeTones(ctx, result{}, tones{sip: sip, sipTone: stage.Extensions["100"], tg: tg, answered: tg.Times().Begun}); !r.OK {
		t.Errorf("%s: %s", command[1], r.Problem)
	}
	sip.Hangup()
	if _, err := sip.WaitOver(ctx); err != nil {
		t.Error(err)
	}
}
