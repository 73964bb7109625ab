package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/config"
	"github.com/tgtrunk/tgtrunk/lab"
	"github.com/tgtrunk/tgtrunk/lab/stage"
	"github.com/tgtrunk/tgtrunk/routing"
	"github.com/tgtrunk/tgtrunk/store"
	"github.com/tgtrunk/tgtrunk/telegram"
	"github.com/tgtrunk/tgtrunk/webhook"
)

const callersConfiguration = `data: {{.Dir}}/data
log: {level: debug}
telegram:
  listen: "127.0.0.1:0"
  server: {address: "{{.Cloud}}", public_key: {{.Dir}}/cloud.pem.pub}
guard: {strangers: {per_day: 5, warm_up: 0, gap: 0s}}
accounts:
{{- range .Accounts}}
  - name: {{.Name}}
    api_id: 1
    api_hash: "00000000000000000000000000000000"
    phone: "{{.User.Phone}}"
    callers: {allow: ["200-299"], deny: ["250-259"]}
    chat: {webhook: true}
{{- end}}
pbx:
  - name: office
    asterisk: {url: "{{.ARI}}", username: {{.User}}, password: {file: {{.Dir}}/ari.password}, app: {{.Service}}}
routes:
  - {from: company, to: office, context: from-telegram, extension: "100"}
  - {from: office, dialled: %s, to: company, callers: {deny: ["201"]}}
  - {from: office, to: company}
records: {file: {{.Dir}}/calls.jsonl}
webhook: {url: "%s", secret: "%s", events: [message.received]}
`

// messages is a webhook's receiver that keeps what it was told of.
type messages struct {
	*httptest.Server
	mu   sync.Mutex
	came []messageNotice
}

func newMessages(t *testing.T) *messages {
	m := &messages{}
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		var n messageNotice
		if err := webhook.Verify(hookSecret, r.Header, body, time.Minute); err != nil || json.Unmarshal(body, &n) != nil ||
			r.Header.Get(webhook.HeaderEvent) != "message.received" || r.Header.Get(webhook.HeaderEventID) != n.ID {
			t.Errorf("%v: %v %s", err, r.Header, body)
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		m.came = append(m.came, n)
		_ = json.NewEncoder(w).Encode(map[string]string{"reply": "You wrote: " + n.Message.Text})
	}))
	t.Cleanup(m.Close)
	return m
}

// wait waits until so many messages have come.
func (m *messages) wait(ctx context.Context, t *testing.T, count int) []messageNotice {
	t.Helper()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		m.mu.Lock()
		came := m.came
		m.mu.Unlock()
		if len(came) >= count {
			return came
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			t.Fatalf("these messages have come: %+v", came)
		}
	}
}

// On a real Asterisk: an extension that may call does, with sound; one that account or route denies is told so, and nobody's
// phone rings. What a user writes arrives at the webhook of the running service.
func TestCallersAndMessagesWithARealPBX(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	hook := newMessages(t)
	s, _ := setStageWith(ctx, t, stage.Options{
		Configuration: fmt.Sprintf(callersConfiguration, person("carol").Username, hook.URL, hookSecret), Dialplan: gatewayDialplan,
		Accounts: []stage.Account{{Name: "company", User: stage.Company}},
	})
	for _, r := range []row{
		{name: "denied by the account", caller: "255", who: "bob"},
		{name: "not among those of the account", caller: "300", who: "bob"},
		{name: "denied by the route", caller: "201", who: "carol"},
	} {
		r.sip, r.q850, r.status, r.reason = 404, 3, "CHANUNAVAIL", bridge.NoRoute
		r.check(ctx, t, s)
		if n := s.People[r.who].Received(); n != 0 {
			t.Errorf("%s: %s's phone has rung %d times", r.name, r.who, n)
		}
	}
	outgoing(ctx, t, s, "bob", person("bob").Username, lab.CallOptions{})
	text, err := os.ReadFile(s.Service.Log())
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "call refused"); n != 3 {
		t.Errorf("%d lines are logged of 3 refused calls", n)
	}
	aliceWrites(t, s, "Where is my order?")
	aliceWrites(t, s, "Hello?")
	for i, want := range []string{"Where is my order?", "Hello?"} {
		m := hook.wait(ctx, t, 2)[i].Message
		if m.Account != "company" || m.Text != want || m.Party.UserID != stage.People["alice"].ID || m.Party.Name == "" || m.ID == 0 || m.Sent == "" {
			t.Errorf("message %d is %+v", i, m)
		}
	}
	companyWrites(ctx, t, s, "You wrote: Where is my order?", "You wrote: Hello?")
	if err := s.Settled(ctx); err != nil {
		t.Error(err)
	}
}

