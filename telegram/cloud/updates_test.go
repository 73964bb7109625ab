package cloud

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/gotd/td/session"
	"github.com/gotd/td/tg"
	"github.com/gotd/td/tgerr"
)

func (c *client) say(to *tg.InputUser, text string, randomID int64) (*tg.Updates, error) {
	u, err := c.api.MessagesSendMessage(ctxOf(c.t), &tg.MessagesSendMessageRequest{
		Peer: &tg.InputPeerUser{UserID: to.UserID, AccessHash: to.AccessHash}, Message: text, RandomID: randomID,
	})
	if err != nil {
		return nil, err
	}
	return u.(*tg.Updates), nil
}

func TestMessages(t *testing.T) {
	s, _ := startServer(t, Options{})
	a, b := loggedIn(t, s, alice), loggedIn(t, s, bob)
	to := a.user("bob_b")
	sent, err := a.say(to, "hello", 1)
	if err != nil {
		t.Fatal(err)
	}
	if id := sent.Updates[0].(*tg.UpdateMessageID); id.RandomID != 1 || id.ID != sent.Updates[1].(*tg.UpdateNewMessage).Message.GetID() {
		t.Fatalf("message id %+v", id)
	}
	m := await[*tg.UpdateNewMessage](b, nil).Message.(*tg.Message)
	if m.Out || m.Message != "hello" || m.PeerID.(*tg.PeerUser).UserID != alice {
		t.Fatalf("message %+v", m)
	}
	_, err = a.say(to, "again", 1)
	wantError(t, err, 500, "RANDOM_ID_DUPLICATE")
	_, err = a.say(to, "", 2)
	wantError(t, err, 400, "MESSAGE_EMPTY")
	_, err = a.say(to, string(make([]rune, maxText+1)), 3)
	wantError(t, err, 400, "MESSAGE_TOO_LONG")
	_, err = a.say(&tg.InputUser{UserID: bob, AccessHash: 1}, "x", 4)
	wantError(t, err, 400, "PEER_ID_INVALID")
	s.Control().BlockUser(bob, alice, true)
	_, err = a.say(to, "x", 5)
	wantError(t, err, 400, "USER_IS_BLOCKED")
	s.Control().BlockUser(bob, alice, false)
	_, err = b.api.MessagesReadHistory(ctxOf(t), &tg.MessagesReadHistoryRequest{Peer: &tg.InputPeerUserFromMessage{Peer: &tg.InputPeerSelf{}, MsgID: m.ID, UserID: alice}})
	wantError(t, err, 400, "PEER_ID_INVALID")
	peer := b.user("alice")
	if _, err := b.api.MessagesReadHistory(ctxOf(t), &tg.MessagesReadHistoryRequest{Peer: &tg.InputPeerUser{UserID: alice, AccessHash: peer.AccessHash}}); err != nil {
		t.Fatal(err)
	}
	if read := await[*tg.UpdateReadHistoryOutbox](a, nil); read.MaxID != sent.Updates[1].(*tg.UpdateNewMessage).Message.GetID() {
		t.Fatalf("read up to %d", read.MaxID)
	}
	dialogs, err := b.api.MessagesGetDialogs(ctxOf(t), &tg.MessagesGetDialogsRequest{OffsetPeer: &tg.InputPeerEmpty{}, Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	if d := dialogs.(*tg.MessagesDialogs); len(d.Dialogs) != 1 || d.Dialogs[0].(*tg.Dialog).UnreadCount != 0 || len(d.Users) != 2 {
		t.Fatalf("dialogs %+v", d)
	}
	history, err := a.api.MessagesGetHistory(ctxOf(t), &tg.MessagesGetHistoryRequest{Peer: &tg.InputPeerUser{UserID: bob, AccessHash: to.AccessHash}, Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	if h := history.(*tg.MessagesMessages); len(h.Messages) != 1 || !h.Messages[0].(*tg.Message).Out {
		t.Fatalf("history %+v", h)
	}
	if _, err := a.api.MessagesDeleteMessages(ctxOf(t), &tg.MessagesDeleteMessagesRequest{Revoke: true, ID: []int{sent.Updates[1].(*tg.UpdateNewMessage).Message.GetID()}}); err != nil {
		t.Fatal(err)
	}
	if gone := await[*tg.UpdateDeleteMessages](b, nil); gone.Messages[0] != m.ID {
		t.Fatalf("deleted %v", gone.Messages)
	}
}

// TestGap loses updates on their way; the difference has them: messages by pts, the call as it stands now.
func TestGap(t *testing.T) {
	s, _ := startServer(t, Options{})
	a, b := loggedIn(t, s, alice), loggedIn(t, s, bob)
	to := a.user("bob_b")
	state, err := b.api.UpdatesGetState(ctxOf(t))
	if err != nil {
		t.Fatal(err)
	}
	s.Control().DropUpdates(bob, true)
	for i := range 3 {
		if _, err := a.say(to, fmt.Sprint("lost ", i), int64(i)); err != nil {
			t.Fatal(err)
		}
	}
	w := dial(t, a, to, newHalf(t, a), protocol("13.0.0"))
	s.Control().DropUpdates(bob, false)
	if _, err := a.say(to, "seen", 10); err != nil {
		t.Fatal(err)
	}
	u := await[*tg.UpdateNewMessage](b, nil)
	if u.Pts != state.Pts+4 {
		t.Fatalf("pts %d after %d: the gap does not show", u.Pts, state.Pts)
	}
	got, err := b.api.UpdatesGetDifference(ctxOf(t), &tg.UpdatesGetDifferenceRequest{Pts: state.Pts, Date: state.Date, Qts: state.Qts})
	if err != nil {
		t.Fatal(err)
	}
	d := got.(*tg.UpdatesDifference)
	if len(d.NewMessages) != 4 || d.NewMessages[0].(*tg.Message).Message != "lost 0" || d.State.Pts != u.Pts {
		t.Fatalf("difference %+v", d)
	}
	if len(d.OtherUpdates) != 1 || d.OtherUpdates[0].(*tg.UpdatePhoneCall).PhoneCall.(*tg.PhoneCallRequested).ID != w.ID {
		t.Fatalf("other updates %+v", d.OtherUpdates)
	}
	if d.State.Seq <= state.Seq {
		t.Fatalf("seq %d after %d", d.State.Seq, state.Seq)
	}
	if len(d.Users) != 2 {
		t.Fatalf("%d users", len(d.Users))
	}
	if _, err := a.api.PhoneDiscardCall(ctxOf(t), &tg.PhoneDiscardCallRequest{Peer: peerOf(w), Reason: &tg.PhoneCallDiscardReasonMissed{}}); err != nil {
		t.Fatal(err)
	}
	_, err = b.api.UpdatesGetDifference(ctxOf(t), &tg.UpdatesGetDifferenceRequest{Date: state.Date})
	wantError(t, err, 400, "PERSISTENT_TIMESTAMP_EMPTY")
}

func TestDifferenceIsEmptyOrSliced(t *testing.T) {
	s, _ := startServer(t, Options{})
	b := loggedIn(t, s, bob)
	state, err := b.api.UpdatesGetState(ctxOf(t))
	if err != nil {
		t.Fatal(err)
	}
	ask := func(pts int) tg.UpdatesDifferenceClass {
		d, err := b.api.UpdatesGetDifference(ctxOf(t), &tg.UpdatesGetDifferenceRequest{Pts: pts, Date: state.Date + 100, Qts: 1})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	if d, ok := ask(state.Pts).(*tg.UpdatesDifferenceEmpty); !ok {
		t.Fatalf("difference %+v", d)
	}
	s.Control().DropUpdates(bob, true)
	for range sliceSize + 5 {
		if err := s.Control().SendMessage(alice, bob, "x"); err != nil {
			t.Fatal(err)
		}
	}
	slice, ok := ask(state.Pts).(*tg.UpdatesDifferenceSlice)
	if !ok || len(slice.NewMessages) != sliceSize {
		t.Fatalf("difference %T", slice)
	}
	rest, ok := ask(slice.IntermediateState.Pts).(*tg.UpdatesDifference)
	if !ok || len(rest.NewMessages) != 5 {
		t.Fatalf("rest %T", rest)
	}
	if d, ok := ask(state.Pts - 1000).(*tg.UpdatesDifferenceSlice); !ok { // from before this run of the server
		t.Fatalf("difference %T", d)
	}
}

// retry repeats what a cut connection spoiled.
func retry(t *testing.T, f func() error) {
	t.Helper()
	var rpc *tgerr.Error
	ctx := ctxOf(t)
	for {
		err := f()
		if err == nil {
			return
		}
		if errors.As(err, &rpc) || ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

func TestTCPDrop(t *testing.T) {
	s, _ := startServer(t, Options{})
	a, b := loggedIn(t, s, alice), loggedIn(t, s, bob)
	to := a.user("bob_b")
	for round := range 3 {
		if n := s.Control().DropConnections(bob); n != 1 {
			t.Fatalf("%d connections cut", n)
		}
		retry(t, func() error { _, err := b.api.UpdatesGetState(ctxOf(t)); return err })
		if _, err := a.say(to, fmt.Sprint("round ", round), int64(round)); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprint("round ", round)
		await(b, func(u *tg.UpdateNewMessage) bool { return u.Message.(*tg.Message).Message == want })
	}
}

func TestRedelivery(t *testing.T) {
	s, _ := startServer(t, Options{})
	a, b := loggedIn(t, s, alice), loggedIn(t, s, bob)
	w := dial(t, a, a.user("bob_b"), newHalf(t, a), protocol("13.0.0"))
	awaitCall[*tg.PhoneCallRequested](b)
	s.Control().RedeliverLast(bob)
	if again := awaitCall[*tg.PhoneCallRequested](b); again.ID != w.ID {
		t.Fatal("another call")
	}
}

// TestUpdatesGoToTheMainSession: only a session that asked for the state gets updates.
func TestUpdatesGoToTheMainSession(t *testing.T) {
	s, _ := startServer(t, Options{})
	storage := new(session.StorageMemory)
	if err := s.Control().LogIn(bob, storage); err != nil {
		t.Fatal(err)
	}
	b := connect(t, s, clientOptions{storage: storage})
	if err := s.Control().SendMessage(alice, bob, "early"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.api.UpdatesGetState(ctxOf(t)); err != nil {
		t.Fatal(err)
	}
	if err := s.Control().SendMessage(alice, bob, "later"); err != nil {
		t.Fatal(err)
	}
	if m := await[*tg.UpdateNewMessage](b, nil).Message.(*tg.Message); m.Message != "later" {
		t.Fatalf("got %q", m.Message)
	}
}

func TestPhoneNumbersArePrivate(t *testing.T) {
	s, _ := startServer(t, Options{})
	a, b := loggedIn(t, s, alice), loggedIn(t, s, bob)
	see := func() *tg.User {
		p, err := a.api.ContactsResolveUsername(ctxOf(t), &tg.ContactsResolveUsernameRequest{Username: "bob_b"})
		if err != nil {
			t.Fatal(err)
		}
		return p.Users[0].(*tg.User)
	}
	if u := see(); u.Phone != "" || u.Contact {
		t.Fatalf("a stranger sees %+v", u)
	}
	b.addByPhone("99966110001")
	if u := see(); u.Phone != "99966110002" || u.Contact {
		t.Fatalf("bob's contact sees %+v", u)
	}
	s.Control().SetPrivacy(bob, Privacy{Phone: Nobody})
	if u := see(); u.Phone != "" {
		t.Fatalf("number of one who shows it to nobody: %+v", u)
	}
	if u := a.addByPhone("99966110002"); u.Phone != "99966110002" || !u.MutualContact || u.FirstName != "My" {
		t.Fatalf("a contact by number is %+v", u)
	}
	list, err := a.api.ContactsGetContacts(ctxOf(t), 0)
	if err != nil || len(list.(*tg.ContactsContacts).Contacts) != 1 {
		t.Fatal(list, err)
	}
	if _, err := a.api.ContactsDeleteContacts(ctxOf(t), []tg.InputUserClass{a.user("bob_b")}); err != nil {
		t.Fatal(err)
	}
	if u := see(); u.Contact || u.FirstName != "Bob" {
		t.Fatalf("after deletion %+v", u)
	}
	_, err = a.api.ContactsResolvePhone(ctxOf(t), "99966110004")
	wantError(t, err, 400, "PHONE_NOT_OCCUPIED") // dave does not want to be found
	_, err = a.api.ContactsResolvePhone(ctxOf(t), "99966119999")
	wantError(t, err, 400, "PHONE_NOT_OCCUPIED")
	_, err = a.api.ContactsResolveUsername(ctxOf(t), &tg.ContactsResolveUsernameRequest{Username: "nobody_here"})
	wantError(t, err, 400, "USERNAME_NOT_OCCUPIED")
	_, err = a.api.ContactsResolveUsername(ctxOf(t), &tg.ContactsResolveUsernameRequest{Username: "!"})
	wantError(t, err, 400, "USERNAME_INVALID")
	if p, err := a.api.ContactsResolvePhone(ctxOf(t), "+99966110002"); err != nil || p.Peer.(*tg.PeerUser).UserID != bob {
		t.Fatal(p, err)
	}
}

func TestAccessHashesArePersonal(t *testing.T) {
	s, _ := startServer(t, Options{})
	a, c := loggedIn(t, s, alice), loggedIn(t, s, carol)
	mine, theirs := a.user("bob_b"), c.user("bob_b")
	if mine.AccessHash == theirs.AccessHash {
		t.Fatal("two users have the same access hash for a third")
	}
	users, err := a.api.UsersGetUsers(ctxOf(t), []tg.InputUserClass{theirs})
	if err != nil || len(users) != 0 {
		t.Fatal(users, err)
	}
	_, err = a.api.UsersGetFullUser(ctxOf(t), theirs)
	wantError(t, err, 400, "USER_ID_INVALID")
	full, err := a.api.UsersGetFullUser(ctxOf(t), mine)
	if err != nil || !full.FullUser.PhoneCallsAvailable || full.FullUser.PhoneCallsPrivate {
		t.Fatal(full, err)
	}
}

func TestUnknownMethodKeepsConnection(t *testing.T) {
	s, _ := startServer(t, Options{})
	a := loggedIn(t, s, alice)
	_, err := a.api.AccountGetWebBrowserSettings(ctxOf(t), 0)
	wantError(t, err, 400, "INPUT_METHOD_INVALID")
	if _, err := a.api.HelpGetConfig(ctxOf(t)); err != nil {
		t.Fatal(err)
	}
}

func TestAddUser(t *testing.T) {
	s, _ := startServer(t, Options{})
	if err := s.Control().AddUser(User{ID: alice, Phone: "12345678", FirstName: "X"}); err == nil {
		t.Fatal("a duplicate was taken")
	}
	if err := s.Control().AddUser(User{ID: 2000, Phone: "12345678", FirstName: "Newcomer", Username: "newcomer"}); err != nil {
		t.Fatal(err)
	}
	loggedIn(t, s, alice).user("newcomer")
}

// TestFiftyClients call each other at the same time.
func TestFiftyClients(t *testing.T) {
	const n = 50
	users := make([]User, n)
	for i := range users {
		users[i] = User{ID: int64(100 + i), Phone: fmt.Sprint(4900000000 + i), FirstName: "U", Username: fmt.Sprintf("user_%d", i)}
	}
	s, _ := startServer(t, Options{Users: users})
	clients := make([]*client, n)
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() { clients[i] = loggedIn(t, s, users[i].ID) })
	}
	all.Wait()
	if t.Failed() {
		return
	}
	start := time.Now()
	for i := 0; i < n; i += 2 {
		all.Go(func() {
			e := establish(t, clients[i], clients[i+1], clients[i].user(users[i+1].Username), protocol("13.0.0"), protocol("13.0.0"))
			if _, err := e.callee.api.PhoneDiscardCall(ctxOf(t), &tg.PhoneDiscardCallRequest{Peer: e.calleePeer, Reason: &tg.PhoneCallDiscardReasonHangup{}}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	t.Logf("25 calls in %v", time.Since(start))
	if calls := s.Control().Calls(); len(calls) != n/2 || len(s.Control().ActiveCalls()) != 0 {
		t.Fatalf("%d calls, %d live", len(calls), len(s.Control().ActiveCalls()))
	}
}
