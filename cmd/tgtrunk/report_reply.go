package main

import (
	"context"
	"encoding/json"
	"strconv"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/config"
	"github.com/tgtrunk/tgtrunk/webhook"
)

// replier is an account that can write to who has written to it.
type replier interface {
	Reply(ctx context.Context, id string, to int64, text string) error
}

// know tells which accounts there are; it is called before run.
func (r *reports) know(trunks []bridge.Trunk) {
	for _, t := range trunks {
		if account, ok := t.(replier); ok {
			r.accounts[t.Name()] = account
		}
	}
}

// answered takes what the webhook's receiver says to a message: {"reply": "text"} is written to who wrote it. Everything
// else, as the "ok" of many receivers, says nothing.
func (r *reports) answered(ctx context.Context, e webhook.Event, answer []byte) {
	if e.Type != config.EventMessage {
		return
	}
	var said struct {
		Reply json.RawMessage `json:"reply"`
	}
	if err := json.Unmarshal(answer, &said); err != nil || said.Reply == nil || string(said.Reply) == "null" {
		return
	}
	var n messageNotice
	if err := json.Unmarshal(e.Body, &n); err != nil {
		r.log.Error("the webhook's reply is not said: its event cannot be read", "error", err)
		return
	}
	m := n.Message // the event's id would name the person whole
	log := r.log.With("account", m.Account, "user", bridge.Mask(strconv.FormatInt(m.Party.UserID, 10)), "message", m.ID)
	var text string
	if err := json.Unmarshal(said.Reply, &text); err != nil {
		log.Warn(`the webhook's reply is not said: answer {"reply": "text"}`, "error", err)
		return
	}
	account, ok := r.accounts[m.Account]
	if !ok {
		log.Warn("the webhook's reply is not said: there is no such account any more")
		return
	}
	if err := account.Reply(ctx, e.ID, m.Party.UserID, text); err != nil {
		log.Warn("the webhook's reply is not said", "error", err)
	}
}
