package esl_test

import (
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/media"
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
	if got, want := r.noted("facts"), "+4930123:Zoë O’Neill ’Ltd’ x 李:5000201:Zoë O’Neill ’Ltd’ x 李:blue green"; got != want {
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
