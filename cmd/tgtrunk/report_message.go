package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/config"
	"github.com/tgtrunk/tgtrunk/routing"
	"github.com/tgtrunk/tgtrunk/telegram"
	"github.com/tgtrunk/tgtrunk/webhook"
)

// messageNotice is the body of a webhook request about a message (docs/records.md).
type messageNotice struct {
	Schema  int         `json:"schema"`
	ID      string      `json:"id"`
	Event   string      `json:"event"`
	Time    string      `json:"time"`
	Message messageBody `json:"message"`
}

type messageBody struct {
	Account  string       `json:"account"`
	Party    bridge.Party `json:"party"`
	ID       int          `json:"id"`
	Sent     string       `json:"sent"`
	Text     string       `json:"text"`
	Language string       `json:"language,omitempty"`
}

// message takes a message that means nothing to the account it was written to. It does not block. Messages have half of
// the queue at the most: whoever writes, calls are still told of.
func (r *reports) message(m telegram.Message) {
	if r.hook == nil {
		return
	}
	if r.hook.Stats().Waiting >= r.messages {
		r.drop(m)
		return
	}
	r.full.Store(false)
	now := time.Now()
	n := messageNotice{
		Schema: bridge.RecordSchema, Event: config.EventMessage, Time: stamp(now),
		ID: fmt.Sprintf("%s.%d.%d.%s", m.Account, m.From.UserID, m.ID, config.EventMessage),
		Message: messageBody{
			Account: m.Account, ID: m.ID, Sent: stamp(m.Sent), Text: m.Text, Language: m.Language,
			Party: bridge.Party{UserID: m.From.UserID, Username: m.From.Username, Phone: m.From.Phone, Name: routing.SanitizeName(m.From.Name)},
		},
	}
	body, err := json.Marshal(n)
	if err != nil {
		r.log.Error("a webhook event is lost", "event", n.ID, "error", err)
		return
	}
	// Those of one person arrive in their order.
	r.hook.Send(webhook.Event{ID: n.ID, Type: n.Event, Call: fmt.Sprintf("%s.%d", m.Account, m.From.UserID), Time: now, Body: body})
}

// userInID is the user-id in the id of a message's event, and in that of the conversation.
var userInID = regexp.MustCompile(`\.[0-9]+(\.[0-9]+\.` + regexp.QuoteMeta(config.EventMessage) + `)?`)

// maskIDs hides the users in a text that names events of messages; those of calls name nobody.
func maskIDs(text string) string {
	return userInID.ReplaceAllStringFunc(text, func(id string) string {
		user, rest, more := strings.Cut(id[1:], ".")
		if more {
			rest = "." + rest
		}
		return "." + bridge.Mask(user) + rest
	})
}

// drop gives a message up, which is logged once until there is room again.
func (r *reports) drop(m telegram.Message) {
	r.dropped.Add(1)
	if !r.full.Swap(true) {
		r.log.Warn("messages are not told to the webhook: half of its queue is full, the rest is for calls", "account", m.Account)
	}
}

// stamp is a moment as records have it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
