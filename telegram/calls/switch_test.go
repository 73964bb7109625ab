package calls

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gotd/td/tg"
	"github.com/gotd/td/tgerr"

	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/telegram/voip"
)

const (
	alice = int64(1001)
	bob   = int64(2002)
)

// exchange is a tiny Telegram: it carries phone.* between the lines of its users, in memory.
type exchange struct {
	t     *testing.T
	prime []byte

	mu      sync.Mutex
	lines   map[int64]*Line
	engines map[int64]*fakeEngine // newest engine of a user
	calls   map[int64]*wireCall
	lastID  int64
	log     []string                                      // "user method", discards with their reason and duration
	hooks   map[string]func(ctx context.Context) error    // "user method": before it is carried out
	late    map[string]func(ctx context.Context)          // "user method": after it, before it returns
	lose    map[string]error                              // "user method": carried out, and answered with this
	forge   map[string]func(tg.PhoneCallClass)            // type name of the update: changes it on its way
	drop    map[string]bool                               // type names of updates that are lost
	push    func(user int64, u *tg.UpdatePhoneCall) error // how updates travel; default: at once
}

// wireCall is a call as the server sees it.
type wireCall struct {
	id, hash       int64
	caller, callee int64
	date           int
	state          string // requested, accepted, active, discarded
	commitment     []byte
	protocol       tg.PhoneCallProtocol
}

func newExchange(t *testing.T) *exchange {
	return &exchange{
		t: t, prime: prime(t).Bytes(), lines: map[int64]*Line{}, engines: map[int64]*fakeEngine{},
		calls: map[int64]*wireCall{}, lastID: 500, hooks: map[string]func(context.Context) error{},
		late: map[string]func(context.Context){}, lose: map[string]error{}, forge: map[string]func(tg.PhoneCallClass){}, drop: map[string]bool{},
	}
}

// port is a user's way to the exchange.
type port struct {
	x    *exchange
	user int64
}

func (p port) before(ctx context.Context, method string) error {
	key := fmt.Sprintf("%d %s", p.user, method)
	p.x.mu.Lock()
	p.x.log = append(p.x.log, key)
	hook := p.x.hooks[key]
	p.x.mu.Unlock()
	if hook == nil {
		return ctx.Err()
	}
	return hook(ctx)
}

func (p port) after(ctx context.Context, method string) {
	p.x.mu.Lock()
	late := p.x.late[fmt.Sprintf("%d %s", p.user, method)]
	p.x.mu.Unlock()
	if late != nil {
		late(ctx)
	}
}

// send brings an update to a user's line.
func (x *exchange) send(user int64, c tg.PhoneCallClass) {
	name := c.TypeName()
	x.mu.Lock()
	line, forge, drop, push := x.lines[user], x.forge[name], x.drop[name], x.push
	x.mu.Unlock()
	if line == nil || drop {
		return
	}
	if forge != nil {
		forge(c)
	}
	u := &tg.UpdatePhoneCall{PhoneCall: c}
	if push != nil {
		_ = push(user, u)
		return
	}
	_ = line.HandleCall(context.Background(), u)
}

func (x *exchange) find(peer tg.InputPhoneCall) (*wireCall, error) {
	c := x.calls[peer.ID]
	if c == nil || c.hash != peer.AccessHash {
		return nil, tgerr.New(400, "CALL_PEER_INVALID")
	}
	return c, nil
}

func (c *wireCall) waiting(received bool) *tg.PhoneCallWaiting {
	w := &tg.PhoneCallWaiting{ID: c.id, AccessHash: c.hash, Date: c.date, AdminID: c.caller, ParticipantID: c.callee, Protocol: c.protocol}
	if received {
		w.SetReceiveDate(c.date + 1)
	}
	return w
}

