package esl

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/bridge/pbx"
	"github.com/tgtrunk/tgtrunk/bridge/trunktest"
	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/routing"
)

// eachCommand sets what runs before each command.
func (f *fakeFS) eachCommand(do func(line string)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before = do
}

// has reports whether there is a channel.
func (f *fakeFS) has(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.channels[id] != nil
}

// caller parks one for the link, whether that is ready or not.
func (w *fakeWorld) caller(id string) *fakeChannel {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := &fakeChannel{id: id, vars: map[string]string{varApp: "tgtrunk", varDialled: "bob"}}
	w.channels[id] = c
	w.park(c)
	return c
}

func nextOffer(t *testing.T, offers <-chan bridge.Offer) bridge.Offer {
	t.Helper()
	select {
	case o := <-offers:
		return o
	case <-time.After(10 * time.Second):
		t.Fatal("no call is offered")
		return bridge.Offer{}
	}
}

// until waits for something that no event tells.
func until(t *testing.T, what string, happened func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for !happened() {
		if !pbx.Sleep(ctx, time.Millisecond) {
			t.Fatalf("not so: %s", what)
		}
	}
}

// scriptedCall dials a party of whom the test tells everything, and returns its channel and the job's id.
func (w *fakeWorld) scriptedCall(t *testing.T) (leg bridge.Leg, c *fakeChannel, job string) {
	t.Helper()
	p := &fakeParty{scripted: true, number: "1", rings: make(chan struct{}), up: make(chan struct{}), over: make(chan struct{})}
	w.parties.Store(p.number, p)
	leg = w.link.Dial(t.Context(), routing.Target{Endpoint: "fake/1", Timeout: 20 * time.Second})
	if err := waitUntil(t.Context(), p.rings); err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return leg, w.channels[leg.ID()+"-out"], w.dialJob
}

