package esl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/bridge/pbx"
	"github.com/tgtrunk/tgtrunk/bridge/trunktest"
	"github.com/tgtrunk/tgtrunk/routing"
)

// TestSuite puts the link through the suite for trunks, against a fake FreeSWITCH.
func TestSuite(t *testing.T) {
	ours := []goleak.Option{
		goleak.IgnoreAnyFunction("github.com/tgtrunk/tgtrunk/esl.(*fakeFS).serveSocket"),
		goleak.IgnoreAnyFunction("github.com/tgtrunk/tgtrunk/esl.(*fakeFS).serveVerto"),
		goleak.IgnoreAnyFunction("github.com/tgtrunk/tgtrunk/esl.newFakeFS.func2"),
		goleak.IgnoreAnyFunction("net/http.(*Server).Serve"),
	}
	for name, direct := range map[string]bool{"to an endpoint": false, "into the dialplan": true} {
		t.Run(name, func(t *testing.T) {
			trunktest.Run(t, trunktest.Harness{Open: func(t testing.TB) trunktest.Fixture {
				w := newFakeWorld(t)
				w.direct = direct
				return w
			}, Within: 10 * time.Second, Leaks: ours})
		})
	}
}

// fakeWorld is a link and the fake it runs towards.
type fakeWorld struct {
	*fakeFS
	link    *Link
	direct  bool // targets are extensions of the dialplan
	count   atomic.Int64
	parties sync.Map // by number
}

func shortTiming() timing {
	return timing{backoffMin: 5 * time.Millisecond, backoffMax: 50 * time.Millisecond, watch: 200 * time.Millisecond,
		sweep: 100 * time.Millisecond, lostAfter: 500 * time.Millisecond, beat: 50 * time.Millisecond,
		lease: time.Second, bereft: 200 * time.Millisecond, standby: 10 * time.Millisecond, claim: time.Millisecond, settle: time.Millisecond}
}

func newFakeWorld(t testing.TB) *fakeWorld { return newFakeWorldWith(t, nil) }

func newFakeWorldWith(t testing.TB, change func(*Options)) *fakeWorld {
	w := &fakeWorld{fakeFS: newFakeFS(t)}
	w.calls = func(number string) *fakeParty {
		if p, ok := w.parties.Load(number); ok {
			return p.(*fakeParty)
		}
		return nil
	}
	o := w.options()
	o.RequestTimeout, o.Variables = 4*time.Second, []string{trunktest.AskedVariable}
	o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	if change != nil {
		change(&o)
	}
	link, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	link.timing = shortTiming()
	w.link = link
	return w
}

func (w *fakeWorld) Trunk() bridge.Trunk { return w.link }

func (w *fakeWorld) ready(ctx context.Context) error {
	for !w.link.Connected() {
		if !pbx.Sleep(ctx, time.Millisecond) {
			return errors.New("the trunk does not connect")
		}
	}
	return nil
}

func (w *fakeWorld) newParty(b trunktest.Behaviour) *fakeParty {
	return &fakeParty{behaviour: b, number: fmt.Sprint(w.count.Add(1)), rings: make(chan struct{}), up: make(chan struct{}), over: make(chan struct{})}
}

// Variable asks the fake.
func (w *fakeWorld) Variable(_ context.Context, o bridge.Offer, name string) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.channels[o.Variables["PBX_CHANNEL_ID"]]
	if c == nil {
		return "", errors.New("the caller's channel is gone")
	}
	return c.vars[name], nil
}

func (w *fakeWorld) Call(ctx context.Context) (trunktest.Far, error) { return w.CallWith(ctx, nil) }

// CallWith parks a caller.
func (w *fakeWorld) CallWith(ctx context.Context, variables map[string]string) (trunktest.Far, error) {
	if err := w.ready(ctx); err != nil {
		return nil, err
	}
	p := w.newParty(0)
	w.mu.Lock()
	defer w.mu.Unlock()
	c := &fakeChannel{id: "caller-" + p.number, party: p, vars: map[string]string{varApp: "tgtrunk", varDialled: "bob", "park_timeout": "5"}}
	maps.Copy(c.vars, variables)
	w.channels[c.id] = c
	p.fs, p.channel = w.fakeFS, c
	w.park(c)
	return p, nil
}

