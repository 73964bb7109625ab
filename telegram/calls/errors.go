package calls

import (
	"context"
	"errors"
	"time"

	"github.com/gotd/td/tgerr"
)

// Kind says why a call failed.
type Kind uint8

// The kinds of failure.
const (
	Failed       Kind = iota // anything else
	Flooded                  // FLOOD_WAIT_n: Wait says how long
	PeerFlooded              // PEER_FLOOD: Telegram limits this account towards strangers
	Private                  // USER_PRIVACY_RESTRICTED
	Blocked                  // USER_IS_BLOCKED
	NoUser                   // no such user, deleted, or a bot
	NoAccess                 // the access hash of the user is missing or wrong
	Incompatible             // no library version in common
	Refused                  // PARTICIPANT_CALL_FAILED: Telegram could not alert the callee
	ToSelf                   // a call to the account itself
	NotReceived              // no device of the callee has received the call in time
	NotAnswered              // the call was received, and not accepted in time
	Elsewhere                // accepted or declined on another device of the account
	Occupied                 // CALL_OCCUPY_FAILED: Telegram holds the account for busy
	Insecure                 // the key exchange was wrong: somebody in between, or a broken peer
	NoMedia                  // no audio path, or it broke down for good
	NoConnection             // Telegram did not answer in time
	Unauthorized             // the account is logged out, banned or deleted
	Closed                   // the Line is not running any more
)

// String returns the kind in a few lower-case words.
func (k Kind) String() string {
	names := [...]string{
		Failed: "call failed", Flooded: "flood wait", PeerFlooded: "peer flood", Private: "callee's privacy settings",
		Blocked: "blocked by the callee", NoUser: "no such user", NoAccess: "no access hash for the user",
		Incompatible: "no common library version", Refused: "callee could not be alerted", ToSelf: "call to oneself",
		NotReceived: "no device received the call", NotAnswered: "not answered", Elsewhere: "taken on another device",
		Occupied: "account is occupied", Insecure: "key exchange failed", NoMedia: "no audio path",
		NoConnection: "telegram did not answer", Unauthorized: "account is logged out", Closed: "line is closed",
	}
	if int(k) < len(names) {
		return names[k]
	}
	return "unknown"
}

// Error is why a call failed.
type Error struct {
	Kind Kind
	Wait time.Duration // Flooded: how long Telegram wants us to wait
	Err  error         // what there is to know more: a *tgerr.Error, an error of package voip; may be nil
}

// Error implements error.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Kind.String()
	}
	return e.Kind.String() + ": " + e.Err.Error()
}

// Unwrap returns what lies behind the error.
func (e *Error) Unwrap() error { return e.Err }

// kindOf sorts the RPC errors of phone.requestCall, acceptCall and confirmCall (core.telegram.org/method/phone.requestCall).
func kindOf(rpc *tgerr.Error) Kind {
	switch rpc.Type {
	case "PEER_FLOOD":
		return PeerFlooded
	case "USER_PRIVACY_RESTRICTED", "PRIVACY_PREMIUM_REQUIRED", "USER_NOT_MUTUAL_CONTACT":
		return Private
	case "USER_IS_BLOCKED", "YOU_BLOCKED_USER":
		return Blocked
	case "USER_IS_BOT", "USER_ID_INVALID", "INPUT_USER_DEACTIVATED", "USER_DELETED":
		return NoUser
	case "PEER_ID_INVALID", "USER_INVALID", "ACCESS_HASH_INVALID":
		return NoAccess
	case "PARTICIPANT_VERSION_OUTDATED", "CALL_PROTOCOL_COMPAT_LAYER_INVALID":
		return Incompatible
	case "PARTICIPANT_CALL_FAILED":
		return Refused
	case "CALL_ALREADY_ACCEPTED", "CALL_ALREADY_DECLINED":
		return Elsewhere
	case "CALL_OCCUPY_FAILED":
		return Occupied
	case "AUTH_KEY_UNREGISTERED", "AUTH_KEY_DUPLICATED", "AUTH_KEY_INVALID", "SESSION_REVOKED", "SESSION_EXPIRED",
		"USER_DEACTIVATED", "USER_DEACTIVATED_BAN":
		return Unauthorized
	}
	if rpc.Code == 401 {
		return Unauthorized
	}
	return Failed
}

// classify makes an Error of what an API request returned.
func classify(err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	if wait, ok := tgerr.AsFloodWait(err); ok {
		return &Error{Kind: Flooded, Wait: wait, Err: err}
	}
	if rpc, ok := tgerr.As(err); ok {
		return &Error{Kind: kindOf(rpc), Err: err}
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return &Error{Kind: NoConnection, Err: err}
	}
	return &Error{Kind: Failed, Err: err}
}
