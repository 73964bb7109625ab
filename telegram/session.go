package telegram

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	gotdlog "github.com/gotd/log"
	"github.com/gotd/td/telegram"
	"github.com/gotd/td/telegram/auth"
	"github.com/gotd/td/telegram/dcs"
	"github.com/gotd/td/tg"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/telegram/calls"
)

const (
	selfIn  = 30 * time.Second // to learn who we are
	flushIn = 5 * time.Second  // to write what is known, at the end
	leaveIn = 2 * time.Second  // for a call that has ended to be forgotten
)

// session is the account while it is connected and logged in.
type session struct {
	api   *tg.Client
	self  *tg.User
	peers *peers
	line  *calls.Line
	log   *slog.Logger
	ctx   context.Context // ends with the session

	noImport bool

	config *serverConfig
	news   func(context.Context, tg.UpdatesClass) error // takes updates that came as an answer; set once, before the desk runs
	taken  chan struct{}                                // Single: holds a token while there is an incoming call

	asking     chan struct{} // holds a token while somebody asks for the contacts
	contactsAt time.Time     // of whoever has put it there
}

// connect lives with the client until ctx ends or the session is lost. The client reconnects by itself.
func (a *Account) connect(ctx context.Context, f *fence, accept func(bridge.Offer)) error {
	// The client outlives ctx by the moment that it takes to discard the calls.
	life, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	serving := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-serving: // serve sees it, and has things to do first
		default:
			end(ctx.Err())
		}
	})
	defer stop()
	u := newUpstream(a)
	u.outage = outage{after: a.unreachedIn, say: func() {
		a.log.Warn("no connection to telegram, trying again", "error", f.unreached())
	}}
	u.outage.set(false)
	defer u.outage.stop()
	client := a.newClient(u, f, func(err error) { end(fmt.Errorf("%w: %w", ErrLoggedOut, err)) })
	var over error
	err := client.Run(life, func(life context.Context) error {
		close(serving)
		over = a.serve(ctx, life, client, u, accept)
		return over
	})
	if err == nil {
		err = over // Run takes a request that was cancelled, by the loss of a connection, for its own end
	}
	if cause := context.Cause(life); cause != nil && errors.Is(cause, ErrLoggedOut) {
		return cause
	}
	if isLogout(err) {
		return fmt.Errorf("%w: %w", ErrLoggedOut, err)
	}
	return a.opts.Server.explainKey(err)
}

// newClient makes the MTProto client. logout is called, perhaps more than once, when Telegram says that the session is
// over.
func (a *Account) newClient(u *upstream, f *fence, logout func(error)) *telegram.Client {
	o := a.clientOptions(f, logout)
	o.UpdateHandler, o.OnConnectionState = u, u.connection
	return telegram.NewClient(a.opts.APIID, a.opts.APIHash, o)
}

// clientOptions are those of every client of the session.
func (a *Account) clientOptions(f *fence, logout func(error)) telegram.Options {
	o := telegram.Options{
		SessionStorage: a.keep,
		Device:         telegram.DeviceConfig{DeviceModel: a.opts.Device.Model, SystemVersion: a.opts.Device.System, AppVersion: a.opts.Device.App},
		Logger:         demoted{a.log},
		OnSelfError: func(_ context.Context, err error) error {
			if isLogout(err) {
				return err
			}
			return nil
		},
		Middlewares: []telegram.Middleware{a.protect(logout)},
	}
	a.opts.Server.direct(&o, f)
	return o
}

// direct points the client at the server, whatever addresses the server announces, and leads it through the fence.
func (s Server) direct(o *telegram.Options, f *fence) {
	if s.Addr == "" {
		o.Resolver = dcs.Plain(dcs.PlainOptions{Dial: f.dial})
		return
	}
	o.DC = s.DC
	o.PublicKeys = []telegram.PublicKey{{RSA: s.PublicKey}}
	o.DCList = dcs.List{Options: []tg.DCOption{{ID: s.DC, IPAddress: "127.0.0.1", Port: 443}}}
	o.Resolver = dcs.Plain(dcs.PlainOptions{Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return f.dial(ctx, network, s.Addr)
	}})
}

// serve carries the account's calls while the client lives. ctx ends when the account shall stop, life when the
// client has ended.
func (a *Account) serve(ctx, life context.Context, client *telegram.Client, u *upstream, accept func(bridge.Offer)) error {
	s, err := a.open(ctx, life, client, accept)
	if err != nil {
		return err
	}
	lineCtx, stopLine := context.WithCancel(life)
	defer stopLine()
	var line, rest sync.WaitGroup
	line.Go(func() { _ = s.line.Run(lineCtx) }) // fails only where it is run twice
	restCtx, stopRest := context.WithCancelCause(life)
	rest.Go(func() { stopRest(u.follow(restCtx, client, s)) })
	rest.Go(func() { a.flushNowAndThen(restCtx) })
	rest.Go(func() { s.config.keep(restCtx, s.line.SetTimeouts) })
	s.news = u.Handle
	rest.Go(func() { a.desk.run(restCtx, &turn{s, a.callOut(restCtx, s, accept)}) })
	rest.Go(func() { a.watchDevices(restCtx, s) })
	rest.Go(func() { a.keepPrivacy(restCtx, s) })
	u.attach(s.line, s.config.changed)
	rest.Go(func() { s.fetchDialogs(restCtx); s.returnContacts(restCtx) })
	a.live.Store(s)
	a.log.Info("account is up", "user", s.self.ID, "phone", bridge.Mask(s.self.Phone), "calls", string(a.opts.Calls.Mode))

	select {
	case <-ctx.Done():
	case <-restCtx.Done():
	}
	a.live.Store(nil)
	err = context.Cause(restCtx) // nil where it was ctx
	if err == nil {
		err = context.Cause(ctx)
	}
	a.setHealth(err)
	stopLine()
	line.Wait() // the client must still answer
	stopRest(nil)
	rest.Wait()
	a.flush(context.WithoutCancel(life))
	return err
}

