package bridge

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/routing"
)

// deaf is a flow that is only ever compared.
type deaf struct {
	media.Flow
	name string
}

var (
	flowA = &deaf{name: "A"}
	flowB = &deaf{name: "B"}
)

// in is one event of a machine test.
type in struct {
	from side
	Event
}

func from(s side, e Event) in         { return in{s, e} }
func endedBy(s side, r Reason) in     { return in{s, Ended{Cause: CauseOf(r)}} }
func order(r Reason) in               { return in{outside, stopped{CauseOf(r)}} }
func passed(t timer) in               { return in{outside, expired{t}} }
func to(targets ...routing.Target) in { return in{outside, routed{targets}} }

var (
	extension = routing.Target{Trunk: "pbx", Context: "in", Extension: "100"}
	other     = routing.Target{Trunk: "pbx", Context: "in", Extension: "200"}
	alice     = routing.Target{Trunk: "first", Number: routing.Number{Kind: routing.UserID, UserID: 123456}}
	aliceToo  = routing.Target{Trunk: "second", Number: routing.Number{Kind: routing.UserID, UserID: 123456}}
)

// said is an action in a short form.
func said(a action) string {
	if a, ok := a.(introduce); ok {
		return fmt.Sprintf("introduce %v %s", a.to, a.party.Number)
	}
	if a, ok := a.(annotate); ok {
		return fmt.Sprintf("annotate %v %d", a.to, len(a.variables))
	}
	switch a := a.(type) {
	case dial:
		return fmt.Sprintf("dial %d", a.target)
	case connect:
		return fmt.Sprintf("connect %s-%s", a.a.(*deaf).name, a.b.(*deaf).name)
	case sendDigit:
		return fmt.Sprintf("digit %c to %v", a.digit, a.to)
	case hold:
		return fmt.Sprintf("hold %v %v", a.to, a.on)
	case hangup:
		return fmt.Sprintf("hangup %v %v", a.to, a.cause.Reason)
	case abandon:
		return fmt.Sprintf("abandon %v", a.leg)
	case arm, disarm:
		return "" // checked by the invariants, and with time in the exchange's tests
	}
	return strings.TrimPrefix(fmt.Sprintf("%T", a), "bridge.")
}

// up is the way to a call that is up.
var up = []in{
	to(extension),
	from(dialled, Reached{}), from(dialled, Ringing{}), from(dialled, Answered{}), from(dialled, Media{flowB}),
	from(offering, Media{flowA}),
}

