package esl_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/esl"
	"github.com/tgtrunk/tgtrunk/lab"
	"github.com/tgtrunk/tgtrunk/routing"
)

// TestWideband: a tone of 6 kHz, which 8 kHz cannot carry, arrives through the dialplan at a SIP phone with a wideband
// codec, and back. The phone is FreeSWITCH's own SIP and codec, with a link of the test behind it.
func TestWideband(t *testing.T) {
	fs := ownFreeSWITCH(t, true)
	widen(t, fs)
	o := fs.options()
	o.App, o.Name = "far", "far"
	far, near := newRigWith(t, fs, o), newRig(t, fs)
	for name, codec := range map[string]string{"G722": "G722", "L16": "L16@16000h@20i", "opus": "opus@48000h@20i"} {
		t.Run(name, func(t *testing.T) {
			leg := near.link.Dial(t.Context(), routing.Target{Context: "wide", Extension: name, Variables: map[string]string{
				"wide_codec": codec, "wide_port": fmt.Sprint(fs.ports.sip)}})
			phone := far.offer().Leg
			phone.Answer()
			next[bridge.Answered](t, phone)
			heard := next[bridge.Media](t, phone).Flow
			flow := awaitMedia(t, leg)
			if got := far.api("uuid_getvar " + bridgedWith(far, leg) + " read_codec"); !strings.EqualFold(got, name) {
				t.Errorf("the phone's codec is %s", got)
			}
			us := speak(t, flow, 6000)
			them := speak(t, heard, 5000)
			them.hears(t, 6000)
			us.hears(t, 5000)
			leg.Hangup(bridge.CauseOf(bridge.Normal))
			ended(t, leg, bridge.Normal)
			ended(t, phone, bridge.Normal)
		})
	}
}

// widen lets FreeSWITCH take SIP calls with wideband codecs.
func widen(t *testing.T, fs *freeswitch) {
	t.Helper()
	reconfigure(t, fs, `value="PCMU,PCMA,opus"`, `value="PCMU,PCMA,opus,G722,L16@16000h@20i"`)
}

// TestIntoTheDialplan: all of a call that the dialplan brings to a phone.
func TestIntoTheDialplan(t *testing.T) {
	r, phone := newPhoneRig(t, lab.PhoneOptions{Tone: 600, Answer: lab.AnswerAfter(300 * time.Millisecond)})
	dial := func() (bridge.Leg, *speaker, *lab.PhoneCall) {
		leg := r.link.Dial(t.Context(), routing.Target{Extension: extensionOf(phone), Timeout: 10 * time.Second,
			Caller: routing.Party{Number: "+4930123", Name: "Zoë “Zed” O’Neill 李 🎉"}})
		next[bridge.Ringing](t, leg)
		c, err := phone.NextCall(soon(t))
		if err != nil {
			t.Fatal(err)
		}
		if c.Number() != "+4930123" || c.Name() != "Zoë “Zed” O’Neill 李 🎉" {
			t.Errorf("phone shows %q %q", c.Number(), c.Name())
		}
		next[bridge.Answered](t, leg)
		s := speak(t, next[bridge.Media](t, leg).Flow, 900)
		s.hears(t, 600)
		phoneHears(t, c, 900)
		return leg, s, c
	}
	leg, _, c := dial()
	if err := c.Audio().SendDigits(soon(t), "1#"); err != nil {
		t.Error(err)
	}
	for _, want := range "1#" {
		if got := next[bridge.Digit](t, leg).Digit; got != byte(want) {
			t.Errorf("digit %c, want %c", got, want)
		}
	}
	for _, d := range []byte("4*2") {
		leg.(bridge.ToneSender).SendDigit(d)
	}
	if got, err := c.Audio().WaitDigits(soon(t), 3); err != nil || got != "4*2" {
		t.Errorf("phone gets digits %q: %v", got, err)
	}
	for _, on := range []bool{true, false} {
		if err := c.Hold(soon(t), on); err != nil {
			t.Error(err)
		}
		if held := next[bridge.Held](t, leg); held.On != on {
			t.Errorf("held %v, want %v", held.On, on)
		}
	}
	c.Hangup()
	ended(t, leg, bridge.Normal)

	leg, _, c = dial()
	leg.Hangup(bridge.CauseOf(bridge.Normal))
	ended(t, leg, bridge.Normal)
	if o, err := c.WaitOver(soon(t)); err != nil || !o.FarEnd {
		t.Errorf("the phone is not hung up: %+v, %v", o, err)
	}
	for status, want := range map[int]bridge.Reason{486: bridge.Busy, 603: bridge.Declined, 404: bridge.NoRoute, 480: bridge.Unreachable} {
		phone.SetAnswer(lab.Refuse(status, 0))
		if end := ended(t, r.link.Dial(t.Context(), routing.Target{Extension: extensionOf(phone)}), want); end.Err != nil {
			t.Errorf("%d: %v", status, end.Err)
		}
	}
}

