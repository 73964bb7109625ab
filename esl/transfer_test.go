package esl_test

import (
	"fmt"
	"testing"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/esl"
	"github.com/tgtrunk/tgtrunk/lab"
)

// TestAttendedTransfer: a phone that asks a colleague first, and then connects us with him, leaves us talking to him.
func TestAttendedTransfer(t *testing.T) {
	everyDirection(t, func(t *testing.T, talk *conversation) {
		if err := talk.phone.Hold(soon(t), true); err != nil {
			t.Fatal(err)
		}
		question, err := talk.alice.Call(t.Context(), extensionOf(talk.bob), lab.CallOptions{FromNumber: "200"})
		if err != nil {
			t.Fatal(err)
		}
		if err := question.WaitAnswered(soon(t)); err != nil {
			t.Fatal(err)
		}
		phoneHears(t, question, bobTone)
		bob, err := talk.bob.NextCall(soon(t))
		if err != nil {
			t.Fatal(err)
		}
		if err := talk.phone.TransferTo(soon(t), question); err != nil {
			t.Fatal(err)
		}
		talk.s.hears(t, bobTone)
		phoneHears(t, bob, ourTone)
		for _, c := range []*lab.PhoneCall{talk.phone, question} {
			if _, err := c.WaitOver(soon(t)); err != nil {
				t.Error(err)
			}
		}
		talk.s.forget()
		talk.s.hears(t, bobTone)
	})
}

// TestBlindTransfer: a phone that sends us on without a word leaves us talking to whom it has named.
func TestBlindTransfer(t *testing.T) {
	everyDirection(t, func(t *testing.T, talk *conversation) {
		if err := talk.phone.Transfer(soon(t), extensionOf(talk.bob)); err != nil {
			t.Fatal(err)
		}
		bob, err := talk.bob.NextCall(soon(t))
		if err != nil {
			t.Fatal(err)
		}
		talk.s.hears(t, bobTone)
		phoneHears(t, bob, ourTone)
		if _, err := talk.phone.WaitOver(soon(t)); err != nil {
			t.Error(err)
		}
	})
}

// TestTransferredToTelegram: a phone that sends the Telegram user it talks to on to an extension that calls Telegram leaves two
// Telegram users talking to each other, whichever way that extension hands the call to us. One who is not reached ends
// both calls.
func TestTransferredToTelegram(t *testing.T) {
	const otherTone = 1700
	for _, direction := range directions {
		for _, number := range []string{"5002", "7002"} {
			t.Run(direction.name+", to "+number, func(t *testing.T) {
				fs := sharedFreeSWITCH(t)
				o := fs.options()
				o.Socket = esl.SocketOptions{Listen: fmt.Sprintf("127.0.0.1:%d", fs.ports.socket), Password: "sesame"}
				for _, answers := range []bool{true, false} {
					d := newDeskWith(t, o, lab.PhoneOptions{}, lab.PhoneOptions{})
					talk := direction.begin(d, nil)
					talk.bothHear(t)
					if err := talk.phone.Transfer(soon(t), number); err != nil {
						t.Fatal(err)
					}
					offer := d.offer()
					if offer.Dialled != number {
						t.Errorf("offer %+v", offer.Request)
					}
					offer.Leg.Ring()
					if _, err := talk.phone.WaitOver(soon(t)); err != nil {
						t.Error(err)
					}
					if !answers {
						offer.Leg.Hangup(bridge.CauseOf(bridge.Busy))
						ended(t, offer.Leg, bridge.Busy)
						ended(t, talk.leg, bridge.Normal)
						d.stop()
						continue
					}
					offer.Leg.Answer()
					next[bridge.Answered](t, offer.Leg)
					other := speak(t, next[bridge.Media](t, offer.Leg).Flow, otherTone)
					talk.s.hears(t, otherTone)
					other.hears(t, ourTone)
					offer.Leg.Hangup(bridge.CauseOf(bridge.Normal))
					ended(t, offer.Leg, bridge.Normal)
					ended(t, talk.leg, bridge.Normal)
					d.stop()
				}
			})
		}
	}
}
