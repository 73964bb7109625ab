package cloud

import (
	"time"
)

// Control plays fate for tests and the demo. Its methods may be called at any time, from any goroutine.
type Control struct{ s *Server }

// CallState is how far a call has come.
type CallState string

// The states in their order.
const (
	CallRequested CallState = "requested" // phone.requestCall
	CallReceived  CallState = "received"  // phone.receivedCall: it rings
	CallAccepted  CallState = "accepted"  // phone.acceptCall
	CallActive    CallState = "active"    // phone.confirmCall
	CallDiscarded CallState = "discarded" // ended
)

// CallInfo is a call as the server sees it.
type CallInfo struct {
	ID             int64
	Caller, Callee int64 // user ids
	State          CallState
	Video          bool
	Version        string    // the library version chosen, once accepted
	P2P            bool      // p2p_allowed
	Requested      time.Time // all times: zero when it has not happened
	Received       time.Time
	Active         time.Time
	Ended          time.Time
	Reason         string // "busy", "missed", "hangup", "disconnect", "migrate" or "" (none given), once discarded
	Duration       int    // seconds, as told by the one who ended it
	Rating         int    // 1..5, 0: none given
	Debug          string // JSON of phone.saveCallDebug
	Signals        int    // phone.sendSignalingData carried
}

// FloodNext makes the next call of a method (TL name, as "phone.requestCall"; "" any) by a user fail with FLOOD_WAIT_n.
func (c *Control) FloodNext(user int64, method string, seconds int) {}

// FailNext makes the next call of a method ("" any) by a user fail with an error, as 400, "PEER_FLOOD" or 500, "CALL_OCCUPY_FAILED".
func (c *Control) FailNext(user int64, method string, code int, text string) {}

// SetPrivacy replaces a user's privacy; empty fields take their default.
func (c *Control) SetPrivacy(user int64, p Privacy) {}

// BlockUser makes user block (or unblock) other.
func (c *Control) BlockUser(user, other int64, blocked bool) {}

// RefuseVersion makes calls to user fail with PARTICIPANT_VERSION_OUTDATED, as if all its devices were ancient.
func (c *Control) RefuseVersion(user int64, on bool) {}

// DropConnections cuts the TCP connections of a user and says how many.
func (c *Control) DropConnections(user int64) int { return 0 }

// RevokeSessions logs a user out everywhere and says on how many devices.
func (c *Control) RevokeSessions(user int64) int { return 0 }

// RedeliverLast pushes the last update of a user once more, as Telegram does now and then.
func (c *Control) RedeliverLast(user int64) {}

// DropUpdates loses (or no longer loses) every update pushed to a user; it stays in the log for updates.getDifference.
func (c *Control) DropUpdates(user int64, on bool) {}

// ActiveCalls are the calls that have not ended, oldest first.
func (c *Control) ActiveCalls() []CallInfo { return nil }

// Calls are the calls of the server's lifetime, oldest first; the oldest are forgotten.
func (c *Control) Calls() []CallInfo { return nil }

// EndCall discards a call from the server's side; reason as in CallInfo. False when it is not live.
func (c *Control) EndCall(id int64, reason string) bool { return false }

// Online says how many devices of a user are logged in and connected, and get updates.
func (c *Control) Online(user int64) int { return 0 }

// LoginCode is the code that was last sent to a phone number, "" when none is open.
func (c *Control) LoginCode(phone string) string { return "" }

// AddUser adds an account while the server runs.
func (c *Control) AddUser(u User) error { return nil }

// SendMessage writes a text message from one user to another.
func (c *Control) SendMessage(from, to int64, text string) error { return nil }

// SetCustomParameters sets phoneCall.custom_parameters (JSON; "" none) of calls confirmed from now on.
func (c *Control) SetCustomParameters(json string) {}
