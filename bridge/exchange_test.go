package bridge_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/bridge/trunktest"
	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/routing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lab is an exchange between two fake trunks, run in a synctest bubble.
type lab struct {
	t        *testing.T
	x        *bridge.Exchange
	pbx      *trunktest.Trunk
	telegram *trunktest.Trunk
	plan     routing.Plan
	routeErr error
	stop     context.CancelFunc
	ran      chan error
	log      *lockedBuffer

	mu      sync.Mutex
	records []bridge.Record
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Route answers every request with the lab's plan.
func (l *lab) Route(routing.Request) (routing.Plan, error) { return l.plan, l.routeErr }

var aliceNumber = routing.Number{Kind: routing.Phone, Phone: "+4915112345678"}

// inLab runs a test with a running exchange and checks that it stops cleanly.
func inLab(t *testing.T, o bridge.Options, test func(*lab)) {
	synctest.Test(t, func(t *testing.T) {
		l := &lab{
			t: t, pbx: trunktest.NewTrunk("pbx"), telegram: trunktest.NewTrunk("telegram"), ran: make(chan error, 1),
			log:  &lockedBuffer{},
			plan: routing.Plan{Rule: "rule", Targets: []routing.Target{{Trunk: "telegram", Number: aliceNumber}}},
		}
		l.pbx.Made, l.telegram.Made = bridge.Asterisk, bridge.Telegram
		if o.Connect == nil {
			o.Connect = trunktest.Cross
		}
		o.Logger = slog.New(slog.NewJSONHandler(l.log, nil))
		o.Records = func(r bridge.Record) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.records = append(l.records, r)
		}
		x, err := bridge.New(l, o)
		if err != nil {
			t.Fatal(err)
		}
		l.x = x
		ctx, stop := context.WithCancel(t.Context())
		l.stop = stop
		go func() { l.ran <- x.Run(ctx, l.pbx, l.telegram) }()
		<-l.pbx.Up()
		<-l.telegram.Up()
		test(l)
		stop()
		if err := <-l.ran; err != nil {
			t.Errorf("Run returned %v", err)
		}
		if n := x.Calls(); n != 0 {
			t.Errorf("%d calls are left", n)
		}
	})
}

// offer makes a call come in from the PBX.
func (l *lab) offer() *trunktest.Leg {
	return l.pbx.Offer(routing.Request{Dialled: "+4915112345678", Caller: routing.Party{Number: "+4930987654", Name: "B\"ob"}})
}

// dialled returns the next leg that was dialled on the trunk.
func (l *lab) dialled(t *trunktest.Trunk) *trunktest.Leg {
	l.t.Helper()
	select {
	case leg := <-t.Dialled():
		return leg
	case <-time.After(time.Hour):
		l.t.Fatal("nothing was dialled")
		return nil
	}
}

// ordered checks the next order of a leg.
func (l *lab) ordered(leg *trunktest.Leg, verb trunktest.Verb) trunktest.Order {
	l.t.Helper()
	select {
	case o := <-leg.Orders():
		if o.Verb != verb {
			l.t.Fatalf("%s was ordered %+v, expected %s", leg.ID(), o, verb)
		}
		return o
	case <-time.After(time.Hour):
		l.t.Fatalf("%s was never ordered to %s", leg.ID(), verb)
		return trunktest.Order{}
	}
}

func (l *lab) quiet(leg *trunktest.Leg) {
	l.t.Helper()
	synctest.Wait()
	select {
	case o := <-leg.Orders():
		l.t.Fatalf("%s was ordered %+v", leg.ID(), o)
	default:
	}
}

// up brings a call from the PBX to where audio flows.
func (l *lab) up() (a, b *trunktest.Leg) {
	l.t.Helper()
	a = l.offer()
	b = l.dialled(l.telegram)
	b.Emit(bridge.Answered{})
	b.Emit(bridge.Media{Flow: b.Flow})
	l.ordered(a, trunktest.Answer)
	synctest.Wait()
	return a, b
}

// record waits until everything has settled and returns the only record.
func (l *lab) record() bridge.Record {
	l.t.Helper()
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.records) != 1 {
		l.t.Fatalf("%d records, expected 1", len(l.records))
	}
	return l.records[0]
}

