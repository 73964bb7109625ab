package cloud

import (
	"fmt"

	"github.com/gotd/td/tg"
)

// Message is a message of a private chat.
type Message struct {
	ID     int // of the copy of whose history it is
	Out    bool
	Text   string
	Edited bool
	ViaBot int64 // the bot that wrote it in the sender's name; 0: none
	Away   bool  // an answering machine's
	Card   int64 // whose contact card it carries; 0: none
}

// SendMessage writes a text message from one user to another.
func (c *Control) SendMessage(from, to int64, text string) error {
	return c.Send(from, to, Message{Text: text})
}

// Send writes a message from one user to another; ID, Out and Edited of it do not matter.
func (c *Control) Send(from, to int64, m Message) error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	a, b := c.s.accounts[from], c.s.accounts[to]
	if a == nil || b == nil {
		return fmt.Errorf("send message from %d to %d: no such user", from, to)
	}
	how := manner{away: m.Away, viaBot: m.ViaBot}
	if m.Card != 0 {
		of := c.s.accounts[m.Card]
		if of == nil {
			return fmt.Errorf("send the card of %d: no such user", m.Card)
		}
		how.card = &tg.MessageMediaContact{UserID: of.ID, FirstName: of.FirstName, LastName: of.LastName, PhoneNumber: of.Phone}
	}
	c.s.file(a, b, message{text: m.Text, manner: how}, nil)
	return nil
}

// EditMessage changes the text of a message that a user has written; id is that of the user's own copy.
func (c *Control) EditMessage(user int64, id int, text string) error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	a := c.s.accounts[user]
	if a == nil {
		return fmt.Errorf("edit a message of %d: no such user", user)
	}
	m := a.box.message(id)
	if m == nil || !m.out || m.action != nil {
		return fmt.Errorf("edit message %d of %d: no such message of theirs", id, user)
	}
	c.s.edit(a, m, text, nil)
	return nil
}

// History is a user's chat with another, oldest first, without what tells of calls.
func (c *Control) History(user, with int64) (all []Message) {
	c.with(user, func(a *account) {
		for _, m := range a.box.messages {
			if m.peer != with || m.action != nil {
				continue
			}
			all = append(all, Message{
				ID: m.id, Out: m.out, Text: m.text, Edited: m.edited != 0, ViaBot: m.manner.viaBot, Away: m.manner.away,
			})
		}
	})
	return all
}
