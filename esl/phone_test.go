package esl_test

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/esl"
	"github.com/tgtrunk/tgtrunk/lab"
	"github.com/tgtrunk/tgtrunk/routing"
)

// newPhoneRig runs a link towards the shared FreeSWITCH, with one SIP phone.
func newPhoneRig(t *testing.T, o lab.PhoneOptions, change ...func(*esl.Options)) (*rig, *lab.Phone) {
	t.Helper()
	fs := sharedFreeSWITCH(t)
	options := fs.options()
	for _, c := range change {
		c(&options)
	}
	o.Name, o.Server = "alice", fmt.Sprintf("127.0.0.1:%d", fs.ports.sip)
	phone, err := lab.NewPhone(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(phone.Close)
	return newRigWith(t, fs, options), phone
}

func call(t *testing.T, phone *lab.Phone, number string) *lab.PhoneCall {
	t.Helper()
	c, err := phone.Call(t.Context(), number, lab.CallOptions{FromNumber: "200", FromName: "Zoë"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// TestPhoneCalls: a phone that calls through the dialplan hears ringing, then the other side; digits, hold and hang-up
// arrive.
func TestPhoneCalls(t *testing.T) {
	r, phone := newPhoneRig(t, lab.PhoneOptions{Tone: 600})
	c := call(t, phone, "5001")
	offer := r.offer()
	if offer.Dialled != "5001" || offer.Caller.Number != "200" || offer.Caller.Name != "Zoë" || offer.Variables["PBX_PROTOCOL_ID"] != c.ID() {
		t.Errorf("offer %+v", offer.Request)
	}
	leg := offer.Leg
	leg.Ring()
	eventually(t, "ringing", func() bool { return !c.Outcome().Ringing.IsZero() })
	leg.Answer()
	next[bridge.Answered](t, leg)
	s := speak(t, next[bridge.Media](t, leg).Flow, 900)
	if err := c.WaitAnswered(soon(t)); err != nil {
		t.Fatal(err)
	}
	s.hears(t, 600)
	if _, err := c.Audio().WaitTone(soon(t), 900, time.Second); err != nil {
		t.Error(err)
	}
	if err := c.Audio().SendDigits(soon(t), "1#"); err != nil {
		t.Error(err)
	}
	for _, want := range "1#" {
		if got := next[bridge.Digit](t, leg).Digit; got != byte(want) {
			t.Errorf("digit %c, want %c", got, want)
		}
	}
	for _, d := range []byte("4*2") {
		leg.(bridge.ToneSender).SendDigit(d)
	}
	if got, err := c.Audio().WaitDigits(soon(t), 3); err != nil || got != "4*2" {
		t.Errorf("phone gets digits %q: %v", got, err)
	}
	for _, on := range []bool{true, false} {
		if err := c.Hold(soon(t), on); err != nil {
			t.Error(err)
		}
		if held := next[bridge.Held](t, leg); held.On != on {
			t.Errorf("held %v, want %v", held.On, on)
		}
	}
	c.Hangup()
	ended(t, leg, bridge.Normal)
}

// TestPhoneTransfers: a phone that transfers its call away leaves us talking to the target.
func TestPhoneTransfers(t *testing.T) {
	r, phone := newPhoneRig(t, lab.PhoneOptions{Tone: 600})
	c := call(t, phone, "5001")
	leg := r.offer().Leg
	leg.Answer()
	next[bridge.Answered](t, leg)
	s := speak(t, next[bridge.Media](t, leg).Flow, 900)
	s.hears(t, 600)
	if err := c.WaitAnswered(soon(t)); err != nil {
		t.Fatal(err)
	}
	if err := c.Transfer(soon(t), "tone"); err != nil {
		t.Error(err)
	}
	s.hears(t, 1004)
	leg.Hangup(bridge.CauseOf(bridge.Normal))
	ended(t, leg, bridge.Normal)
}

// documented returns the Q.850 cause and the SIP code of each reason in the documentation's table of failures.
func documented(t *testing.T) map[bridge.Reason][2]int {
	t.Helper()
	text, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "\n| TGTRUNK_REASON |")
	table, _, _ = strings.Cut(table, "\n\n")
	codes := map[bridge.Reason][2]int{}
	for _, line := range regexp.MustCompile("(?m)^\\| ([A-Z_`, ]+) \\|[^|]*\\| (\\d+) \\| (\\d+) \\|$").FindAllStringSubmatch(table, -1) {
		for _, reason := range regexp.MustCompile("[A-Z_]+").FindAllString(line[1], -1) {
			q850, _ := strconv.Atoi(line[2])
			sip, _ := strconv.Atoi(line[3])
			codes[bridge.Reason(reason)] = [2]int{q850, sip}
		}
	}
	if len(codes) < 20 {
		t.Fatalf("the docs' table has %d reasons", len(codes))
	}
	return codes
}

// TestPhoneRefused: a SIP caller is told of each reason what the table of the documentation says, by whichever way the call
// came and whoever hangs up.
func TestPhoneRefused(t *testing.T) {
	r, phone := newPhoneRig(t, lab.PhoneOptions{}, func(o *esl.Options) {
		o.Socket = esl.SocketOptions{Listen: fmt.Sprintf("127.0.0.1:%d", sharedFreeSWITCH(t).ports.socket), Password: "sesame"}
	})
	// The number that FreeSWITCH's names of these have, for want of better ones.
	others := map[bridge.Reason]int{bridge.Privacy: 54, bridge.Blocked: 54, bridge.Self: 54, bridge.OldClient: 88}
	for reason, want := range documented(t) {
		if other, is := others[reason]; is {
			want[0] = other
		}
		for way, number := range map[string]string{"hung up by us": "5001", "by the extension for failures": "8201", "behind the socket application": "7201"} {
			t.Run(string(reason)+" "+way, func(t *testing.T) {
				c := call(t, phone, number)
				leg := r.offer().Leg
				leg.Ring()
				leg.Hangup(bridge.CauseOf(reason))
				ended(t, leg, reason)
				if o, err := c.WaitOver(soon(t)); err != nil || o.Status != want[1] || o.Q850() != want[0] {
					t.Errorf("phone sees %d, cause %d (%v), want %d, %d", o.Status, o.Q850(), err, want[1], want[0])
				}
			})
		}
	}
	c := call(t, phone, "5001")
	leg := r.offer().Leg
	leg.Ring()
	c.Hangup()
	ended(t, leg, bridge.Cancelled)
}

// TestPhoneIsToldToWait: the seconds go onto the response by each way.
func TestPhoneIsToldToWait(t *testing.T) {
	r, phone := newPhoneRig(t, lab.PhoneOptions{})
	for _, number := range []string{"5001", "8202"} {
		c := call(t, phone, number)
		leg := r.offer().Leg
		leg.Hangup(bridge.CauseOf(bridge.Flood).WithRetryAfter(42 * time.Second))
		ended(t, leg, bridge.Flood)
		if o, err := c.WaitOver(soon(t)); err != nil || o.Status != 503 || o.RetryAfter != "42" {
			t.Errorf("%s: phone sees %d, Retry-After %q (%v)", number, o.Status, o.RetryAfter, err)
		}
	}
}

// TestRefusalLeavesNothing: a caller whose call failed with a code of ours, and goes on to another target that is busy,
// is told busy.
func TestRefusalLeavesNothing(t *testing.T) {
	r, phone := newPhoneRig(t, lab.PhoneOptions{})
	c := call(t, phone, "4001")
	leg := r.offer().Leg
	leg.Hangup(bridge.CauseOf(bridge.MediaFailed))
	ended(t, leg, bridge.MediaFailed)
	if o, err := c.WaitOver(soon(t)); err != nil || o.Status != 486 {
		t.Errorf("phone sees %d (%v)", o.Status, err)
	}
}

// TestPhoneIsDialled: a phone that is dialled directly sees who calls, and what it says becomes the reason.
func TestPhoneIsDialled(t *testing.T) {
	r, phone := newPhoneRig(t, lab.PhoneOptions{Tone: 600})
	dial := func() bridge.Leg {
		return r.link.Dial(t.Context(), routing.Target{Endpoint: "sofia/internal/alice@" + phone.Addr(), Timeout: 5 * time.Second,
			Caller: routing.Party{Number: "+4930123", Name: "Zoë \"Z\""}})
	}
	leg := dial()
	next[bridge.Ringing](t, leg)
	next[bridge.Answered](t, leg)
	s := speak(t, next[bridge.Media](t, leg).Flow, 900)
	c, err := phone.NextCall(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	if c.Number() != "+4930123" || c.Name() != "Zoë Z" {
		t.Errorf("phone shows %q %q", c.Number(), c.Name())
	}
	s.hears(t, 600)
	if _, err := c.Audio().WaitTone(soon(t), 900, time.Second); err != nil {
		t.Error(err)
	}
	c.Hangup()
	ended(t, leg, bridge.Normal)
	for status, want := range map[int]bridge.Reason{
		486: bridge.Busy, 600: bridge.Busy, 603: bridge.Declined, 403: bridge.Declined, 404: bridge.NoRoute,
		480: bridge.Unreachable, 488: bridge.MediaFailed,
	} {
		phone.SetAnswer(lab.Refuse(status, 0))
		if end := ended(t, dial(), want); end.Err != nil {
			t.Errorf("%d: %v", status, end.Err)
		}
	}
}

// TestPhoneIsIdentified: who is at the phone that the dialplan has called is told once it has answered.
func TestPhoneIsIdentified(t *testing.T) {
	for extension, want := range map[string]routing.Party{"queue": {Number: "201", Name: "Anna"}, "agent": {Number: "alice"}} {
		t.Run(extension, func(t *testing.T) { isIdentified(t, extension, want) })
	}
}

func isIdentified(t *testing.T, extension string, want routing.Party) {
	t.Helper()
	r, phone := newPhoneRig(t, lab.PhoneOptions{Tone: 600})
	leg := r.link.Dial(t.Context(), routing.Target{Extension: extension, Variables: map[string]string{"AGENT": "sofia/internal/alice@" + phone.Addr()},
		Caller: routing.Party{Number: "*5000201", Name: "Alice"}})
	heard, named := false, false // in any order
	for !heard || !named {
		select {
		case e := <-leg.Events():
			switch e := e.(type) {
			case bridge.Media:
				heard = true
				speak(t, e.Flow, 900).hears(t, 600)
			case bridge.Identified:
				if named = true; e.Party != want {
					t.Errorf("the party is %+v, want %+v", e.Party, want)
				}
			case bridge.Ended:
				t.Fatalf("%+v", e)
			}
		case <-soon(t).Done():
			t.Fatalf("heard %v, named %v", heard, named)
		}
	}
	leg.Hangup(bridge.CauseOf(bridge.Normal))
	if p := ended(t, leg, bridge.Normal).Report.Party; p != want {
		t.Errorf("the report names %+v", p)
	}
}