// open learns who we are and what was known of others.
func (a *Account) open(ctx, life context.Context, client *telegram.Client, accept func(bridge.Offer)) (*session, error) {
	asking, cancel := context.WithTimeout(life, selfIn)
	defer cancel()
	stop := context.AfterFunc(ctx, cancel)
	defer stop()
	self, err := client.Self(asking)
	if auth.IsUnauthorized(err) { // SESSION_PASSWORD_NEEDED as well: a login that was not finished
		return nil, fmt.Errorf("%w: %w", ErrLoggedOut, err)
	}
	if err != nil {
		return nil, fmt.Errorf("ask who we are: %w", err)
	}
	err = errors.Join(a.peers.load(asking, self.ID), a.read.load(asking, self.ID),
		a.guard.Load(asking, a.keep.key(fmt.Sprintf("%d/guard/", self.ID))))
	if err != nil {
		return nil, err
	}
	a.peers.remember([]tg.UserClass{self})
	s := &session{api: client.API(), self: self, peers: a.peers, noImport: a.opts.NoImport, log: a.log, ctx: life,
		taken: make(chan struct{}, 1), asking: make(chan struct{}, 1)}
	s.config = newServerConfig(s.api.HelpGetConfig, a.log)
	s.config.read(asking)
	s.line = calls.New(calls.Options{
		API:       s.api,
		Self:      self.ID,
		Net:       a.opts.Net,
		RelayOnly: a.opts.Calls.P2P == P2PNever,
		Received:  a.opts.Calls.Mode.received(),
		Limits:    calls.Limits{Silent: a.opts.Calls.Limits.AnswerWithin},
		Timeouts:  s.config.timeouts(),
		Incoming:  func(c *calls.Call) { a.incoming(s, c, accept) },
		Now:       s.config.now,
		Reference: a.opts.Calls.Reference,
		Log:       a.log,
		Prefer:    a.opts.Calls.Prefer,
		Other:     a.opts.Calls.PBX,
	})
	return s, nil
}

// received says when Telegram is told that a call has been received.
func (m CallMode) received() calls.ReceivedMode {
	switch m {
	case Single:
		return calls.ReceivedOnceTaken
	case Auto:
		return calls.ReceivedLate
	}
	return calls.ReceivedNever
}

// take makes room for an incoming call; false where there is one already and the account takes one only. Telegram refuses
// the others itself, but not before it has heard that the first was received. The end of the call before may still be on
// its way through the house.
func (s *session) take(m CallMode) (leave func(), ok bool) {
	if m != Single {
		return func() {}, true
	}
	limit := time.NewTimer(leaveIn)
	defer limit.Stop()
	select {
	case s.taken <- struct{}{}:
		return func() { <-s.taken }, true
	case <-limit.C:
		return nil, false
	}
}

// incoming takes a call of somebody else's.
func (a *Account) incoming(s *session, c *calls.Call, accept func(bridge.Offer)) {
	err := a.legs.run(a.opts.Calls.Most, func() { a.admit(s, c, accept) })
	switch {
	case errors.Is(err, ErrFull):
		a.log.Info("refused an incoming call: the account has as many calls as it may", "max_calls", a.opts.Calls.Most)
		c.Discard(calls.Busy)
	case err != nil:
		c.Discard(calls.Ordinary) // the line has been taken down already
	}
}

// admit offers an incoming call and goes with it to its end.
func (a *Account) admit(s *session, c *calls.Call, accept func(bridge.Offer)) {
	leave, ok := s.take(a.opts.Calls.Mode)
	if !ok {
		a.log.Info("refused a second incoming call", "calls", string(a.opts.Calls.Mode))
		c.Discard(calls.Busy)
		return
	}
	defer leave()
	s.peers.meet(c.Peer())
	p, ok := s.peers.get(c.Peer())
	if !ok {
		p.ID = c.Peer()
	}
	facts := p.facts()
	facts["TGTRUNK_ACCOUNT"] = a.opts.Name
	l := a.newLeg()
	l.with = p
	l.report.Party = p.Party()
	o := bridge.Offer{Leg: l}
	o.Trunk, o.Caller, o.Variables = a.opts.Name, p.Party(), facts
	accept(o)
	l.carry(c)
}

func (a *Account) flushNowAndThen(ctx context.Context) {
	for sleep(ctx, flushEvery) {
		a.flush(ctx)
	}
}

func (a *Account) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, flushIn)
	defer cancel()
	if err := errors.Join(a.peers.flush(ctx), a.read.flush(ctx)); err != nil && ctx.Err() == nil {
		a.log.Warn("keeping what is known failed", "error", err)
	}
}

// demoted is the client's log: what it calls info is detail here, and it logs requests in full at debug.
type demoted struct{ log *slog.Logger }

// Enabled implements gotd's log.Logger.
func (d demoted) Enabled(ctx context.Context, l gotdlog.Level) bool {
	return l >= gotdlog.LevelInfo && d.log.Enabled(ctx, slog.LevelDebug)
}

// Log implements gotd's log.Logger.
func (d demoted) Log(ctx context.Context, l gotdlog.Level, msg string, attrs ...gotdlog.Attr) {
	if l < gotdlog.LevelInfo {
		return
	}
	args := []slog.Attr{slog.String("said", msg)}
	for _, a := range attrs {
		if a.Value.Kind() == gotdlog.KindError {
			args = append(args, slog.Any(a.Key, a.Value.Error()))
		}
	}
	d.log.LogAttrs(ctx, slog.LevelDebug, "mtproto", args...)
}
