package calls

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gotd/td/tg"

	"github.com/tgtrunk/tgtrunk/telegram/voip"
	"github.com/tgtrunk/tgtrunk/telegram/voip/signaling"
)

// What official clients say of themselves in phoneCallProtocol; the engine's layers have not moved since libtgvoip.
const (
	minLayer = 65
	maxLayer = 92
)

var (
	errNotConfirmed = errors.New("caller did not confirm in time")
	errNotConnected = errors.New("no audio path in time")
	errChanged      = &Error{Kind: Insecure, Err: errors.New("call's identity has changed")}
)

// handshake is what a call knows before there is media. It belongs to the call's goroutine.
type handshake struct {
	id         int64
	accessHash int64
	secret     *secret   // ours; nil until the group is known
	commitment []byte    // incoming: hash of the caller's public value
	alarm      alarm     // incoming: whether the caller hears ringing
	key        *voip.Key // outgoing: from phoneCallAccepted on
	print      int64     // the key's fingerprint
	received   bool      // outgoing: a device has the call
	accepted   bool      // incoming: Accepted has been told
	ask        ask       // outgoing
}

func (c *Call) protocol() tg.PhoneCallProtocol {
	return tg.PhoneCallProtocol{
		UDPP2P: !c.line.opts.RelayOnly, UDPReflector: true, MinLayer: minLayer, MaxLayer: maxLayer, LibraryVersions: c.line.opts.Versions,
	}
}

func (c *Call) input() tg.InputPhoneCall {
	return tg.InputPhoneCall{ID: c.id, AccessHash: c.accessHash}
}

// place begins an outgoing call: Telegram's group and our secret first.
func (c *Call) place() {
	if _, self := c.target.(*tg.InputUserSelf); self || c.Peer() == c.line.opts.Self {
		c.close(verdict{err: &Error{Kind: ToSelf}})
		return
	}
	if c.target == nil {
		c.close(verdict{err: &Error{Kind: NoUser}})
		return
	}
	c.enter(gettingGroup, 0)
	c.makeSecret(c.request)
}

// makeSecret fetches the group, makes our secret, and goes on with then.
func (c *Call) makeSecret(then func()) {
	c.async(func(ctx context.Context) func() {
		s, err := c.fetchSecret(ctx)
		return func() {
			if err != nil {
				c.fail(classify(err))
				return
			}
			c.secret = s
			then()
		}
	})
}

func (c *Call) fetchSecret(ctx context.Context) (*secret, error) {
	group, random, err := c.line.groups.get(ctx, c.line.opts.API)
	if err != nil {
		return nil, err
	}
	return newSecret(group, random)
}

// accept takes an incoming call; later calls of it are ignored.
func (c *Call) accept() {
	if c.outgoing || c.phase != offered {
		return
	}
	c.enter(preparing, 0)
	c.makeSecret(func() {
		// The limit holds from now on: the caller's confirmation may overtake the answer to our request.
		c.enter(accepting, c.line.opts.Limits.Request+c.line.timeouts().Receive)
		request := &tg.PhoneAcceptCallRequest{Peer: c.input(), GB: c.secret.public, Protocol: c.protocol()}
		c.async(func(ctx context.Context) func() {
			answer, err := c.line.opts.API.PhoneAcceptCall(ctx, request)
			return func() { c.acceptAnswered(answer, err) }
		})
	})
}

func (c *Call) acceptAnswered(answer *tg.PhonePhoneCall, err error) {
	if c.phase != accepting {
		return // the caller has confirmed already
	}
	if err == nil {
		c.enter(accepting, c.line.timeouts().Receive)
		c.emit(Accepted{})
		c.accepted = true
		c.receive(parcel{call: answer.PhoneCall})
		return
	}
	switch e := classify(err); e.Kind {
	case Elsewhere:
		c.elsewhere(err)
	case Occupied:
		c.close(verdict{reason: Busy, discard: true, err: e})
	default:
		c.fail(e)
	}
}

