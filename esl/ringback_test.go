package esl_test

import (
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/bridge/pbx"
	"github.com/tgtrunk/tgtrunk/lab"
	"github.com/tgtrunk/tgtrunk/media/tone"
)

// burst waits until a phone has heard hz for as long without a pause, and returns what it hears from then on.
func burst(t *testing.T, c *lab.PhoneCall, hz float64, length time.Duration) {
	t.Helper()
	n := int(length * 8000 / time.Second)
	from := 0
	eventually(t, "a burst of the tone", func() bool {
		pcm := c.Audio().Heard().PCM
		for ; from+n <= len(pcm); from += 80 {
			if tone.Purity(pcm[from:from+n], 8000, hz) > 0.95 && tone.Level(pcm[from:from+n], 8000, hz) > 300 {
				return true
			}
		}
		return false
	})
}

// TestCallerHearsTones: a caller from the dialplan hears a tone while the user is looked for, and another while he is alerted,
// as early media; then the call is answered, and the tone has gone.
func TestCallerHearsTones(t *testing.T) {
	o := sharedFreeSWITCH(t).options()
	o.Ringback = pbx.Media
	d := newDeskWith(t, o, lab.PhoneOptions{}, lab.PhoneOptions{})
	for _, c := range []struct {
		number string
		hz     float64
	}{{"5001", 425}, {"ringback5001", 500}} {
		phone := call(t, d.alice, c.number)
		leg := d.offer().Leg
		leg.(bridge.Searcher).Search()
		burst(t, phone, 425, 30*time.Millisecond)
		leg.Ring()
		burst(t, phone, c.hz, 800*time.Millisecond)
		if o := phone.Outcome(); o.Progress.IsZero() || !o.Ringing.IsZero() || !o.Answered.IsZero() {
			t.Errorf("before the answer: 183 at %v, 180 at %v, 200 at %v", o.Progress, o.Ringing, o.Answered)
		}
		leg.Answer()
		next[bridge.Answered](t, leg)
		talk := (&conversation{desk: d, leg: leg, phone: phone}).connected(nil)
		talk.bothHear(t)
		talk.end(t)
	}
}

// TestCallerHearsTonesRefused: what is played does not stand in the way of a refusal, its cause and its Retry-After, nor of the
// dialplan that goes on.
func TestCallerHearsTonesRefused(t *testing.T) {
	o := sharedFreeSWITCH(t).options()
	o.Ringback = pbx.Media
	d := newDeskWith(t, o, lab.PhoneOptions{}, lab.PhoneOptions{})
	for _, number := range []string{"5001", "8001"} {
		phone := call(t, d.alice, number)
		leg := d.offer().Leg
		leg.Ring()
		burst(t, phone, 425, 500*time.Millisecond)
		cause := bridge.CauseOf(bridge.Flood).WithRetryAfter(42 * time.Second)
		leg.Hangup(cause)
		ended(t, leg, bridge.Flood)
		if o, err := phone.WaitOver(soon(t)); err != nil || o.Status != 503 || o.RetryAfter != "42" {
			t.Errorf("%s: phone sees %d, Retry-After %q (%v)", number, o.Status, o.RetryAfter, err)
		}
	}
	phone := call(t, d.alice, "5001")
	leg := d.offer().Leg
	leg.Ring()
	burst(t, phone, 425, 500*time.Millisecond)
	phone.Hangup()
	ended(t, leg, bridge.Cancelled)
}