// The body is the one that the docs show.
func TestMessageNoticeIsThatOfTheDocs(t *testing.T) {
	hook := newMessages(t)
	r := openHook(t, hook.URL, 10)
	stop := runReports(t, r)
	sent := time.Date(2026, 11, 22, 9, 31, 0, 0, time.UTC)
	r.message(telegram.Message{
		Account: "sales", ID: 117, Sent: sent, Text: "Where is my order?", Language: "de",
		From: routing.Party{UserID: 5000201, Username: "bob_lab", Phone: "+49301000201", Name: "Bob Lab"},
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	got := hook.wait(ctx, t, 1)[0]
	stop()
	docs, err := os.ReadFile("../../docs/records.md")
	if err != nil {
		t.Fatal(err)
	}
	_, shown, _ := strings.Cut(string(docs), "### Messages")
	_, shown, _ = strings.Cut(shown, "```json\n")
	shown, _, _ = strings.Cut(shown, "```")
	var want messageNotice
	strict := json.NewDecoder(strings.NewReader(shown))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&want); err != nil {
		t.Fatal(err)
	}
	if now, err := time.Parse(time.RFC3339, got.Time); err != nil || time.Since(now) > time.Minute {
		t.Errorf("the time is %s, %v", got.Time, err)
	}
	want.Time = got.Time
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	whole, err := json.MarshalIndent(want, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{`"schema": 1`, `"sent": "2026-11-22T09:31:00.000Z"`, `"language": "de"`} {
		if !strings.Contains(string(whole), line) || !strings.Contains(shown, line) {
			t.Errorf("%s is not in\n%s", line, whole)
		}
	}
}

// While the receiver is down, messages leave half of the queue to calls.
func TestMessagesLeaveRoomForCalls(t *testing.T) {
	r := openHook(t, "http://127.0.0.1:1/", 10)
	for i := range 100 {
		r.message(telegram.Message{Account: "sales", ID: i + 1, From: routing.Party{UserID: 1}, Sent: time.Now(), Text: "flood"})
	}
	if got := r.figures().Webhook; got.Waiting != 5 || got.Lost != 95 {
		t.Errorf("of 100 messages %d wait and %d are lost", got.Waiting, got.Lost)
	}
	for i := range 5 {
		r.ended(bridge.Record{Call: fmt.Sprint(i)})
	}
	if got := r.figures().Webhook; got.Waiting != 10 || got.Lost != 95 {
		t.Errorf("after 5 calls %d wait and %d are lost", got.Waiting, got.Lost)
	}
}

func openHook(t *testing.T, url string, queue int) *reports {
	t.Helper()
	cfg := &config.Config{Webhook: &config.Webhook{
		URL: url, Secret: config.NewSecret(hookSecret), Events: []string{config.EventEnded, config.EventMessage}, Timeout: time.Second,
		RetryFor: time.Hour, Queue: queue,
	}}
	keep, err := store.OpenFile(filepath.Join(t.TempDir(), "tgtrunk.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keep.Close() })
	r, err := openReports(cfg, keep, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	return r
}

func runReports(t *testing.T, r *reports) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { r.run(ctx, nil) })
	stop = func() { cancel(); running.Wait() }
	t.Cleanup(stop)
	return stop
}

// route test says who denies whom, on the whole route or by one of its accounts.
func TestRouteTestShowsWhoDenies(t *testing.T) {
	path, _ := numbersFile(t)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	edited := strings.Replace(string(text), `{name: sales, `, `{name: sales, callers: {deny: ["250-259"]}, `, 1)
	edited = strings.Replace(edited, `suffix: "#", `, `suffix: "#", callers: {allow: ["201"]}, `, 1)
	if err := os.WriteFile(path, []byte(edited), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, err := tgtrunk(t, "route", "test", "-c", path, "*995000000201", "--caller", "255")
	want := `route   out (line 16)
read    user-id 5000000201   by caller_id rule "*99{userid}"
target  1   Telegram account support   user-id 5000000201
denied      Telegram account sales     callers.deny has "250-259"
`
	if err != nil || errs != "" || out != want {
		t.Errorf("%v %s\ngot\n%s\nwant\n%s", err, errs, out, want)
	}
	if out, _, err = tgtrunk(t, "route", "test", "-c", path, "*995000000201", "--caller", "255", "--json"); err != nil ||
		!strings.Contains(out, `"denied":[{"trunk":"sales","why":"callers.deny has \"250-259\""}]`) {
		t.Errorf("%v %s", err, out)
	}
	if out, _, err = tgtrunk(t, "route", "test", "-c", path, "*995000000201", "--caller", "201"); err != nil || strings.Contains(out, "denied") {
		t.Errorf("%v %s", err, out)
	}
	for caller, why := range map[string]string{"202": "callers.allow does not have it", "": "the call has no caller number"} {
		_, _, err = tgtrunk(t, "route", "test", "-c", path, "030123456#", "--caller", caller)
		if err == nil || !strings.Contains(err.Error(), `route "by-suffix" (line 15) does not let this extension call: `+why) {
			t.Errorf("%q: %v", caller, err)
		}
	}
}
