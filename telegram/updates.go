package telegram

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/gotd/td/telegram"
	"github.com/gotd/td/telegram/updates"
	"github.com/gotd/td/tg"

	"github.com/tgtrunk/tgtrunk/telegram/calls"
)

// upstream is where the client's updates go: those of calls straight to the line, so that a call never waits for the
// recovery of missed messages, all others through the manager that notices gaps.
type upstream struct {
	account *Account
	manager *updates.Manager
	up      chan struct{} // holds a token when the connection has been made anew
	outage  outage

	mu    sync.Mutex
	line  *calls.Line      // nil until attach
	early []tg.UpdateClass // of calls, until attach
	renew func()           // Telegram's configuration has changed; nil until attach
}

// maxEarly bounds what is kept while the account learns who it is.
const maxEarly = 256

func newUpstream(a *Account) *upstream {
	u := &upstream{account: a, up: make(chan struct{}, 1)}
	u.manager = updates.New(updates.Config{
		Handler:          telegram.UpdateHandlerFunc(u.recovered),
		Storage:          a.read,
		UserAccessHasher: a.peers,
		Logger:           demoted{a.log},
		OnTooLong:        func() { a.log.Debug("too many updates were missed") },
		// The account's first start.
		OnLoadUserStateFailed: func() {},
	})
	return u
}

// attach lets the calls' updates flow. Those that come while the early ones are being delivered wait their turn: the end of
// a call must not overtake its beginning.
func (u *upstream) attach(l *calls.Line, renew func()) {
	for {
		u.mu.Lock()
		early := u.early
		u.early = nil
		if len(early) == 0 {
			u.line, u.renew = l, renew
			u.mu.Unlock()
			return
		}
		u.mu.Unlock()
		for _, e := range early {
			handTo(e, l, renew)
		}
	}
}

// connection hears of the client's connection; it does not block.
func (u *upstream) connection(s telegram.ConnectionState) {
	ready := s == telegram.ConnectionStateReady
	u.outage.set(ready)
	if was := u.account.offline.Swap(!ready); was == ready {
		u.account.log.Info("connection to telegram", "state", s.String())
	}
	if ready {
		u.catchUp()
	}
}

// catchUp asks for what was missed; it does not block.
func (u *upstream) catchUp() {
	select {
	case u.up <- struct{}{}:
	default:
	}
}

// follow recovers what was missed, at the start and after every loss of the connection.
func (u *upstream) follow(ctx context.Context, client *telegram.Client, s *session) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	start := func(ctx context.Context) {
		asking.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case <-u.up:
					_ = u.manager.Handle(ctx, &tg.UpdatesTooLong{}) // fails only when ctx ends
				}
			}
		})
	}
	err := u.manager.Run(ctx, callsOnly{client.API()}, s.self.ID, updates.AuthOptions{OnStart: start})
	if err == nil {
		err = errors.New("updates have ended")
	}
	return fmt.Errorf("follow updates: %w", err)
}

// Handle implements telegram.UpdateHandler.
func (u *upstream) Handle(ctx context.Context, all tg.UpdatesClass) error {
	u.account.peers.remember(usersOf(all))
	switch t := all.(type) {
	case *tg.UpdateShortMessage:
		if !t.Out {
			u.account.peers.meet(t.UserID)
		}
		// It names its sender without an access hash. Of somebody unknown the whole message is fetched, as its
		// definition demands.
		if p, ok := u.account.peers.get(t.UserID); ok && p.AccessHash == 0 {
			u.catchUp()
			return nil
		}
	case *tg.Updates:
		u.account.peers.written(t.Updates...)
		t.Updates = u.sift(t.Updates)
	case *tg.UpdatesCombined:
		u.account.peers.written(t.Updates...)
		t.Updates = u.sift(t.Updates)
	case *tg.UpdateShort:
		if rest := u.sift([]tg.UpdateClass{t.Update}); len(rest) == 0 {
			return nil
		}
	}
	return u.manager.Handle(ctx, all)
}

// sift delivers the updates of calls and returns the rest without those of channels.
func (u *upstream) sift(all []tg.UpdateClass) []tg.UpdateClass {
	rest := make([]tg.UpdateClass, 0, len(all))
	for _, one := range all {
		switch t := one.(type) {
		case *tg.UpdateUserStatus:
			u.account.peers.look(t.UserID, t.Status)
		case *tg.UpdateNewAuthorization:
			select {
			case u.account.newDevice <- struct{}{}:
			default: // they will be looked at anyway
			}
		}
		if !u.deliver(one) && !ofChannel(one) {
			rest = append(rest, one)
		}
	}
	return rest
}

// deliver reports whether the update was one of a call, or of the configuration.
func (u *upstream) deliver(one tg.UpdateClass) bool {
	switch one.(type) {
	case *tg.UpdatePhoneCall, *tg.UpdatePhoneCallSignalingData, *tg.UpdateConfig:
	default:
		return false
	}
	u.mu.Lock()
	line, renew := u.line, u.renew
	if line == nil && len(u.early) < maxEarly {
		u.early = append(u.early, one)
	}
	u.mu.Unlock()
	if line != nil {
		handTo(one, line, renew)
	}
	return true
}

// handTo takes an update to whom it is for; it does not block.
func handTo(one tg.UpdateClass, line *calls.Line, renew func()) {
	switch t := one.(type) {
	case *tg.UpdatePhoneCall:
		_ = line.HandleCall(context.Background(), t) // never fails
	case *tg.UpdatePhoneCallSignalingData:
		_ = line.HandleSignaling(context.Background(), t) // never fails
	case *tg.UpdateConfig:
		renew()
	}
}

// recovered takes what the manager has put in order; updates of calls are among them only where they were missed.
func (u *upstream) recovered(_ context.Context, all tg.UpdatesClass) error {
	u.account.peers.remember(usersOf(all))
	switch t := all.(type) {
	case *tg.Updates:
		u.account.peers.written(t.Updates...)
		u.account.desk.heard(t.Updates)
		u.sift(t.Updates)
	case *tg.UpdatesCombined:
		u.account.peers.written(t.Updates...)
		u.account.desk.heard(t.Updates)
		u.sift(t.Updates)
	}
	return nil
}

// ofChannel says whether an update belongs to a channel's own sequence, which is not followed.
func ofChannel(u tg.UpdateClass) bool {
	if _, ok := u.(*tg.UpdateChannelTooLong); ok {
		return true
	}
	_, _, _, ok, _ := tg.IsChannelPtsUpdate(u)
	return ok
}

// callsOnly is the API of the updates' manager, without the channels.
type callsOnly struct{ *tg.Client }

// UpdatesGetDifference implements updates.API.
func (c callsOnly) UpdatesGetDifference(ctx context.Context, r *tg.UpdatesGetDifferenceRequest) (tg.UpdatesDifferenceClass, error) {
	d, err := c.Client.UpdatesGetDifference(ctx, r)
	switch t := d.(type) {
	case *tg.UpdatesDifference:
		t.OtherUpdates = withoutChannels(t.OtherUpdates)
	case *tg.UpdatesDifferenceSlice:
		t.OtherUpdates = withoutChannels(t.OtherUpdates)
	}
	return d, err
}

func withoutChannels(all []tg.UpdateClass) []tg.UpdateClass {
	rest := all[:0]
	for _, u := range all {
		if !ofChannel(u) {
			rest = append(rest, u)
		}
	}
	return rest
}