func (c *wireCall) final(value []byte, print int64) *tg.PhoneCall {
	protocol := c.protocol
	protocol.LibraryVersions = protocol.LibraryVersions[:1]
	return &tg.PhoneCall{
		P2PAllowed: true, ID: c.id, AccessHash: c.hash, Date: c.date, AdminID: c.caller, ParticipantID: c.callee,
		GAOrB: value, KeyFingerprint: print, Protocol: protocol, StartDate: c.date + 2,
		Connections: []tg.PhoneConnectionClass{
			&tg.PhoneConnection{ID: 1, IP: "192.0.2.1", Port: 599, PeerTag: make([]byte, 16)},
			&tg.PhoneConnectionWebrtc{Turn: true, ID: 2, IP: "192.0.2.2", Ipv6: "2001:db8::2", Port: 1400, Username: "u", Password: "p"},
		},
	}
}

func (p port) MessagesGetDhConfig(ctx context.Context, r *tg.MessagesGetDhConfigRequest) (tg.MessagesDhConfigClass, error) {
	if err := p.before(ctx, "getDhConfig"); err != nil {
		return nil, err
	}
	if r.Version == 3 {
		return &tg.MessagesDhConfigNotModified{Random: make([]byte, r.RandomLength)}, nil
	}
	return &tg.MessagesDhConfig{G: 3, P: p.x.prime, Version: 3, Random: make([]byte, r.RandomLength)}, nil
}

func (p port) PhoneRequestCall(ctx context.Context, r *tg.PhoneRequestCallRequest) (*tg.PhonePhoneCall, error) {
	if err := p.before(ctx, "requestCall"); err != nil {
		return nil, err
	}
	callee := r.UserID.(*tg.InputUser).UserID
	p.x.mu.Lock()
	p.x.lastID++
	c := &wireCall{
		id: p.x.lastID, hash: p.x.lastID * 7, caller: p.user, callee: callee, date: int(time.Now().Unix()),
		state: "requested", commitment: r.GAHash, protocol: r.Protocol,
	}
	p.x.calls[c.id] = c
	p.x.mu.Unlock()
	p.x.send(callee, &tg.PhoneCallRequested{
		ID: c.id, AccessHash: c.hash, Date: c.date, AdminID: c.caller, ParticipantID: c.callee, GAHash: c.commitment, Protocol: c.protocol,
	})
	p.after(ctx, "requestCall")
	p.x.mu.Lock()
	lost := p.x.lose[fmt.Sprintf("%d requestCall", p.user)]
	p.x.mu.Unlock()
	if err := cmp.Or(lost, ctx.Err()); err != nil {
		return nil, err
	}
	return &tg.PhonePhoneCall{PhoneCall: c.waiting(false)}, nil
}

func (p port) PhoneReceivedCall(ctx context.Context, peer tg.InputPhoneCall) (bool, error) {
	if err := p.before(ctx, "receivedCall"); err != nil {
		return false, err
	}
	p.x.mu.Lock()
	c, err := p.x.find(peer)
	p.x.mu.Unlock()
	if err != nil {
		return false, err
	}
	p.x.send(c.caller, c.waiting(true))
	return true, nil
}

func (p port) PhoneAcceptCall(ctx context.Context, r *tg.PhoneAcceptCallRequest) (*tg.PhonePhoneCall, error) {
	if err := p.before(ctx, "acceptCall"); err != nil {
		return nil, err
	}
	p.x.mu.Lock()
	c, err := p.x.find(r.Peer)
	if err == nil && c.state != "requested" {
		err = tgerr.New(400, "CALL_ALREADY_DECLINED")
	}
	if err == nil {
		c.state = "accepted"
	}
	p.x.mu.Unlock()
	if err != nil {
		return nil, err
	}
	p.x.send(c.caller, &tg.PhoneCallAccepted{
		ID: c.id, AccessHash: c.hash, Date: c.date, AdminID: c.caller, ParticipantID: c.callee, GB: r.GB, Protocol: r.Protocol,
	})
	p.after(ctx, "acceptCall")
	return &tg.PhonePhoneCall{PhoneCall: c.waiting(true)}, nil
}

