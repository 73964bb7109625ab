package telegram_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/telegram"
	"github.com/tgtrunk/tgtrunk/telegram/calls"
	"github.com/tgtrunk/tgtrunk/telegram/cloud"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/phone"
)

// quick makes a phone that need not log in by code.
func (w *world) quick(id int64) *phone.Phone {
	w.t.Helper()
	return w.phone(id, phone.Behaviour{}, func(o *phone.Options) { o.Control = w.control })
}

func received(t phone.Times) time.Time    { return t.Received }
func established(t phone.Times) time.Time { return t.Established }

// waited is how long a phone's call has been waiting for ringing; the call must not end before.
func waited(t testing.TB, c *phone.Call) time.Duration {
	t.Helper()
	reaches(t, c, "received", received)
	at := c.Times()
	return at.Received.Sub(at.Begun)
}

// receptions counts the account's incoming calls that Telegram was told the reception of.
func (w *world) receptions() (n int) {
	for _, c := range w.control.Calls() {
		if c.Callee == trunk && !c.Received.IsZero() {
			n++
		}
	}
	return n
}

// TestMulti: three callers at once and an outgoing call beside them. None hears ringing, nobody is refused; one is not
// answered within the limit, and hears so before its app gives up.
func TestMulti(t *testing.T) {
	w, o := open(t, func(o *telegram.Options) { o.Calls.Limits.AnswerWithin = 4 * time.Second })
	alices, bobs, carols := w.quick(alice), w.quick(bob), w.quick(carol)
	first := w.calls(alices, phone.Behaviour{})
	one := o.offer().Leg
	one.Answer()
	up(t, one)
	second := w.calls(bobs, phone.Behaviour{})
	two := o.offer().Leg
	two.Answer()
	up(t, two)
	unanswered := w.calls(carols, phone.Behaviour{})
	three := o.offer().Leg
	wantEnd(t, three, bridge.NoAnswer)
	e := over(t, unanswered)
	at := unanswered.Times()
	if took := at.Ended.Sub(at.Begun); e.Reason != calls.Missed || !e.Remote || took < 2*time.Second || took > 15*time.Second {
		t.Errorf("the caller nobody answered was told %+v after %v", e, took)
	}
	four := o.dial(byName("carol_c"))
	up(t, four)
	if n := w.receptions(); n != 0 {
		t.Errorf("%d calls were reported as received", n)
	}
	if live := w.control.ActiveCalls(); len(live) != 3 {
		t.Errorf("%d calls are up, want 3", len(live))
	}
	first.Hangup()
	second.Hangup()
	four.Hangup(bridge.CauseOf(bridge.Normal))
	for _, leg := range []bridge.Leg{one, two, four} {
		wantEnd(t, leg, bridge.Normal)
	}
	w.noCalls()
}

// TestMultiHearsThePBX: a route that answers early lets the caller hear what the PBX plays, long before a person answers.
func TestMultiHearsThePBX(t *testing.T) {
	w, o := open(t, func(o *telegram.Options) { o.Calls.Limits.AnswerWithin = 2 * time.Second })
	call := w.calls(w.quick(alice), phone.Behaviour{Voice: voice(t, 1000)})
	leg := o.offer().Leg
	leg.Answer() // as the bridge does once the dialplan has answered
	flow := up(t, leg)
	hum(t, flow, 425) // a ringback tone
	began := time.Now()
	for time.Since(began) < 2500*time.Millisecond { // beyond the limit
		phoneHears(t, call, 425)
	}
	call.Hangup()
	wantEnd(t, leg, bridge.Normal)
}

