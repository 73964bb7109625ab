package ari_test

import (
	"context"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/lab"
	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/routing"
)

// newPhoneRig runs a link on an Asterisk of its own, with one SIP phone whose calls enter a context.
func newPhoneRig(t *testing.T, dialplanContext string, o lab.PhoneOptions) (*rig, *lab.Phone) {
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
	return newRig(t, a), phone
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

var _ = routing.Target{}
