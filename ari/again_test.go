package ari_test

import (
	"regexp"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/lab"
	"github.com/tgtrunk/tgtrunk/routing"
)

// nameOf waits for a channel of a technology and resource, and returns its name.
func (r *rig) nameOf(begins string) (name string) {
	r.t.Helper()
	find := regexp.MustCompile(`(?m)^(` + regexp.QuoteMeta(begins) + `-[^!]*)!`)
	r.until("channel "+begins, func() bool {
		m := find.FindStringSubmatch(r.cli("core show channels concise"))
		if m != nil {
			name = m[1]
		}
		return m != nil
	})
	return name
}

// TestDialledPhoneIsRedirected: a phone that we have dialled and that is redirected to an extension which calls us is a new
// call, and talks.
func TestDialledPhoneIsRedirected(t *testing.T) {
	r, phone := newPhoneRig(t, "in", lab.PhoneOptions{Tone: 600})
	leg := r.link.Dial(t.Context(), routing.Target{Endpoint: "PJSIP/alice"})
	next[bridge.Ringing](t, leg)
	next[bridge.Answered](t, leg)
	next[bridge.Media](t, leg)
	c, err := phone.NextCall(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	r.cli("channel redirect " + r.nameOf("PJSIP/alice") + " in,5002,1")
	ended(t, leg, bridge.Normal)
	offer := r.offer()
	if offer.Dialled != "5002" || offer.Leg.ID() == leg.ID() {
		t.Errorf("leg %s is offered for %q, after leg %s", offer.Leg.ID(), offer.Dialled, leg.ID())
	}
	offer.Leg.Answer()
	next[bridge.Answered](t, offer.Leg)
	flow := next[bridge.Media](t, offer.Leg).Flow
	heard := listen(flow)
	defer play(flow, 900, 8000)()
	heard.hear(t, 600)
	if _, err := c.Audio().WaitTone(soon(t), 900, time.Second); err != nil {
		t.Error(err)
	}
	offer.Leg.Hangup(bridge.CauseOf(bridge.Normal))
	ended(t, offer.Leg, bridge.Normal)
	if o, err := c.WaitOver(soon(t)); err != nil || !o.FarEnd {
		t.Errorf("phone: %+v, %v", o, err)
	}
}

// TestPhoneTransfersBackToUs: a phone that the dialplan has dialled for us, and that transfers the call to an extension
// which calls us, connects two calls of ours with each other.
func TestPhoneTransfersBackToUs(t *testing.T) {
	r, phone := newPhoneRig(t, "in", lab.PhoneOptions{Tone: 600})
	first := r.link.Dial(t.Context(), routing.Target{Context: "desk", Extension: "100"})
	next[bridge.Ringing](t, first)
	next[bridge.Answered](t, first)
	flow := next[bridge.Media](t, first).Flow
	heard := listen(flow)
	heard.hear(t, 600)
	c, err := phone.NextCall(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	transferred := make(chan error, 1)
	ctx := soon(t)
	go func() { transferred <- c.Transfer(ctx, "5003") }() // its outcome is known once there is sound
	offer := r.offer()
	if offer.Dialled != "5003" {
		t.Errorf("%q is dialled", offer.Dialled)
	}
	second := offer.Leg
	second.Answer()
	next[bridge.Answered](t, second)
	other := next[bridge.Media](t, second).Flow
	hears := listen(other)
	defer play(flow, 900, 8000)()
	defer play(other, 1200, 8000)()
	hears.hear(t, 900)
	heard.hear(t, 1200)
	if err := <-transferred; err != nil {
		t.Error(err)
	}
	second.Hangup(bridge.CauseOf(bridge.Normal))
	ended(t, second, bridge.Normal)
	ended(t, first, bridge.Normal)
}

// TestRedirectedWhileTheSocketIsCut: a caller who was redirected while nobody could hear it is not ours any more: his call
// ends, and he is left alone. One who was transferred to us, and is in our bridge, stays.
func TestRedirectedWhileTheSocketIsCut(t *testing.T) {
	a := sharedAsterisk(t)
	o := options(a)
	wire, through := newWire(t, o.URL)
	o.URL = through
	r := newRigWith(t, a, o)
	talk := func(number string) bridge.Offer {
		t.Helper()
		r.cli("channel originate Local/" + number + "@in/n extension echo@lab")
		offer := r.offer()
		offer.Leg.Answer()
		next[bridge.Answered](t, offer.Leg)
		return offer
	}
	leaving, staying := talk("5561"), talk("5562")
	flow := next[bridge.Media](t, staying.Leg).Flow
	wire.setCut(true)
	r.until("disconnected", func() bool { return !r.link.Connected() })
	r.cli("channel redirect " + leaving.Variables["PBX_CHANNEL"] + " record,100,1")
	there := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(leaving.Variables["PBX_CHANNEL"]) + `!record!`)
	r.until("redirected", func() bool { return there.MatchString(r.cli("core show channels concise")) })
	wire.setCut(false)
	r.until("connected again", r.link.Connected)
	ended(t, leaving.Leg, bridge.Normal)
	heard := listen(flow)
	defer play(flow, 900, 8000)()
	heard.hear(t, 900)
	if all := r.cli("core show channels concise"); !there.MatchString(all) {
		t.Errorf("the caller is not where he was sent:\n%s", all)
	}
	r.cli("channel request hangup " + leaving.Variables["PBX_CHANNEL"])
	staying.Leg.Hangup(bridge.CauseOf(bridge.Normal))
	ended(t, staying.Leg, bridge.Normal)
}
