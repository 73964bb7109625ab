package config

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/routing"
	"github.com/tgtrunk/tgtrunk/telegram/chat"
)

const limited = `accounts:
  - name: sales
    api_id: 1
    api_hash: "0123456789abcdef0123456789abcdef"
    callers: {allow: ["200-299", boss], deny: ["250"]}
    chat:
      hours: {never: {zone: UTC, open: {}}}
      offline: message
      private: {every: 24h, strangers: true}
      auto_answer: 1h
      auto_hours: never
      webhook: true
      limits: {told: {count: 1, per: 1h}, all_told: {count: 2, per: 1h}}
pbx:
  - {name: office, asterisk: {url: "http://127.0.0.1:8088/ari", username: u, password: p}}
routes:
  - {from: office, to: sales, prefix: "9", strip: true, offline: call, callers: {deny: [boss]}}
  - {from: office, to: sales}
webhook: {url: "https://crm.example.com", secret: "0123456789abcdef", events: [message.received]}
`

// What the file says of callers decides where calls go.
func TestCallersOfTheFile(t *testing.T) {
	c, err := parse("x.yaml", []byte(limited))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		caller, dialled string
		offline         routing.Offline
		why             string
	}{
		{"201", "durov", routing.OfflineAccount, ""}, {"201", "9durov", routing.OfflineCall, ""}, {"boss", "durov", routing.OfflineAccount, ""},
		{"boss", "9durov", "", `route "route-1" (line 17) does not let this extension call: callers.deny has "boss"`},
		{"250", "durov", "", `account "sales" does not let this extension call: callers.deny has "250"`},
		{"300", "durov", "", "callers.allow does not have it"},
	} {
		plan, err := c.Table.Route(routing.Request{Trunk: "office", Dialled: test.dialled, Caller: routing.Party{Number: test.caller}})
		var denied *routing.DeniedError
		switch {
		case test.why == "" && (err != nil || plan.Targets[0].Offline != test.offline):
			t.Errorf("%s, %s: %+v, %v", test.caller, test.dialled, plan, err)
		case test.why != "" && (!errors.As(err, &denied) || !strings.Contains(err.Error(), test.why)):
			t.Errorf("%s, %s: %v, want %s", test.caller, test.dialled, err, test.why)
		}
	}
}

// Every key of the chat does what it says.
func TestKeysOfTheChatReachTheDesk(t *testing.T) {
	c, err := parse("x.yaml", []byte(limited))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	d, totals := c.Accounts[0].Chat.Desk, new(chat.Totals)
	someone := func() chat.State { return chat.State{Book: new(chat.Book), Totals: totals} }
	from := chat.Caller{Agent: chat.Agent{Extension: "201"}}
	if n := len(d.Unreached(chat.Person{}, from, someone(), now)); n != 1 {
		t.Errorf("offline: message writes %d messages", n)
	}
	book := someone()
	for _, step := range []struct {
		after time.Duration
		want  int
	}{{0, 1}, {23 * time.Hour, 0}, {24 * time.Hour, 1}} {
		if n := len(d.Private(chat.Person{Stranger: true}, from, book, now.Add(step.after))); n != step.want {
			t.Errorf("private writes %d messages after %v, want %d", n, step.after, step.want)
		}
	}
	told := 0
	for range 3 { // people, who write twice
		s := someone()
		for _, a := range d.Read(chat.Person{}, chat.Message{ID: 1, Date: now, Text: "hello"}, s, now) {
			switch a := a.(type) {
			case chat.Told:
				told++
			case chat.Say:
				if !strings.HasPrefix(a.Text, "We are closed now") {
					t.Errorf("somebody is answered %q", a.Text)
				}
			}
		}
		for _, a := range d.Read(chat.Person{}, chat.Message{ID: 2, Date: now, Text: "hello"}, s, now) {
			t.Errorf("a second message gets %#v", a)
		}
	}
	if told != 2 {
		t.Errorf("%d messages are handed on, want 2", told)
	}
}
