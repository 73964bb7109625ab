package ari_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/ari"
	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/routing"
)

// TestDialFails: every way the far end can fail has its reason.
func TestDialFails(t *testing.T) {
	r := newRig(t, sharedAsterisk(t))
	for _, c := range []struct {
		name   string
		target routing.Target
		want   bridge.Reason
	}{
		{"busy", routing.Target{Context: "lab", Extension: "busy"}, bridge.Busy},
		{"declined", routing.Target{Context: "lab", Extension: "decline"}, bridge.Declined},
		{"no answer", routing.Target{Context: "lab", Extension: "noanswer"}, bridge.NoAnswer},
		{"rings too long", routing.Target{Context: "lab", Extension: "ring", Timeout: 300 * time.Millisecond}, bridge.NoAnswer},
		{"congestion", routing.Target{Context: "lab", Extension: "congestion"}, bridge.Congestion},
		{"no such extension", routing.Target{Context: "lab", Extension: "nowhere"}, bridge.NoRoute},
		{"no such context", routing.Target{Context: "nowhere", Extension: "1"}, bridge.NoRoute},
		{"no such endpoint", routing.Target{Endpoint: "PJSIP/nobody"}, bridge.NoRoute},
		{"no such technology", routing.Target{Endpoint: "Pigeon/1"}, bridge.NoRoute},
		{"extension with a dialplan in it", routing.Target{Context: "lab", Extension: "1@lab/n,${SHELL(id)}"}, bridge.BadNumber},
		{"endpoint with two", routing.Target{Endpoint: "PJSIP/a&PJSIP/b"}, bridge.BadNumber},
		{"no extension", routing.Target{Context: "lab"}, bridge.BadNumber},
	} {
		t.Run(c.name, func(t *testing.T) { ended(t, r.link.Dial(t.Context(), c.target), c.want) })
	}
}

// TestDialCancelled: a call that still rings, or has not even begun to, is hung up from our side.
func TestDialCancelled(t *testing.T) {
	r := newRig(t, sharedAsterisk(t))
	leg := r.link.Dial(t.Context(), routing.Target{Context: "lab", Extension: "ring"})
	next[bridge.Ringing](t, leg)
	leg.Hangup(bridge.CauseOf(bridge.Cancelled))
	leg.Hangup(bridge.CauseOf(bridge.Busy))
	ended(t, leg, bridge.Cancelled)
	r.nothingLeft()

	ctx, cancel := context.WithCancel(t.Context())
	leg = r.link.Dial(ctx, routing.Target{Context: "lab", Extension: "ring"})
	next[bridge.Ringing](t, leg)
	cancel()
	ended(t, leg, bridge.Cancelled)
	r.nothingLeft()

	for range 20 {
		leg := r.link.Dial(t.Context(), routing.Target{Context: "lab", Extension: "echo"})
		leg.Hangup(bridge.CauseOf(bridge.Cancelled))
		ended(t, leg, bridge.Cancelled)
	}
}

// TestDialFacts: the dialplan knows the caller before its first priority, and nothing a stranger wrote is code there.
func TestDialFacts(t *testing.T) {
	r := newRig(t, sharedAsterisk(t))
	leg := r.link.Dial(t.Context(), routing.Target{
		Context: "facts", Extension: "100",
		Caller:    routing.Party{UserID: 777000, Number: "+49 (30) 12;34", Name: "Zoë \"O'Neill\" ${SHELL(id)},<evil>\r\nX: y"},
		Variables: map[string]string{"COLOUR": "rot", "SHELL(x)": "no"},
	})
	next[bridge.Answered](t, leg)
	want := "+49301234/Zoë O’Neill SHELL id evil X: y/777000/Zoë O’Neill SHELL id evil X: y/rot/" + leg.ID()
	if got := r.global("FACTS"); got != want {
		t.Errorf("dialplan sees\n%s, want\n%s", got, want)
	}
	leg.Hangup(bridge.CauseOf(bridge.Normal))
	ended(t, leg, bridge.Normal)
}

// TestFarEndHangsUp: the party's hang-up ends the leg normally.
func TestFarEndHangsUp(t *testing.T) {
	r := newRig(t, sharedAsterisk(t))
	leg := r.link.Dial(t.Context(), routing.Target{Context: "lab", Extension: "short"})
	next[bridge.Answered](t, leg)
	next[bridge.Media](t, leg)
	if end := ended(t, leg, bridge.Normal); end.Err != nil {
		t.Error(end.Err)
	}
}

