package esl_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/media/tone"
	"github.com/tgtrunk/tgtrunk/routing"
)

// TestDialFails: every way the far end can fail has its reason.
func TestDialFails(t *testing.T) {
	r := newRig(t, sharedFreeSWITCH(t))
	for _, c := range []struct {
		name   string
		target routing.Target
		want   bridge.Reason
	}{
		{"busy", routing.Target{Extension: "busy"}, bridge.Busy},
		{"declined", routing.Target{Extension: "reject"}, bridge.Declined},
		{"rings too long", routing.Target{Extension: "slow", Timeout: 200 * time.Millisecond}, bridge.NoAnswer},
		{"no such extension", routing.Target{Extension: "nowhere"}, bridge.NoRoute},
		{"no such context", routing.Target{Context: "nowhere", Extension: "1"}, bridge.NoRoute},
		{"no such user", routing.Target{Endpoint: "user/nobody@tgtrunk.local"}, bridge.Unreachable},
		{"no such gateway", routing.Target{Endpoint: "sofia/gateway/none/1"}, bridge.NoRoute},
		{"no such technology", routing.Target{Endpoint: "pigeon/1"}, bridge.NoRoute},
		{"extension with a dialplan in it", routing.Target{Extension: "1/lab/XML &park()"}, bridge.BadNumber},
		{"endpoint with two", routing.Target{Endpoint: "user/a,user/b"}, bridge.BadNumber},
		{"no extension", routing.Target{Context: "lab"}, bridge.BadNumber},
	} {
		t.Run(c.name, func(t *testing.T) { ended(t, r.link.Dial(t.Context(), c.target), c.want) })
	}
}

// TestCallerArrives: what is known of the caller is there before the dialplan runs.
func TestCallerArrives(t *testing.T) {
	r := newRig(t, sharedFreeSWITCH(t))
	leg := r.link.Dial(t.Context(), routing.Target{Extension: "facts", Caller: routing.Party{
		Number: "+4930123", Name: "Zoë O'Neill, \"Ltd\" ${x} 李", UserID: 5000201}, Variables: map[string]string{"COLOUR": "blue, green"}})
	next[bridge.Ringing](t, leg)
	next[bridge.Answered](t, leg)
	next[bridge.Media](t, leg)
	if got, want := r.noted("facts"), "+4930123:Zoë O’Neill Ltd x 李:5000201:Zoë O’Neill Ltd x 李:blue, green"; got != want {
		t.Errorf("the dialplan finds %q, want %q", got, want)
	}
	leg.Hangup(bridge.CauseOf(bridge.Normal))
	ended(t, leg, bridge.Normal)
}

// TestFailedGoesOn: a call that does not come about goes on in the dialplan, which knows why.
func TestFailedGoesOn(t *testing.T) {
	r := newRig(t, sharedFreeSWITCH(t))
	r.api("bgapi originate {ignore_early_media=true,originate_timeout=20}loopback/8001/lab/XML &park()")
	o := r.offer()
	if o.Dialled != "8001" {
		t.Errorf("dialled %q", o.Dialled)
	}
	o.Leg.Ring()
	o.Leg.Hangup(bridge.CauseOf(bridge.Flood).WithRetryAfter(42 * time.Second))
	ended(t, o.Leg, bridge.Flood)
	if got := r.noted("8001"); got != "CONGESTION:FLOOD:42:42" {
		t.Errorf("the dialplan knows %q", got)
	}
}

// TestEcho: sound goes both ways through the dialplan's echo.
func TestEcho(t *testing.T) {
	r := newRig(t, sharedFreeSWITCH(t))
	leg := r.link.Dial(t.Context(), routing.Target{Extension: "echo"})
	next[bridge.Answered](t, leg)
	flow := next[bridge.Media](t, leg).Flow
	if f := flow.Format(); f.Codec != media.L16 || f.Rate != 16000 {
		t.Errorf("format %+v", f)
	}
	hearTone(t, flow)
	leg.Hangup(bridge.CauseOf(bridge.Normal))
	ended(t, leg, bridge.Normal)
}

// TestDeployedDialplan: the dialplan of deploy/freeswitch, as it stands: a call to Telegram that fails ends with its cause.
func TestDeployedDialplan(t *testing.T) {
	r := newRig(t, sharedFreeSWITCH(t))
	result := make(chan string, 1)
	go func() {
		out, err := r.fs.api("originate {originate_timeout=10,ignore_early_media=true}loopback/*5000201/to-telegram/XML &park()")
		result <- fmt.Sprint(out, err)
	}()
	o := r.offer()
	if o.Dialled != "*5000201" {
		t.Errorf("dialled %q", o.Dialled)
	}
	o.Leg.Hangup(bridge.CauseOf(bridge.Busy))
	ended(t, o.Leg, bridge.Busy)
	if got := <-result; got != "-ERR USER_BUSY<nil>" {
		t.Errorf("the caller is told %q", got)
	}
}

// TestRoundTrip: sound comes back from the dialplan's echo without delay to speak of.
func TestRoundTrip(t *testing.T) {
	r := newRig(t, sharedFreeSWITCH(t))
	leg, flow := r.dialEcho()
	s := speak(t, flow, 0)
	eventually(t, "half a second of sound", func() bool { return s.heard(s.rate/2) != nil })
	s.stop()
	var best time.Duration
	for range 10 {
		heard := make(chan time.Time, 1)
		flow.Attach(media.SinkFunc(func(p *media.Packet) {
			pcm := make([]int16, len(p.Payload)/2)
			media.DecodeL16(pcm, p.Payload)
			if tone.FirstSound(pcm, 3000) >= 0 {
				select {
				case heard <- time.Now():
				default:
				}
			}
		}))
		pcm := tone.Make(s.rate, 1000, 8000, s.rate/50)
		payload := make([]byte, 2*len(pcm))
		media.EncodeL16(payload, pcm)
		began := time.Now()
		flow.WriteAudio(&media.Packet{Payload: payload, Marker: true})
		select {
		case at := <-heard:
			if took := at.Sub(began); best == 0 || took < best {
				best = took
			}
		case <-time.After(time.Second): // a single packet between pauses may be dropped
		}
	}
	t.Logf("round trip %v", best)
	if best == 0 || best > 300*time.Millisecond {
		t.Errorf("round trip %v", best)
	}
	leg.Hangup(bridge.CauseOf(bridge.Normal))
	ended(t, leg, bridge.Normal)
}
