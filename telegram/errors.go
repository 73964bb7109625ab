package telegram

import (
	"context"
	"errors"
	"time"

	"github.com/gotd/td/tgerr"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/telegram/calls"
	"github.com/tgtrunk/tgtrunk/telegram/guard"
)

// Errors of an account. Those behind a leg's end come wrapped in an Error.
var (
	ErrLoggedOut = errors.New("account is not logged in")
	ErrNoPeer    = errors.New("user id is unknown to the account")
	ErrNotFound  = errors.New("no such user on Telegram")
	// ErrNoNumber is that of a phone number: Telegram does not tell one that nobody has from one that its owner hides.
	ErrNoNumber = errors.New("no user of Telegram has this phone number, or its owner hides it from strangers: call by username or user id")
	ErrImports  = errors.New("too many phone numbers were looked up by importing them")
	ErrNotUser  = errors.New("number belongs to no person") // a bot, a channel, a deleted account
	ErrSelf     = errors.New("account cannot call itself")
	ErrNumber   = errors.New("number has no form")
	ErrFull     = errors.New("account has as many calls as it may")
	ErrOffline  = errors.New("account is not connected")
)

// Error is why a leg ended, with what the PBX is told of it.
type Error struct {
	cause bridge.Cause
	err   error
}

// Error implements error.
func (e *Error) Error() string { return e.err.Error() }

// Unwrap returns what lies behind the error.
func (e *Error) Unwrap() error { return e.err }

// Cause is the verdict for the PBX.
func (e *Error) Cause() bridge.Cause { return e.cause }

func verdict(r bridge.Reason, err error) *Error { return &Error{cause: bridge.CauseOf(r), err: err} }

// reasonOf says what each kind of failed call means.
func reasonOf(k calls.Kind) bridge.Reason {
	switch k {
	case calls.Flooded:
		return bridge.Flood
	case calls.PeerFlooded:
		return bridge.PeerFlood
	case calls.Private:
		return bridge.Privacy
	case calls.Blocked:
		return bridge.Blocked
	case calls.NoUser:
		return bridge.NotFound
	case calls.NoAccess:
		return bridge.NoDialog
	case calls.Incompatible:
		return bridge.OldClient
	case calls.NotReceived:
		return bridge.Unreachable
	case calls.Refused:
		return bridge.Congestion
	case calls.NotAnswered:
		return bridge.NoAnswer
	case calls.Elsewhere:
		return bridge.Elsewhere
	case calls.Occupied:
		return bridge.Occupied
	case calls.Insecure, calls.NoMedia:
		return bridge.MediaFailed
	case calls.NoConnection, calls.Unauthorized, calls.Closed:
		return bridge.AccountDown
	case calls.ToSelf:
		return bridge.Self
	}
	return bridge.Failure
}

// judge makes an Error of what a request or a call returned.
func judge(err error) *Error {
	var known *Error
	var call *calls.Error
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &call):
		return &Error{cause: bridge.CauseOf(reasonOf(call.Kind)).WithRetryAfter(call.Wait), err: err}
	case errors.Is(err, ErrFull):
		return verdict(bridge.Congestion, err)
	case errors.Is(err, ErrLoggedOut), errors.Is(err, ErrOffline):
		return verdict(bridge.AccountDown, err)
	}
	var refused *guard.Refusal
	if errors.As(err, &refused) {
		return &Error{cause: refusedFor(refused), err: err}
	}
	if rpc, ok := tgerr.As(err); ok {
		return verdict(reasonOfRPC(rpc), err)
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return verdict(bridge.AccountDown, err)
	}
	return verdict(bridge.Failure, err)
}

// reasonOfRPC says what an RPC error of the resolving requests means.
func reasonOfRPC(e *tgerr.Error) bridge.Reason {
	switch {
	case isLogout(e):
		return bridge.AccountDown
	case e.IsOneOf("USERNAME_NOT_OCCUPIED", "PHONE_NOT_OCCUPIED", "INPUT_USER_DEACTIVATED"):
		return bridge.NotFound
	case e.IsOneOf("USERNAME_INVALID", "PHONE_NUMBER_INVALID"):
		return bridge.BadNumber
	case e.IsType("PEER_FLOOD"):
		return bridge.PeerFlood
	case e.IsOneOf("USER_ID_INVALID", "PEER_ID_INVALID"):
		return bridge.NoDialog
	}
	return bridge.Failure
}

// isLogout says whether the error ends the session for good: only a new login helps
// (core.telegram.org/api/errors, 401 and 406).
func isLogout(err error) bool {
	return tgerr.Is(err, "AUTH_KEY_UNREGISTERED", "AUTH_KEY_INVALID", "AUTH_KEY_DUPLICATED", "AUTH_KEY_PERM_EMPTY",
		"SESSION_REVOKED", "SESSION_EXPIRED", "USER_DEACTIVATED", "USER_DEACTIVATED_BAN")
}

// sleep reports whether the time has passed without ctx ending.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
