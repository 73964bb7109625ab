package cloud

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gotd/td/tg"
	"github.com/gotd/td/tgerr"
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
	Discards       []Discard
}

// Discard is one phone.discardCall, also one that came after the end.
type Discard struct {
	User         int64 // who said so
	Reason       string
	Duration     int // seconds
	ConnectionID int64
}

// with runs f on an account with the lock held; nothing happens for a user that does not exist.
func (c *Control) with(user int64, f func(*account)) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if a := c.s.accounts[user]; a != nil {
		f(a)
	}
}

// FloodNext makes the next call of a method (TL name, as "phone.requestCall"; "" any) by a user fail with FLOOD_WAIT_n.
// User 0 means devices that are not logged in.
func (c *Control) FloodNext(user int64, method string, seconds int) {
	c.FailNext(user, method, 420, fmt.Sprintf("FLOOD_WAIT_%d", seconds))
}

// FailNext makes the next call of a method ("" any) by a user fail with an error, as 400, "PEER_FLOOD" or 500, "CALL_OCCUPY_FAILED".
// User 0 means devices that are not logged in. Several failures are used up one after the other.
func (c *Control) FailNext(user int64, method string, code int, text string) {
	f := failure{method: method, err: tgerr.New(code, text)}
	if user == 0 {
		c.s.mu.Lock()
		defer c.s.mu.Unlock()
		c.s.anybody.failures = append(c.s.anybody.failures, f)
		return
	}
	c.with(user, func(a *account) { a.fate.failures = append(a.fate.failures, f) })
}

// FloodTimes makes the next calls of a method by a user fail with FLOOD_WAIT_n, so many times.
func (c *Control) FloodTimes(user int64, method string, seconds, times int) {
	for range times {
		c.FloodNext(user, method, seconds)
	}
}

// LimitStrangers makes calls by a user to whoever is no contact of it and has never written to it or called it fail
// with PEER_FLOOD, as Telegram does to accounts that were reported.
func (c *Control) LimitStrangers(user int64, on bool) {
	c.with(user, func(a *account) { a.fate.limited = on })
}

// Queries says how often a user has called a method (TL name), whatever came of it.
func (c *Control) Queries(user int64, method string) (n int) {
	c.with(user, func(a *account) { n = a.fate.queries[method] })
	return n
}

// SetStatus changes what others see of a user's presence, at first tg.UserStatusRecently, and tells those who have a
// chat with it.
func (c *Control) SetStatus(user int64, status tg.UserStatusClass) {
	c.with(user, func(a *account) {
		a.fate.status = status
		for _, other := range c.s.accounts {
			if slices.ContainsFunc(other.box.messages, func(m *message) bool { return m.peer == user }) {
				c.s.push(other, news{updates: []tg.UpdateClass{&tg.UpdateUserStatus{UserID: user, Status: status}}, users: []*account{a}})
			}
		}
	})
}

// Rename gives a user another username; "" takes it away. It fails where somebody has it already.
func (c *Control) Rename(user int64, username string) error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	a := c.s.accounts[user]
	if a == nil {
		return fmt.Errorf("rename user %d: no such user", user)
	}
	name := strings.ToLower(username)
	if username != "" && (!usernamePattern.MatchString(username) || c.s.byName[name] != nil) {
		return fmt.Errorf("rename user %d: username %q is taken or malformed", user, username)
	}
	delete(c.s.byName, strings.ToLower(a.Username))
	a.Username = username
	if username != "" {
		c.s.byName[name] = a
	}
	return nil
}

// SetPrivacy replaces a user's privacy; empty fields take their default.
func (c *Control) SetPrivacy(user int64, p Privacy) {
	c.with(user, func(a *account) { a.Privacy = p.withDefaults() })
}

// BlockUser makes user block (or unblock) other.
func (c *Control) BlockUser(user, other int64, blocked bool) {
	c.with(user, func(a *account) {
		if b := c.s.accounts[other]; b != nil {
			c.s.setBlocked(a, b, blocked)
		}
	})
}

// RefuseVersion makes calls to user fail with PARTICIPANT_VERSION_OUTDATED, as if all its devices were ancient.
func (c *Control) RefuseVersion(user int64, on bool) {
	c.with(user, func(a *account) { a.fate.outdated = on })
}

// DropConnections cuts the TCP connections of a user and says how many.
func (c *Control) DropConnections(user int64) (n int) {
	c.with(user, func(a *account) {
		for d := range a.devices {
			n += d.disconnect()
		}
	})
	return n
}

// RevokeSessions logs a user out everywhere and says on how many devices.
func (c *Control) RevokeSessions(user int64) (n int) {
	c.with(user, func(a *account) {
		for _, d := range a.sortedDevices() {
			c.s.logout(d)
			d.disconnect()
			n++
		}
	})
	return n
}

// RedeliverLast pushes the last update of a user once more (without a seq, so that clients do not see it is old), as happens
// after a difference.
func (c *Control) RedeliverLast(user int64) {
	c.with(user, func(a *account) {
		if a.fate.last == nil {
			return
		}
		again := *a.fate.last
		again.Seq = 0
		for _, d := range a.sortedDevices() {
			if d.main != nil {
				c.s.tell(d.main, &again)
			}
		}
	})
}

// DropUpdates loses (or no longer loses) every update pushed to a user; it stays in the log for updates.getDifference.
func (c *Control) DropUpdates(user int64, on bool) {
	c.with(user, func(a *account) { a.fate.dropUpdates = on })
}

// Calls are the calls of the server's lifetime, oldest first; the oldest are forgotten.
func (c *Control) Calls() []CallInfo { return c.list(func(*call) bool { return true }) }

// ActiveCalls are the calls that have not ended, oldest first.
func (c *Control) ActiveCalls() []CallInfo { return c.list((*call).live) }

func (c *Control) list(which func(*call) bool) (all []CallInfo) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	for _, call := range c.s.callOrder {
		if which(call) {
			info := call.info
			info.Discards = slices.Clone(info.Discards)
			all = append(all, info)
		}
	}
	return all
}

// EndCall discards a call from the server's side; reason as in CallInfo. False when it is not live.
func (c *Control) EndCall(id int64, reason string) bool {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	call := c.s.calls[id]
	if call == nil || !call.live() {
		return false
	}
	c.s.discard(call, nil, reasonOf(reason), 0)
	return true
}

// Online says how many devices of a user are logged in and connected, and get updates.
func (c *Control) Online(user int64) (n int) {
	c.with(user, func(a *account) {
		for d := range a.devices {
			if d.online() {
				n++
			}
		}
	})
	return n
}

// LoginCode is the code that was last sent to a phone number, "" when none is open.
func (c *Control) LoginCode(phone string) string {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	var newest *loginCode
	for _, code := range c.s.codes {
		if code.phone == digits(phone) && (newest == nil || code.expires.After(newest.expires)) {
			newest = code
		}
	}
	if newest == nil {
		return ""
	}
	return newest.code
}

// ExpireCodes makes every code sent to a phone number too old.
func (c *Control) ExpireCodes(phone string) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.forgetCodes(func(code *loginCode) bool { return code.phone == digits(phone) })
}

// AddUser adds an account while the server runs.
func (c *Control) AddUser(u User) error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	all := []User{u}
	for _, a := range c.s.accounts {
		if a.ID != serviceUser {
			all = append(all, a.User)
		}
	}
	if err := checkUsers(all); err != nil {
		return err
	}
	return c.s.addAccount(u)
}

// SetCustomParameters sets phoneCall.custom_parameters (JSON; "" none) of calls requested from now on.
func (c *Control) SetCustomParameters(json string) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.custom = json
}