func (p port) PhoneConfirmCall(ctx context.Context, r *tg.PhoneConfirmCallRequest) (*tg.PhonePhoneCall, error) {
	if err := p.before(ctx, "confirmCall"); err != nil {
		return nil, err
	}
	p.x.mu.Lock()
	c, err := p.x.find(r.Peer)
	if err == nil && c.state != "accepted" {
		err = tgerr.New(400, "CALL_ALREADY_DECLINED")
	}
	if err == nil {
		c.state = "active"
	}
	p.x.mu.Unlock()
	if err != nil {
		return nil, err
	}
	p.x.send(c.callee, c.final(r.GA, r.KeyFingerprint))
	p.after(ctx, "confirmCall")
	return &tg.PhonePhoneCall{PhoneCall: c.final(nil, r.KeyFingerprint)}, nil
}

func (p port) PhoneDiscardCall(ctx context.Context, r *tg.PhoneDiscardCallRequest) (tg.UpdatesClass, error) {
	if err := p.before(ctx, fmt.Sprintf("discardCall %s %d", reasonOf(r.Reason), r.Duration)); err != nil {
		return nil, err
	}
	p.x.mu.Lock()
	c, err := p.x.find(r.Peer)
	over := err == nil && c.state == "discarded"
	if err == nil {
		c.state = "discarded"
	}
	p.x.mu.Unlock()
	if err != nil || over {
		return &tg.Updates{}, err
	}
	d := &tg.PhoneCallDiscarded{ID: c.id}
	d.SetReason(r.Reason)
	d.SetDuration(r.Duration)
	p.x.send(c.caller+c.callee-p.user, d)
	own := *d
	p.x.send(p.user, &own)
	return &tg.Updates{}, nil
}

func (p port) PhoneSendSignalingData(ctx context.Context, r *tg.PhoneSendSignalingDataRequest) (bool, error) {
	if err := p.before(ctx, "sendSignalingData"); err != nil {
		return false, err
	}
	p.x.mu.Lock()
	c, err := p.x.find(r.Peer)
	if err == nil && c.state != "active" {
		err = tgerr.New(400, "CALL_NOT_ACTIVE")
	}
	var line *Line
	if err == nil {
		line = p.x.lines[c.caller+c.callee-p.user]
	}
	p.x.mu.Unlock()
	if err != nil {
		return false, err
	}
	if line != nil {
		_ = line.HandleSignaling(ctx, &tg.UpdatePhoneCallSignalingData{PhoneCallID: r.Peer.ID, Data: r.Data})
	}
	return true, nil
}

// on sets what happens before a user's request.
func (x *exchange) on(user int64, method string, hook func(context.Context) error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.hooks[fmt.Sprintf("%d %s", user, method)] = hook
}

// then sets what happens between a user's request and its answer.
func (x *exchange) then(user int64, method string, late func(context.Context)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.late[fmt.Sprintf("%d %s", user, method)] = late
}

// refuse lets a user's request be carried out and answered with an error.
func (x *exchange) refuse(user int64, method string, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.lose[fmt.Sprintf("%d %s", user, method)] = err
}

// fails makes a user's request fail with the errors, one after the other, and work after that.
func (x *exchange) fails(user int64, method string, errs ...error) {
	x.on(user, method, func(context.Context) error {
		x.mu.Lock()
		defer x.mu.Unlock()
		if len(errs) == 0 {
			return nil
		}
		err := errs[0]
		errs = errs[1:]
		return err
	})
}

// open are the calls that nobody has discarded.
func (x *exchange) open() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := 0
	for _, c := range x.calls {
		if c.state != "discarded" {
			n++
		}
	}
	return n
}

// said are the requests of a user whose method begins so.
func (x *exchange) said(user int64, method string) (all []string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	prefix := fmt.Sprintf("%d ", user)
	for _, l := range x.log {
		if rest, ok := cut(l, prefix); ok {
			if _, ok := cut(rest, method); ok {
				all = append(all, rest)
			}
		}
	}
	return all
}

func cut(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || s[:len(prefix)] != prefix {
		return s, false
	}
	return s[len(prefix):], true
}

// user is a person with a line.
type user struct {
	*Line
	incoming chan *Call
	stop     func() // ends the line and waits for it
}

