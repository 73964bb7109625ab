package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/config"
	"github.com/tgtrunk/tgtrunk/webhook"
)

type replies struct {
	said []string
	err  error
}

func (r *replies) Reply(_ context.Context, id string, to int64, text string) error {
	if to != 5000201 || id != "sales.5000201.7.message.received" {
		return errors.New("to somebody else")
	}
	r.said = append(r.said, text)
	return r.err
}

func TestOnlyRepliesAreSaid(t *testing.T) {
	body, err := json.Marshal(messageNotice{Message: messageBody{Account: "sales", Party: bridge.Party{UserID: 5000201}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ event, account, answer, said, logged string }{
		{config.EventMessage, "sales", `{"reply": "hello", "more": 1}`, "hello", ""},
		{config.EventMessage, "sales", `{"reply": null}`, "", ""},
		{config.EventMessage, "sales", `{"ok": true}`, "", ""},
		{config.EventMessage, "sales", `ok`, "", ""},
		{config.EventMessage, "sales", `["reply"]`, "", ""},
		{config.EventMessage, "sales", `{"reply": {"text": "hello"}}`, "", "answer {"},
		{config.EventMessage, "gone", `{"reply": "hello"}`, "", "no such account"},
		{config.EventEnded, "sales", `{"reply": "hello"}`, "", ""},
	} {
		var log bytes.Buffer
		said := &replies{}
		r := &reports{log: slog.New(slog.NewJSONHandler(&log, nil)), accounts: map[string]replier{"sales": said}}
		e := webhook.Event{ID: "sales.5000201.7.message.received", Type: c.event, Body: bytes.ReplaceAll(body, []byte("sales"), []byte(c.account))}
		r.answered(t.Context(), e, []byte(c.answer))
		if strings.Join(said.said, "|") != c.said || (log.Len() > 0) != (c.logged != "") || !strings.Contains(log.String(), c.logged) {
			t.Errorf("%s %s: said %q, logged %s", c.event, c.answer, said.said, log.String())
		}
		if strings.Contains(log.String(), "5000201") {
			t.Errorf("the log names the person: %s", log.String())
		}
	}
	var log bytes.Buffer
	r := &reports{log: slog.New(slog.NewJSONHandler(&log, nil)), accounts: map[string]replier{"sales": &replies{err: errors.New("store is away")}}}
	r.answered(t.Context(), webhook.Event{ID: "sales.5000201.7.message.received", Type: config.EventMessage, Body: body}, []byte(`{"reply": "hello"}`))
	if !strings.Contains(log.String(), "store is away") {
		t.Errorf("a reply that is lost is not logged: %s", log.String())
	}
}

func TestIDsOfMessagesAreMasked(t *testing.T) {
	for text, want := range map[string]string{
		"sales.5700123456.77.message.received": "sales.570xxxxx56.77.message.received",
		"sales.5700123456":                     "sales.570xxxxx56",
		"forget \"webhook/queue/18ab-sales.5700123456.77.message.received\": away": "forget \"webhook/queue/18ab-sales.570xxxxx56.77.message.received\": away",
		"office-x7k2m9aq-12.call.ended":                                            "office-x7k2m9aq-12.call.ended",
	} {
		if got := maskIDs(text); got != want {
			t.Errorf("%s is shown as %s, want %s", text, got, want)
		}
	}
}
