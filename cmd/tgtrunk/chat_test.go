package main

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/lab"
	"github.com/tgtrunk/tgtrunk/lab/stage"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/phone"
)

// What a Telegram user types in the chat is heard as DTMF by a SIP phone behind a real Asterisk, the phone's digits are
// shown in the chat, and an extension asked for by message is connected with the user, with sound both ways.
func TestChatWithARealPBX(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s, err := stage.Start(ctx, stage.Options{
		Dir: t.TempDir(), Binary: self, Env: []string{asProgram + "=1"}, Log: slog.New(slog.DiscardHandler),
		Chat: `{digits: both, extensions: {allow: ["100-199"]}}`,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			text, _ := os.ReadFile(s.Service.Log())
			t.Logf("the service's log ends:\n%s", last(text, 6000))
		}
	})

	tg, sip := liveCall(ctx, t, s)
	const typed = "07 A*#9"
	aliceWrites(t, s, typed)
	got, err := sip.Audio().WaitDigits(ctx, 6)
	if err != nil || got != strings.ReplaceAll(typed, " ", "") {
		t.Errorf("the SIP phone hears the digits %q, want %q: %v", got, typed, err)
	}
	if err := sip.Audio().SendDigits(ctx, "512"); err != nil {
		t.Fatal(err)
	}
	companyWrites(ctx, t, s, "☎ 512")
	tg.Hangup()
	if _, err := sip.WaitOver(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Settled(ctx); err != nil {
		t.Fatal(err)
	}

	s.People["alice"].Behave(phone.Behaviour{Voice: s.Voice})
	before := s.People["alice"].Received()
	aliceWrites(t, s, "999") // not on the list
	aliceWrites(t, s, "100")
	companyWrites(ctx, t, s, "☎ 512", "We are calling you to connect you with 100.")
	back, err := s.People["alice"].Incoming(ctx, before)
	if err != nil {
		t.Fatal(err)
	}
	if sip, err = s.Phones["100"].NextCall(ctx); err != nil {
		t.Fatal(err)
	}
	if err := sip.WaitAnswered(ctx); err != nil {
		t.Fatal(err)
	}
	heard := judgeTones(ctx, result{}, tones{sip: sip, sipTone: stage.Extensions["100"], tg: back, answered: sip.Outcome().Answered})
	if heard.Problem != "" {
		t.Errorf("the user and the extension do not hear each other's tones: %s", heard.Problem)
	}
	hangUp(ctx, t, back, sip)
	if err := s.Settled(ctx); err != nil {
		t.Error(err)
	}
}

func hangUp(ctx context.Context, t *testing.T, tg *phone.Call, sip *lab.PhoneCall) {
	t.Helper()
	tg.Hangup()
	if _, err := tg.Wait(ctx); err != nil {
		t.Error(err)
	}
	if _, err := sip.WaitOver(ctx); err != nil {
		t.Error(err)
	}
}

func aliceWrites(t *testing.T, s *stage.Stage, text string) {
	t.Helper()
	if err := s.Cloud.Control().SendMessage(stage.People["alice"].ID, stage.Company.ID, text); err != nil {
		t.Fatal(err)
	}
}

// companyWrites waits until the account has written exactly that to alice.
func companyWrites(ctx context.Context, t *testing.T, s *stage.Stage, want ...string) {
	t.Helper()
	companyWritesTo(ctx, t, s, "alice", want...)
}

// companyWritesTo is companyWrites to somebody.
func companyWritesTo(ctx context.Context, t *testing.T, s *stage.Stage, who string, want ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		var got []string
		for _, m := range s.Cloud.Control().History(stage.People[who].ID, stage.Company.ID) {
			if !m.Out {
				got = append(got, m.Text)
			}
		}
		if slices.Equal(got, want) {
			return
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			t.Fatalf("the account has written %q to %s, want %q", got, who, want)
		}
	}
}