func (l *lab) hungUp(leg *trunktest.Leg, reason bridge.Reason) {
	l.t.Helper()
	if o := l.ordered(leg, trunktest.Hangup); o.Cause.Reason != reason {
		l.t.Errorf("%s was hung up with %v, expected %v", leg.ID(), o.Cause, reason)
	}
}

func ended(r bridge.Reason) bridge.Ended { return bridge.Ended{Cause: bridge.CauseOf(r)} }

func TestWholeCall(t *testing.T) {
	inLab(t, bridge.Options{}, func(l *lab) {
		a := l.offer()
		b := l.dialled(l.telegram)
		if b.Target.Number != aliceNumber {
			t.Errorf("dialled %+v", b.Target)
		}
		time.Sleep(2 * time.Second)
		b.Emit(bridge.Reached{})
		l.ordered(a, trunktest.Ring)
		time.Sleep(3 * time.Second)
		b.Emit(bridge.Answered{})
		l.quiet(a) // nobody pays for silence
		time.Sleep(time.Second)
		b.Emit(bridge.Media{Flow: b.Flow})
		l.ordered(a, trunktest.Answer)
		synctest.Wait()
		a.Flow.Hear(&media.Packet{Payload: make([]byte, 160)})
		b.Flow.Hear(&media.Packet{Payload: make([]byte, 160)})
		b.Flow.Hear(&media.Packet{Payload: make([]byte, 160)})
		a.Emit(bridge.Digit{Digit: '7'})
		if o := l.ordered(b, trunktest.Digit); o.Digit != '7' {
			t.Errorf("digit %c was sent", o.Digit)
		}
		a.Emit(bridge.Held{On: true})
		if o := l.ordered(b, trunktest.Hold); !o.On {
			t.Error("the hold was not passed on")
		}
		time.Sleep(time.Minute)
		a.Emit(ended(bridge.Normal))
		l.hungUp(b, bridge.Normal)
		r := l.record()
		if a.Flow.Attached() || b.Flow.Attached() {
			t.Error("the audio is still connected")
		}
		if r.Times.SetupMS != 6000 || r.Times.TalkMS != 60000 || r.Reason != bridge.Normal || r.Rule != "rule" {
			t.Errorf("record %+v", r)
		}
		times := r.Times
		if times.Reached.Sub(times.Offered) != 2*time.Second || times.Answered.Sub(times.Offered) != 5*time.Second ||
			times.DialledMedia != times.Connected || times.OfferedMedia != times.Connected || !times.Ringing.IsZero() {
			t.Errorf("times %+v", times)
		}
		if len(r.Attempts) != 1 || r.Attempts[0].Party.Phone != aliceNumber.Phone || !r.Attempts[0].HungUp || r.Offering.HungUp {
			t.Errorf("legs %+v %+v", r.Offering, r.Attempts)
		}
		if m := r.Attempts[0].Media; m == nil || m.Received != 2 || m.Sent != 1 || m.Codec != "PCMU" {
			t.Errorf("media of the dialled leg %+v", m)
		}
		if m := r.Offering.Media; m == nil || m.Received != 1 || m.Sent != 2 {
			t.Errorf("media of the offering leg %+v", m)
		}
	})
}

// Who has answered, and who has come in their place, is told to the other side; to one that cannot be told it does no harm.
func TestWhoAnsweredIsTold(t *testing.T) {
	inLab(t, bridge.Options{}, func(l *lab) {
		a, b := l.up()
		for _, number := range []string{"201", "202"} {
			b.Emit(bridge.Identified{Party: routing.Party{Number: number, Name: "Anna"}})
			if o := l.ordered(a, trunktest.Meet); o.Party.Number != number || o.Party.Name != "Anna" {
				t.Errorf("%+v is introduced", o.Party)
			}
		}
		a.Emit(ended(bridge.Normal))
		l.hungUp(b, bridge.Normal)
		b.Emit(bridge.Identified{Party: routing.Party{Number: "203"}})
		l.record()
	})
}

func TestRecordIsOneLineOfJSON(t *testing.T) {
	inLab(t, bridge.Options{}, func(l *lab) {
		a, _ := l.up()
		a.Emit(ended(bridge.Normal))
		line, err := json.Marshal(l.record())
		if err != nil || bytes.ContainsRune(line, '\n') {
			t.Fatalf("%s: %v", line, err)
		}
		var back map[string]any
		if err := json.Unmarshal(line, &back); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"call", "dialled", "offering", "attempts", "times", "reason", "q850"} {
			if _, ok := back[key]; !ok {
				t.Errorf("no %q in %s", key, line)
			}
		}
		if party := back["offering"].(map[string]any)["party"].(map[string]any); party["name"] != "B ob" {
			t.Errorf("the name is recorded as %q", party["name"])
		}
	})
}

