package main

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/lab"
	"github.com/tgtrunk/tgtrunk/lab/stage"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/phone"
)

// setStage starts a stage with this test binary as the service.
func setStage(ctx context.Context, t *testing.T) (*stage.Stage, stage.Options) {
	t.Helper()
	return setStageWith(ctx, t, stage.Options{})
}

// setStageWith is setStage where it is not the ordinary one.
func setStageWith(ctx context.Context, t *testing.T, o stage.Options) (*stage.Stage, stage.Options) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o.Dir, o.Binary, o.Env = t.ArtifactDir(), self, []string{asProgram + "=1"}
	o.Progress, o.Log = func(text string) { t.Log(text) }, slog.New(slog.DiscardHandler)
	begun := time.Now()
	s, err := stage.Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the stage is set after %v", time.Since(begun).Round(time.Millisecond))
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			text, _ := os.ReadFile(s.Service.Log())
			t.Logf("the service's log ends:\n%s", last(text, 6000))
		}
	})
	return s, o
}

// liveCall is a call from alice that extension 100 has answered and both sides hear.
func liveCall(ctx context.Context, t *testing.T, s *stage.Stage) (*phone.Call, *lab.PhoneCall) {
	t.Helper()
	s.Phones["100"].SetAnswer(lab.AnswerAfter(0))
	tg, err := s.People["alice"].CallUsername(ctx, stage.Company.Username, phone.Behaviour{Voice: s.Voice})
	if err != nil {
		t.Fatal(err)
	}
	sip, err := s.Phones["100"].NextCall(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := firstAudio(ctx, tg, sip); err != nil {
		t.Fatal(err)
	}
	return tg, sip
}

// isRight makes a whole call with tones both ways.
func isRight(ctx context.Context, t *testing.T, s *stage.Stage, when string) {
	t.Helper()
	if r := callIn(ctx, s, "alice"); !r.OK {
		t.Errorf("%s: a call is not right: %s", when, r.Problem)
	}
	if err := s.Settled(ctx); err != nil {
		t.Errorf("%s: %v", when, err)
	}
}

// Asterisk dies in the middle of a call and comes back; then the service itself dies with a call up, and is started again.
// The callers are let go, nothing is left anywhere, and the next call is right.
func TestServiceOutlivesBadDays(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	s, o := setStage(ctx, t)

	tg, _ := liveCall(ctx, t, s)
	s.Asterisk.Kill()
	if _, err := tg.Wait(ctx); err != nil {
		t.Fatalf("the Telegram user hangs in a call without a PBX: %v", err)
	}
	if err := s.Asterisk.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	isRight(ctx, t, s, "after Asterisk came back")

	tg, sip := liveCall(ctx, t, s)
	s.Service.Kill()
	if err := s.StartService(ctx, o, "tgtrunk"); err != nil {
		t.Fatal(err)
	}
	if _, err := sip.WaitOver(ctx); err != nil {
		t.Errorf("the phone hangs in a call without a service: %v", err)
	}
	if _, err := tg.Wait(ctx); err != nil {
		t.Errorf("the Telegram user hangs in a call without a service: %v", err)
	}
	isRight(ctx, t, s, "after the service came back")
}

// While Asterisk is away callers are told so at once, and the service waits for it.
func TestServiceWaitsForAsterisk(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	s, o := setStage(ctx, t)
	if err := s.Service.Stop(); err != nil {
		t.Fatal(err)
	}
	s.Asterisk.Stop()
	restarted := make(chan error, 1)
	go func() { restarted <- s.StartService(ctx, o, "tgtrunk") }()
	for s.Cloud.Control().Online(stage.Company.ID) == 0 {
		select {
		case err := <-restarted:
			t.Fatalf("the service does not wait: %v", err)
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			t.Fatal("the account does not come up without Asterisk")
		}
	}
	tg, err := s.People["bob"].CallUsername(ctx, stage.Company.Username, phone.Behaviour{})
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if ended, err := tg.Wait(ctx); err != nil || time.Since(begun) > 10*time.Second {
		t.Errorf("a call while Asterisk is away ends with %v after %v: %v", ended.Reason, time.Since(begun), err)
	}
	if err := s.Asterisk.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-restarted; err != nil {
		t.Fatal(err)
	}
	isRight(ctx, t, s, "after Asterisk came up")
}