func (w *fakeWorld) Target(b trunktest.Behaviour) (routing.Target, trunktest.Far, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := w.ready(ctx); err != nil {
		return routing.Target{}, nil, err
	}
	p := w.newParty(b)
	w.parties.Store(p.number, p)
	if w.direct {
		return routing.Target{Extension: p.number}, p, nil
	}
	return routing.Target{Endpoint: "fake/" + p.number}, p, nil
}

// fakeParty is the person at a channel. fs and channel are guarded by fakeFS.mu.
type fakeParty struct {
	behaviour       trunktest.Behaviour
	number          string
	fs              *fakeFS
	channel         *fakeChannel
	rings, up, over chan struct{}
	scripted        bool // a test does everything; rings is closed when the party is called
}

func closeOnce(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}

func (p *fakeParty) ring() {
	if p != nil {
		closeOnce(p.rings)
	}
}

func (p *fakeParty) answer() {
	if p != nil {
		closeOnce(p.up)
	}
}

func (p *fakeParty) hangUp() {
	if p != nil {
		closeOnce(p.over)
	}
}

// called is what a called party does. fs.mu is held.
func (p *fakeParty) called(fs *fakeFS, c *fakeChannel) {
	p.fs, p.channel = fs, c
	switch p.behaviour {
	case trunktest.IsBusy:
		fs.hangup(c, "USER_BUSY")
	case trunktest.Declines:
		fs.hangup(c, "CALL_REJECTED")
	case trunktest.Unreachable:
		fs.hangup(c, "USER_NOT_REGISTERED")
	default:
		p.ring()
		fs.event("CHANNEL_PROGRESS", c)
		if p.behaviour == trunktest.Answers {
			p.pickUp()
		}
	}
}

// pickUp answers. fs.mu is held.
func (p *fakeParty) pickUp() {
	c := p.channel
	c.answered = true
	p.answer()
	p.fs.event("CHANNEL_ANSWER", c)
	if c.socket != nil {
		p.fs.vertoAnswer(c)
		return
	}
	p.fs.park(c)
	c.result("+OK " + c.id)
}

func waitUntil(ctx context.Context, happened <-chan struct{}) error {
	select {
	case <-happened:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *fakeParty) Rings(ctx context.Context) error    { return waitUntil(ctx, p.rings) }
func (p *fakeParty) Answered(ctx context.Context) error { return waitUntil(ctx, p.up) }

// Ended waits until there is no channel; a call that is cancelled at once may never have had one.
func (p *fakeParty) Ended(ctx context.Context) error {
	if p.fs == nil {
		return nil
	}
	return waitUntil(ctx, p.over)
}

func (p *fakeParty) Answer() error {
	p.fs.mu.Lock()
	defer p.fs.mu.Unlock()
	if p.fs.channels[p.channel.id] != nil && !p.channel.answered {
		p.pickUp()
	}
	return nil
}

func (p *fakeParty) Hangup() error {
	p.fs.mu.Lock()
	defer p.fs.mu.Unlock()
	cause := "NORMAL_CLEARING"
	if p.behaviour == trunktest.RingsOn {
		cause = "CALL_REJECTED"
	}
	p.fs.hangup(p.channel, cause)
	return nil
}

// startWorld runs the link of a world and returns its offers.
func startWorld(t *testing.T) (*fakeWorld, chan bridge.Offer) {
	t.Helper()
	return startWorldWith(t, nil)
}

func startWorldWith(t *testing.T, change func(*Options)) (*fakeWorld, chan bridge.Offer) {
	t.Helper()
	w := newFakeWorldWith(t, change)
	offers := w.run(t)
	if err := w.ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w, offers
}

// run runs the link of a world until the test is over.
func (w *fakeWorld) run(t *testing.T) chan bridge.Offer {
	t.Helper()
	offers := make(chan bridge.Offer, 10)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.link.Run(ctx, func(o bridge.Offer) { offers <- o }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, line := range w.asked {
			if strings.ContainsAny(line, "\r\n") || strings.Contains(line, fakePassword) {
				t.Errorf("command %q", line)
			}
		}
	})
	return offers
}

func nextEvent[E bridge.Event](t *testing.T, leg bridge.Leg) E {
	t.Helper()
	limit := time.After(10 * time.Second)
	for {
		select {
		case e, open := <-leg.Events():
			if want, ok := e.(E); ok {
				return want
			}
			if !open {
				t.Fatalf("no %T", *new(E))
			}
		case <-limit:
			t.Fatalf("no %T comes", *new(E))
		}
	}
}