// Numbers are masked in every line that one call writes at info.
func TestLogMasksNumbers(t *testing.T) {
	inLab(t, bridge.Options{}, func(l *lab) {
		a, b := l.up()
		b.Emit(ended(bridge.Normal))
		l.hungUp(a, bridge.Normal)
		id := l.record().Call
		text := l.log.String()
		for _, edge := range []string{"call offered", "call routed", "target dialled", "called party answered", "call connected", "leg ended", "call ended"} {
			if !strings.Contains(text, edge) {
				t.Errorf("no line says %q", edge)
			}
		}
		if strings.Contains(text, "15112345678") || strings.Contains(text, "30987654") {
			t.Errorf("a number is not masked:\n%s", text)
		}
		if !strings.Contains(text, `"call":"`+id+`"`) || !strings.Contains(text, `"trunk":"telegram"`) {
			t.Errorf("lines without call or trunk:\n%s", text)
		}
	})
}

func TestRingTimeoutsOfTargets(t *testing.T) {
	inLab(t, bridge.Options{Timeouts: bridge.Timeouts{Ring: 40 * time.Second}}, func(l *lab) {
		l.plan.Targets = []routing.Target{
			{Trunk: "telegram", Number: aliceNumber, Timeout: 10 * time.Second},
			{Trunk: "pbx", Context: "in", Extension: "s"},
		}
		begin := time.Now()
		a := l.offer()
		first := l.dialled(l.telegram)
		first.Emit(bridge.Reached{})
		l.ordered(a, trunktest.Ring)
		l.hungUp(first, bridge.NoAnswer)
		if took := time.Since(begin); took != 10*time.Second {
			t.Errorf("the first target rang for %v", took)
		}
		second := l.dialled(l.pbx)
		l.hungUp(second, bridge.NoAnswer)
		if took := time.Since(begin); took != 50*time.Second {
			t.Errorf("both targets rang for %v", took)
		}
		l.hungUp(a, bridge.NoAnswer)
		if r := l.record(); len(r.Attempts) != 2 || r.Reason != bridge.NoAnswer || r.Attempts[1].DialMS != 10000 {
			t.Errorf("record %+v", r)
		}
	})
}

func TestMediaTimeout(t *testing.T) {
	inLab(t, bridge.Options{}, func(l *lab) {
		a := l.offer()
		b := l.dialled(l.telegram)
		b.Emit(bridge.Answered{})
		begin := time.Now()
		l.hungUp(a, bridge.MediaFailed)
		l.hungUp(b, bridge.MediaFailed)
		if took := time.Since(begin); took != 75*time.Second {
			t.Errorf("media was waited for %v", took)
		}
	})
}

func TestSetupTimeout(t *testing.T) {
	inLab(t, bridge.Options{Timeouts: bridge.Timeouts{Setup: 25 * time.Second, Ring: 20 * time.Second}}, func(l *lab) {
		l.plan.Targets = append(l.plan.Targets, routing.Target{Trunk: "pbx", Context: "in", Extension: "s"})
		begin := time.Now()
		a := l.offer()
		l.hungUp(a, bridge.NoAnswer)
		if took := time.Since(begin); took != 25*time.Second {
			t.Errorf("the call was hunted for %v", took)
		}
	})
}

// A call that is up has no limit.
func TestLongCall(t *testing.T) {
	inLab(t, bridge.Options{}, func(l *lab) {
		a, b := l.up()
		time.Sleep(24 * time.Hour)
		l.quiet(a)
		l.quiet(b)
		a.Emit(ended(bridge.Normal))
	})
}