// TestSingle: one incoming call at a time, which rings; all others are busy, also those that Telegram lets through.
func TestSingle(t *testing.T) {
	w, o := open(t, func(o *telegram.Options) { o.Calls.Mode, o.Calls.Limits.AnswerWithin = telegram.Single, time.Second })
	alices, bobs := w.quick(alice), w.quick(bob)
	first := w.calls(alices, phone.Behaviour{})
	leg := o.offer().Leg
	waited(t, first)
	if e := over(t, w.calls(bobs, phone.Behaviour{})); e.Reason != calls.Busy || !e.Remote {
		t.Errorf("the second caller was told %+v", e)
	}
	silent(t, first, 1500*time.Millisecond) // answer_within is for those who hear no ringing
	leg.Answer()
	up(t, leg)
	if e := over(t, w.calls(bobs, phone.Behaviour{})); e.Reason != calls.Busy {
		t.Errorf("a caller during the call was told %+v", e)
	}
	first.Hangup()
	wantEnd(t, leg, bridge.Normal)
	w.noCalls()

	// Telegram has not heard of the first call's reception when the second comes.
	w.control.FailNext(trunk, "phone.receivedCall", 500, "NO")
	first = w.calls(alices, phone.Behaviour{})
	leg = o.offer().Leg
	if e := over(t, w.calls(bobs, phone.Behaviour{})); e.Reason != calls.Busy || !e.Remote {
		t.Errorf("the second caller was told %+v", e)
	}
	if len(o.offers) != 0 {
		t.Error("a second call was offered")
	}
	first.Hangup()
	wantEnd(t, leg, bridge.Cancelled)

	for range 3 { // as soon as a call is over there is room for the next
		w.noCalls()
		call := w.calls(bobs, phone.Behaviour{})
		leg := o.offer().Leg
		call.Hangup()
		wantEnd(t, leg, bridge.Cancelled)
	}
	w.noCalls()
}

// silent checks that a call goes on for a while.
func silent(t testing.TB, c *phone.Call, d time.Duration) {
	t.Helper()
	began := time.Now()
	eventually(t, func() error {
		if !c.Times().Ended.IsZero() {
			t.Fatal("the call has ended")
		}
		if time.Since(began) < d {
			return errors.New("not yet")
		}
		return nil
	})
}

// TestAuto: calls that are answered soon leave room for others; one that is not rings, at once where it is the only call,
// and when it would be lost where there are others.
func TestAuto(t *testing.T) {
	w, o := open(t, func(o *telegram.Options) { o.Calls.Mode, o.Calls.Limits.AnswerWithin = telegram.Auto, 6*time.Second })
	alices, bobs, carols := w.quick(alice), w.quick(bob), w.quick(carol)

	alone := w.calls(alices, phone.Behaviour{})
	leg := o.offer().Leg
	if took := waited(t, alone); took < time.Second || took > 5500*time.Millisecond {
		t.Errorf("the only caller hears ringing after %v", took)
	}
	if e := over(t, w.calls(bobs, phone.Behaviour{})); e.Reason != calls.Busy {
		t.Errorf("a caller beside one that rings was told %+v", e)
	}
	silent(t, alone, 5*time.Second) // beyond answer_within
	leg.Answer()
	up(t, leg)
	alone.Hangup()
	wantEnd(t, leg, bridge.Normal)
	w.noCalls()

	n := w.receptions()
	var legs []bridge.Leg
	for _, p := range []*phone.Phone{alices, bobs} { // answered at once: both at the same time
		w.calls(p, phone.Behaviour{})
		leg := o.offer().Leg
		leg.Answer()
		up(t, leg)
		legs = append(legs, leg)
	}
	if got := w.receptions(); got != n {
		t.Errorf("%d calls that were answered at once were reported as received", got-n)
	}
	third := w.calls(carols, phone.Behaviour{})
	leg = o.offer().Leg
	if took := waited(t, third); took < 4*time.Second || took > 18*time.Second {
		t.Errorf("a caller beside others hears ringing after %v", took)
	}
	leg.Answer()
	up(t, leg)
	if live := w.control.ActiveCalls(); len(live) != 3 {
		t.Errorf("%d calls are up, want 3", len(live))
	}
	for _, l := range append(legs, leg) {
		l.Hangup(bridge.CauseOf(bridge.Normal))
		wantEnd(t, l, bridge.Normal)
	}
	w.noCalls()
}

