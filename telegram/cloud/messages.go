package cloud

import (
	"crypto/rand"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/tg"

	"github.com/tgtrunk/tgtrunk/telegram/cloud/mtserver"
)

const (
	maxText   = 4096 // characters
	dhVersion = 1
)

func addMessages(m methods) {
	on(m, (*request).getDhConfig)
	on(m, (*request).sendMessage)
	on(m, (*request).editMessage)
	on(m, (*request).getHistory)
	on(m, (*request).getMessages)
	on(m, (*request).readHistory)
	on(m, (*request).deleteMessages)
	on(m, (*request).getDialogs)
	on(m, (*request).getPeerDialogs)
	on(m, func(r *request, _ *tg.MessagesGetPinnedDialogsRequest) (bin.Encoder, error) {
		return &tg.MessagesPeerDialogs{State: r.state()}, nil
	})
	on(m, func(r *request, q *tg.MessagesSetTypingRequest) (bin.Encoder, error) {
		if r.resolvePeer(r.me, q.Peer) == nil {
			return nil, fail(400, "PEER_ID_INVALID")
		}
		return yes()
	})
	on(m, func(r *request, q *tg.MessagesGetPeerSettingsRequest) (bin.Encoder, error) {
		peer := r.resolvePeer(r.me, q.Peer)
		if peer == nil {
			return nil, fail(400, "PEER_ID_INVALID")
		}
		return &tg.MessagesPeerSettings{Users: r.usersFor(r.me, peer)}, nil
	})
	on(m, func(*request, *tg.MessagesGetDialogFiltersRequest) (bin.Encoder, error) {
		return &tg.MessagesDialogFilters{}, nil
	})
}

func (r *request) getDhConfig(q *tg.MessagesGetDhConfigRequest) (bin.Encoder, error) {
	if q.RandomLength < 0 || q.RandomLength > 1024 {
		return nil, fail(400, "RANDOM_LENGTH_INVALID")
	}
	random := make([]byte, q.RandomLength)
	if _, err := rand.Read(random); err != nil {
		return nil, fmt.Errorf("generate random: %w", err)
	}
	if q.Version == dhVersion {
		return &tg.MessagesDhConfigNotModified{Random: random}, nil
	}
	_, p, err := dhPrime()
	if err != nil {
		return nil, err
	}
	return &tg.MessagesDhConfig{G: mtserver.DHGenerator, P: p, Version: dhVersion, Random: random}, nil
}

// deliver files a message with both sides and tells all devices but the one that knows already (nil: none). It gives the
// update of the sender's copy.
func (s *Server) deliver(from, to *account, text string, action tg.MessageActionClass, knows *device) *tg.UpdateNewMessage {
	return s.file(from, to, message{text: text, action: action}, knows)
}

// file is deliver for a message with all that it carries.
func (s *Server) file(from, to *account, m message, knows *device) *tg.UpdateNewMessage {
	date := int(s.now().Unix())
	mine := &message{owner: from.ID, peer: to.ID, out: true, date: date, text: m.text, action: m.action, manner: m.manner}
	sent := from.box.put(mine)
	if from != to {
		theirs := &message{owner: to.ID, peer: from.ID, date: date, text: m.text, action: m.action, manner: m.manner, twin: mine}
		mine.twin = theirs
		got := to.box.put(theirs)
		s.push(to, news{updates: []tg.UpdateClass{got}, users: []*account{from}, skip: knows})
	}
	s.push(from, news{updates: []tg.UpdateClass{sent}, users: []*account{to}, skip: knows})
	return sent
}

func (r *request) sendMessage(q *tg.MessagesSendMessageRequest) (bin.Encoder, error) {
	peer := r.resolvePeer(r.me, q.Peer)
	switch {
	case peer == nil:
		return nil, fail(400, "PEER_ID_INVALID")
	case q.Message == "":
		return nil, fail(400, "MESSAGE_EMPTY")
	case utf8.RuneCountInString(q.Message) > maxText:
		return nil, fail(400, "MESSAGE_TOO_LONG")
	case r.me.blocked[peer.ID]:
		return nil, fail(400, "YOU_BLOCKED_USER")
	case peer.blocked[r.me.ID]:
		return nil, fail(400, "USER_IS_BLOCKED")
	case r.repeatedID(q.RandomID):
		return nil, fail(500, "RANDOM_ID_DUPLICATE")
	}
	sent := r.deliver(r.me, peer, q.Message, nil, r.dev)
	return &tg.Updates{
		Updates: []tg.UpdateClass{&tg.UpdateMessageID{ID: sent.Message.GetID(), RandomID: q.RandomID}, sent},
		Users:   r.usersFor(r.me, r.me, peer), Chats: []tg.ChatClass{}, Date: int(r.now().Unix()),
	}, nil
}