// join adds a user whose line runs until the test ends.
func (x *exchange) join(id int64, edit ...func(*Options)) *user {
	x.t.Helper()
	u := &user{incoming: make(chan *Call, 8)}
	o := Options{API: port{x, id}, Self: id, Incoming: func(c *Call) { u.incoming <- c }}
	for _, e := range edit {
		e(&o)
	}
	u.Line = New(o)
	u.opts.Engine = func(c voip.Config) (Engine, error) { return x.newEngine(id, c) }
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := u.Run(ctx); err != nil {
			x.t.Error(err)
		}
	}()
	synctest.Wait()
	u.stop = func() {
		cancel()
		<-done
	}
	x.mu.Lock()
	x.lines[id] = u.Line
	x.mu.Unlock()
	x.t.Cleanup(u.stop)
	return u
}

// fakeEngine is established when it hears the other one's greeting.
type fakeEngine struct {
	config voip.Config
	events chan voip.Event
	flow   *fakeFlow
	fail   chan error
	deaf   bool

	mu    sync.Mutex
	heard []string
	muted bool
}

type fakeFlow struct{ media.Flow }

func (x *exchange) newEngine(user int64, c voip.Config) (Engine, error) {
	e := &fakeEngine{config: c, events: make(chan voip.Event, 16), flow: &fakeFlow{}, fail: make(chan error, 1)}
	x.mu.Lock()
	defer x.mu.Unlock()
	if old := x.engines[user]; old != nil && old.deaf {
		e.deaf = true // the test wants every engine of this user deaf
	}
	x.engines[user] = e
	return e, nil
}

func (x *exchange) engine(user int64) *fakeEngine {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.engines[user]
}

func (e *fakeEngine) Run(ctx context.Context) error {
	defer close(e.events)
	for i := range 3 {
		if err := e.config.Send(fmt.Appendf(nil, "%d %x", i, e.config.Key[:4])); err != nil && ctx.Err() == nil {
			e.config.Log.Debug("greeting failed", "error", err)
		}
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-e.fail:
		return err
	}
}

func (e *fakeEngine) Receive(packet []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard = append(e.heard, string(packet))
	if string(packet) == fmt.Sprintf("2 %x", e.config.Key[:4]) && !e.deaf {
		e.events <- voip.StateChanged{State: voip.Established}
	}
}

func (e *fakeEngine) all() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.heard)
}

func (e *fakeEngine) Events() <-chan voip.Event { return e.events }
func (e *fakeEngine) Flow() media.Flow          { return e.flow }
func (e *fakeEngine) SetMuted(m bool)           { e.mu.Lock(); e.muted = m; e.mu.Unlock() }
func (e *fakeEngine) Stats() voip.Stats         { return voip.Stats{Version: e.config.Version} }

// next is the next event of a call, within an hour of the bubble's time.
func next(t *testing.T, c *Call) Event {
	t.Helper()
	select {
	case e, ok := <-c.Events():
		if !ok {
			t.Fatal("events are over")
		}
		return e
	case <-time.After(time.Hour):
		t.Fatal("no event")
	}
	return nil
}

// expect is the next event, which must be of this type.
func expect[E Event](t *testing.T, c *Call) E {
	t.Helper()
	e := next(t, c)
	want, ok := e.(E)
	if !ok {
		t.Fatalf("event %T%+v, want %T", e, e, want)
	}
	return want
}

// ended reads to the end of the call.
func ended(t *testing.T, c *Call) Ended {
	t.Helper()
	for {
		if e, ok := next(t, c).(Ended); ok {
			if _, more := <-c.Events(); more {
				t.Error("an event after the end")
			}
			return e
		}
	}
}

func (u *user) next(t *testing.T) *Call {
	t.Helper()
	select {
	case c := <-u.incoming:
		return c
	case <-time.After(time.Hour):
		t.Fatal("no incoming call")
	}
	return nil
}

func to(id int64) tg.InputUserClass { return &tg.InputUser{UserID: id, AccessHash: id * 3} }

// bubble runs a test in a bubble of its own time.
func bubble(t *testing.T, test func(t *testing.T, x *exchange)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newExchange(t)) })
}