// TestTelegramsLimits: the limits of help.getConfig hold, ours where they are shorter, and nonsense is no limit.
func TestTelegramsLimits(t *testing.T) {
	const long = 80 * time.Second
	for _, c := range []struct {
		name   string
		config cloud.ClientConfig
		limits telegram.Limits
		callee phone.Action // of alice; bob has no phone
		number string
		deaf   bool
		want   bridge.Reason
		within [2]time.Duration
	}{
		{name: "receive", config: cloud.ClientConfig{ReceiveMs: 1500}, number: "bob_b", want: bridge.Unreachable, within: [2]time.Duration{1400 * time.Millisecond, 12 * time.Second}},
		{name: "receive, own is shorter", config: cloud.ClientConfig{ReceiveMs: 19000}, limits: telegram.Limits{ReachedIn: time.Second}, number: "bob_b", want: bridge.Unreachable, within: [2]time.Duration{900 * time.Millisecond, 12 * time.Second}},
		{name: "ring", config: cloud.ClientConfig{RingMs: 1500}, callee: phone.Ignore, number: "alice_a", want: bridge.NoAnswer, within: [2]time.Duration{1400 * time.Millisecond, 12 * time.Second}},
		{name: "ring, own is shorter", config: cloud.ClientConfig{RingMs: 80000}, limits: telegram.Limits{AnsweredIn: time.Second}, callee: phone.Ignore, number: "alice_a", want: bridge.NoAnswer, within: [2]time.Duration{900 * time.Millisecond, 12 * time.Second}},
		{name: "connect", config: cloud.ClientConfig{ConnectMs: 1500}, number: "alice_a", deaf: true, want: bridge.MediaFailed, within: [2]time.Duration{1400 * time.Millisecond, 20 * time.Second}},
		{name: "nonsense", config: cloud.ClientConfig{ReceiveMs: -5, RingMs: 3 * 3600 * 1000, ConnectMs: 1}, limits: telegram.Limits{AnsweredIn: time.Second}, callee: phone.Ignore, number: "alice_a", want: bridge.NoAnswer, within: [2]time.Duration{900 * time.Millisecond, 12 * time.Second}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, o := openIn(t, func(o *cloud.Options) { o.Config = c.config }, func(o *telegram.Options) { o.Calls.Limits = c.limits })
			w.quick(alice).Behave(phone.Behaviour{Action: c.callee})
			w.control.LoseSignaling(alice, c.deaf)
			began := time.Now()
			leg := o.dial(byName(c.number))
			wantEnd(t, leg, c.want)
			if took := time.Since(began); took < c.within[0] || took > c.within[1] {
				t.Errorf("ended after %v, want %v", took, c.within)
			}
			w.noCalls()
		})
	}
	t.Run("silence", func(t *testing.T) { // the caller's own limit is shorter than answer_within
		w, o := openIn(t, func(o *cloud.Options) { o.Config.ReceiveMs = 2000 })
		call := w.calls(w.quick(alice), phone.Behaviour{})
		wantEnd(t, o.offer().Leg, bridge.NoAnswer)
		if e := over(t, call); e.Reason != calls.Missed || !e.Remote {
			t.Errorf("the caller was told %+v", e)
		}
	})
	t.Run("they change", func(t *testing.T) {
		w, o := openIn(t, nil, func(o *telegram.Options) { o.Calls.Limits.ReachedIn = long })
		w.listening() // to the update that says so
		w.control.SetClientConfig(cloud.ClientConfig{ReceiveMs: 1000, RingMs: 90000, ConnectMs: 30000, PacketMs: 10000, Expires: time.Hour})
		eventually(t, func() error { // once the account has asked again
			began := time.Now()
			leg := o.dial(byName("bob_b"))
			hasty := time.AfterFunc(3*time.Second, func() { leg.Hangup(bridge.CauseOf(bridge.Cancelled)) })
			defer hasty.Stop()
			if e := end(t, leg); e.Cause.Reason != bridge.Unreachable {
				return fmt.Errorf("ended for %v after %v", e.Cause, time.Since(began))
			}
			return nil
		})
		w.noCalls()
	})
}

