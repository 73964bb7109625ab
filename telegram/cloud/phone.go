package cloud

import (
	"bytes"
	"math/big"
	"math/rand/v2"
	"slices"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/tg"

	"github.com/tgtrunk/tgtrunk/telegram/cloud/mtserver"
)

// maxSignal is the largest phone.sendSignalingData taken, bytes. The engine's own packets stay below 16 KiB.
const maxSignal = 64 << 10

// callConfig is phone.getCallConfig: libtgvoip's old tuning, which newer engines hardly look at.
const callConfig = `{"enable_vp8_encoder":true,"enable_vp8_decoder":true,"audio_frame_size":60,"audio_max_bitrate":20000,"audio_init_bitrate":16000,` +
	`"jitter_min_delay_60":2,"jitter_max_delay_60":10,"jitter_max_slots_60":20,"adsp_good_impls":[]}`

func addCalls(m methods) {
	on(m, func(*request, *tg.PhoneGetCallConfigRequest) (bin.Encoder, error) {
		return &tg.DataJSON{Data: callConfig}, nil
	})
	on(m, (*request).requestCall)
	on(m, (*request).receivedCall)
	on(m, (*request).acceptCall)
	on(m, (*request).confirmCall)
	on(m, (*request).discardCall)
	on(m, (*request).sendSignalingData)
	on(m, (*request).setCallRating)
	on(m, (*request).saveCallDebug)
	on(m, (*request).saveCallLog)
}

// findCall finds a call the user is a side of.
func (r *request) findCall(peer tg.InputPhoneCall) (*call, error) {
	c := r.calls[peer.ID]
	if c == nil || r.me != c.caller && r.me != c.callee || peer.AccessHash != r.callHash(c, r.me) {
		return nil, fail(400, "CALL_PEER_INVALID")
	}
	return c, nil
}

func (r *request) phoneCall(c *call) *tg.PhonePhoneCall {
	return &tg.PhonePhoneCall{PhoneCall: c.seenBy(r.Server, r.me, r.dev), Users: r.usersFor(r.me, c.caller, c.callee)}
}

// callable says whether the user may call the one it names.
func (r *request) callable(in tg.InputUserClass) (*account, error) {
	to := r.resolve(r.me, in)
	switch {
	case to == nil || to == r.me || to.ID == serviceUser:
		return nil, fail(400, "USER_ID_INVALID")
	case to.bot() || r.me.bot():
		return nil, fail(400, "USER_IS_BOT")
	case to.blocked[r.me.ID]:
		return nil, fail(403, "USER_IS_BLOCKED")
	case !to.admits(to.Privacy.Calls, r.me):
		return nil, fail(403, "USER_PRIVACY_RESTRICTED")
	case r.me.fate.limited && r.stranger(to):
		return nil, fail(400, "PEER_FLOOD")
	case to.fate.outdated:
		return nil, fail(400, "PARTICIPANT_VERSION_OUTDATED")
	}
	return to, nil
}

// stranger says whether the caller has never heard of a user, nor has it in its contacts.
func (r *request) stranger(of *account) bool {
	if _, listed := r.me.contacts[of.ID]; listed {
		return false
	}
	return !slices.ContainsFunc(r.me.box.messages, func(m *message) bool { return m.peer == of.ID && !m.out })
}

func (r *request) requestCall(q *tg.PhoneRequestCallRequest) (bin.Encoder, error) {
	to, err := r.callable(q.UserID)
	if err != nil {
		return nil, err
	}
	if err := checkProtocol(q.Protocol); err != nil {
		return nil, err
	}
	if len(q.GAHash) != 32 {
		return nil, fail(400, "G_A_HASH_INVALID")
	}
	if r.repeatedID(int64(q.RandomID)) {
		return nil, fail(500, "RANDOM_ID_DUPLICATE")
	}
	now := r.now()
	c := &call{
		info:   CallInfo{ID: rand.Int64() | 1, Caller: r.me.ID, Callee: to.ID, State: CallRequested, Video: q.Video, Requested: now},
		caller: r.me, callee: to, from: r.dev,
		dh: halves{hash: q.GAHash}, terms: terms{offered: q.Protocol, custom: r.custom}, touched: now,
	}
	r.keepCall(c)
	r.log.Info("call requested", "call", c.info.ID, "caller", c.caller.ID, "callee", to.ID, "busy", to.busy != 0)
	r.arm(c, r.opts.Timeouts.Receive, &tg.PhoneCallDiscardReasonMissed{})
	answer := r.phoneCall(c) // before the callee can have changed anything
	if to.busy == 0 {
		r.tellCall(c, to, nil)
		return answer, nil
	}
	// Desktop wants phoneCallWaiting as the answer, so that it is busy comes as an update after it.
	c.silent = true
	r.discard(c, nil, &tg.PhoneCallDiscardReasonBusy{}, 0)
	return answer, nil
}