// TestEveryCauseArrives: whatever cause ends a call in the dialplan, the leg ends with its verdict, on both ways into it.
func TestEveryCauseArrives(t *testing.T) {
	r := newRig(t, sharedFreeSWITCH(t))
	for name := range strings.FieldsSeq(esl.CauseNames) {
		if name == "NONE" || name == "SUCCESS" {
			continue // no dialplan can hang up with these
		}
		want := esl.FailedDial(name)
		for _, target := range []routing.Target{{Extension: "cause-" + name}, {Endpoint: "loopback/cause-" + name + "/lab"}} {
			if end := ended(t, r.link.Dial(t.Context(), target), want.Reason); end.Cause != want || end.Err != nil {
				t.Errorf("%s: ended with %v, %v, want %v", name, end.Cause, end.Err, want)
			}
		}
	}
}

// TestEarlyMedia: sound before the answer is no answer.
func TestEarlyMedia(t *testing.T) {
	r := newRig(t, sharedFreeSWITCH(t))
	began := time.Now()
	leg := r.link.Dial(t.Context(), routing.Target{Extension: "early"})
	next[bridge.Ringing](t, leg)
	next[bridge.Answered](t, leg)
	if took := time.Since(began); took < 600*time.Millisecond {
		t.Errorf("answered after %v, in the middle of early media", took)
	}
	hearTone(t, next[bridge.Media](t, leg).Flow)
	leg.Hangup(bridge.CauseOf(bridge.Normal))
	ended(t, leg, bridge.Normal)
}

// TestRingsInVain: a phone that rings is told when our caller gives up, and when the time is over.
func TestRingsInVain(t *testing.T) {
	r, phone := newPhoneRig(t, lab.PhoneOptions{Answer: lab.RingForever()})
	for _, reason := range []bridge.Reason{bridge.Cancelled, bridge.NoAnswer} {
		limit := 30 * time.Second
		if reason == bridge.NoAnswer {
			limit = time.Second
		}
		leg := r.link.Dial(t.Context(), routing.Target{Extension: extensionOf(phone), Timeout: limit})
		next[bridge.Ringing](t, leg)
		c, err := phone.NextCall(soon(t))
		if err != nil {
			t.Fatal(err)
		}
		if reason == bridge.Cancelled {
			leg.Hangup(bridge.CauseOf(reason))
		}
		ended(t, leg, reason)
		if o, err := c.WaitOver(soon(t)); err != nil || !o.FarEnd || !o.Answered.IsZero() {
			t.Errorf("the phone rings on: %+v, %v", o, err)
		}
	}
}

