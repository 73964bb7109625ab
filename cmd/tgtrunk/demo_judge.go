package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tgtrunk/tgtrunk/lab"
	"github.com/tgtrunk/tgtrunk/lab/stage"
	"github.com/tgtrunk/tgtrunk/media/tone"
	"github.com/tgtrunk/tgtrunk/telegram/calls"
	"github.com/tgtrunk/tgtrunk/telegram/cloud"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/phone"
)

const (
	// The official engine itself brings tones over with a purity of 0.96 and more.
	purityWanted  = 0.9
	recordingRate = 48_000 // of the simulated phones
)

// tones is a call whose two ends play and record.
type tones struct {
	sip      *lab.PhoneCall
	sipTone  float64
	tg       *phone.Call
	answered time.Time
}

// judgeTones lets both ends talk for a while and measures what each has heard.
func judgeTones(ctx context.Context, r result, t tones) result {
	listen := time.NewTimer(talkTime)
	defer listen.Stop()
	select {
	case <-ctx.Done():
		return r.failed("out of time")
	case <-t.sip.Over():
		return r.failed("the call broke off: %s", pbxCause(t.sip.Outcome()))
	case <-listen.C:
	}
	atPBX := t.sip.Audio().Heard()
	judged := atPBX.Tone(stage.TelegramTone)
	heard := t.tg.Heard()
	r.ToneToPBX = judged.Purity
	r.ToneToTelegram = tone.Purity(steady(heard.Samples), recordingRate, t.sipTone)
	if judged.First < 0 || heard.First.IsZero() {
		return r.failed("no sound: at the PBX %v, at Telegram %d packets", judged, heard.Packets)
	}
	first := atPBX.Arrival(judged.First)
	if heard.First.After(first) {
		first = heard.First
	}
	r.SetupMS = max(1, first.Sub(t.answered).Milliseconds())
	stats := t.sip.Audio().Stats()
	if total := int(stats.PacketsReceived+stats.PacketsLost) + heard.Packets + heard.Missing; total > 0 {
		r.Loss = float64(int(stats.PacketsLost)+heard.Missing) / float64(total)
	}
	switch {
	case r.ToneToPBX < purityWanted:
		return r.failed("the PBX does not hear the tone: %v", judged)
	case r.ToneToTelegram < purityWanted:
		return r.failed("Telegram hears %.0f Hz, not %.0f Hz", tone.Dominant(steady(heard.Samples), recordingRate), t.sipTone)
	case r.Loss > 0.02:
		return r.failed("too many packets are lost")
	}
	r.OK = true
	return r
}

// steady leaves out the first quarter of a recording, where the call comes up.
func steady(samples []int16) []int16 { return samples[len(samples)/4:] }

// ending is how a call should end on each side; q850 0 does not matter.
type ending struct {
	q850     int
	telegram calls.Reason
}

func judgeEnd(ctx context.Context, r result, sip *lab.PhoneCall, tg *phone.Call, want ending) result {
	outcome, err := sip.WaitOver(ctx)
	if err != nil {
		return r.failed("the PBX side does not end: %v", err)
	}
	r.CausePBX = pbxCause(outcome)
	if got := outcome.Q850(); r.OK && want.q850 != 0 && got != want.q850 {
		r = r.failed("the PBX side ends with Q.850 %d, not %d", got, want.q850)
	}
	return judgeTelegramEnd(ctx, r, tg, want.telegram)
}

func judgeTelegramEnd(ctx context.Context, r result, tg *phone.Call, want calls.Reason) result {
	ended, err := tg.Wait(ctx)
	if err != nil {
		return r.failed("the Telegram side does not end: %v", err)
	}
	r.CauseTelegram = ended.Reason.String()
	if r.OK && ended.Reason != want {
		r = r.failed("the Telegram side ends with %v, not %v", ended.Reason, want)
	}
	return r
}

// judgeAtServer looks at how the simulated Telegram saw the service's last call to somebody end, a moment after its caller
// at the PBX, or before.
func judgeAtServer(ctx context.Context, r result, s *stage.Stage, who, want string) result {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for {
		call, seen := lastCallTo(s, who)
		if !seen {
			return r.failed("Telegram has seen no call to %s", who)
		}
		if !call.Ended.IsZero() {
			r.CauseTelegram = call.Reason
			if r.OK && call.Reason != want {
				r = r.failed("the call ends at Telegram with %q, not %q", call.Reason, want)
			}
			return r
		}
		select {
		case <-ctx.Done():
			return r.failed("the call to %s does not end at Telegram", who)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func lastCallTo(s *stage.Stage, who string) (cloud.CallInfo, bool) {
	for _, call := range slices.Backward(s.Cloud.Control().Calls()) {
		if call.Caller == stage.Company.ID && call.Callee == stage.People[who].ID {
			return call, true
		}
	}
	return cloud.CallInfo{}, false
}

// judgeRefusal waits for the end of a call that must not be answered.
func judgeRefusal(ctx context.Context, r result, sip *lab.PhoneCall, status, q850 int) result {
	outcome, err := sip.WaitOver(ctx)
	if err != nil {
		return r.failed("the PBX side does not end: %v", err)
	}
	r.CausePBX, r.OK = pbxCause(outcome), true
	if outcome.Status != status {
		r = r.failed("the caller gets SIP %d, not %d", outcome.Status, status)
	}
	if got := outcome.Q850(); r.OK && q850 != 0 && got != q850 {
		r = r.failed("the caller gets Q.850 %d, not %d", got, q850)
	}
	return r
}

// pbxCause says how the SIP side ended.
func pbxCause(o lab.Outcome) string {
	text := fmt.Sprintf("SIP %d", o.Status)
	if cause := o.Q850(); cause != 0 {
		text += fmt.Sprintf(" Q.850 %d", cause)
	}
	return text
}