// TestInboundFails: an unanswered caller goes on in the dialplan, which is told why in the words of the manual.
func TestInboundFails(t *testing.T) {
	r := newRig(t, sharedAsterisk(t))
	for i, c := range []struct {
		cause bridge.Cause
		want  string
	}{
		{bridge.CauseOf(bridge.Busy), "BUSY/BUSY/17//SUCCESS"},
		{bridge.CauseOf(bridge.Declined), "BUSY/DECLINED/21//SUCCESS"},
		{bridge.CauseOf(bridge.NoAnswer), "NOANSWER/NOANSWER/19//SUCCESS"},
		{bridge.CauseOf(bridge.Unreachable), "CHANUNAVAIL/UNREACHABLE/20//SUCCESS"},
		{bridge.CauseOf(bridge.Flood).WithRetryAfter(36500 * time.Millisecond), "CONGESTION/FLOOD/42/37/SUCCESS"},
		{bridge.CauseOf(bridge.Privacy), "CHANUNAVAIL/PRIVACY/21//SUCCESS"},
		{bridge.CauseOf(bridge.AccountDown), "CHANUNAVAIL/ACCOUNT_DOWN/27//SUCCESS"},
		{bridge.CauseOf(bridge.Cancelled), "CANCEL/CANCELLED/16//SUCCESS"},
	} {
		number := fmt.Sprintf("600%d", i)
		r.cli("channel originate Local/" + number + "@in/n extension echo@lab")
		leg := r.offer().Leg
		if i%2 == 1 {
			leg.Ring()
		}
		leg.Hangup(c.cause)
		ended(t, leg, c.cause.Reason)
		if got := r.global("END_" + number); got != c.want {
			t.Errorf("%v: dialplan sees %q, want %q", c.cause, got, c.want)
		}
		r.nothingLeft()
	}
}

// TestInboundBare: where the dialplan ends with Stasis(), the channel itself gets the cause.
func TestInboundBare(t *testing.T) {
	r := newRig(t, sharedAsterisk(t))
	r.cli("channel originate Local/5552@bare/n extension echo@lab")
	offer := r.offer()
	if offer.Dialled != "5552" {
		t.Errorf("without an argument the extension was dialled, not %q", offer.Dialled)
	}
	offer.Leg.Hangup(bridge.CauseOf(bridge.Busy))
	ended(t, offer.Leg, bridge.Busy)
}

// TestInboundAlreadyAnswered: a channel the dialplan answered carries audio, and goes on in the dialplan when the call
// fails. (TestPhoneRung rings one; a Local channel whose other half runs Echo would send the ringing back.)
func TestInboundAlreadyAnswered(t *testing.T) {
	r := newRig(t, sharedAsterisk(t))
	r.cli("channel originate Local/5553@answered/n extension echo@lab")
	leg := r.offer().Leg
	leg.Answer()
	next[bridge.Answered](t, leg)
	flow := next[bridge.Media](t, leg).Flow
	heard := listen(flow)
	defer play(flow, 440, 8000)()
	heard.hear(t, 440)
	leg.Hangup(bridge.CauseOf(bridge.Normal))
	ended(t, leg, bridge.Normal)
	r.nothingLeft()

	r.cli("channel originate Local/5554@answered/n extension silence@lab")
	leg = r.offer().Leg
	leg.Hangup(bridge.CauseOf(bridge.Busy))
	ended(t, leg, bridge.Busy)
	if got := r.global("END_5554"); got != "BUSY" {
		t.Errorf("dialplan sees %q", got)
	}
}

// TestCallerGivesUp: before the answer that is a cancelled call, at any moment.
func TestCallerGivesUp(t *testing.T) {
	r := newRig(t, sharedAsterisk(t))
	for i := range 3 {
		r.cli("channel originate Local/5555@in/n extension echo@lab")
		offer := r.offer()
		switch i {
		case 1:
			offer.Leg.Ring()
		case 2:
			offer.Leg.Answer()
			next[bridge.Answered](t, offer.Leg)
		}
		r.cli("channel request hangup " + offer.Variables["PBX_CHANNEL"])
		want := bridge.Cancelled
		if i == 2 {
			want = bridge.Normal
		}
		ended(t, offer.Leg, want)
		offer.Leg.Answer() // too late, and must not matter
		r.nothingLeft()
	}
}