// editMessage changes the text of a message of one's own, for both sides.
func (r *request) editMessage(q *tg.MessagesEditMessageRequest) (bin.Encoder, error) {
	m := r.me.box.message(q.ID)
	peer := r.resolvePeer(r.me, q.Peer)
	text, _ := q.GetMessage()
	switch {
	case peer == nil:
		return nil, fail(400, "PEER_ID_INVALID")
	case m == nil || m.peer != peer.ID || m.action != nil:
		return nil, fail(400, "MESSAGE_ID_INVALID")
	case !m.out:
		return nil, fail(403, "MESSAGE_AUTHOR_REQUIRED")
	case text == "":
		return nil, fail(400, "MESSAGE_EMPTY")
	case utf8.RuneCountInString(text) > maxText:
		return nil, fail(400, "MESSAGE_TOO_LONG")
	case text == m.text:
		return nil, fail(400, "MESSAGE_NOT_MODIFIED")
	}
	mine := r.edit(r.me, m, text, r.dev)
	return &tg.Updates{Updates: []tg.UpdateClass{mine}, Users: r.usersFor(r.me, r.me, peer), Chats: []tg.ChatClass{}, Date: m.edited}, nil
}

// edit changes a message for both sides and tells all devices but the one that knows already (nil: none). It gives the
// update of the author's copy.
func (s *Server) edit(author *account, m *message, text string, knows *device) *tg.UpdateEditMessage {
	peer, now := s.accounts[m.peer], int(s.now().Unix())
	m.text, m.edited = text, now
	if t := m.twin; t != nil {
		t.text, t.edited = text, now
		s.push(peer, news{updates: []tg.UpdateClass{peer.box.edited(t)}, users: []*account{author}})
	}
	mine := author.box.edited(m)
	s.push(author, news{updates: []tg.UpdateClass{mine}, users: []*account{peer}, skip: knows})
	return mine
}

// randomID is one of the last random_ids of a user.
type randomID struct {
	user int64
	id   int64
}

// repeatedID notes a random_id and says whether the user has used it lately.
func (r *request) repeatedID(id int64) bool {
	k := randomID{r.me.ID, id}
	if slices.Contains(r.randomIDs, k) {
		return true
	}
	r.randomIDs = append(r.randomIDs, k)
	if len(r.randomIDs) > 1000 {
		r.randomIDs = r.randomIDs[1:]
	}
	return false
}

// list gives messages with the users they name.
func (r *request) list(all []*message) ([]tg.MessageClass, []tg.UserClass) {
	out, users := make([]tg.MessageClass, 0, len(all)), []*account{r.me}
	for _, m := range all {
		out = append(out, m.tl())
		users = append(users, r.accounts[m.peer])
	}
	return out, r.usersFor(r.me, users...)
}

func (r *request) getHistory(q *tg.MessagesGetHistoryRequest) (bin.Encoder, error) {
	peer := r.resolvePeer(r.me, q.Peer)
	if peer == nil {
		return nil, fail(400, "PEER_ID_INVALID")
	}
	page, total := r.me.box.history(peer.ID, q.OffsetID, q.MinID, min(max(q.Limit, 1), 100))
	messages, users := r.list(page)
	if len(page) == total {
		return &tg.MessagesMessages{Messages: messages, Users: users}, nil
	}
	return &tg.MessagesMessagesSlice{Count: total, Messages: messages, Users: users}, nil
}

func (r *request) getMessages(q *tg.MessagesGetMessagesRequest) (bin.Encoder, error) {
	var found []*message
	var missing []tg.MessageClass
	for _, in := range q.ID {
		id, ok := in.(*tg.InputMessageID)
		if !ok {
			continue
		}
		if m := r.me.box.message(id.ID); m != nil {
			found = append(found, m)
		} else {
			missing = append(missing, &tg.MessageEmpty{ID: id.ID})
		}
	}
	messages, users := r.list(found)
	return &tg.MessagesMessages{Messages: append(messages, missing...), Users: users}, nil
}

func (r *request) readHistory(q *tg.MessagesReadHistoryRequest) (bin.Encoder, error) {
	peer := r.resolvePeer(r.me, q.Peer)
	if peer == nil {
		return nil, fail(400, "PEER_ID_INVALID")
	}
	d := r.me.box.dialog(peer.ID)
	upTo := min(q.MaxID, d.top)
	if q.MaxID == 0 {
		upTo = d.top
	}
	if upTo <= d.readIn {
		return &tg.MessagesAffectedMessages{Pts: r.me.box.pts}, nil
	}
	var last *message
	d.unreadNum = 0
	for _, m := range r.me.box.messages {
		switch {
		case m.peer != peer.ID || m.out:
		case m.id <= upTo && m.id > d.readIn:
			last = m
		case m.id > upTo:
			d.unreadNum++
		}
	}
	d.readIn = upTo
	r.tellRead(peer, d, last)
	return &tg.MessagesAffectedMessages{Pts: r.me.box.pts, PtsCount: 1}, nil
}

