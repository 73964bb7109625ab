package cloud

import (
	"testing"

	"github.com/gotd/td/tg"
)

func TestCallRefusals(t *testing.T) {
	s, _ := startServer(t, Options{})
	a, b := loggedIn(t, s, alice), loggedIn(t, s, bob)
	to, h, control := a.user("bob_b"), newHalf(t, a), s.Control()
	next := 0
	request := func(change func(*tg.PhoneRequestCallRequest)) error {
		next++
		q := &tg.PhoneRequestCallRequest{UserID: to, RandomID: next, GAHash: h.hash(), Protocol: protocol("13.0.0")}
		if change != nil {
			change(q)
		}
		_, err := a.api.PhoneRequestCall(ctxOf(t), q)
		return err
	}
	user := func(id int64, hash int64) func(*tg.PhoneRequestCallRequest) {
		return func(q *tg.PhoneRequestCallRequest) { q.UserID = &tg.InputUser{UserID: id, AccessHash: hash} }
	}
	wantError(t, request(user(bob, to.AccessHash+1)), 400, "USER_ID_INVALID")
	wantError(t, request(user(dave, 0)), 400, "USER_ID_INVALID")
	wantError(t, request(user(99, to.AccessHash)), 400, "USER_ID_INVALID")
	wantError(t, request(func(q *tg.PhoneRequestCallRequest) { q.UserID = &tg.InputUserSelf{} }), 400, "USER_ID_INVALID")
	wantError(t, request(func(q *tg.PhoneRequestCallRequest) { q.UserID = a.user("robot") }), 400, "USER_IS_BOT")
	wantError(t, request(func(q *tg.PhoneRequestCallRequest) { q.GAHash = h.public }), 400, "G_A_HASH_INVALID")
	wantError(t, request(func(q *tg.PhoneRequestCallRequest) { q.Protocol.UDPP2P, q.Protocol.UDPReflector = false, false }), 400, "CALL_PROTOCOL_FLAGS_INVALID")
	wantError(t, request(func(q *tg.PhoneRequestCallRequest) { q.Protocol.MinLayer = 93 }), 400, "CALL_PROTOCOL_LAYER_INVALID")

	control.SetPrivacy(bob, Privacy{Calls: Contacts})
	wantError(t, request(nil), 403, "USER_PRIVACY_RESTRICTED")
	b.addByPhone("99966110001") // now alice is a contact of bob's
	if err := request(nil); err != nil {
		t.Fatal(err)
	}
	control.SetPrivacy(bob, Privacy{Calls: Nobody})
	wantError(t, request(nil), 403, "USER_PRIVACY_RESTRICTED")
	control.SetPrivacy(bob, Privacy{})
	control.BlockUser(bob, alice, true)
	wantError(t, request(nil), 403, "USER_IS_BLOCKED")
	control.BlockUser(bob, alice, false)
	control.RefuseVersion(bob, true)
	wantError(t, request(nil), 400, "PARTICIPANT_VERSION_OUTDATED")
	control.RefuseVersion(bob, false)
	control.FloodNext(alice, "phone.requestCall", 300)
	wantError(t, request(nil), 420, "FLOOD_WAIT_300")
	control.FailNext(alice, "phone.requestCall", 400, "PEER_FLOOD")
	wantError(t, request(nil), 400, "PEER_FLOOD")
	if err := request(nil); err != nil {
		t.Fatal(err)
	}
	next--
	wantError(t, request(nil), 500, "RANDOM_ID_DUPLICATE")
}

// addByPhone makes a user a contact.
func (c *client) addByPhone(phone string) *tg.User {
	c.t.Helper()
	got, err := c.api.ContactsImportContacts(ctxOf(c.t), []tg.InputPhoneContact{{Phone: phone, FirstName: "My", LastName: "Friend", ClientID: 5}})
	if err != nil {
		c.t.Fatal(err)
	}
	if len(got.Imported) != 1 || got.Imported[0].ClientID != 5 {
		c.t.Fatalf("imported %+v", got.Imported)
	}
	return got.Users[0].(*tg.User)
}

func TestAcceptRefusals(t *testing.T) {
	s, _ := startServer(t, Options{})
	a, b := loggedIn(t, s, alice), loggedIn(t, s, bob)
	ha, hb := newHalf(t, a), newHalf(t, b)
	w := dial(t, a, a.user("bob_b"), ha, protocol("13.0.0"))
	peer := peerOf(awaitCall[*tg.PhoneCallRequested](b))
	accept := func(c *client, change func(*tg.PhoneAcceptCallRequest)) error {
		q := &tg.PhoneAcceptCallRequest{Peer: peer, GB: hb.public, Protocol: protocol("13.0.0")}
		if change != nil {
			change(q)
		}
		_, err := c.api.PhoneAcceptCall(ctxOf(t), q)
		return err
	}
	confirm := func(ga []byte) error {
		_, err := a.api.PhoneConfirmCall(ctxOf(t), &tg.PhoneConfirmCallRequest{Peer: peerOf(w), GA: ga, Protocol: protocol("13.0.0")})
		return err
	}
	wantError(t, accept(a, nil), 400, "CALL_PEER_INVALID")
	wantError(t, accept(b, func(q *tg.PhoneAcceptCallRequest) { q.Peer.AccessHash++ }), 400, "CALL_PEER_INVALID")
	wantError(t, accept(b, func(q *tg.PhoneAcceptCallRequest) { q.GB = append(q.GB, 0) }), 400, "G_B_INVALID")
	wantError(t, accept(b, func(q *tg.PhoneAcceptCallRequest) { q.GB = nil }), 400, "G_B_INVALID")
	wantError(t, accept(b, func(q *tg.PhoneAcceptCallRequest) { q.GB = make([]byte, 256) }), 400, "G_B_INVALID")
	wantError(t, accept(b, func(q *tg.PhoneAcceptCallRequest) { q.Protocol = protocol("9.0.0") }), 406, "CALL_PROTOCOL_COMPAT_LAYER_INVALID")
	wantError(t, accept(b, func(q *tg.PhoneAcceptCallRequest) { q.Protocol.MinLayer, q.Protocol.MaxLayer = 100, 120 }), 406, "CALL_PROTOCOL_COMPAT_LAYER_INVALID")
	wantError(t, confirm(ha.public), 400, "CALL_NOT_ACTIVE")
	s.Control().FailNext(bob, "phone.acceptCall", 500, "CALL_OCCUPY_FAILED")
	wantError(t, accept(b, nil), 500, "CALL_OCCUPY_FAILED")
	_, err := b.api.PhoneSendSignalingData(ctxOf(t), &tg.PhoneSendSignalingDataRequest{Peer: peer, Data: []byte("early")})
	wantError(t, err, 400, "CALL_NOT_ACTIVE")
	if err := accept(b, nil); err != nil {
		t.Fatal(err)
	}
	wantError(t, accept(b, nil), 400, "CALL_ALREADY_ACCEPTED")
	wantError(t, confirm(hb.public), 400, "G_A_INVALID")
	if err := confirm(ha.public); err != nil {
		t.Fatal(err)
	}
	wantError(t, confirm(ha.public), 400, "CALL_ALREADY_ACCEPTED")
}