// receivedCall lets the caller hear ringing, and marks the callee busy for every other caller until the call has ended
// (https://core.telegram.org/method/phone.receivedCall).
func (r *request) receivedCall(q *tg.PhoneReceivedCallRequest) (bin.Encoder, error) {
	c, err := r.findCall(q.Peer)
	switch {
	case err != nil:
		return nil, err
	case r.me != c.callee:
		return nil, fail(400, "CALL_PEER_INVALID")
	case !c.live():
		return nil, fail(400, "CALL_ALREADY_DECLINED")
	case c.info.State != CallRequested:
		return yes() // from another device, or again
	}
	now := r.now()
	c.info.State, c.info.Received, c.touched = CallReceived, now, now
	if r.me.busy == 0 {
		r.me.busy = c.info.ID
	}
	r.arm(c, r.opts.Timeouts.Ring, &tg.PhoneCallDiscardReasonMissed{})
	r.tellCall(c, c.caller, nil)
	return yes()
}

func (r *request) acceptCall(q *tg.PhoneAcceptCallRequest) (bin.Encoder, error) {
	c, err := r.findCall(q.Peer)
	switch {
	case err != nil:
		return nil, err
	case r.me != c.callee:
		return nil, fail(400, "CALL_PEER_INVALID")
	case !c.live():
		return nil, fail(400, "CALL_ALREADY_DECLINED")
	case !c.rings():
		return nil, fail(400, "CALL_ALREADY_ACCEPTED")
	}
	if err := checkProtocol(q.Protocol); err != nil {
		return nil, err
	}
	if !r.dhValue(q.GB) {
		return nil, fail(400, "G_B_INVALID")
	}
	agreed, err := merge(c.terms.offered, q.Protocol)
	if err != nil {
		return nil, err
	}
	c.info.State, c.info.Version, c.touched = CallAccepted, agreed.LibraryVersions[0], r.now()
	c.to, c.dh.gb, c.terms.agreed = r.dev, q.GB, agreed
	r.arm(c, r.opts.Timeouts.Confirm, &tg.PhoneCallDiscardReasonDisconnect{})
	r.tellCall(c, c.caller, nil)
	r.tellTaken(c)
	return r.phoneCall(c), nil
}

// tellTaken lets the callee's other devices stop ringing.
func (r *request) tellTaken(c *call) {
	for _, d := range c.callee.sortedDevices() {
		if d != c.to {
			r.push(c.callee, news{
				updates: []tg.UpdateClass{&tg.UpdatePhoneCall{PhoneCall: c.seenBy(r.Server, c.callee, d)}}, users: []*account{c.caller}, only: d, numbered: true,
			})
		}
	}
}

// dhValue checks a public value of the calls' key exchange. The official library sends it without leading zeros (seen: 255
// bytes, once in 256 calls) and hashes it so.
func (r *request) dhValue(v []byte) bool {
	p, _, err := dhPrime()
	return err == nil && len(v) <= 256 && mtserver.PublicValue(new(big.Int).SetBytes(v), p)
}

// fitsHash says whether a hash is of g_a as it came, or padded to 256 bytes.
func fitsHash(ga, hash []byte) bool {
	return bytes.Equal(hashOf(ga), hash) || bytes.Equal(hashOf(pad256(new(big.Int).SetBytes(ga))), hash)
}

func (r *request) confirmCall(q *tg.PhoneConfirmCallRequest) (bin.Encoder, error) {
	c, err := r.findCall(q.Peer)
	switch {
	case err != nil:
		return nil, err
	case r.dev != c.from:
		return nil, fail(400, "CALL_PEER_INVALID")
	case !c.live():
		return nil, fail(400, "CALL_ALREADY_DECLINED")
	case c.info.State == CallActive:
		return nil, fail(400, "CALL_ALREADY_ACCEPTED")
	case c.info.State != CallAccepted:
		return nil, fail(400, "CALL_NOT_ACTIVE")
	case !r.dhValue(q.GA) || !fitsHash(q.GA, c.dh.hash):
		return nil, fail(400, "G_A_INVALID")
	}
	now := r.now()
	c.info.State, c.info.Active, c.touched = CallActive, now, now
	c.dh.ga, c.dh.fingerprint = q.GA, q.KeyFingerprint
	c.info.P2P = r.allowsP2P(c)
	c.relay, c.terms.connections = r.relay.grant(c.info.ID)
	if c.terms.agreed.UDPReflector {
		c.tags = r.mirror.grant()
	}
	r.arm(c, r.opts.Timeouts.Active, &tg.PhoneCallDiscardReasonDisconnect{})
	r.tellCall(c, c.callee, nil)
	r.log.Info("call active", "call", c.info.ID, "version", c.info.Version, "p2p", c.info.P2P)
	return r.phoneCall(c), nil
}

