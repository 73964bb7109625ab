package telegram

import (
	"context"
	"fmt"
	"slices"

	"github.com/gotd/td/tg"
)

const (
	dialogPage  = 100 // the most that Telegram gives at once
	dialogPages = 10
)

// fetchDialogs learns whom the account has corresponded with: their access hashes, and that they are no strangers.
// Only the first time it reads more than the newest ones.
func (s *session) fetchDialogs(ctx context.Context) {
	first := !s.peers.haveDialogs(ctx)
	err := s.readDialogs(ctx, first)
	if err == nil && first {
		err = s.peers.keepDialogs(ctx)
	}
	if err != nil && ctx.Err() == nil {
		s.log.Warn("account's dialogues are unknown: people it has written with may count as strangers", "error", err)
	}
}

// readDialogs reads on to the first page that brings nobody new, or with all to the last or the bound of pages: what is on
// top may be groups and people who have just written.
func (s *session) readDialogs(ctx context.Context, all bool) error {
	q := &tg.MessagesGetDialogsRequest{OffsetPeer: &tg.InputPeerEmpty{}, Limit: dialogPage}
	for range dialogPages {
		answer, err := s.api.MessagesGetDialogs(ctx, q)
		if err != nil {
			return fmt.Errorf("read dialogues: %w", err)
		}
		page, ok := answer.AsModified()
		if !ok {
			return nil
		}
		fresh := s.meetAll(page)
		if _, whole := answer.(*tg.MessagesDialogs); whole || !fresh && !all || !s.after(page, q) {
			return nil
		}
	}
	return nil
}

// meetAll notes whom a page of dialogues is with; it reports whether there was anybody new.
func (s *session) meetAll(page tg.ModifiedMessagesDialogs) (fresh bool) {
	tops := make(map[int64]tg.MessageClass)
	for _, m := range page.GetMessages() {
		if id, ok := partner(m); ok {
			tops[id] = m
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
		if p, known := s.peers.get(user.UserID); known && !p.Met && !ourCall(tops[user.UserID]) {
			fresh = true
			s.peers.meet(user.UserID)
		}
	}
	return fresh
}

// after prepares the question for what comes after a page: its last dialogue is named by its newest message, that one's
// date, and whom it is with (core.telegram.org/api/offsets). It reports whether there is such a dialogue.
func (s *session) after(page tg.ModifiedMessagesDialogs, q *tg.MessagesGetDialogsRequest) bool {
	type place struct {
		peer string
		id   int
	}
	dates := make(map[place]int)
	for _, m := range page.GetMessages() {
		if full, ok := m.AsNotEmpty(); ok {
			dates[place{full.GetPeerID().String(), full.GetID()}] = full.GetDate()
		}
	}
	for _, d := range slices.Backward(page.GetDialogs()) {
		chat, ok := d.(*tg.Dialog)
		if !ok {
			continue
		}
		date, dated := dates[place{chat.Peer.String(), chat.TopMessage}]
		peer := s.inputPeer(chat.Peer, page.GetChats())
		if dated && peer != nil {
			q.OffsetID, q.OffsetDate, q.OffsetPeer = chat.TopMessage, date, peer
			return true
		}
	}
	return false
}

// inputPeer names a peer to Telegram; nil where its access hash is not known.
func (s *session) inputPeer(p tg.PeerClass, chats []tg.ChatClass) tg.InputPeerClass {
	switch p := p.(type) {
	case *tg.PeerUser:
		if user, ok := s.peers.get(p.UserID); ok && user.AccessHash != 0 {
			return &tg.InputPeerUser{UserID: user.ID, AccessHash: user.AccessHash}
		}
	case *tg.PeerChat:
		return &tg.InputPeerChat{ChatID: p.ChatID}
	case *tg.PeerChannel:
		for _, c := range chats {
			switch c := c.(type) {
			case *tg.Channel:
				if c.ID == p.ChannelID {
					return c.AsInputPeer()
				}
			case *tg.ChannelForbidden:
				if c.ID == p.ChannelID {
					return &tg.InputPeerChannel{ChannelID: c.ID, AccessHash: c.AccessHash}
				}
			}
		}
	}
	return nil
}

func (s *peers) dialogsKey() string { return s.keep.key(fmt.Sprintf("%d/dialogs", s.selfID())) }

// haveDialogs reports whether all dialogues have been read once.
func (s *peers) haveDialogs(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, storeIn)
	defer cancel()
	_, err := s.keep.store.Get(ctx, s.dialogsKey())
	return err == nil
}

// keepDialogs notes that they have been, once the people who were met are in the store.
func (s *peers) keepDialogs(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, storeIn)
	defer cancel()
	if err := s.flush(ctx); err != nil {
		return err
	}
	if err := s.keep.put(ctx, s.dialogsKey(), []byte("{}"), 0); err != nil {
		return fmt.Errorf("note that dialogues were read: %w", err)
	}
	return nil
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
