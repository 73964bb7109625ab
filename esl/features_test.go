package esl_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/lab"
	"github.com/tgtrunk/tgtrunk/media/tone"
	"github.com/tgtrunk/tgtrunk/routing"
)

// recordingHas checks that a mono recording has both sides of a call, and nothing else, in some half second.
func recordingHas(t *testing.T, file string, tones ...float64) {
	t.Helper()
	pcm, rate, err := tone.LoadWAV(file, 0)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at+rate/2 <= len(pcm); at += rate / 10 {
		if mixture(pcm[at:at+rate/2], rate, tones...) {
			return
		}
	}
	t.Errorf("%s: %d samples at %d Hz, never all of %v", filepath.Base(file), len(pcm), rate, tones)
}

// TestRecorded: uuid_record on the phone's channel or on our media channel, started and stopped within the call, has
// both sides.
func TestRecorded(t *testing.T) {
	everyDirection(t, func(t *testing.T, talk *conversation) {
		for _, id := range []string{talk.channel(), talk.media()} {
			file := filepath.Join(t.TempDir(), "call.wav")
			if out := talk.api("uuid_record " + id + " start " + file); !strings.HasPrefix(out, "+OK") {
				t.Fatal(out)
			}
			time.Sleep(1500 * time.Millisecond) // what is recorded
			if out := talk.api("uuid_record " + id + " stop " + file); !strings.HasPrefix(out, "+OK") {
				t.Fatal(out)
			}
			recordingHas(t, file, ourTone, aliceTone)
			talk.bothHear(t)
		}
	})
}

// TestRecordedByDialplan: record_session in the dialplan, before the call is handed to us or to a phone, records it.
func TestRecordedByDialplan(t *testing.T) {
	for name, begin := range map[string]func(*desk) *conversation{
		"from the dialplan": func(d *desk) *conversation { return d.answer("record5001", nil) },
		"into the dialplan": func(d *desk) *conversation {
			return d.dialAlice(routing.Target{Extension: "r" + extensionOf(d.alice)}, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, lab.PhoneOptions{}, lab.PhoneOptions{})
			talk := begin(d)
			talk.bothHear(t)
			talk.end(t)
			d.nothingLeft()
			recordingHas(t, filepath.Join(d.fs.dir, "recorded.wav"), ourTone, aliceTone)
		})
	}
}