// tellRead tells one's other devices and the other side what was read.
func (r *request) tellRead(peer *account, d *dialog, last *message) {
	mine := &tg.UpdateReadHistoryInbox{Peer: &tg.PeerUser{UserID: peer.ID}, MaxID: d.readIn, StillUnreadCount: d.unreadNum, PtsCount: 1}
	mine.Pts = r.me.box.note(logEntry{count: 1, peer: peer.ID, update: mine})
	r.push(r.me, news{updates: []tg.UpdateClass{mine}, users: []*account{peer}, skip: r.dev})
	if last == nil || last.twin == nil || peer == r.me {
		return
	}
	peer.box.dialog(r.me.ID).readOut = last.twin.id
	theirs := &tg.UpdateReadHistoryOutbox{Peer: &tg.PeerUser{UserID: r.me.ID}, MaxID: last.twin.id, PtsCount: 1}
	theirs.Pts = peer.box.note(logEntry{count: 1, peer: r.me.ID, update: theirs})
	r.push(peer, news{updates: []tg.UpdateClass{theirs}, users: []*account{r.me}})
}

func (r *request) deleteMessages(q *tg.MessagesDeleteMessagesRequest) (bin.Encoder, error) {
	gone, theirs := []int{}, map[*account][]int{}
	for _, id := range q.ID {
		m := r.me.box.remove(id)
		if m == nil {
			continue
		}
		gone = append(gone, id)
		if peer := r.accounts[m.peer]; q.Revoke && m.twin != nil && peer != nil && peer.box.remove(m.twin.id) != nil {
			theirs[peer] = append(theirs[peer], m.twin.id)
		}
	}
	if len(gone) > 0 {
		r.tellDeleted(r.me, gone, r.dev)
	}
	for peer, ids := range theirs {
		r.tellDeleted(peer, ids, nil)
	}
	return &tg.MessagesAffectedMessages{Pts: r.me.box.pts, PtsCount: len(gone)}, nil
}

func (s *Server) tellDeleted(a *account, ids []int, knows *device) {
	u := &tg.UpdateDeleteMessages{Messages: ids, PtsCount: len(ids)}
	u.Pts = a.box.note(logEntry{count: len(ids), update: u})
	s.push(a, news{updates: []tg.UpdateClass{u}, skip: knows})
}

func (r *request) dialogTL(d *dialog) *tg.Dialog {
	return &tg.Dialog{
		Peer: &tg.PeerUser{UserID: d.peer}, TopMessage: d.top, ReadInboxMaxID: d.readIn, ReadOutboxMaxID: d.readOut, UnreadCount: d.unreadNum,
	}
}

// dialogs gives chats with their newest messages and their users.
func (r *request) dialogs(all []*dialog) (dialogs []tg.DialogClass, messages []tg.MessageClass, users []tg.UserClass) {
	var tops []*message
	for _, d := range all {
		dialogs = append(dialogs, r.dialogTL(d))
		if m := r.me.box.message(d.top); m != nil {
			tops = append(tops, m)
		}
	}
	messages, users = r.list(tops)
	return dialogs, messages, users
}

func (r *request) getDialogs(q *tg.MessagesGetDialogsRequest) (bin.Encoder, error) {
	if q.FolderID != 0 { // the archive, which is empty
		return &tg.MessagesDialogs{}, nil
	}
	all := r.me.box.ordered()
	page := slices.DeleteFunc(slices.Clone(all), func(d *dialog) bool { return q.OffsetID != 0 && d.top >= q.OffsetID })
	page = page[:min(len(page), min(max(q.Limit, 1), 100))]
	dialogs, messages, users := r.dialogs(page)
	if len(page) == len(all) {
		return &tg.MessagesDialogs{Dialogs: dialogs, Messages: messages, Users: users}, nil
	}
	return &tg.MessagesDialogsSlice{Count: len(all), Dialogs: dialogs, Messages: messages, Users: users}, nil
}

func (r *request) getPeerDialogs(q *tg.MessagesGetPeerDialogsRequest) (bin.Encoder, error) {
	var some []*dialog
	for _, in := range q.Peers {
		p, ok := in.(*tg.InputDialogPeer)
		if !ok {
			continue
		}
		peer := r.resolvePeer(r.me, p.Peer)
		if peer == nil {
			return nil, fail(400, "PEER_ID_INVALID")
		}
		some = append(some, r.me.box.dialog(peer.ID))
	}
	dialogs, messages, users := r.dialogs(some)
	return &tg.MessagesPeerDialogs{Dialogs: dialogs, Messages: messages, Users: users, State: r.state()}, nil
}