func TestMachine(t *testing.T) {
	after := func(start []in, more ...in) []in { return append(start[:len(start):len(start)], more...) }
	const upSays = "dial 0, ring, answer, connect A-B, "
	for name, test := range map[string]struct {
		events []in
		want   string
	}{
		"a whole call, the caller ends it": {after(up, endedBy(offering, Normal), endedBy(dialled, Normal)),
			upSays + "hangup dialled NORMAL, disconnect, finish"},
		"a whole call, the callee ends it": {after(up, endedBy(dialled, Normal), endedBy(offering, Normal)),
			upSays + "hangup offering NORMAL, disconnect, finish"},
		"both hang up": {after(up, endedBy(offering, Normal), endedBy(dialled, Busy)),
			upSays + "hangup dialled NORMAL, disconnect, finish"},
		"ended by order": {after(up, order(Normal), endedBy(dialled, Normal), endedBy(offering, Normal)),
			upSays + "hangup offering NORMAL, hangup dialled NORMAL, disconnect, finish"},
		"ended by order twice": {after(up, order(Failure), order(Normal), endedBy(dialled, Failure), endedBy(offering, Failure)),
			upSays + "hangup offering FAILURE, hangup dialled FAILURE, disconnect, finish"},
		"shut down while up ends normally": {after(up, order(Congestion), endedBy(dialled, Normal), endedBy(offering, Normal)),
			upSays + "hangup offering NORMAL, hangup dialled NORMAL, disconnect, finish"},
		"shut down while ringing": {[]in{to(extension), from(dialled, Ringing{}), order(Congestion), endedBy(dialled, Congestion), endedBy(offering, Congestion)},
			"dial 0, ring, hangup offering CONGESTION, hangup dialled CONGESTION, finish"},
		"ended without a reason, and a leg sticks": {after(up, in{outside, stopped{}}, endedBy(offering, Normal), passed(teardownTimer)),
			upSays + "hangup offering FAILURE, hangup dialled FAILURE, disconnect, abandon dialled, finish"},
		"the trunk fails while up": {after(up, endedBy(dialled, AccountDown), endedBy(offering, AccountDown)),
			upSays + "hangup offering ACCOUNT_DOWN, disconnect, finish"},

		"refused":                            {[]in{order(NoRoute), endedBy(offering, NoRoute)}, "hangup offering NO_ROUTE, finish"},
		"refused, and the caller was faster": {[]in{order(NoRoute), endedBy(offering, Normal)}, "hangup offering NO_ROUTE, finish"},

		"the caller gives up before anything": {[]in{to(extension, other), endedBy(offering, Normal), endedBy(dialled, Cancelled)},
			"dial 0, hangup dialled CANCELLED, finish"},
		"the caller gives up while it rings": {[]in{to(extension), from(dialled, Ringing{}), endedBy(offering, Normal), endedBy(dialled, Cancelled)},
			"dial 0, ring, hangup dialled CANCELLED, finish"},
		"cancel races answer, the end first": {[]in{to(extension), from(dialled, Ringing{}), endedBy(offering, Normal), from(dialled, Answered{}), from(dialled, Media{flowB}), endedBy(dialled, Cancelled)},
			"dial 0, ring, hangup dialled CANCELLED, finish"},
		"cancel races answer, the answer first": {[]in{to(extension), from(dialled, Answered{}), endedBy(offering, Normal), from(dialled, Media{flowB}), endedBy(dialled, Cancelled)},
			"dial 0, hangup dialled CANCELLED, finish"},
		"the caller hangs up between answer and its media": {[]in{to(extension), from(dialled, Media{flowB}), endedBy(offering, Normal), endedBy(dialled, Normal)},
			"dial 0, answer, hangup dialled NORMAL, finish"},
		"the callee hangs up between answer and the caller's media": {[]in{to(extension, other), from(dialled, Media{flowB}), endedBy(dialled, Normal), from(offering, Media{flowA}), endedBy(offering, Normal)},
			"dial 0, answer, hangup offering NORMAL, finish"},
		"the callee ends before its media": {[]in{to(extension, other), from(dialled, Answered{}), endedBy(dialled, MediaFailed), endedBy(offering, MediaFailed)},
			"dial 0, hangup offering MEDIA, finish"},
		"declined and given up at once": {[]in{to(extension, other), endedBy(offering, Normal), endedBy(dialled, Declined)},
			"dial 0, hangup dialled CANCELLED, finish"},

		"answered on another device of the account": {[]in{to(extension), from(dialled, Ringing{}), endedBy(offering, Elsewhere), endedBy(dialled, Elsewhere)},
			"dial 0, ring, hangup dialled ELSEWHERE, finish"},

		"reached and ringing ring once": {[]in{to(extension), from(dialled, Reached{}), from(dialled, Ringing{}), from(dialled, Ringing{})}, "dial 0, ring"},
		"no ringing at all":             {[]in{to(extension), from(dialled, Answered{}), from(dialled, Media{flowB})}, "dial 0, answer"},
		"answered twice":                {[]in{to(extension), from(dialled, Answered{}), from(dialled, Answered{}), from(dialled, Media{flowB})}, "dial 0, answer"},
		"media without answered":        {[]in{to(extension), from(dialled, Media{flowB}), from(offering, Media{flowA})}, "dial 0, answer, connect A-B"},
		"the caller's media long before": {[]in{to(extension), from(offering, Media{flowA}), from(dialled, Ringing{}), from(dialled, Answered{}), from(dialled, Media{flowB})},
			"dial 0, ring, answer, connect A-B"},
		"the caller rings and answers nobody": {[]in{to(extension), from(offering, Ringing{}), from(offering, Answered{})}, "dial 0"},
		"media without a flow":                {[]in{to(extension), from(dialled, Media{})}, "dial 0"},
		"media again connects anew":           {after(up, from(dialled, Media{flowA})), upSays + "disconnect, connect A-A"},

		"digits both ways": {after(up, from(offering, Digit{'1'}), from(dialled, Digit{'#'})), upSays + "digit 1 to dialled, digit # to offering"},
		"digits before media are dropped": {[]in{to(extension), from(offering, Digit{'1'}), from(dialled, Digit{'2'}), from(dialled, Media{flowB}), from(offering, Digit{'3'})},
			"dial 0, answer"},
		"digits after the end are dropped": {after(up, endedBy(offering, Normal), from(dialled, Digit{'1'})), upSays + "hangup dialled NORMAL, disconnect"},
		"hold and back": {after(up, from(offering, Held{true}), from(offering, Held{true}), from(offering, Held{false})),
			upSays + "hold dialled true, hold dialled false"},
		"held before media": {[]in{to(extension), from(dialled, Media{flowB}), from(dialled, Held{true}), from(offering, Media{flowA})},
			"dial 0, answer, connect A-B, hold offering true"},

		"nobody is there to hear it ring": {[]in{to(alice), passed(ringTimer), endedBy(dialled, Cancelled), endedBy(offering, NoAnswer)},
			"dial 0, hangup dialled UNREACHABLE, hangup offering UNREACHABLE, finish"},
		"somebody hears it ring": {[]in{to(alice), from(dialled, Reached{}), passed(ringTimer), endedBy(dialled, Cancelled), endedBy(offering, NoAnswer)},
			"dial 0, ring, hangup dialled NOANSWER, hangup offering NOANSWER, finish"},
		"facts go to the other side":           {[]in{to(alice), from(dialled, Facts{map[string]string{"A": "1"}})}, "dial 0, annotate offering 1"},
		"who answered is told":                 {[]in{to(alice), from(dialled, Identified{routing.Party{Number: "201"}})}, "dial 0, introduce offering 201"},
		"who has taken over the caller's side": {[]in{to(alice), from(offering, Identified{routing.Party{Number: "202"}})}, "dial 0, introduce dialled 202"},
		"facts before a refusal":               {[]in{to(alice), from(dialled, Facts{map[string]string{"A": "1"}}), endedBy(dialled, Budget)}, "dial 0, annotate offering 1, hangup offering BUDGET"},
		"the next of a pool after a limit":     {[]in{to(alice, aliceToo), endedBy(dialled, Budget)}, "dial 0, dial 1"},
		"the caller is told of the person, not of the account tried after": {[]in{to(alice, aliceToo), endedBy(dialled, Privacy), endedBy(dialled, Budget)},
			"dial 0, dial 1, hangup offering PRIVACY"},
		"the caller is told of the person, not of the account tried before": {[]in{to(alice, aliceToo), endedBy(dialled, Flood), endedBy(dialled, NotFound)},
			"dial 0, dial 1, hangup offering NOT_ON_TELEGRAM"},
		"of equals the last is told": {[]in{to(alice, other), endedBy(dialled, NoAnswer), endedBy(dialled, Busy)},
			"dial 0, dial 1, hangup offering BUSY"},
		"the next of a pool after a flood":     {[]in{to(alice, aliceToo), endedBy(dialled, Flood)}, "dial 0, dial 1"},
		"the next of a pool where one is down": {[]in{to(alice, aliceToo), endedBy(dialled, AccountDown)}, "dial 0, dial 1"},
		"nobody is rung by a whole pool":       {[]in{to(alice, aliceToo), endedBy(dialled, NoAnswer)}, "dial 0, hangup offering NOANSWER"},

		"busy goes to the next target": {[]in{to(extension, other), endedBy(dialled, Busy)}, "dial 0, dial 1"},
		"every target fails": {[]in{to(extension, other), endedBy(dialled, Busy), endedBy(dialled, NoAnswer), endedBy(offering, NoAnswer)},
			"dial 0, dial 1, hangup offering NOANSWER, finish"},
		"ringing on the second target is the same ringing": {[]in{to(extension, other), from(dialled, Ringing{}), endedBy(dialled, Busy), from(dialled, Ringing{})},
			"dial 0, ring, dial 1"},
		"a clearing before the answer is no answer":  {[]in{to(extension), endedBy(dialled, Normal)}, "dial 0, hangup offering NOANSWER"},
		"elsewhere ends the hunt":                    {[]in{to(extension, other), endedBy(dialled, Elsewhere)}, "dial 0, hangup offering ELSEWHERE"},
		"cancelled ends the hunt":                    {[]in{to(extension, other), endedBy(dialled, Cancelled)}, "dial 0, hangup offering CANCELLED"},
		"flood goes to the next account":             {[]in{to(alice, aliceToo), endedBy(dialled, Flood)}, "dial 0, dial 1"},
		"declined does not ring the same user again": {[]in{to(alice, aliceToo), endedBy(dialled, Declined)}, "dial 0, hangup offering DECLINED"},
		"declined goes on to somebody else":          {[]in{to(alice, aliceToo, extension), endedBy(dialled, Declined)}, "dial 0, dial 2"},
		"an end without a verdict":                   {[]in{to(extension), from(dialled, Ended{Err: &routing.NumberError{}})}, "dial 0, hangup offering BAD_NUMBER"},
		"an end without anything":                    {[]in{to(extension), from(dialled, Ended{})}, "dial 0, hangup offering FAILURE"},

		"it rings too long": {[]in{to(extension, other), from(dialled, Ringing{}), passed(ringTimer), endedBy(dialled, Cancelled)},
			"dial 0, ring, hangup dialled NOANSWER, dial 1"},
		"it rings too long and the answer is too late": {[]in{to(extension), passed(ringTimer), from(dialled, Answered{}), from(dialled, Media{flowB}), endedBy(dialled, Normal)},
			"dial 0, hangup dialled NOANSWER, hangup offering NOANSWER"},
		"it rings too long and the caller gives up": {[]in{to(extension, other), passed(ringTimer), endedBy(offering, Normal), endedBy(dialled, NoAnswer)},
			"dial 0, hangup dialled NOANSWER, finish"},
		"media never comes": {[]in{to(extension, other), from(dialled, Answered{}), passed(mediaTimer), endedBy(dialled, MediaFailed), endedBy(offering, MediaFailed)},
			"dial 0, hangup offering MEDIA, hangup dialled MEDIA, finish"},
		"the hunt takes too long": {[]in{to(extension, other), endedBy(dialled, Busy), passed(setupTimer)},
			"dial 0, dial 1, hangup offering NOANSWER, hangup dialled NOANSWER"},
		"answered when the hunt takes too long": {[]in{to(extension), from(dialled, Answered{}), passed(setupTimer)},
			"dial 0, hangup offering MEDIA, hangup dialled MEDIA"},
		"limits that pass too late": {after(up, passed(ringTimer), passed(mediaTimer), passed(setupTimer)), strings.TrimSuffix(upSays, ", ")},

		"a leg that does not end is given up": {after(up, endedBy(offering, Normal), passed(teardownTimer)),
			upSays + "hangup dialled NORMAL, disconnect, abandon dialled, finish"},
		"two legs that do not end are given up": {after(up, order(Normal), passed(teardownTimer)),
			upSays + "hangup offering NORMAL, hangup dialled NORMAL, disconnect, abandon offering, abandon dialled, finish"},
		"a target that does not end makes room": {[]in{to(extension, other), passed(ringTimer), passed(teardownTimer)},
			"dial 0, hangup dialled NOANSWER, abandon dialled, dial 1"},
		"ended twice": {after(up, endedBy(offering, Normal), endedBy(offering, Normal), endedBy(dialled, Normal), endedBy(dialled, Normal)),
			upSays + "hangup dialled NORMAL, disconnect, finish"},
		"everything after the end": {after(up, endedBy(offering, Normal), endedBy(dialled, Normal), from(dialled, Ringing{}), from(dialled, Media{flowB}), from(offering, Held{true}), order(Busy), passed(teardownTimer)),
			upSays + "hangup dialled NORMAL, disconnect, finish"},
	} {
		t.Run(name, func(t *testing.T) {
			s, got := offered(), []string(nil)
			for i, e := range test.events {
				var actions []action
				before := s
				s, actions = step(s, e.from, e.Event)
				if err := sound(before, s, actions); err != nil {
					t.Fatalf("after event %d, %v %T: %v", i, e.from, e.Event, err)
				}
				for _, a := range actions {
					if text := said(a); text != "" {
						got = append(got, text)
					}
				}
			}
			if got := strings.Join(got, ", "); got != test.want {
				t.Errorf("\n got %s\nwant %s", got, test.want)
			}
		})
	}
}

