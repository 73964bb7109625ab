package esl_test

import (
	"testing"

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
