package phone

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/gotd/td/session"
	"github.com/gotd/td/telegram"
	"github.com/gotd/td/telegram/auth"
	"github.com/gotd/td/telegram/dcs"
	"github.com/gotd/td/tg"

	"github.com/tgtrunk/tgtrunk/telegram/calls"
	"github.com/tgtrunk/tgtrunk/telegram/cloud"
	"github.com/tgtrunk/tgtrunk/telegram/voip"
)

// Options of a Phone. Server, Key and User are required.
type Options struct {
	Server   netip.AddrPort                          // of the simulated Telegram
	Key      *rsa.PublicKey                          // its key
	DC       int                                     // its data centre; default 1
	User     cloud.User                              // whose phone it is; Code must be set
	Control  *cloud.Control                          // makes the login on the server's side, where gotd's key exchange tests primes for seconds; nil: a login by code
	Net      *voip.Net                               // shared sockets; nil: every call opens its own
	Versions []string                                // library versions the phone's app knows; default all
	Engine   func(voip.Config) (calls.Engine, error) // makes the engines of calls; default a *voip.Engine
	Log      *slog.Logger                            // nil discards
}

// Action is what a phone does with a call that comes in.
type Action uint8

// The actions.
const (
	Answer  Action = iota // accept
	Decline               // refuse, as official apps do
	Ignore                // let it ring
)

// Behaviour is how a phone takes incoming calls.
type Behaviour struct {
	Action Action
	After  time.Duration // how long it rings before the action
	Voice  Voice         // what is said in calls
	Talk   time.Duration // how long a call lasts before the phone hangs up; 0: until the other side does
	Deaf   bool          // count what is heard, and do not decode it
}

// Phone is one device of one user.
type Phone struct {
	options Options
	client  *telegram.Client
	line    *calls.Line
	ready   chan struct{}
	again   chan struct{} // holds a token when the connection has been made

	mu        sync.Mutex
	behaviour Behaviour
	incoming  []*Call
	arrived   chan struct{} // closed and replaced when incoming grows
	live      sync.WaitGroup
}

// New makes a phone; nothing is connected until Run.
func New(o Options) (*Phone, error) {
	if !o.Server.IsValid() || o.Key == nil || o.User.Phone == "" || o.User.Code == "" {
		return nil, errors.New("make a phone: server, key, and the user's phone and code are needed")
	}
	if o.DC == 0 {
		o.DC = 1
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	login := &session.StorageMemory{}
	if o.Control != nil {
		if err := o.Control.LogIn(o.User.ID, login); err != nil {
			return nil, fmt.Errorf("log in %s: %w", o.User.FirstName, err)
		}
	}
	p := &Phone{options: o, ready: make(chan struct{}), again: make(chan struct{}, 1), arrived: make(chan struct{})}
	updates := tg.NewUpdateDispatcher()
	p.client = telegram.NewClient(1, strings.Repeat("0", 32), telegram.Options{
		DC:                o.DC,
		DCList:            dcs.List{Options: []tg.DCOption{{ID: o.DC, IPAddress: o.Server.Addr().String(), Port: int(o.Server.Port())}}},
		PublicKeys:        []telegram.PublicKey{{RSA: o.Key}},
		SessionStorage:    login,
		UpdateHandler:     updates,
		OnConnectionState: p.connection,
		Device:            telegram.DeviceConfig{DeviceModel: "simulated phone", SystemVersion: "lab", AppVersion: "1"},
	})
	p.line = calls.New(calls.Options{
		API: p.client.API(), Self: o.User.ID, Net: o.Net, Versions: o.Versions, Engine: o.Engine,
		Received: calls.ReceivedAtOnce, Incoming: p.take, Log: o.Log,
	})
	updates.OnPhoneCall(func(ctx context.Context, _ tg.Entities, u *tg.UpdatePhoneCall) error {
		return p.line.HandleCall(ctx, u)
	})
	updates.OnPhoneCallSignalingData(func(ctx context.Context, _ tg.Entities, u *tg.UpdatePhoneCallSignalingData) error {
		return p.line.HandleSignaling(ctx, u)
	})
	return p, nil
}

// User is whose phone it is.
func (p *Phone) User() cloud.User { return p.options.User }

// Ready is closed when the phone is logged in and can be called.
func (p *Phone) Ready() <-chan struct{} { return p.ready }

// Behave says how calls that come in from now on are taken. The zero Behaviour answers at once and says nothing.
func (p *Phone) Behave(b Behaviour) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.behaviour = b
}

// Run logs in and keeps the phone on until ctx ends; calls that are up are hung up then. It returns nil after that.
func (p *Phone) Run(ctx context.Context) error {
	defer p.live.Wait()
	err := p.client.Run(ctx, func(ctx context.Context) error {
		code := auth.CodeAuthenticatorFunc(func(context.Context, *tg.AuthSentCode) (string, error) { return p.options.User.Code, nil })
		flow := auth.NewFlow(auth.Constant(p.options.User.Phone, p.options.User.Password, code), auth.SendCodeOptions{})
		if err := p.client.Auth().IfNecessary(ctx, flow); err != nil {
			return fmt.Errorf("log in: %w", err)
		}
		state, err := p.client.API().UpdatesGetState(ctx) // from here on updates are pushed
		if err != nil {
			return fmt.Errorf("ask for updates: %w", err)
		}
		config, err := p.client.API().HelpGetConfig(ctx)
		if err != nil {
			return fmt.Errorf("ask for the configuration: %w", err)
		}
		p.line.SetTimeouts(limitsOf(config))
		done := make(chan error, 1)
		go func() { done <- p.line.Run(ctx) }()
		p.live.Go(func() { p.follow(ctx, *state) })
		close(p.ready)
		return <-done
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// limitsOf are the limits of calls that Telegram gives.
func limitsOf(c *tg.Config) calls.Timeouts {
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	return calls.Timeouts{Receive: ms(c.CallReceiveTimeoutMs), Ring: ms(c.CallRingTimeoutMs), Connect: ms(c.CallConnectTimeoutMs)}
}

// take is called by the line for every incoming call.
func (p *Phone) take(c *calls.Call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	call := newCall(c, p.behaviour, p.options.Log)
	p.incoming = append(p.incoming, call)
	close(p.arrived)
	p.arrived = make(chan struct{})
	p.live.Go(call.run)
}

// Incoming waits for the n-th incoming call of the phone's life, counted from 0.
func (p *Phone) Incoming(ctx context.Context, n int) (*Call, error) {
	for {
		p.mu.Lock()
		calls, arrived := p.incoming, p.arrived
		p.mu.Unlock()
		if n < len(calls) {
			return calls[n], nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for call %d to %s: %w", n, p.options.User.FirstName, ctx.Err())
		case <-arrived:
		}
	}
}

// Received is the number of calls that have come in so far.
func (p *Phone) Received() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.incoming)
}

// CallUsername looks a user up and calls. An error means that nothing was dialled.
func (p *Phone) CallUsername(ctx context.Context, username string, b Behaviour) (*Call, error) {
	resolved, err := p.client.API().ContactsResolveUsername(ctx, &tg.ContactsResolveUsernameRequest{Username: username})
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", username, err)
	}
	for _, u := range resolved.Users {
		if user, ok := u.(*tg.User); ok {
			call := newCall(p.line.Place(&tg.InputUser{UserID: user.ID, AccessHash: user.AccessHash}),
				b, p.options.Log)
			p.live.Go(call.run)
			return call, nil
		}
	}
	return nil, fmt.Errorf("look up %s: no such user", username)
}
