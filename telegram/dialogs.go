package telegram

import (
	"context"

	"github.com/gotd/td/tg"
)

const (
	dialogPage  = 100 // the most that Telegram gives at once
	dialogPages = 10
)

// fetchDialogs learns whom the account has corresponded with: their access hashes, and that they are no strangers.
// Only the first time it reads more than the newest ones.
func (s *session) fetchDialogs(ctx context.Context) {
	q := &tg.MessagesGetDialogsRequest{OffsetPeer: &tg.InputPeerEmpty{}, Limit: dialogPage}
	for range dialogPages {
		answer, err := s.api.MessagesGetDialogs(ctx, q)
		if err != nil {
			if ctx.Err() == nil {
				s.log.Warn("account's dialogues are unknown: people it has written with may count as strangers", "error", err)
			}
			return
		}
		page, ok := answer.AsModified()
		if !ok || !s.meetAll(page, q) {
			return
		}
		if _, whole := answer.(*tg.MessagesDialogs); whole {
			return
		}
	}
}

// meetAll notes whom a page of dialogues is with, and prepares the question for the next; it reports whether there was
// anybody new.
func (s *session) meetAll(page tg.ModifiedMessagesDialogs, q *tg.MessagesGetDialogsRequest) (fresh bool) {
	tops := make(map[int64]tg.MessageClass)
	for _, m := range page.GetMessages() {
		if id, ok := partner(m); ok {
			tops[id] = m
		}
		if full, ok := m.AsNotEmpty(); ok {
			q.OffsetID, q.OffsetDate = full.GetID(), full.GetDate()
		}
	}
	for _, d := range page.GetDialogs() {
		chat, ok := d.(*tg.Dialog) // the rest are folders
		if !ok {
			continue
		}
		user, ok := chat.Peer.(*tg.PeerUser)
		if !ok {
			continue
		}
		if p, known := s.peers.get(user.UserID); known {
			q.OffsetPeer = &tg.InputPeerUser{UserID: p.ID, AccessHash: p.AccessHash}
			if !p.Met && !ourCall(tops[user.UserID]) {
				fresh = true
				s.peers.meet(user.UserID)
			}
		}
	}
	return fresh
}

// partner is the user that a private message was exchanged with.
func partner(m tg.MessageClass) (int64, bool) {
	full, ok := m.AsNotEmpty()
	if !ok {
		return 0, false
	}
	user, ok := full.GetPeerID().(*tg.PeerUser)
	if !ok {
		return 0, false
	}
	return user.UserID, true
}

// ourCall says whether a message is nothing but the trace of a call that the account has made.
func ourCall(m tg.MessageClass) bool {
	service, ok := m.(*tg.MessageService)
	if !ok || !service.Out {
		return false
	}
	_, call := service.Action.(*tg.MessageActionPhoneCall)
	return call
}

// written notes who writes to the account.
func (s *peers) written(all ...tg.UpdateClass) {
	for _, u := range all {
		news, ok := u.(*tg.UpdateNewMessage)
		if !ok {
			continue
		}
		full, ok := news.Message.AsNotEmpty()
		if !ok || full.GetOut() {
			continue
		}
		if id, ok := partner(news.Message); ok {
			s.meet(id)
		}
	}
}
