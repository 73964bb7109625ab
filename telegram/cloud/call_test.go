package cloud

import (
	"bytes"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"math/big"
	"testing"
	"time"

	"github.com/gotd/td/tg"
)

func protocol(versions ...string) tg.PhoneCallProtocol {
	return tg.PhoneCallProtocol{UDPP2P: true, UDPReflector: true, MinLayer: 65, MaxLayer: 92, LibraryVersions: versions}
}

// half is one side's half of the key exchange, done here as a client does it.
type half struct {
	p      *big.Int
	secret *big.Int
	public []byte // 256 bytes
}

func newHalf(t testing.TB, c *client) half {
	t.Helper()
	config, err := c.api.MessagesGetDhConfig(ctxOf(t), &tg.MessagesGetDhConfigRequest{RandomLength: 256})
	if err != nil {
		t.Fatal(err)
	}
	dh := config.(*tg.MessagesDhConfig)
	if len(dh.Random) != 256 || dh.G != 3 {
		t.Fatalf("dh config: g %d, %d bytes of random", dh.G, len(dh.Random))
	}
	h := half{p: new(big.Int).SetBytes(dh.P)}
	if h.secret, err = rand.Int(rand.Reader, h.p); err != nil {
		t.Fatal(err)
	}
	h.public = new(big.Int).Exp(big.NewInt(int64(dh.G)), h.secret, h.p).FillBytes(make([]byte, 256))
	return h
}

func (h half) key(other []byte) ([]byte, int64) {
	key := new(big.Int).Exp(new(big.Int).SetBytes(other), h.secret, h.p).FillBytes(make([]byte, 256))
	sum := sha1.Sum(key)
	return key, int64(binary.LittleEndian.Uint64(sum[12:]))
}

func (h half) hash() []byte { sum := sha256.Sum256(h.public); return sum[:] }