// TestAnsweredAndGone: who is called answers and hangs up at once: FreeSWITCH may tell the end before the job's result, and
// nothing is told after that.
func TestAnsweredAndGone(t *testing.T) {
	w, _ := startWorld(t)
	leg, c, job := w.scriptedCall(t)
	w.mu.Lock()
	c.answered = true
	w.event("CHANNEL_ANSWER", c)
	w.hangup(c, "NORMAL_CLEARING")
	w.send(map[string]any{"Event-Name": "BACKGROUND_JOB", "Job-UUID": job, "_body": "+OK " + c.id + "\n"})
	w.mu.Unlock()
	began := time.Now()
	if end := nextEvent[bridge.Ended](t, leg); end.Cause != bridge.CauseOf(bridge.Normal) || end.Err != nil {
		t.Errorf("ended with %v, %v", end.Cause, end.Err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("noticed after %v", took)
	}
}

// TestSocketLostWhileDialling: with the event socket the job's result is lost, and with that the answer of who is called:
// the call fails at once, and the phone stops ringing as soon as FreeSWITCH can be asked to.
func TestSocketLostWhileDialling(t *testing.T) {
	w, _ := startWorld(t)
	leg, c, _ := w.scriptedCall(t)
	w.dropSockets()
	began := time.Now()
	if end := nextEvent[bridge.Ended](t, leg); end.Cause.Reason != bridge.AccountDown || end.Err == nil {
		t.Errorf("ended with %v, %v", end.Cause, end.Err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("noticed after %v", took)
	}
	until(t, "the phone stops ringing", func() bool { return !w.has(c.id) })
}

// TestPhoneSentToPark: a phone that we dialled is sent to an extension that parks it: it is not ours any more, though its
// uuid is.
func TestPhoneSentToPark(t *testing.T) {
	w, _ := startWorld(t)
	target, far, err := w.Target(trunktest.Answers)
	if err != nil {
		t.Fatal(err)
	}
	leg := w.link.Dial(t.Context(), target)
	nextEvent[bridge.Media](t, leg)
	phone := far.(*fakeParty).channel
	w.mu.Lock()
	medium := w.channels[phone.bridged]
	w.event("CHANNEL_BRIDGE", phone, "Caller-Profile-Index", "1")
	phone.bridged, medium.bridged, phone.parked = "", "", true
	w.event("CHANNEL_UNBRIDGE", phone)
	w.event("CHANNEL_PARK", phone, "Channel-State", "CS_EXECUTE", "Caller-Profile-Index", "2")
	w.hangup(medium, "NORMAL_CLEARING")
	w.mu.Unlock()
	if end := nextEvent[bridge.Ended](t, leg); end.Cause.Reason != bridge.Normal {
		t.Errorf("ended with %v", end.Cause)
	}
	w.sweeps(t, 4)
	if !w.has(phone.id) {
		t.Error("the phone was hung up")
	}
}

// sweeps waits until the link has listed the channels so often.
func (w *fakeWorld) sweeps(t *testing.T, n int) {
	t.Helper()
	listed := func() (count int) {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, line := range w.asked {
			if strings.HasPrefix(line, "show channels") {
				count++
			}
		}
		return count
	}
	began := listed()
	until(t, "channels are listed", func() bool { return listed() >= began+n })
}

// TestCallerBeforeReady: a caller who comes while the connection is being prepared waits for that.
func TestCallerBeforeReady(t *testing.T) {
	w := newFakeWorld(t)
	comes := sync.OnceFunc(func() { w.caller("early") })
	w.eachCommand(func(line string) {
		if strings.HasPrefix(line, "version") {
			comes()
		}
	})
	offers := w.run(t)
	o := nextOffer(t, offers)
	o.Leg.Answer()
	nextEvent[bridge.Answered](t, o.Leg)
	o.Leg.Hangup(bridge.CauseOf(bridge.Normal))
	nextEvent[bridge.Ended](t, o.Leg)
}

// TestTakenByDeadProcess: a caller whom a process had taken that is gone is offered by the next one.
func TestTakenByDeadProcess(t *testing.T) {
	w := newFakeWorld(t)
	w.mu.Lock()
	c := &fakeChannel{id: "left", parked: true, vars: map[string]string{varTaken: "tgtrunk", "TGTRUNK_LEG": "tgtrunk-0-0-1"}}
	other := &fakeChannel{id: "other", parked: true, vars: map[string]string{varTaken: "another"}}
	w.channels[c.id], w.channels[other.id] = c, other
	w.mu.Unlock()
	offers := w.run(t)
	o := nextOffer(t, offers)
	if id := o.Variables["PBX_CHANNEL_ID"]; id != c.id {
		t.Errorf("offer of %s", id)
	}
	o.Leg.Hangup(bridge.CauseOf(bridge.NotFound))
	nextEvent[bridge.Ended](t, o.Leg)
}

// TestDialWhileWebSocketIsRenewed: the loss of a WebSocket ends no call that is placed over the next.
func TestDialWhileWebSocketIsRenewed(t *testing.T) {
	w, _ := startWorld(t)
	w.direct = true
	target, _, err := w.Target(trunktest.Answers)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.link.way(t.Context()); err != nil { // the probe is over
		t.Fatal(err)
	}
	before := w.link.ways.verto.Load()
	w.dropVerto()
	until(t, "another WebSocket", func() bool { s := w.link.ways.verto.Load(); return s != nil && s != before })
	l := w.link.Dial(t.Context(), target)
	nextEvent[bridge.Media](t, l)
	// What is said to every leg at the loss of a WebSocket may be read when the call is up by the next one.
	l.(*leg).inbox.Put(audioLost{session: before})
	w.mu.Lock()
	w.hangup(w.channels[l.ID()+"-media1"], "NORMAL_CLEARING")
	w.mu.Unlock()
	if end := nextEvent[bridge.Ended](t, l); end.Cause.Reason != bridge.Normal {
		t.Errorf("ended with %v, %v", end.Cause, end.Err)
	}
}

// TestDialplanTakesProfilesCodec: a call into the dialplan asks for what the profile takes, whatever would be best.
func TestDialplanTakesProfilesCodec(t *testing.T) {
	w := newFakeWorldWith(t, func(o *Options) { o.Media.Codec = CodecPCMA })
	w.codec, w.direct = "PCMU/8000", true
	w.run(t)
	target, _, err := w.Target(trunktest.Answers)
	if err != nil {
		t.Fatal(err)
	}
	leg := w.link.Dial(t.Context(), target)
	if f := nextEvent[bridge.Media](t, leg).Flow.Format(); f.Codec != media.PCMU {
		t.Errorf("format %+v", f)
	}
	leg.Hangup(bridge.CauseOf(bridge.Normal))
	nextEvent[bridge.Ended](t, leg)
}

// TestNothingOutlivesRun: who is turned away in the last moment is done with before Run returns.
func TestNothingOutlivesRun(t *testing.T) {
	returned := make(chan struct{})
	late := make(chan bool, 1)
	w := newFakeWorldWith(t, func(o *Options) {
		o.Log = slog.New(spy{slog.DiscardHandler, func(text string) {
			if text == "cannot give a channel back to the dialplan" {
				select {
				case <-returned:
					late <- true
				case <-time.After(300 * time.Millisecond):
					late <- false
				}
			}
		}})
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(returned)
		_ = w.link.Run(ctx, func(bridge.Offer) {})
	}()
	if err := w.ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The last listing waits until a caller has come and is being turned away; what is asked for that is never answered.
	stuck := make(chan struct{})
	turning := make(chan struct{})
	come := sync.OnceFunc(func() { w.caller("late") })
	w.eachCommand(func(line string) {
		switch {
		case strings.HasPrefix(line, "uuid_setvar_multi late "):
			closeOnce(turning)
			<-stuck
		case strings.HasPrefix(line, "show channels") && ctx.Err() != nil:
			come()
			<-turning
		}
	})
	defer close(stuck)
	cancel()
	<-returned
	select {
	case is := <-late:
		if is {
			t.Error("a caller is turned away after Run")
		}
	case <-time.After(5 * time.Second):
		t.Error("nobody was turned away")
	}
}

// spy hears every line of a log.
type spy struct {
	slog.Handler
	hear func(text string)
}

func (spy) Enabled(context.Context, slog.Level) bool { return true }
func (s spy) WithAttrs([]slog.Attr) slog.Handler     { return s }
func (s spy) Handle(_ context.Context, r slog.Record) error {
	s.hear(r.Message)
	return nil
}

// TestDialplanCallWithoutEventSocket: a call in the dialplan that ends while the event socket is down ends with the cause
// that mod_verto tells, and nothing is asked of a channel without name.
func TestDialplanCallWithoutEventSocket(t *testing.T) {
	w := newFakeWorld(t)
	w.direct, w.link.timing.lostAfter = true, time.Minute
	w.run(t)
	target, _, err := w.Target(trunktest.Answers)
	if err != nil {
		t.Fatal(err)
	}
	leg := w.link.Dial(t.Context(), target)
	nextEvent[bridge.Media](t, leg)
	_ = w.listener.Close()
	w.dropSockets()
	until(t, "disconnected", func() bool { return !w.link.Connected() })
	w.mu.Lock()
	w.hangup(w.channels[leg.ID()+"-media1"], "NETWORK_OUT_OF_ORDER")
	w.mu.Unlock()
	if end := nextEvent[bridge.Ended](t, leg); end.Cause.Reason != bridge.Failure || end.Cause.Q850 != 38 {
		t.Errorf("ended with %v, %v", end.Cause, end.Err)
	}
}

// TestSweepSparesWhatItDoesNotKnow: while FreeSWITCH does not say whether a channel of ours was given up, it is let be.
func TestSweepSparesWhatItDoesNotKnow(t *testing.T) {
	w := newFakeWorldWith(t, func(o *Options) { o.RequestTimeout = 100 * time.Millisecond })
	id := w.link.ids.mark + "0-1-out"
	w.mu.Lock()
	w.channels[id] = &fakeChannel{id: id, vars: map[string]string{varFree: "true"}}
	w.mu.Unlock()
	var asked atomic.Int32
	w.eachCommand(func(line string) {
		if line == "uuid_getvar "+id+" "+varFree && asked.Add(1) == 1 {
			<-time.After(time.Second)
		}
	})
	w.run(t)
	until(t, "it is asked for twice", func() bool { return asked.Load() >= 2 })
	w.sweeps(t, 2)
	if !w.has(id) {
		t.Error("it was hung up")
	}
}

// TestSocketWithoutPassword: where none is configured none is asked for, whatever the dialplan sets.
func TestSocketWithoutPassword(t *testing.T) {
	w, offers := startEntries(t, nil)
	c := dialEntry(t, w, "outbound_obasync", cuttings()[0].cut, 0, "Event-Name: CHANNEL_DATA\n", "Event-Name: CHANNEL_DATA\nvariable_tgtrunk_password: sesame\n")
	o := nextOffer(t, offers)
	o.Leg.Hangup(bridge.CauseOf(bridge.NotFound))
	nextEvent[bridge.Ended](t, o.Leg)
	c.over()
}

// TestWebSocketIsDeaf: a WebSocket that is given up because nothing answers on it is renewed as one that breaks: calls to an
// endpoint get audio again.
func TestWebSocketIsDeaf(t *testing.T) {
	w, offers := startWorldWith(t, func(o *Options) { o.RequestTimeout = 500 * time.Millisecond })
	leg, _ := answeredCall(t, w, offers)
	before := w.link.ways.verto.Load()
	deaf := func(is bool) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.deaf = is
	}
	deaf(true)
	until(t, "the WebSocket is given up", func() bool { return w.link.ways.verto.Load() != before })
	deaf(false)
	nextEvent[bridge.Media](t, leg)
	leg.Hangup(bridge.CauseOf(bridge.Normal))
	nextEvent[bridge.Ended](t, leg)
}