// sound checks what holds after every step.
func sound(before, s state, actions []action) error {
	live := s.legs[offering].live || s.legs[dialled].live
	finished := false
	for i, a := range actions {
		switch a := a.(type) {
		case finish:
			finished = true
			if i != len(actions)-1 {
				return errors.New("finish is not the last action")
			}
		case hangup:
			if !before.legs[a.to].live {
				return fmt.Errorf("%v is hung up without being live", a.to)
			}
			if a.cause.Reason == "" || before.legs[a.to].ending() {
				return fmt.Errorf("%v is hung up twice or without a cause", a.to)
			}
		case ring, answer:
			if !s.legs[offering].live {
				return fmt.Errorf("%T without an offering leg", a)
			}
		}
	}
	hung := s.legs[offering].live && s.legs[offering].ending() || s.legs[dialled].live && s.legs[dialled].ending()
	switch {
	case finished != (!live && (before.legs[offering].live || before.legs[dialled].live)):
		return errors.New("finish does not come exactly when the last leg ends")
	case s.over && s.connected, s.connected && !live:
		return errors.New("connected after the end")
	case s.over && live && !hung:
		return errors.New("over with a live leg that nobody told to end")
	case s.over && s.cause.Reason == "":
		return errors.New("over without a cause")
	case hung != s.armed[teardownTimer]:
		return errors.New("the teardown limit does not run exactly while a leg that was told to end lives")
	case s.targets != nil && s.armed[setupTimer] != (!s.over && !s.connected):
		return errors.New("the setup limit does not run exactly until the call is connected")
	case s.armed[mediaTimer] && (s.connected || !s.legs[dialled].accepted):
		return errors.New("the media limit runs although no audio is waited for")
	case s.armed[ringTimer] && (s.legs[dialled].accepted || !s.legs[dialled].live):
		return errors.New("the ring limit runs although nothing rings")
	case !live && s.armed != [timers]bool{}:
		return fmt.Errorf("limits run after the end: %v", s.armed)
	}
	return nil
}