// TestDigits: DTMF in both directions.
func TestDigits(t *testing.T) {
	r := newRig(t, sharedAsterisk(t))
	leg := r.link.Dial(t.Context(), routing.Target{Context: "lab", Extension: "digits"})
	next[bridge.Answered](t, leg)
	next[bridge.Media](t, leg)
	for _, want := range "159#" {
		if got := next[bridge.Digit](t, leg).Digit; got != byte(want) {
			t.Errorf("digit %c, want %c", got, want)
		}
	}
	leg.Hangup(bridge.CauseOf(bridge.Normal))
	ended(t, leg, bridge.Normal)

	leg = r.link.Dial(t.Context(), routing.Target{Context: "readpin", Extension: "1"})
	next[bridge.Answered](t, leg)
	next[bridge.Media](t, leg)
	for _, d := range []byte("2468!") {
		leg.(bridge.ToneSender).SendDigit(d)
	}
	ended(t, leg, bridge.Normal)
	if got := r.global("PIN_READ"); got != "2468" {
		t.Errorf("dialplan read %q", got)
	}
}

// TestAlaw: with the other law configured, levels and tone are right too.
func TestAlaw(t *testing.T) {
	o := options(sharedAsterisk(t))
	o.Media.Law = media.PCMA
	r := newRigWith(t, sharedAsterisk(t), o)
	leg := r.link.Dial(t.Context(), routing.Target{Context: "lab", Extension: "echo"})
	next[bridge.Answered](t, leg)
	flow := next[bridge.Media](t, leg).Flow
	if flow.Format().Codec != media.PCMA {
		t.Fatalf("law is %v", flow.Format().Codec)
	}
	heard := listen(flow)
	defer play(flow, 700, 8000)()
	heard.hear(t, 700)
	leg.Hangup(bridge.CauseOf(bridge.Normal))
	ended(t, leg, bridge.Normal)
}

// TestManyCalls: twenty calls at once, half in each direction, every one with its own tone.
func TestManyCalls(t *testing.T) {
	r := newRig(t, sharedAsterisk(t))
	legs := make([]bridge.Leg, 0, 20)
	for i := range 10 {
		legs = append(legs, r.link.Dial(t.Context(), routing.Target{Context: "lab", Extension: "echo"}))
		r.cli(fmt.Sprintf("channel originate Local/700%d@in/n extension echo@lab", i))
	}
	for range 10 {
		leg := r.offer().Leg
		leg.Answer()
		legs = append(legs, leg)
	}
	var calls sync.WaitGroup
	for i, leg := range legs {
		calls.Go(func() {
			hz := 400 + 100*float64(i)
			next[bridge.Answered](t, leg)
			flow := next[bridge.Media](t, leg).Flow
			heard := listen(flow)
			defer play(flow, hz, 8000)()
			heard.hear(t, hz)
			leg.Hangup(bridge.CauseOf(bridge.Normal))
			ended(t, leg, bridge.Normal)
		})
	}
	calls.Wait()
	r.nothingLeft()
}

// TestRunEnds: the end of Run hangs up every call, whatever its state, and gives callers back to the dialplan.
func TestRunEnds(t *testing.T) {
	r := newRig(t, sharedAsterisk(t))
	talking := r.link.Dial(t.Context(), routing.Target{Context: "lab", Extension: "echo"})
	next[bridge.Answered](t, talking)
	ringing := r.link.Dial(t.Context(), routing.Target{Context: "lab", Extension: "ring"})
	next[bridge.Ringing](t, ringing)
	r.cli("channel originate Local/5556@in/n extension echo@lab")
	offered := r.offer().Leg
	r.stop()
	ended(t, talking, bridge.Normal)
	ended(t, ringing, bridge.AccountDown)
	ended(t, offered, bridge.AccountDown)
	if got := r.global("END_5556"); got != "CHANUNAVAIL/ACCOUNT_DOWN/27//SUCCESS" {
		t.Errorf("dialplan sees %q", got)
	}
	late := r.link.Dial(t.Context(), routing.Target{Context: "lab", Extension: "echo"})
	if end := ended(t, late, bridge.AccountDown); !errors.Is(end.Err, ari.ErrNotConnected) {
		t.Errorf("error %v", end.Err)
	}
}