// TestVariablesArriveAsTheyAre: nothing in a value means anything to FreeSWITCH, on any way to a channel.
func TestVariablesArriveAsTheyAre(t *testing.T) {
	r, phone := newPhoneRig(t, lab.PhoneOptions{})
	set := maps.Clone(esl.Wilds)
	set["BAD"] = "two\nlines"
	set["execute_on_answer"] = "system touch x"
	set["TGTRUNK_USER_ID"], set["TGTRUNK_USERID"] = "1", "2"
	for name, target := range map[string]routing.Target{
		"extension": {Extension: "facts", Variables: set},
		"endpoint":  {Endpoint: "sofia/internal/alice@" + phone.Addr(), Variables: set},
	} {
		t.Run(name, func(t *testing.T) {
			leg := r.link.Dial(t.Context(), target)
			awaitMedia(t, leg)
			channel := leg.ID() + "-media1"
			if target.Endpoint != "" {
				channel = leg.ID() + "-out"
			}
			r.shows(channel, esl.Wilds)
			r.shows(channel, map[string]string{"TGTRUNK_USER_ID": "1", "TGTRUNK_USERID": "1", "TGTRUNK_LEG": leg.ID()})
			for _, name := range []string{"BAD", "execute_on_answer"} {
				if got := r.api("uuid_getvar " + channel + " " + name); got != "_undef_" {
					t.Errorf("%s is %q", name, got)
				}
			}
			leg.Hangup(bridge.CauseOf(bridge.Normal))
			ended(t, leg, bridge.Normal)
		})
	}
	t.Run("annotation", func(t *testing.T) {
		c := call(t, phone, "5001")
		offer := r.offer()
		offer.Leg.(bridge.Annotator).Annotate(esl.Wilds)
		offer.Leg.Ring()
		eventually(t, "ringing", func() bool { return !c.Outcome().Ringing.IsZero() })
		r.shows(offer.Variables["PBX_CHANNEL_ID"], esl.Wilds)
		c.Hangup()
		ended(t, offer.Leg, bridge.Cancelled)
	})
}

// shows compares what uuid_dump says of a channel's variables.
func (r *rig) shows(channel string, want map[string]string) {
	r.t.Helper()
	var dump map[string]any
	if err := json.Unmarshal([]byte(r.api("uuid_dump "+channel+" json")), &dump); err != nil {
		r.t.Fatal(err)
	}
	for name, value := range want {
		if got := dump["variable_"+name]; got != value {
			r.t.Errorf("%s of %s is %q, want %q", name, channel, got, value)
		}
	}
}

// TestForwardedToTelegram: a call from Telegram that the dialplan sends to Telegram is a new call, and both are connected.
func TestForwardedToTelegram(t *testing.T) {
	r := newRig(t, sharedFreeSWITCH(t))
	for _, answers := range []bool{true, false} {
		leg := r.link.Dial(t.Context(), routing.Target{Context: "forward", Extension: "5000201", Caller: routing.Party{Number: "+4930123", Name: "Zoë"}})
		offer := r.offer()
		if offer.Dialled != "*5000201" || offer.Caller.Number != "+4930123" || offer.Caller.Name != "Zoë" {
			t.Errorf("offer %+v", offer.Request)
		}
		if !answers {
			offer.Leg.Hangup(bridge.CauseOf(bridge.Busy))
			ended(t, offer.Leg, bridge.Busy)
			ended(t, leg, bridge.Busy)
			continue
		}
		offer.Leg.Answer()
		next[bridge.Answered](t, offer.Leg)
		there := speak(t, next[bridge.Media](t, offer.Leg).Flow, 6000)
		here := speak(t, awaitMedia(t, leg), 5000)
		there.hears(t, 5000)
		here.hears(t, 6000)
		leg.Hangup(bridge.CauseOf(bridge.Normal))
		ended(t, leg, bridge.Normal)
		ended(t, offer.Leg, bridge.Normal)
	}
}

// TestWithoutDialExtension: where the dialplan has no extension for them, calls go through loopback as they did before.
func TestWithoutDialExtension(t *testing.T) {
	fs := sharedFreeSWITCH(t)
	o := fs.options()
	o.Verto.DialExtension = "missing"
	r := newRigWith(t, fs, o)
	leg, flow := r.dialEcho()
	hearTone(t, flow)
	leg.Hangup(bridge.CauseOf(bridge.Normal))
	ended(t, leg, bridge.Normal)
	ended(t, r.link.Dial(t.Context(), routing.Target{Extension: "busy"}), bridge.Busy)
}