// allowsP2P says whether the sides of a call may learn each other's address.
func (s *Server) allowsP2P(c *call) bool {
	if s.opts.NoP2P || s.opts.AllP2P {
		return s.opts.AllP2P
	}
	return c.terms.agreed.UDPP2P && c.callee.admits(c.callee.Privacy.P2P, c.caller) && c.caller.admits(c.caller.Privacy.P2P, c.callee)
}

func (r *request) discardCall(q *tg.PhoneDiscardCallRequest) (bin.Encoder, error) {
	c, err := r.findCall(q.Peer)
	if err != nil {
		return nil, err
	}
	if r.me == c.callee && c.to != nil && c.to != r.dev && c.live() {
		return nil, fail(400, "CALL_ALREADY_ACCEPTED") // declined here, taken elsewhere
	}
	c.info.Discards = append(c.info.Discards, Discard{User: r.me.ID, Reason: reasonName(q.Reason), Duration: q.Duration, ConnectionID: q.ConnectionID})
	u := &tg.Updates{Users: r.usersFor(r.me, c.caller, c.callee), Chats: []tg.ChatClass{}, Date: int(r.now().Unix())}
	if !c.live() { // both hung up
		u.Updates = []tg.UpdateClass{&tg.UpdatePhoneCall{PhoneCall: c.discarded()}}
		return u, nil
	}
	c.info.Video = c.info.Video || q.Video
	r.discard(c, r.dev, q.Reason, q.Duration)
	u.Updates = []tg.UpdateClass{&tg.UpdatePhoneCall{PhoneCall: c.discarded()}}
	if last, ok := r.me.box.newest(); ok {
		u.Updates = append(u.Updates, last)
	}
	return u, nil
}

func (r *request) sendSignalingData(q *tg.PhoneSendSignalingDataRequest) (bin.Encoder, error) {
	c, err := r.findCall(q.Peer)
	switch {
	case err != nil:
		return nil, err
	case c.info.State != CallActive || c.device(r.me) != r.dev:
		return nil, fail(400, "CALL_NOT_ACTIVE")
	case len(q.Data) == 0 || len(q.Data) > maxSignal:
		return nil, fail(400, "DATA_INVALID")
	}
	c.info.Signals++
	if r.me.fate.deaf {
		return yes()
	}
	peer := c.other(r.me)
	r.push(peer, news{updates: []tg.UpdateClass{&tg.UpdatePhoneCallSignalingData{PhoneCallID: c.info.ID, Data: q.Data}}, only: c.device(peer)})
	return yes()
}

// ended finds a call that has ended.
func (r *request) ended(peer tg.InputPhoneCall) (*call, error) {
	c, err := r.findCall(peer)
	if err == nil && c.live() {
		err = fail(400, "CALL_PEER_INVALID")
	}
	return c, err
}

func (r *request) setCallRating(q *tg.PhoneSetCallRatingRequest) (bin.Encoder, error) {
	c, err := r.ended(q.Peer)
	if err != nil {
		return nil, err
	}
	if q.Rating < 1 || q.Rating > 5 {
		return nil, fail(400, "RATING_INVALID")
	}
	c.info.Rating = q.Rating
	return &tg.Updates{Updates: []tg.UpdateClass{}, Users: []tg.UserClass{}, Chats: []tg.ChatClass{}, Date: int(r.now().Unix())}, nil
}

func (r *request) saveCallDebug(q *tg.PhoneSaveCallDebugRequest) (bin.Encoder, error) {
	c, err := r.ended(q.Peer)
	if err != nil {
		return nil, err
	}
	c.info.Debug = q.Debug.Data
	return yes()
}

func (r *request) saveCallLog(q *tg.PhoneSaveCallLogRequest) (bin.Encoder, error) {
	if _, err := r.ended(q.Peer); err != nil {
		return nil, err
	}
	return yes()
}