// TestAsteriskKilled: calls end with an error when Asterisk dies, and work again when it is back.
func TestAsteriskKilled(t *testing.T) {
	a := ownAsterisk(t)
	r := startRig(t, a, options(a))
	leg := r.link.Dial(t.Context(), routing.Target{Context: "lab", Extension: "echo"})
	next[bridge.Answered](t, leg)
	a.Kill()
	if end := ended(t, leg, bridge.Failure); end.Err == nil {
		t.Error("no error says why")
	}
	refused := r.link.Dial(t.Context(), routing.Target{Context: "lab", Extension: "echo"})
	if end := ended(t, refused, bridge.AccountDown); !strings.Contains(fmt.Sprint(end.Err), "nothing listens") {
		t.Errorf("error %v does not say what to do", end.Err)
	}
	if err := a.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.until("connected again", r.link.Connected)
	again := r.link.Dial(t.Context(), routing.Target{Context: "lab", Extension: "echo"})
	next[bridge.Answered](t, again)
	again.Hangup(bridge.CauseOf(bridge.Normal))
	ended(t, again, bridge.Normal)
	r.stop()
	r.nothingLeft()
}

// TestRestartCleansUp: what a killed process left behind is found by the next one: media and dialled channels and
// bridges go, callers go on in the dialplan, foreign channels stay.
func TestRestartCleansUp(t *testing.T) {
	a := ownAsterisk(t)
	o := options(a)
	wire, through := newWire(t, o.URL)
	o.URL = through
	dead := startRig(t, a, o)
	next[bridge.Answered](t, dead.link.Dial(t.Context(), routing.Target{Context: "lab", Extension: "echo"}))
	next[bridge.Ringing](t, dead.link.Dial(t.Context(), routing.Target{Context: "lab", Extension: "ring"}))
	dead.cli("channel originate Local/8001@in/n extension echo@lab")
	answered := dead.offer().Leg
	answered.Answer()
	next[bridge.Answered](t, answered)
	dead.cli("channel originate Local/8002@in/n extension echo@lab")
	dead.offer()
	dead.cli("channel originate Local/ring@lab/n extension echo@lab") // somebody else's call
	wire.setCut(true)                                                 // from here on nothing of the first process reaches Asterisk
	dead.stop()

	r := startRig(t, a, options(a))
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	if err := a.WaitChannels(ctx, 2); err != nil {
		t.Errorf("%v\n%s", err, r.cli("core show channels concise"))
	}
	if left := r.cli("core show channels concise"); strings.Count(left, "Local/ring@lab") != 2 {
		t.Errorf("the foreign call is not untouched:\n%s", left)
	}
	r.noBridges()
	for _, number := range []string{"8001", "8002"} {
		if got := r.global("END_" + number); got != "CHANUNAVAIL/FAILURE/38//SUCCESS" {
			t.Errorf("dialplan of %s sees %q", number, got)
		}
	}
}

// TestSocketCut: calls survive the loss of the event socket; what ended meanwhile is noticed afterwards.
func TestSocketCut(t *testing.T) {
	o := options(sharedAsterisk(t))
	wire, through := newWire(t, o.URL)
	o.URL = through
	r := newRigWith(t, sharedAsterisk(t), o)
	staying := r.link.Dial(t.Context(), routing.Target{Context: "lab", Extension: "echo"})
	next[bridge.Answered](t, staying)
	flow := next[bridge.Media](t, staying).Flow
	r.cli("channel originate Local/5557@in/n extension echo@lab")
	leaving := r.offer()
	leaving.Leg.Answer()
	next[bridge.Answered](t, leaving.Leg)

	wire.setCut(true)
	r.until("disconnected", func() bool { return !r.link.Connected() })
	r.cli("channel request hangup " + leaving.Variables["PBX_CHANNEL"])
	wire.setCut(false)
	r.until("connected again", r.link.Connected)
	ended(t, leaving.Leg, bridge.Failure)
	heard := listen(flow)
	defer play(flow, 900, 8000)()
	heard.hear(t, 900)
	staying.Hangup(bridge.CauseOf(bridge.Normal))
	ended(t, staying, bridge.Normal)
}

// TestReplaced: a second process with the same application takes it over; the first ends its calls and keeps away.
func TestReplaced(t *testing.T) {
	a := ownAsterisk(t)
	first := startRig(t, a, options(a))
	leg := first.link.Dial(t.Context(), routing.Target{Context: "lab", Extension: "echo"})
	next[bridge.Answered](t, leg)
	second := startRig(t, a, options(a))
	if end := ended(t, leg, bridge.Failure); !errors.Is(end.Err, ari.ErrReplaced) {
		t.Errorf("error %v", end.Err)
	}
	if first.link.Connected() {
		t.Error("the first still believes it serves the application")
	}
	second.cli("channel originate Local/5558@in/n extension echo@lab")
	offered := second.offer().Leg
	offered.Hangup(bridge.CauseOf(bridge.Busy))
	ended(t, offered, bridge.Busy)
	second.nothingLeft()
}