// answeredCall brings an offered call to where it is up.
func answeredCall(t *testing.T, w *fakeWorld, offers chan bridge.Offer) (bridge.Leg, *fakeParty) {
	t.Helper()
	far, err := w.Call(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	leg := (<-offers).Leg
	leg.Answer()
	nextEvent[bridge.Media](t, leg)
	return leg, far.(*fakeParty)
}

// TestTransferIsFollowed: the party's channel ends, the media channel lives on with somebody else: so does the call, and
// digits and hold of the other count.
func TestTransferIsFollowed(t *testing.T) {
	w, offers := startWorld(t)
	leg, far := answeredCall(t, w, offers)
	w.mu.Lock()
	mediaID := far.channel.bridged
	other := &fakeChannel{id: "target", vars: map[string]string{}, answered: true, bridged: mediaID}
	w.channels["target"] = other
	w.channels[mediaID].bridged = "target"
	far.channel.bridged = "" // attended: the old leg ends alone
	w.hangup(far.channel, "ATTENDED_TRANSFER")
	w.event("DTMF", other, "DTMF-Digit", "7")
	w.event("CHANNEL_HOLD", other)
	w.mu.Unlock()
	if d := nextEvent[bridge.Digit](t, leg); d.Digit != '7' {
		t.Errorf("digit %c", d.Digit)
	}
	if !nextEvent[bridge.Held](t, leg).On {
		t.Error("not held")
	}
	w.mu.Lock()
	w.hangup(other, "NORMAL_CLEARING")
	w.mu.Unlock()
	if end := nextEvent[bridge.Ended](t, leg); end.Cause.Reason != bridge.Normal {
		t.Errorf("ended with %v", end.Cause)
	}
}

// TestSentElsewhere: somebody sends the party to another extension: the leg ends and leaves the party alone.
func TestSentElsewhere(t *testing.T) {
	w, offers := startWorld(t)
	leg, far := answeredCall(t, w, offers)
	w.mu.Lock()
	media := w.channels[far.channel.bridged]
	far.channel.bridged, media.bridged = "", ""
	w.hangup(media, "NORMAL_CLEARING")
	w.mu.Unlock()
	if end := nextEvent[bridge.Ended](t, leg); end.Cause.Reason != bridge.Normal {
		t.Errorf("ended with %v", end.Cause)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.channels[far.channel.id] == nil {
		t.Error("the party was hung up")
	}
}

// TestMediaKilled: the media channel alone is hung up from outside: the party parks, and is let go.
func TestMediaKilled(t *testing.T) {
	w, offers := startWorld(t)
	leg, far := answeredCall(t, w, offers)
	w.mu.Lock()
	w.hangup(w.channels[far.channel.bridged], "MANAGER_REQUEST")
	w.mu.Unlock()
	if end := nextEvent[bridge.Ended](t, leg); end.Cause.Reason != bridge.MediaFailed {
		t.Errorf("ended with %v", end.Cause)
	}
	if err := far.Ended(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestRestartEnds: with another Core-UUID nothing of the old calls exists.
func TestRestartEnds(t *testing.T) {
	w, offers := startWorld(t)
	leg, _ := answeredCall(t, w, offers)
	w.mu.Lock()
	w.core = "core-2"
	clear(w.channels)
	w.mu.Unlock()
	w.dropSockets()
	if end := nextEvent[bridge.Ended](t, leg); !errors.Is(end.Err, ErrRestarted) {
		t.Errorf("ended with %v, %v", end.Cause, end.Err)
	}
}

// TestVanished: a channel that is gone without an event is missed.
func TestVanished(t *testing.T) {
	w, offers := startWorld(t)
	leg, far := answeredCall(t, w, offers)
	w.mu.Lock()
	delete(w.channels, far.channel.bridged)
	delete(w.channels, far.channel.id)
	w.mu.Unlock()
	nextEvent[bridge.Ended](t, leg)
}

// TestUnreachableForLong: when FreeSWITCH cannot be reached for too long the calls end.
func TestUnreachableForLong(t *testing.T) {
	w, offers := startWorld(t)
	leg, _ := answeredCall(t, w, offers)
	_ = w.listener.Close()
	w.dropSockets()
	if end := nextEvent[bridge.Ended](t, leg); end.Cause.Reason != bridge.Failure || end.Err == nil {
		t.Errorf("ended with %v, %v", end.Cause, end.Err)
	}
}
