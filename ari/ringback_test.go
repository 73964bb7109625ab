package ari_test

import (
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/ari"
	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/bridge/pbx"
	"github.com/tgtrunk/tgtrunk/lab"
	"github.com/tgtrunk/tgtrunk/media/tone"
)

// TestEarlyMedia: a caller from the dialplan hears a tone while the user is looked for, and another while he is alerted,
// as early media; then the call is answered, and the tone has gone. A refusal comes through it all the same.
func TestEarlyMedia(t *testing.T) {
	r, phone := newPhoneRigWith(t, "in", lab.PhoneOptions{Tone: 600}, func(o *ari.Options) { o.Ringback = pbx.Media })
	burst := func(c *lab.PhoneCall, length time.Duration) {
		t.Helper()
		n, from := int(length*8000/time.Second), 0
		r.until("a burst of the tone", func() bool {
			pcm := c.Audio().Heard().PCM
			for ; from+n <= len(pcm); from += 80 {
				if tone.Purity(pcm[from:from+n], 8000, 425) > 0.95 && tone.Level(pcm[from:from+n], 8000, 425) > 300 {
					return true
				}
			}
			return false
		})
	}
	c := call(t, phone, "5001")
	leg := r.offer().Leg
	leg.(bridge.Searcher).Search()
	burst(c, 30*time.Millisecond)
	began := time.Now()
	leg.(bridge.Annotator).Annotate(map[string]string{"TGTRUNK_PRESENCE": "online"})
	leg.Ring()
	burst(c, 800*time.Millisecond)
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("ringing is heard after %v: the order before it waited for the tone's end", took)
	}
	if o := c.Outcome(); o.Progress.IsZero() || !o.Ringing.IsZero() || !o.Answered.IsZero() {
		t.Errorf("before the answer: 183 at %v, 180 at %v, 200 at %v", o.Progress, o.Ringing, o.Answered)
	}
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

	c = call(t, phone, "5001")
	leg = r.offer().Leg
	leg.Ring()
	burst(c, 500*time.Millisecond)
	leg.Hangup(bridge.CauseOf(bridge.Busy))
	ended(t, leg, bridge.Busy)
	if o, err := c.WaitOver(soon(t)); err != nil || o.Status != 486 {
		t.Errorf("phone sees %d (%v), want 486", o.Status, err)
	}
}