// TestEavesdropped: somebody who listens to the phone's channel, or to ours, hears both sides, and neither hears him.
func TestEavesdropped(t *testing.T) {
	everyDirection(t, func(t *testing.T, talk *conversation) {
		for _, id := range []string{talk.channel(), talk.media()} {
			bob := call(t, talk.bob, "listen-"+id)
			if err := bob.WaitAnswered(soon(t)); err != nil {
				t.Fatal(err)
			}
			phoneHearsAll(t, bob, ourTone, aliceTone)
			talk.s.forget()
			talk.bothHear(t)
			bob.Hangup()
			if _, err := bob.WaitOver(soon(t)); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestConference: both legs of a call are sent into a conference: everybody hears the others, and the others go on when
// we leave.
func TestConference(t *testing.T) {
	for _, direction := range directions {
		t.Run(direction.name, func(t *testing.T) {
			d := newDesk(t, lab.PhoneOptions{}, lab.PhoneOptions{})
			talk := direction.begin(d, nil)
			talk.bothHear(t)
			if out := talk.api("uuid_transfer " + talk.channel() + " -both conference1 XML lab"); !strings.HasPrefix(out, "+OK") {
				t.Fatal(out)
			}
			bob := call(t, d.bob, "conference1")
			if err := bob.WaitAnswered(soon(t)); err != nil {
				t.Fatal(err)
			}
			phoneHearsAll(t, bob, ourTone, aliceTone)
			phoneHearsAll(t, talk.phone, ourTone, bobTone)
			talk.s.hearsAll(t, aliceTone, bobTone)
			talk.leg.Hangup(bridge.CauseOf(bridge.Normal))
			ended(t, talk.leg, bridge.Normal)
			phoneHearsAll(t, talk.phone, bobTone)
			phoneHearsAll(t, bob, aliceTone)
			talk.phone.Hangup()
			bob.Hangup()
		})
	}
}

// TestSentElsewhere: the phone's channel is sent elsewhere: our call ends, the phone's does not, not even with us.
func TestSentElsewhere(t *testing.T) {
	for _, direction := range directions {
		t.Run(direction.name, func(t *testing.T) {
			d := newDesk(t, lab.PhoneOptions{}, lab.PhoneOptions{})
			talk := direction.begin(d, nil)
			talk.bothHear(t)
			id := talk.channel()
			if out := talk.api("uuid_transfer " + id + " tone XML lab"); !strings.HasPrefix(out, "+OK") {
				t.Fatal(out)
			}
			ended(t, talk.leg, bridge.Normal)
			phoneHears(t, talk.phone, 1004)
			d.stop()
			if got, err := d.fs.api("uuid_getvar " + id + " park_after_bridge"); err != nil || got != "_undef_" {
				t.Errorf("park_after_bridge is left: %q, %v", got, err)
			}
			phoneHears(t, talk.phone, 1004)
			talk.phone.Hangup()
		})
	}
}

// TestRetryAfter: what a SIP caller sees of a reason that passes is 503 with the seconds after which it has.
func TestRetryAfter(t *testing.T) {
	d := newDesk(t, lab.PhoneOptions{}, lab.PhoneOptions{})
	for _, c := range []struct {
		number string
		cause  bridge.Cause
		status int
		after  string
	}{
		{"5001", bridge.CauseOf(bridge.Flood).WithRetryAfter(36500 * time.Millisecond), 503, "37"},
		{"8001", bridge.CauseOf(bridge.Flood).WithRetryAfter(42 * time.Second), 503, "42"}, // goes on in the dialplan, which hangs up
		{"5001", bridge.CauseOf(bridge.Budget).WithRetryAfter(time.Hour), 503, "3600"},
		{"5001", bridge.CauseOf(bridge.Flood), 503, ""},
		{"5001", bridge.CauseOf(bridge.Busy), 486, ""},
	} {
		phone := call(t, d.alice, c.number)
		leg := d.offer().Leg
		leg.Ring()
		leg.Hangup(c.cause)
		ended(t, leg, c.cause.Reason)
		if o, err := phone.WaitOver(soon(t)); err != nil || o.Status != c.status || o.RetryAfter != c.after {
			t.Errorf("%v: phone sees %d, Retry-After %q (%v), want %d, %q", c.cause, o.Status, o.RetryAfter, err, c.status, c.after)
		}
	}
}

// TestHeldAndBack: hold by the phone is told, and sound comes back after it.
func TestHeldAndBack(t *testing.T) {
	everyDirection(t, func(t *testing.T, talk *conversation) {
		for range 2 {
			for _, on := range []bool{true, false} {
				if err := talk.phone.Hold(soon(t), on); err != nil {
					t.Fatal(err)
				}
				if held := next[bridge.Held](t, talk.leg); held.On != on {
					t.Errorf("held %v, want %v", held.On, on)
				}
			}
			talk.s.forget()
			talk.bothHear(t)
		}
	})
}

// TestHangsUpOnHold: a phone that hangs up while it has us on hold ends the call at once.
func TestHangsUpOnHold(t *testing.T) {
	for _, direction := range directions {
		t.Run(direction.name, func(t *testing.T) {
			talk := direction.begin(newDesk(t, lab.PhoneOptions{}, lab.PhoneOptions{}), nil)
			if err := talk.phone.Hold(soon(t), true); err != nil {
				t.Fatal(err)
			}
			next[bridge.Held](t, talk.leg)
			begun := time.Now()
			talk.phone.Hangup()
			ended(t, talk.leg, bridge.Normal)
			if took := time.Since(begun); took > 1500*time.Millisecond {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// TestDigitsBothWays: digits cross in every direction.
func TestDigitsBothWays(t *testing.T) {
	everyDirection(t, func(t *testing.T, talk *conversation) {
		if err := talk.phone.Audio().SendDigits(soon(t), "1#"); err != nil {
			t.Fatal(err)
		}
		for _, want := range "1#" {
			if got := next[bridge.Digit](t, talk.leg).Digit; got != byte(want) {
				t.Errorf("digit %c, want %c", got, want)
			}
		}
		for _, digit := range []byte("4*2") {
			talk.leg.(bridge.ToneSender).SendDigit(digit)
		}
		if got, err := talk.phone.Audio().WaitDigits(soon(t), 3); err != nil || got != "4*2" {
			t.Errorf("phone gets digits %q: %v", got, err)
		}
	})
}
