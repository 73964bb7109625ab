package esl_test

import (
	"strings"
	"testing"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/lab"
)

// TestPhoneCannotExpand: FreeSWITCH expands what stands in the arguments of an application, and a phone may dial "${".
// mod_sofia takes its meaning away; the dialplan that we publish does not rely on that, and takes nothing that no number has.
func TestPhoneCannotExpand(t *testing.T) {
	phone, err := lab.NewPhone(lab.PhoneOptions{Name: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(phone.Close)
	fs, err := newFreeSWITCH(binary(t), true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fs.remove)
	fs.context = "to-telegram"
	if err := fs.start(); err != nil {
		t.Fatal(err)
	}
	phone.SetServer(fs.SIPAddr())
	r := newRig(t, fs)
	for _, number := range []string{"*5000201", "+49301000203", "alice_lab", "tg-alice_lab.x@y#*+"} {
		c := call(t, phone, number)
		offer := r.offer()
		if offer.Dialled != number {
			t.Errorf("%s is offered as %q", number, offer.Dialled)
		}
		offer.Leg.Hangup(bridge.CauseOf(bridge.BadNumber))
		ended(t, offer.Leg, bridge.BadNumber)
		if _, err := c.WaitOver(soon(t)); err != nil {
			t.Error(err)
		}
	}
	for _, number := range []string{
		"*5${hash(insert/end/phone/was-here)}", "*5%24%7Bhash(insert/end/phone/was-here)%7D", "*5$${domain}", "*5,a=b", "*5;a=b", "*5%0Aa=b", "*5000201%0A",
	} {
		c := call(t, phone, number)
		if o, err := c.WaitOver(soon(t)); err != nil || o.Status != 404 {
			t.Errorf("%s: phone sees %d (%v), want 404", number, o.Status, err)
		}
		select {
		case offer := <-r.offers:
			t.Errorf("%s is offered as %q", number, offer.Dialled)
			offer.Leg.Hangup(bridge.CauseOf(bridge.BadNumber))
		default:
		}
	}
	if said := r.api("hash select/end/phone"); strings.Contains(said, "was-here") {
		t.Errorf("the phone has run a command: %q", said)
	}
}