func TestRefused(t *testing.T) {
	for _, test := range []struct {
		err  error
		plan routing.Plan
		want bridge.Reason
	}{
		{err: &routing.NumberError{Problem: "nonsense"}, want: bridge.BadNumber},
		{err: &routing.NoRouteError{}, want: bridge.NoRoute},
		{err: &routing.DeniedError{Rule: "out", Why: "callers.deny has it"}, want: bridge.NoRoute},
		{err: errors.New("something"), want: bridge.Failure},
		{want: bridge.NoRoute}, // a plan without targets
	} {
		inLab(t, bridge.Options{}, func(l *lab) {
			l.plan, l.routeErr = test.plan, test.err
			a := l.offer()
			l.hungUp(a, test.want)
			if r := l.record(); r.Reason != test.want || r.Error == "" || len(r.Attempts) != 0 {
				t.Errorf("record %+v", r)
			}
		})
	}
}

// Who may not call by an account is told of in the line about the route, once, and the rest of the route is tried.
func TestDeniedByAnAccount(t *testing.T) {
	inLab(t, bridge.Options{}, func(l *lab) {
		l.plan.Denied = []routing.Denied{{Trunk: "sales", Why: `callers.deny has "250-259"`}, {Trunk: "second", Why: "callers.allow does not have it"}}
		a := l.offer()
		b := l.dialled(l.telegram)
		b.Emit(ended(bridge.Busy))
		l.hungUp(a, bridge.Busy)
		if n := strings.Count(l.log.String(), `"denied_by":["sales: callers.deny has \"250-259\"","second: callers.allow does not have it"]`); n != 1 {
			t.Errorf("it is logged %d times:\n%s", n, l.log)
		}
	})
}

func TestConnectFails(t *testing.T) {
	broken := func(*slog.Logger, media.Flow, media.Flow) (func(), error) { return nil, errors.New("no such codec") }
	inLab(t, bridge.Options{Connect: broken}, func(l *lab) {
		a, b := l.up()
		l.hungUp(a, bridge.MediaFailed)
		l.hungUp(b, bridge.MediaFailed)
		if r := l.record(); r.Error != "no such codec" || !r.Times.Connected.IsZero() {
			t.Errorf("record %+v", r)
		}
	})
}

func TestMaxCalls(t *testing.T) {
	inLab(t, bridge.Options{MaxCalls: 1}, func(l *lab) {
		a, _ := l.up()
		refused := l.offer()
		if o := l.ordered(refused, trunktest.Hangup); o.Cause.Q850 != 34 {
			t.Errorf("the second call was refused with %v", o.Cause)
		}
		synctest.Wait()
		a.Emit(ended(bridge.Normal))
		synctest.Wait()
		next, _ := l.up() // there is room again
		next.Emit(ended(bridge.Normal))
	})
}

func TestIgnoredDigits(t *testing.T) {
	inLab(t, bridge.Options{IgnoreDigitsFrom: []string{"telegram"}}, func(l *lab) {
		a, b := l.up()
		b.Emit(bridge.Digit{Digit: '1'})
		l.quiet(a)
		a.Emit(bridge.Digit{Digit: '2'})
		l.ordered(b, trunktest.Digit)
		a.Emit(ended(bridge.Normal))
	})
}

type planRouter routing.Plan

func (p planRouter) Route(routing.Request) (routing.Plan, error) { return routing.Plan(p), nil }

func TestReload(t *testing.T) {
	inLab(t, bridge.Options{}, func(l *lab) {
		a, _ := l.up()
		l.x.SetRouter(planRouter{Rule: "new", Targets: []routing.Target{{Trunk: "pbx", Context: "in", Extension: "s"}}})
		l.quiet(a) // a live call keeps what it has
		next := l.telegram.Offer(routing.Request{Caller: routing.Party{UserID: 12345}})
		b := l.dialled(l.pbx)
		next.Emit(ended(bridge.Normal))
		l.hungUp(b, bridge.Cancelled)
		a.Emit(ended(bridge.Normal))
	})
}

func TestHangupByID(t *testing.T) {
	inLab(t, bridge.Options{}, func(l *lab) {
		a, b := l.up()
		id := regexp.MustCompile(`"call":"([0-9a-f]+)"`).FindStringSubmatch(l.log.String())[1]
		if l.x.Hangup("nobody", bridge.CauseOf(bridge.Normal)) {
			t.Error("a call that does not exist was hung up")
		}
		if !l.x.Hangup(id, bridge.CauseOf(bridge.Normal)) {
			t.Errorf("there is no call %q", id)
		}
		l.x.Hangup(id, bridge.CauseOf(bridge.Busy)) // comes too late
		l.hungUp(a, bridge.Normal)
		l.hungUp(b, bridge.Normal)
	})
}