// receive takes what came from Telegram for this call.
func (c *Call) receive(p parcel) {
	if p.call == nil {
		c.signal(p.signal)
		return
	}
	switch u := p.call.(type) {
	case *tg.PhoneCallEmpty:
		c.close(verdict{reason: Disconnect, remote: true, err: &Error{Kind: Failed, Err: errors.New("telegram does not know the call")}})
	case *tg.PhoneCallDiscarded:
		c.discarded(u)
	case *tg.PhoneCallWaiting:
		c.stillWaiting(u)
	case *tg.PhoneCallAccepted:
		c.calleeAccepted(u)
	case *tg.PhoneCall:
		c.confirmed(u)
	}
}

// stillWaiting hears that a device of the callee has the call.
func (c *Call) stillWaiting(u *tg.PhoneCallWaiting) {
	if !c.outgoing || c.phase != waiting || u.ReceiveDate == 0 || c.received {
		return
	}
	if !c.same(u) {
		c.fail(errChanged)
		return
	}
	c.received = true
	c.enter(waiting, c.line.timeouts().Ring)
	c.emit(Received{})
}

// calleeAccepted computes the key and confirms.
func (c *Call) calleeAccepted(u *tg.PhoneCallAccepted) {
	if !c.outgoing {
		if c.phase == offered {
			c.elsewhere(nil)
		}
		return
	}
	if c.phase != waiting {
		return
	}
	if !c.same(u) {
		c.fail(errChanged)
		return
	}
	if !slices.ContainsFunc(u.Protocol.LibraryVersions, c.speaks) {
		c.fail(&Error{Kind: Incompatible, Err: fmt.Errorf("callee speaks %q", u.Protocol.LibraryVersions)})
		return
	}
	key, print, err := c.secret.key(u.GB)
	if err != nil {
		c.fail(classify(err))
		return
	}
	c.key, c.print = key, print
	c.emit(Accepted{})
	c.enter(confirming, 0)
	request := &tg.PhoneConfirmCallRequest{Peer: c.input(), GA: c.secret.public, KeyFingerprint: print, Protocol: c.protocol()}
	c.async(func(ctx context.Context) func() {
		answer, err := c.line.opts.API.PhoneConfirmCall(ctx, request)
		return func() {
			switch {
			case c.phase != confirming: // the update was faster than the answer
			case err != nil:
				c.fail(classify(fmt.Errorf("confirm call: %w", err)))
			default:
				c.receive(parcel{call: answer.PhoneCall})
			}
		}
	})
}

func (c *Call) speaks(version string) bool { return slices.Contains(c.line.opts.Versions, version) }

// same says whether an update is of the very call that began.
func (c *Call) same(u interface {
	GetAccessHash() int64
	GetAdminID() int64
	GetParticipantID() int64
}) bool {
	return u.GetAccessHash() == c.accessHash && u.GetAdminID() == c.facts.admin.Load() &&
		u.GetParticipantID() == c.facts.participant.Load()
}

// confirmed has the call's final form: both have the key, media may start.
func (c *Call) confirmed(u *tg.PhoneCall) {
	switch c.phase {
	case offered:
		c.elsewhere(nil)
		return
	case confirming, accepting:
	default:
		return
	}
	if !c.same(u) {
		c.fail(errChanged)
		return
	}
	if !c.outgoing {
		if !keeps(c.commitment, u.GAOrB) {
			c.fail(insecure("caller's public value does not fit its hash"))
			return
		}
		key, print, err := c.secret.key(u.GAOrB)
		if err != nil {
			c.fail(classify(err))
			return
		}
		c.key, c.print = key, print
	}
	if u.KeyFingerprint != c.print {
		c.fail(insecure("key fingerprints differ"))
		return
	}
	versions := u.Protocol.LibraryVersions
	if len(versions) == 0 || !c.speaks(versions[0]) {
		c.fail(&Error{Kind: Incompatible, Err: fmt.Errorf("telegram chose library version %q", versions)})
		return
	}
	if !c.outgoing && !c.accepted {
		c.emit(Accepted{})
		c.accepted = true
	}
	c.startMedia(u, versions[0])
}

func (c *Call) role() voip.Role {
	if c.outgoing {
		return signaling.Caller
	}
	return signaling.Callee
}