// TestFeedbackIsNotGiven: Telegram asks for a rating and for figures at the end of calls. It gets neither, nobody is
// asked, and the next call goes as any other.
func TestFeedbackIsNotGiven(t *testing.T) {
	w, o := open(t, func(o *telegram.Options) { o.Calls.Limits.ReachedIn = 500 * time.Millisecond })
	w.control.AskFeedback(true, true)
	p := w.quick(alice)
	for n, who := range []string{"account", "phone", "account"} {
		leg := o.dial(byName("alice_a"))
		up(t, leg)
		call := incoming(t, p, n)
		reaches(t, call, "established", established)
		if who == "phone" {
			call.Hangup()
		} else {
			leg.Hangup(bridge.CauseOf(bridge.Normal))
		}
		wantEnd(t, leg, bridge.Normal)
		w.noCalls()
	}
	wantEnd(t, o.dial(byName("bob_b")), bridge.Unreachable)
	for _, c := range w.control.Calls() {
		if c.Rating != 0 || c.Debug != "" {
			t.Errorf("telegram got %+v", c)
		}
	}
}

// TestOwnReasons: ends that are neither the caller's nor the callee's doing have reasons of their own.
func TestOwnReasons(t *testing.T) {
	w, o := open(t)
	alices, mobile := w.quick(alice), w.quick(trunk) // the account's owner has a phone as well
	mobile.Behave(phone.Behaviour{Action: phone.Ignore})

	call := w.calls(alices, phone.Behaviour{})
	leg := o.offer().Leg
	incoming(t, mobile, 0).Accept()
	wantEnd(t, leg, bridge.Elsewhere)
	reaches(t, call, "established", established) // it goes on, on the phone
	call.Hangup()
	w.noCalls()

	call = w.calls(alices, phone.Behaviour{})
	leg = o.offer().Leg
	incoming(t, mobile, 1).Hangup()
	wantEnd(t, leg, bridge.Elsewhere)
	if e := over(t, call); e.Reason != calls.Busy {
		t.Errorf("the caller was told %+v", e)
	}

	call = w.calls(alices, phone.Behaviour{})
	leg = o.offer().Leg
	w.control.FailNext(trunk, "phone.acceptCall", 500, "CALL_OCCUPY_FAILED")
	leg.Answer()
	wantEnd(t, leg, bridge.Occupied)
	if e := over(t, call); e.Reason != calls.Busy {
		t.Errorf("the caller was told %+v", e)
	}
	w.noCalls()

	w.control.FailNext(trunk, "phone.requestCall", 500, "CALL_OCCUPY_FAILED")
	wantEnd(t, o.dial(byName("alice_a")), bridge.Occupied)
	wantEnd(t, o.dial(byID(trunk)), bridge.Self)
	w.noCalls()
}

// TestRoamingCaller: the caller's phone loses its connection to Telegram while it rings and while it talks, and comes back.
func TestRoamingCaller(t *testing.T) {
	w, o := open(t, func(o *telegram.Options) { o.Calls.Mode = telegram.Single })
	p := w.quick(alice)
	call := w.calls(p, phone.Behaviour{Voice: voice(t, 1000)})
	leg := o.offer().Leg
	waited(t, call)
	roam := func() {
		t.Helper()
		if w.control.DropConnections(alice) == 0 {
			t.Fatal("there was no connection")
		}
		eventually(t, func() error {
			if w.control.Online(alice) == 0 {
				return errors.New("the phone is not connected")
			}
			return nil
		})
	}
	roam()
	leg.Answer()
	flow := up(t, leg)
	heard := newEar(t)
	flow.Attach(heard)
	heard.hears(t, 1000)
	roam()
	w.control.RedeliverLast(trunk)
	w.control.RedeliverLast(alice)
	heard.hears(t, 1000)
	call.Hangup()
	wantEnd(t, leg, bridge.Normal)
	w.noCalls()
	if len(o.offers) != 0 {
		t.Error("the call was offered twice")
	}
}
