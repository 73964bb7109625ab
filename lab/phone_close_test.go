package lab

import (
	"errors"
	"testing"
	"time"
)

func TestPhoneClosesWithCalls(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.bob.SetAnswer(RingForever())
	talking := dial(t, d.alice, "echo", CallOptions{})
	answered(t, talking)
	ringing := dial(t, d.alice, "bob", CallOptions{})
	if _, err := d.bob.NextCall(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	d.alice.Close()
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("close took %s", took)
	}
	over(t, talking)
	over(t, ringing)
	if _, err := d.alice.Call(t.Context(), "echo", CallOptions{}); !errors.Is(err, ErrPhoneClosed) {
		t.Errorf("call with a closed phone: %v", err)
	}
	if err := d.asterisk.WaitChannels(within(t, 5*time.Second), 0); err != nil {
		t.Error(err)
	}
}

func TestPhoneClosesWhenAsteriskHasDied(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.bob.SetAnswer(AnswerAfter(0))
	for _, number := range []string{"echo", "ring", "bob"} {
		c := dial(t, d.alice, number, CallOptions{})
		if number != "ring" {
			answered(t, c)
		}
	}
	d.asterisk.Kill()
	lost := dial(t, d.alice, "echo", CallOptions{})
	began := time.Now()
	d.alice.Close()
	d.bob.Close()
	if took := time.Since(began); took > 12*time.Second {
		t.Errorf("close took %s", took)
	}
	if o := lost.Outcome(); o.Status != 0 || o.Err == nil {
		t.Errorf("a call into the void: %+v", o)
	}
}

// Before the answer nothing can be done within a call.
func TestCallThatIsNotAnsweredIsLeftAlone(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.bob.SetAnswer(RingForever())
	c := dial(t, d.alice, "bob", CallOptions{})
	defer over(t, c)
	defer c.Hangup()
	refused := func(err error) {
		t.Helper()
		if !errors.Is(err, errNotAnswered) {
			t.Errorf("%v, want %v", err, errNotAnswered)
		}
	}
	refused(c.Hold(t.Context(), true))
	in, err := d.bob.NextCall(within(t, 5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	refused(in.Hold(t.Context(), true))
	refused(c.Transfer(t.Context(), "echo"))
	refused(c.TransferTo(t.Context(), in))
}

func TestQ850(t *testing.T) {
	for reason, want := range map[string]int{
		"": 0, "Q.850;cause=17": 17, `SIP;cause=200;text="x", Q.850 ; cause=26`: 26, "q.850;text=\"a\";Cause=3": 3, "Q.850": 0, "Q.850;cause=x": 0,
	} {
		if got := (Outcome{Reason: reason}).Q850(); got != want {
			t.Errorf("%q: %d, want %d", reason, got, want)
		}
	}
}

func TestUserPart(t *testing.T) {
	for number, want := range map[string]string{"+49": "+49", "*1#": "*1%23", "a b": "a%20b", "x@y": "x%40y", "a;b?c": "a%3Bb%3Fc"} {
		if got := userPart(number); got != want {
			t.Errorf("%q: %q, want %q", number, got, want)
		}
	}
}
