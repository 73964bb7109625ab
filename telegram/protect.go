package telegram

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/telegram"
	"github.com/gotd/td/tg"
	"github.com/gotd/td/tgerr"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/telegram/calls"
	"github.com/tgtrunk/tgtrunk/telegram/guard"
)

// protect is what every API request of the account passes. logout is called when Telegram says that the session is over.
func (a *Account) protect(logout func(error)) telegram.Middleware {
	return telegram.MiddlewareFunc(func(next tg.Invoker) telegram.InvokeFunc {
		return func(ctx context.Context, in bin.Encoder, out bin.Decoder) error {
			wanted := calls.Wanted(ctx)
			err := a.guard.Do(ctx, wanted, methodOf(in), func(ctx context.Context) error {
				return next.Invoke(ctx, whileWanted{in, wanted}, out)
			})
			switch {
			case err == nil:
				a.peers.remember(usersOf(out))
			case isLogout(err):
				logout(err)
			}
			return legible(err)
		}
	})
}

// whileWanted is a request that is not sent any more, not even after a reconnect, once nobody needs its answer.
type whileWanted struct {
	bin.Encoder
	wanted context.Context
}

// Encode implements bin.Encoder; the client encodes a request each time it sends it.
func (f whileWanted) Encode(b *bin.Buffer) error {
	if err := f.wanted.Err(); err != nil {
		return fmt.Errorf("send request: %w", err)
	}
	return f.Encoder.Encode(b) //nolint:wrapcheck // it is the request's own
}

// methodOf is the TL name of a request, as "contacts.resolveUsername".
func methodOf(in bin.Encoder) string {
	if named, ok := in.(interface{ TypeName() string }); ok {
		return named.TypeName()
	}
	return fmt.Sprintf("%T", in)
}

// mostFlood bounds a flood wait: more is no number of seconds that anybody means.
const mostFlood = 366 * 24 * time.Hour

// signalOf says what an error of the API means for the guard. Floods ask to leave a method alone for as many seconds as
// their argument says (core.telegram.org/api/errors#420-flood).
func signalOf(err error) guard.Signal {
	for _, kind := range []string{"FLOOD_WAIT", "FLOOD_PREMIUM_WAIT", "SLOWMODE_WAIT"} {
		if rpc, ok := tgerr.AsType(err, kind); ok {
			return guard.Signal{Wait: time.Duration(min(max(1, rpc.Argument), int(mostFlood/time.Second))) * time.Second}
		}
	}
	return guard.Signal{PeerFlood: tgerr.Is(err, "PEER_FLOOD")}
}

// legible makes a flood that the guard refuses look like Telegram's own to the client and to package calls.
func legible(err error) error {
	var refused *guard.Refusal
	if !errors.As(err, &refused) || refused.Why != guard.Flood {
		return err
	}
	seconds := int((refused.Wait + time.Second - 1) / time.Second)
	return &known{refused, tgerr.New(420, fmt.Sprintf("FLOOD_WAIT_%d", seconds))}
}

// known is a refusal with the error that Telegram would give.
type known struct {
	*guard.Refusal
	rpc *tgerr.Error
}

// Unwrap gives both.
func (k *known) Unwrap() []error { return []error{k.Refusal, k.rpc} }

// refusedFor says what a refusal of the guard means for the PBX.
func refusedFor(r *guard.Refusal) bridge.Cause {
	reason := bridge.Budget
	switch r.Why {
	case guard.Flood, guard.Hurry:
		reason = bridge.Flood
	case guard.PeerFlood:
		reason = bridge.PeerFlood
	case guard.Private:
		reason = bridge.Privacy
	}
	return bridge.CauseOf(reason).WithRetryAfter(r.Wait)
}

// judge is what a request or a call returned, with how long a ban lasts that has only just begun: Telegram does not say.
func (a *Account) judge(err error) *Error {
	e := judge(err)
	if e.cause.Reason != bridge.PeerFlood || e.cause.RetryAfter > 0 {
		return e
	}
	for _, ban := range a.guard.Status().Bans {
		if ban.Why == guard.PeerFlood {
			return &Error{cause: e.cause.WithRetryAfter(time.Until(ban.Until)), err: e.err}
		}
	}
	return e
}

// Guard returns what the account must not do, and how many strangers it may still call.
func (a *Account) Guard() guard.Status { return a.guard.Status() }

// callee is how the guard sees a peer.
func (p Peer) callee() guard.Callee { return guard.Callee{ID: p.ID, Stranger: !p.Contact && !p.Met} }