// FuzzMachine feeds the machine any events in any order: it stays sound, and it ends when its legs do.
func FuzzMachine(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5})
	f.Add([]byte{2, 3, 12, 8, 9})
	f.Add([]byte{20, 10, 21, 22, 23, 30, 31})
	events := machineAlphabet()
	f.Fuzz(func(t *testing.T, data []byte) {
		s, actions := step(offered(), outside, routed{[]routing.Target{alice, aliceToo, extension}})
		finished := false
		one := func(e in) {
			before := s
			s, actions = step(s, e.from, e.Event)
			if err := sound(before, s, actions); err != nil {
				t.Fatalf("%v %T: %v", e.from, e.Event, err)
			}
			for _, a := range actions {
				if _, ok := a.(finish); ok {
					if finished {
						t.Fatal("finished twice")
					}
					finished = true
				}
			}
		}
		for _, b := range data {
			e := events[int(b)%len(events)]
			if x, ok := e.Event.(expired); ok && !s.armed[x.timer] {
				continue // a limit passes only while it runs
			}
			one(e)
		}
		one(endedBy(offering, Normal))
		one(endedBy(dialled, Normal))
		if !finished {
			t.Fatal("not finished although both legs have ended")
		}
	})
}

func machineAlphabet() []in {
	out := []in{order(Normal), order(Congestion), {outside, stopped{}}}
	for t := range timers {
		out = append(out, passed(t))
	}
	for _, s := range []side{offering, dialled} {
		for _, e := range []Event{Reached{}, Ringing{}, Answered{}, Media{flowA}, Media{}, Digit{'1'}, Held{true}, Held{false}, Identified{}, Facts{}} {
			out = append(out, from(s, e))
		}
		for _, r := range []Reason{Normal, Busy, Flood, Cancelled, AccountDown, ""} {
			out = append(out, in{s, Ended{Cause: Cause{Reason: r}}})
		}
	}
	return out
}

func TestHeavierVerdict(t *testing.T) {
	minute, hour := CauseOf(Flood).WithRetryAfter(time.Minute), CauseOf(Budget).WithRetryAfter(time.Hour)
	for _, test := range []struct{ earlier, later, want Cause }{
		{Cause{}, CauseOf(Failure), CauseOf(Failure)},
		{Cause{}, CauseOf(Busy), CauseOf(Busy)},
		{CauseOf(Busy), minute, CauseOf(Busy)},
		{minute, hour, minute},
		{hour, minute, minute},
		{minute, CauseOf(AccountDown), minute}, // the one of which is known when it ends
		{CauseOf(AccountDown), minute, minute},
		{CauseOf(NotFound), CauseOf(Failure), CauseOf(NotFound)},
		{CauseOf(NotFound), CauseOf(NoDialog), CauseOf(NoDialog)},
		{CauseOf(NotFound), CauseOf(BadNumber), CauseOf(BadNumber)},
	} {
		if got := test.earlier.heavier(test.later); got != test.want {
			t.Errorf("%v, then %v: %v is told, want %v", test.earlier, test.later, got, test.want)
		}
	}
}
