package telegram

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/gotd/td/tg"

	"github.com/tgtrunk/tgtrunk/routing"
	"github.com/tgtrunk/tgtrunk/telegram/chat"
)

// Message is one that somebody has written to an account and that means nothing to it.
type Message struct {
	Account  string // name of the trunk
	From     routing.Party
	ID       int       // grows with every message of the account
	Sent     time.Time // in whole seconds
	Text     string    // UTF-8, up to 4096 characters; "" for a picture, a voice message and the like
	Language string    // in which the person would be answered, such as "de"; "" where nothing is known of it
}

// handOn tells of a message.
func (a *Account) handOn(p Peer, m chat.Told) {
	if a.opts.Messages != nil {
		a.opts.Messages(Message{Account: a.opts.Name, From: p.Party(), ID: m.ID, Sent: m.Date, Text: m.Text, Language: m.Language})
	}
}

var errNoHash = errors.New("the account may not write to this user yet")

// send writes a message to a user and returns its id.
func (s *session) send(ctx context.Context, p Peer, text string) (id int, err error) {
	if p.AccessHash == 0 {
		return 0, fmt.Errorf("send a message: %w", errNoHash)
	}
	answer, err := s.api.MessagesSendMessage(ctx, &tg.MessagesSendMessageRequest{
		Peer: &tg.InputPeerUser{UserID: p.ID, AccessHash: p.AccessHash}, Message: text, RandomID: randomID(), NoWebpage: true,
	})
	if err != nil {
		return 0, fmt.Errorf("send a message: %w", err)
	}
	id = sentID(answer) // now: what takes the updates sorts them, in its own time
	s.caused(ctx, answer)
	return id, nil
}

// edit replaces the text of a message of the account's.
func (s *session) edit(ctx context.Context, p Peer, id int, text string) error {
	q := &tg.MessagesEditMessageRequest{Peer: &tg.InputPeerUser{UserID: p.ID, AccessHash: p.AccessHash}, ID: id, NoWebpage: true}
	q.SetMessage(text)
	answer, err := s.api.MessagesEditMessage(ctx, q)
	if err != nil {
		return fmt.Errorf("edit a message: %w", err)
	}
	s.caused(ctx, answer)
	return nil
}

// caused takes the updates that are the answer to a request. Without them the next message would seem to come after a
// gap, and wait until it has been looked for.
func (s *session) caused(ctx context.Context, answer tg.UpdatesClass) {
	if err := s.news(ctx, answer); err != nil && ctx.Err() == nil {
		s.log.Debug("updates of an answer are left to the next", "error", err)
	}
}

// sentID finds the id of a message that was just sent; 0 where the answer does not tell.
func sentID(answer tg.UpdatesClass) int {
	var all []tg.UpdateClass
	switch a := answer.(type) {
	case *tg.UpdateShortSentMessage:
		return a.ID
	case *tg.Updates:
		all = a.Updates
	case *tg.UpdatesCombined:
		all = a.Updates
	}
	for _, one := range all {
		switch u := one.(type) {
		case *tg.UpdateMessageID:
			return u.ID
		case *tg.UpdateNewMessage:
			return u.Message.GetID()
		}
	}
	return 0
}

// randomID lets Telegram tell a message sent twice from two messages.
func randomID() int64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return int64(binary.LittleEndian.Uint64(b[:]))
}
