package ari_test

import (
	"context"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/ari"
	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/lab"
	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/media/tone"
	"github.com/tgtrunk/tgtrunk/routing"
)

// newPhoneRig runs a link on an Asterisk of its own, with one SIP phone whose calls enter a context.
func newPhoneRig(t *testing.T, dialplanContext string, o lab.PhoneOptions) (*rig, *lab.Phone) {
	t.Helper()
	return newPhoneRigWith(t, dialplanContext, o, func(*ari.Options) {})
}

func newPhoneRigWith(t *testing.T, dialplanContext string, o lab.PhoneOptions, change func(*ari.Options)) (*rig, *lab.Phone) {
	t.Helper()
	o.Name = "alice"
	phone, err := lab.NewPhone(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(phone.Close)
	codecs := []string{"ulaw", "alaw"}
	if len(o.Codecs) == 1 && o.Codecs[0] == media.PCMA {
		codecs = []string{"alaw"}
	}
	a := ownAsterisk(t, lab.SIPEndpoint{Name: "alice", Context: dialplanContext, ContactPort: phone.Port(), Codecs: codecs})
	phone.SetServer(a.SIPAddr())
	link := options(a)
	change(&link)
	return newRigWith(t, a, link), phone
}

func call(t *testing.T, phone *lab.Phone, number string) *lab.PhoneCall {
	t.Helper()
	c, err := phone.Call(t.Context(), number, lab.CallOptions{FromNumber: "200", FromName: "Zoë"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// TestPhoneRung: ringing towards a channel that the dialplan has answered stops when audio begins.
func TestPhoneRung(t *testing.T) {
	r, phone := newPhoneRig(t, "answered", lab.PhoneOptions{Tone: 600})
	c := call(t, phone, "5001")
	leg := r.offer().Leg
	leg.Ring()
	leg.Answer()
	next[bridge.Answered](t, leg)
	flow := next[bridge.Media](t, leg).Flow
	heard := listen(flow)
	defer play(flow, 900, 8000)()
	heard.hear(t, 600)
	if _, err := c.Audio().WaitTone(soon(t), 900, time.Second); err != nil {
		t.Error(err)
	}
	leg.Hangup(bridge.CauseOf(bridge.Normal))
	ended(t, leg, bridge.Normal)
}

// TestPhoneCalls: a phone that calls through the dialplan hears ringing, then the other side from its first word on;
// digits, hold and hang-up arrive.
func TestPhoneCalls(t *testing.T) {
	r, phone := newPhoneRig(t, "in", lab.PhoneOptions{Tone: 600})
	c := call(t, phone, "5001")
	offer := r.offer()
	if offer.Caller.Number != "200" || offer.Caller.Name != "Zoë" || offer.Variables["PBX_PROTOCOL_ID"] != c.ID() {
		t.Errorf("offer %+v", offer.Request)
	}
	leg := offer.Leg
	leg.Ring()
	r.until("ringing", func() bool { return !c.Outcome().Ringing.IsZero() })
	leg.Answer()
	next[bridge.Answered](t, leg)
	flow := next[bridge.Media](t, leg).Flow
	heard := listen(flow)
	stop := play(flow, 900, 8000)
	defer stop()
	if err := c.WaitAnswered(soon(t)); err != nil {
		t.Fatal(err)
	}
	heard.hear(t, 600)
	if _, err := c.Audio().WaitTone(soon(t), 900, time.Second); err != nil {
		t.Error(err)
	}

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
}

// TestAlawPhone: a phone that only has A-law is not transcoded on its way to us.
func TestAlawPhone(t *testing.T) {
	r, phone := newPhoneRig(t, "in", lab.PhoneOptions{Tone: 600, Codecs: []media.Codec{media.PCMA}})
	c := call(t, phone, "5001")
	leg := r.offer().Leg
	leg.Answer()
	next[bridge.Answered](t, leg)
	flow := next[bridge.Media](t, leg).Flow
	if got := flow.Format().Codec; got != media.PCMA {
		t.Errorf("law %v", got)
	}
	listen(flow).hear(t, 600)
	leg.Hangup(bridge.CauseOf(bridge.Normal))
	ended(t, leg, bridge.Normal)
	if o, err := c.WaitOver(soon(t)); err != nil || !o.FarEnd {
		t.Errorf("phone: %+v, %v", o, err)
	}

	leg = r.link.Dial(t.Context(), routing.Target{Endpoint: "PJSIP/alice"})
	next[bridge.Ringing](t, leg)
	next[bridge.Answered](t, leg)
	if got := next[bridge.Media](t, leg).Flow.Format().Codec; got != media.PCMA {
		t.Errorf("law %v when dialled", got)
	}
	leg.Hangup(bridge.CauseOf(bridge.Normal))
	ended(t, leg, bridge.Normal)
}

// TestPhoneRefused: what a SIP caller sees of each reason, where the dialplan passes the cause on, and where it ends
// with Stasis().
func TestPhoneRefused(t *testing.T) {
	for _, dialplanContext := range []string{"in", "bare"} {
		r, phone := newPhoneRig(t, dialplanContext, lab.PhoneOptions{})
		for reason, status := range map[bridge.Reason]int{
			bridge.Busy: 486, bridge.NoAnswer: 480, bridge.Unreachable: 480, bridge.Declined: 403, bridge.NotFound: 404,
			bridge.BadNumber: 484, bridge.Flood: 503, bridge.AccountDown: 502, bridge.MediaFailed: 500, bridge.OldClient: 488,
			bridge.Elsewhere: 603,
		} {
			c := call(t, phone, "5001")
			leg := r.offer().Leg
			leg.Ring()
			leg.Hangup(bridge.CauseOf(reason))
			ended(t, leg, reason)
			if o, err := c.WaitOver(soon(t)); err != nil || o.Status != status {
				t.Errorf("%s: phone in context %s sees %d (%v), want %d", reason, dialplanContext, o.Status, err, status)
			}
		}
		c := call(t, phone, "5001")
		leg := r.offer().Leg
		leg.Ring()
		c.Hangup()
		ended(t, leg, bridge.Cancelled)
	}
}

// TestPhoneIsDialled: a phone that is dialled directly sees who calls, and what it says becomes the reason.
func TestPhoneIsDialled(t *testing.T) {
	r, phone := newPhoneRig(t, "in", lab.PhoneOptions{Tone: 600})
	dial := func() bridge.Leg {
		return r.link.Dial(t.Context(), routing.Target{Endpoint: "PJSIP/alice", Timeout: 5 * time.Second,
			Caller: routing.Party{Number: "+4930123", Name: "Zoë \"Z\""}})
	}
	leg := dial()
	next[bridge.Ringing](t, leg)
	next[bridge.Answered](t, leg)
	flow := next[bridge.Media](t, leg).Flow
	c, err := phone.NextCall(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	if c.Number() != "+4930123" || c.Name() != "Zoë Z" {
		t.Errorf("phone shows %q %q", c.Number(), c.Name())
	}
	heard := listen(flow)
	stop := play(flow, 900, 8000)
	defer stop()
	heard.hear(t, 600)
	if _, err := c.Audio().WaitTone(soon(t), 900, time.Second); err != nil {
		t.Error(err)
	}
	c.Hangup()
	ended(t, leg, bridge.Normal)

	for status, want := range map[int]bridge.Reason{
		486: bridge.Busy, 600: bridge.Busy, 603: bridge.Declined, 403: bridge.Declined, 404: bridge.NoRoute,
		480: bridge.NoAnswer, 408: bridge.Unreachable, 488: bridge.MediaFailed,
	} {
		phone.SetAnswer(lab.Refuse(status, 0))
		if end := ended(t, dial(), want); end.Err != nil {
			t.Errorf("%d: %v", status, end.Err)
		}
	}
	phone.SetAnswer(lab.RingForever())
	leg = dial()
	next[bridge.Ringing](t, leg)
	leg.Hangup(bridge.CauseOf(bridge.Cancelled))
	ended(t, leg, bridge.Cancelled)
	short := r.link.Dial(t.Context(), routing.Target{Endpoint: "PJSIP/alice", Timeout: 500 * time.Millisecond})
	ended(t, short, bridge.NoAnswer)
}

// TestPhoneTransfers: a phone that transfers its call away leaves us talking to the target, and nothing is left at the end.
func TestPhoneTransfers(t *testing.T) {
	r, phone := newPhoneRig(t, "in", lab.PhoneOptions{Tone: 600})
	c := call(t, phone, "5001")
	leg := r.offer().Leg
	leg.Answer()
	next[bridge.Answered](t, leg)
	flow := next[bridge.Media](t, leg).Flow
	heard := listen(flow)
	heard.hear(t, 600)
	if err := c.WaitAnswered(soon(t)); err != nil {
		t.Fatal(err)
	}
	if err := c.Transfer(soon(t), "tone440"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.WaitOver(soon(t)); err != nil {
		t.Fatal(err)
	}
	defer play(flow, 900, 8000)()
	heard.hear(t, 440)
	leg.Hangup(bridge.CauseOf(bridge.Normal))
	ended(t, leg, bridge.Normal)
}

// TestAnsweredIVR: a dialplan that answers and then calls a phone lets us hear ringing, then the phone.
func TestAnsweredIVR(t *testing.T) {
	r, phone := newPhoneRig(t, "in", lab.PhoneOptions{Tone: 600, Answer: lab.AnswerAfter(time.Second)})
	leg := r.link.Dial(t.Context(), routing.Target{Context: "ivr", Extension: "100"})
	next[bridge.Answered](t, leg)
	flow := next[bridge.Media](t, leg).Flow
	heard := listen(flow)
	defer play(flow, 900, 8000)()
	c, err := phone.NextCall(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	r.until("ringing tone", func() bool { return tone.RMS(heard.tail(1600)) > 500 })
	if !c.Outcome().Answered.IsZero() {
		t.Error("what was heard is no ringing tone: the phone had answered")
	}
	heard.hear(t, 600)
	if _, err := c.Audio().WaitTone(soon(t), 900, time.Second); err != nil {
		t.Error(err)
	}
	// Who is at the phone is known only now, long after the leg was answered.
	if got := next[bridge.Identified](t, leg).Party; got.Number != "201" || got.Name != "Anna" {
		t.Errorf("the party is %+v", got)
	}
	leg.Hangup(bridge.CauseOf(bridge.Normal))
	if r := ended(t, leg, bridge.Normal).Report; r.Party.Number != "201" {
		t.Errorf("the report names %+v", r.Party)
	}
}