// dial requests a call and gives the caller's view of it.
func dial(t testing.TB, c *client, to *tg.InputUser, h half, p tg.PhoneCallProtocol) *tg.PhoneCallWaiting {
	t.Helper()
	var id [4]byte
	_, _ = rand.Read(id[:])
	call, err := c.api.PhoneRequestCall(ctxOf(t), &tg.PhoneRequestCallRequest{
		UserID: to, RandomID: int(int32(binary.BigEndian.Uint32(id[:]))), GAHash: h.hash(), Protocol: p,
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(call.Users) != 2 {
		t.Fatalf("%d users with the call", len(call.Users))
	}
	w, ok := call.PhoneCall.(*tg.PhoneCallWaiting)
	if !ok {
		t.Fatalf("requestCall gave %T", call.PhoneCall)
	}
	if _, received := w.GetReceiveDate(); received {
		t.Fatal("receive_date is set too early")
	}
	return w
}

func peerOf(c interface {
	GetID() int64
	GetAccessHash() int64
}) tg.InputPhoneCall {
	return tg.InputPhoneCall{ID: c.GetID(), AccessHash: c.GetAccessHash()}
}

// established is a call of alice to bob that both have confirmed.
type established struct {
	caller, callee         *client
	callerPeer, calleePeer tg.InputPhoneCall
	callerCall, calleeCall *tg.PhoneCall
}

func establish(t testing.TB, a, b *client, to *tg.InputUser, offer, accept tg.PhoneCallProtocol) established {
	t.Helper()
	ha, hb := newHalf(t, a), newHalf(t, b)
	w := dial(t, a, to, ha, offer)
	requested := awaitCall[*tg.PhoneCallRequested](b)
	if !bytes.Equal(requested.GAHash, ha.hash()) {
		t.Fatal("g_a_hash was changed")
	}
	if ok, err := b.api.PhoneReceivedCall(ctxOf(t), peerOf(requested)); err != nil || !ok {
		t.Fatal(ok, err)
	}
	ringing := awaitCall[*tg.PhoneCallWaiting](a)
	if _, ok := ringing.GetReceiveDate(); !ok {
		t.Fatal("no receive_date")
	}
	accepted, err := b.api.PhoneAcceptCall(ctxOf(t), &tg.PhoneAcceptCallRequest{Peer: peerOf(requested), GB: hb.public, Protocol: accept})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := accepted.PhoneCall.(*tg.PhoneCallWaiting); !ok {
		t.Fatalf("acceptCall gave %T", accepted.PhoneCall)
	}
	taken := awaitCall[*tg.PhoneCallAccepted](a)
	key, print := ha.key(taken.GB)
	confirmed, err := a.api.PhoneConfirmCall(ctxOf(t), &tg.PhoneConfirmCallRequest{Peer: peerOf(w), GA: ha.public, KeyFingerprint: print, Protocol: offer})
	if err != nil {
		t.Fatal(err)
	}
	active := awaitCall[*tg.PhoneCall](b)
	sum := sha256.Sum256(active.GAOrB)
	if !bytes.Equal(sum[:], requested.GAHash) {
		t.Fatal("g_a does not fit g_a_hash")
	}
	theirs, theirPrint := hb.key(active.GAOrB)
	if !bytes.Equal(key, theirs) || print != theirPrint || active.KeyFingerprint != print {
		t.Fatal("the keys differ")
	}
	return established{
		caller: a, callee: b, callerPeer: peerOf(w), calleePeer: peerOf(requested), callerCall: confirmed.PhoneCall.(*tg.PhoneCall), calleeCall: active,
	}
}

func TestCall(t *testing.T) {
	s, _ := startServer(t, Options{Relay: Relay{TURN: true}})
	a, b := loggedIn(t, s, alice), loggedIn(t, s, bob)
	if _, err := a.api.PhoneGetCallConfig(ctxOf(t)); err != nil {
		t.Fatal(err)
	}
	e := establish(t, a, b, a.user("bob_b"), protocol("9.0.0", "8.0.0", "13.0.0"), protocol("10.0.0", "13.0.0", "9.0.0"))
	for _, c := range []*tg.PhoneCall{e.callerCall, e.calleeCall} {
		if v := c.Protocol.LibraryVersions; len(v) != 1 || v[0] != "13.0.0" {
			t.Fatalf("versions %v", v)
		}
		if !c.P2PAllowed || c.StartDate == 0 || len(c.Connections) != 1 || c.AdminID != alice || c.ParticipantID != bob {
			t.Fatalf("call %+v", c)
		}
		if w := c.Connections[0].(*tg.PhoneConnectionWebrtc); !w.Turn || w.Port != int(s.RelayAddr().Port()) || w.Username == "" || w.Password == "" {
			t.Fatalf("connection %+v", w)
		}
	}
	signal(t, e)
	hangUp(t, s, e)
}

// signal sends data both ways; the order is kept.
func signal(t *testing.T, e established) {
	t.Helper()
	for i := range 20 {
		if ok, err := e.caller.api.PhoneSendSignalingData(ctxOf(t), &tg.PhoneSendSignalingDataRequest{Peer: e.callerPeer, Data: []byte{byte(i), 1}}); err != nil || !ok {
			t.Fatal(ok, err)
		}
	}
	seen := map[byte]bool{} // gotd hands updates over in goroutines of their own, so their order is not the wire's
	for range 20 {
		u := await[*tg.UpdatePhoneCallSignalingData](e.callee, nil)
		if u.PhoneCallID != e.calleePeer.ID || len(u.Data) != 2 || seen[u.Data[0]] {
			t.Fatalf("signal %+v", u)
		}
		seen[u.Data[0]] = true
	}
	if _, err := e.callee.api.PhoneSendSignalingData(ctxOf(t), &tg.PhoneSendSignalingDataRequest{Peer: e.calleePeer, Data: []byte("back")}); err != nil {
		t.Fatal(err)
	}
	if u := await[*tg.UpdatePhoneCallSignalingData](e.caller, nil); string(u.Data) != "back" {
		t.Fatalf("signal %q", u.Data)
	}
	for _, data := range [][]byte{nil, make([]byte, maxSignal+1)} {
		_, err := e.caller.api.PhoneSendSignalingData(ctxOf(t), &tg.PhoneSendSignalingDataRequest{Peer: e.callerPeer, Data: data})
		wantError(t, err, 400, "DATA_INVALID")
	}
	wrong := e.callerPeer
	wrong.AccessHash++
	_, err := e.caller.api.PhoneSendSignalingData(ctxOf(t), &tg.PhoneSendSignalingDataRequest{Peer: wrong, Data: []byte("x")})
	wantError(t, err, 400, "CALL_PEER_INVALID")
}

func hangUp(t *testing.T, s *Server, e established) {
	t.Helper()
	result, err := e.callee.api.PhoneDiscardCall(ctxOf(t), &tg.PhoneDiscardCallRequest{Peer: e.calleePeer, Duration: 7, Reason: &tg.PhoneCallDiscardReasonHangup{}})
	if err != nil {
		t.Fatal(err)
	}
	if d := result.(*tg.Updates).Updates[0].(*tg.UpdatePhoneCall).PhoneCall.(*tg.PhoneCallDiscarded); d.Duration != 7 {
		t.Fatalf("discarded %+v", d)
	}
	d := awaitCall[*tg.PhoneCallDiscarded](e.caller)
	if _, ok := d.Reason.(*tg.PhoneCallDiscardReasonHangup); !ok || d.Duration != 7 {
		t.Fatalf("discarded %+v", d)
	}
	_, err = e.caller.api.PhoneSendSignalingData(ctxOf(t), &tg.PhoneSendSignalingDataRequest{Peer: e.callerPeer, Data: []byte("late")})
	wantError(t, err, 400, "CALL_NOT_ACTIVE")
	if _, err := e.caller.api.PhoneDiscardCall(ctxOf(t), &tg.PhoneDiscardCallRequest{Peer: e.callerPeer, Reason: &tg.PhoneCallDiscardReasonHangup{}}); err != nil {
		t.Fatalf("hanging up twice: %v", err)
	}
	if _, err := e.caller.api.PhoneSetCallRating(ctxOf(t), &tg.PhoneSetCallRatingRequest{Peer: e.callerPeer, Rating: 4}); err != nil {
		t.Fatal(err)
	}
	_, err = e.caller.api.PhoneSetCallRating(ctxOf(t), &tg.PhoneSetCallRatingRequest{Peer: e.callerPeer, Rating: 6})
	wantError(t, err, 400, "RATING_INVALID")
	if _, err := e.caller.api.PhoneSaveCallDebug(ctxOf(t), &tg.PhoneSaveCallDebugRequest{Peer: e.callerPeer, Debug: tg.DataJSON{Data: "{}"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.caller.api.PhoneSaveCallLog(ctxOf(t), &tg.PhoneSaveCallLogRequest{Peer: e.callerPeer, File: &tg.InputFile{}}); err != nil {
		t.Fatal(err)
	}
	info := s.Control().Calls()[0]
	if info.Reason != "hangup" || info.Duration != 7 || info.Rating != 4 || info.Debug != "{}" || info.Signals != 21 || info.Version != "13.0.0" {
		t.Fatalf("call %+v", info)
	}
	if n := len(s.Control().ActiveCalls()); n != 0 {
		t.Fatalf("%d calls left", n)
	}
}

func TestDeclineAndCancel(t *testing.T) {
	s, _ := startServer(t, Options{})
	a, b := loggedIn(t, s, alice), loggedIn(t, s, bob)
	to := a.user("bob_b")
	h := newHalf(t, a)

	dial(t, a, to, h, protocol("13.0.0"))
	requested := awaitCall[*tg.PhoneCallRequested](b)
	if _, err := b.api.PhoneDiscardCall(ctxOf(t), &tg.PhoneDiscardCallRequest{Peer: peerOf(requested), Reason: &tg.PhoneCallDiscardReasonBusy{}}); err != nil {
		t.Fatal(err)
	}
	d := awaitCall[*tg.PhoneCallDiscarded](a)
	if _, ok := d.Reason.(*tg.PhoneCallDiscardReasonBusy); !ok {
		t.Fatalf("reason %T", d.Reason)
	}
	_, err := b.api.PhoneAcceptCall(ctxOf(t), &tg.PhoneAcceptCallRequest{Peer: peerOf(requested), GB: h.public, Protocol: protocol("13.0.0")})
	wantError(t, err, 400, "CALL_ALREADY_DECLINED")
	_, err = b.api.PhoneReceivedCall(ctxOf(t), peerOf(requested))
	wantError(t, err, 400, "CALL_ALREADY_DECLINED")

	w := dial(t, a, to, h, protocol("13.0.0"))
	requested = awaitCall[*tg.PhoneCallRequested](b)
	if _, err := a.api.PhoneDiscardCall(ctxOf(t), &tg.PhoneDiscardCallRequest{Peer: peerOf(w), Reason: &tg.PhoneCallDiscardReasonMissed{}}); err != nil {
		t.Fatal(err)
	}
	d = awaitCall[*tg.PhoneCallDiscarded](b)
	if _, ok := d.Reason.(*tg.PhoneCallDiscardReasonMissed); !ok || d.ID != requested.ID {
		t.Fatalf("discarded %+v", d)
	}
	// What remains is a service message on both sides.
	m := await(b, func(u *tg.UpdateNewMessage) bool { _, ok := u.Message.(*tg.MessageService); return ok }).Message.(*tg.MessageService)
	if _, ok := m.Action.(*tg.MessageActionPhoneCall); !ok {
		t.Fatalf("action %T", m.Action)
	}
}

func TestBusyFlag(t *testing.T) {
	s, _ := startServer(t, Options{})
	a, b, c := loggedIn(t, s, alice), loggedIn(t, s, bob), loggedIn(t, s, carol)
	dial(t, a, a.user("bob_b"), newHalf(t, a), protocol("13.0.0"))
	first := awaitCall[*tg.PhoneCallRequested](b)

	// Without receivedCall a second caller comes through.
	w := dial(t, c, c.user("bob_b"), newHalf(t, c), protocol("13.0.0"))
	second := awaitCall[*tg.PhoneCallRequested](b)
	if _, err := c.api.PhoneDiscardCall(ctxOf(t), &tg.PhoneDiscardCallRequest{Peer: peerOf(w), Reason: &tg.PhoneCallDiscardReasonMissed{}}); err != nil {
		t.Fatal(err)
	}
	if d := awaitCall[*tg.PhoneCallDiscarded](b); d.ID != second.ID {
		t.Fatal("the wrong call ended")
	}

	if _, err := b.api.PhoneReceivedCall(ctxOf(t), peerOf(first)); err != nil {
		t.Fatal(err)
	}
	w = dial(t, c, c.user("bob_b"), newHalf(t, c), protocol("13.0.0"))
	d := await(c, func(u *tg.UpdatePhoneCall) bool { return u.PhoneCall.GetID() == w.ID }).PhoneCall.(*tg.PhoneCallDiscarded)
	if _, ok := d.Reason.(*tg.PhoneCallDiscardReasonBusy); !ok {
		t.Fatalf("discarded %+v", d)
	}

	if _, err := b.api.PhoneDiscardCall(ctxOf(t), &tg.PhoneDiscardCallRequest{Peer: peerOf(first), Reason: &tg.PhoneCallDiscardReasonBusy{}}); err != nil {
		t.Fatal(err)
	}
	w = dial(t, c, c.user("bob_b"), newHalf(t, c), protocol("13.0.0"))
	if r := awaitCall[*tg.PhoneCallRequested](b); r.ID != w.ID { // and the busy call was never shown
		t.Fatal("another call came")
	}
}

func TestP2PNeedsBoth(t *testing.T) {
	s, _ := startServer(t, Options{})
	a, b := loggedIn(t, s, alice), loggedIn(t, s, bob)
	to := a.user("bob_b")
	for _, c := range []struct {
		mine, theirs Audience
		udp, want    bool
	}{{Everybody, Everybody, true, true}, {Nobody, Everybody, true, false}, {Everybody, Contacts, true, false}, {Everybody, Everybody, false, false}} {
		s.Control().SetPrivacy(alice, Privacy{P2P: c.mine})
		s.Control().SetPrivacy(bob, Privacy{P2P: c.theirs})
		offer := protocol("13.0.0")
		offer.UDPP2P = c.udp
		e := establish(t, a, b, to, offer, protocol("13.0.0"))
		if e.callerCall.P2PAllowed != c.want || e.calleeCall.P2PAllowed != c.want {
			t.Fatalf("%+v: p2p %v and %v", c, e.callerCall.P2PAllowed, e.calleeCall.P2PAllowed)
		}
		if _, err := a.api.PhoneDiscardCall(ctxOf(t), &tg.PhoneDiscardCallRequest{Peer: e.callerPeer, Reason: &tg.PhoneCallDiscardReasonHangup{}}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSecondDevice(t *testing.T) {
	s, _ := startServer(t, Options{})
	a, b, b2 := loggedIn(t, s, alice), loggedIn(t, s, bob), loggedIn(t, s, bob)
	hb := newHalf(t, b)
	dial(t, a, a.user("bob_b"), newHalf(t, a), protocol("13.0.0"))
	one, two := awaitCall[*tg.PhoneCallRequested](b), awaitCall[*tg.PhoneCallRequested](b2)
	if one.ID != two.ID {
		t.Fatal("different calls")
	}
	q := &tg.PhoneAcceptCallRequest{Peer: peerOf(one), GB: hb.public, Protocol: protocol("13.0.0")}
	if _, err := b.api.PhoneAcceptCall(ctxOf(t), q); err != nil {
		t.Fatal(err)
	}
	d := awaitCall[*tg.PhoneCallDiscarded](b2)
	if d.ID != one.ID || d.Reason != nil {
		t.Fatalf("discarded %+v", d)
	}
	_, err := b2.api.PhoneAcceptCall(ctxOf(t), q)
	wantError(t, err, 400, "CALL_ALREADY_ACCEPTED")
	_, err = b2.api.PhoneDiscardCall(ctxOf(t), &tg.PhoneDiscardCallRequest{Peer: q.Peer, Reason: &tg.PhoneCallDiscardReasonBusy{}})
	wantError(t, err, 400, "CALL_ALREADY_ACCEPTED")
	if n := len(s.Control().ActiveCalls()); n != 1 {
		t.Fatalf("%d calls", n)
	}
	// The device that took the call logs out: the call ends for the caller.
	if _, err := b.api.AuthLogOut(ctxOf(t)); err != nil {
		t.Fatal(err)
	}
	awaitCall[*tg.PhoneCallDiscarded](a)
}

func TestServerTimeouts(t *testing.T) {
	short := Timeouts{Receive: 300 * time.Millisecond, Ring: 300 * time.Millisecond, Confirm: 300 * time.Millisecond, Active: 300 * time.Millisecond}
	s, _ := startServer(t, Options{Timeouts: short})
	a, b := loggedIn(t, s, alice), loggedIn(t, s, bob)
	to, h := a.user("bob_b"), newHalf(t, a)
	dial(t, a, to, h, protocol("13.0.0"))
	for _, c := range []*client{a, b} {
		if d := awaitCall[*tg.PhoneCallDiscarded](c); reasonName(d.Reason) != "missed" {
			t.Fatalf("reason %v", d.Reason)
		}
	}
	dial(t, a, to, h, protocol("13.0.0"))
	first := awaitCall[*tg.PhoneCallRequested](b)
	if first == nil || len(s.Control().ActiveCalls()) > 1 {
		t.Fatal("old calls live on")
	}
	awaitCall[*tg.PhoneCallDiscarded](a)
	if n := len(s.Control().ActiveCalls()); n != 0 {
		t.Fatalf("%d calls left", n)
	}
}

func TestControlEndsCall(t *testing.T) {
	s, _ := startServer(t, Options{})
	a, b := loggedIn(t, s, alice), loggedIn(t, s, bob)
	s.Control().SetCustomParameters(`{"network_signaling_nosctp":true}`)
	e := establish(t, a, b, a.user("bob_b"), protocol("13.0.0"), protocol("13.0.0"))
	if p, ok := e.callerCall.GetCustomParameters(); !ok || p.Data != `{"network_signaling_nosctp":true}` {
		t.Fatalf("custom parameters %v", p)
	}
	id := s.Control().ActiveCalls()[0].ID
	if !s.Control().EndCall(id, "disconnect") || s.Control().EndCall(id, "disconnect") {
		t.Fatal("EndCall is wrong")
	}
	for _, c := range []*client{a, b} {
		if d := awaitCall[*tg.PhoneCallDiscarded](c); reasonName(d.Reason) != "disconnect" {
			t.Fatalf("reason %v", d.Reason)
		}
	}
}

func TestMergeRanksByNumber(t *testing.T) {
	got, err := merge(protocol("9.0.0", "8.0.0", "2.7.7", "13.0.0", "12.0.0"), protocol("2.7.7", "9.0.0", "12.0.0", "7.0.0"))
	if err != nil || len(got.LibraryVersions) != 1 || got.LibraryVersions[0] != "12.0.0" {
		t.Fatalf("%v, %v", got, err)
	}
}

// TestShortPublicValues: official clients leave leading zeros of g_a and g_b away.
func TestShortPublicValues(t *testing.T) {
	s, _ := startServer(t, Options{})
	a, b := loggedIn(t, s, alice), loggedIn(t, s, bob)
	ha, hb := shortHalf(t, a), shortHalf(t, b)
	w := dial(t, a, a.user("bob_b"), ha, protocol("13.0.0"))
	requested := awaitCall[*tg.PhoneCallRequested](b)
	if _, err := b.api.PhoneAcceptCall(ctxOf(t), &tg.PhoneAcceptCallRequest{Peer: peerOf(requested), GB: hb.public, Protocol: protocol("13.0.0")}); err != nil {
		t.Fatal(err)
	}
	if taken := awaitCall[*tg.PhoneCallAccepted](a); !bytes.Equal(taken.GB, hb.public) {
		t.Fatal("g_b was changed")
	}
	if _, err := a.api.PhoneConfirmCall(ctxOf(t), &tg.PhoneConfirmCallRequest{Peer: peerOf(w), GA: ha.public, Protocol: protocol("13.0.0")}); err != nil {
		t.Fatal(err)
	}
	if active := awaitCall[*tg.PhoneCall](b); !bytes.Equal(active.GAOrB, ha.public) {
		t.Fatal("g_a was changed")
	}
}

// shortHalf looks for a public value that begins with a zero and leaves that away.
func shortHalf(t *testing.T, c *client) half {
	t.Helper()
	h := newHalf(t, c)
	for v := new(big.Int).SetBytes(h.public); ; {
		if raw := v.Bytes(); len(raw) == 255 {
			h.public = raw
			return h
		}
		v.Mod(v.Mul(v, big.NewInt(3)), h.p)
	}
}
