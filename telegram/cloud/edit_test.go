package cloud

import (
	"testing"

	"github.com/gotd/td/tg"
)

// edit edits a message as clients do.
func (c *client) edit(to *tg.InputUser, id int, text string) (tg.UpdatesClass, error) {
	q := &tg.MessagesEditMessageRequest{Peer: &tg.InputPeerUser{UserID: to.UserID, AccessHash: to.AccessHash}, ID: id}
	q.SetMessage(text)
	return c.api.MessagesEditMessage(ctxOf(c.t), q)
}

// An edited message changes for both sides: for the author in the answer, for the author's other devices and the other
// side as an update, for who was away in the difference.
func TestEditMessage(t *testing.T) {
	s, _ := startServer(t, Options{})
	a, other, b := loggedIn(t, s, alice), loggedIn(t, s, alice), loggedIn(t, s, bob)
	to := a.user("bob_b")
	before, err := b.api.UpdatesGetState(ctxOf(t))
	if err != nil {
		t.Fatal(err)
	}
	sent, err := a.say(to, "☎ 1", 1)
	if err != nil {
		t.Fatal(err)
	}
	id := sent.Updates[0].(*tg.UpdateMessageID).ID
	got := await[*tg.UpdateNewMessage](b, nil).Message.(*tg.Message)
	answer, err := a.edit(to, id, "☎ 12")
	if err != nil {
		t.Fatal(err)
	}
	mine, ok := answer.(*tg.Updates).Updates[0].(*tg.UpdateEditMessage)
	if !ok || mine.Message.(*tg.Message).Message != "☎ 12" || mine.PtsCount != 1 || mine.Pts == 0 {
		t.Errorf("the author gets %+v", answer)
	}
	for name, c := range map[string]*client{"other device": other, "other side": b} {
		u := await[*tg.UpdateEditMessage](c, nil)
		m := u.Message.(*tg.Message)
		if date, edited := m.GetEditDate(); m.Message != "☎ 12" || !edited || date == 0 || m.Out != (c == other) || c == b && m.ID != got.ID {
			t.Errorf("%s gets %+v", name, m)
		}
	}
	// Who has not heard of either finds the message as it is now.
	d, err := b.api.UpdatesGetDifference(ctxOf(t), &tg.UpdatesGetDifferenceRequest{Pts: before.Pts, Date: before.Date, Qts: before.Qts})
	if err != nil {
		t.Fatal(err)
	}
	all := d.(*tg.UpdatesDifference)
	if len(all.NewMessages) != 1 || all.NewMessages[0].(*tg.Message).Message != "☎ 12" || len(all.OtherUpdates) != 1 {
		t.Errorf("the difference is %+v", all)
	}
	for text, try := range map[string]func() (tg.UpdatesClass, error){
		"MESSAGE_NOT_MODIFIED": func() (tg.UpdatesClass, error) { return a.edit(to, id, "☎ 12") },
		"MESSAGE_EMPTY":        func() (tg.UpdatesClass, error) { return a.edit(to, id, "") },
		"MESSAGE_ID_INVALID":   func() (tg.UpdatesClass, error) { return a.edit(to, id+100, "x") },
	} {
		_, err := try()
		wantError(t, err, 400, text)
	}
	_, err = b.edit(b.user("alice"), got.ID, "mine now")
	wantError(t, err, 403, "MESSAGE_AUTHOR_REQUIRED")
	if err := s.Control().EditMessage(alice, id, "by the test"); err != nil {
		t.Fatal(err)
	}
	await(b, func(u *tg.UpdateEditMessage) bool { return u.Message.(*tg.Message).Message == "by the test" })
	for _, c := range []struct {
		user int64
		id   int
	}{{bob, got.ID}, {alice, id + 100}, {424242, id}} {
		if err := s.Control().EditMessage(c.user, c.id, "x"); err == nil {
			t.Errorf("message %d of %d was edited", c.id, c.user)
		}
	}
}
