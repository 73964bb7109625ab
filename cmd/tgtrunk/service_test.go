package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/config"
	"github.com/tgtrunk/tgtrunk/lab"
	"github.com/tgtrunk/tgtrunk/lab/stage"
	"github.com/tgtrunk/tgtrunk/webhook"
)

// watchedConfiguration is that of a service whose figures and events are looked at. It takes one call at a time.
const watchedConfiguration = `data: {{.Dir}}/data
` + onAsterisk + `guard: {strangers: {per_day: 5, warm_up: 0, gap: 0s, declines: {count: 0}}}
numbers: {country: "49", national_prefix: "0"}
routes:
  - {from: company, to: office, context: from-telegram, extension: "100"}
  - {from: office, caller: "901", to: flooded}
  - {from: office, to: company}
limits: {calls: 1}
metrics: {listen: "%s"}
records: {file: {{.Dir}}/calls.jsonl}
webhook: {url: "%s", secret: "%s", events: [call.started, call.connected, call.ended]}
`

// listener is a webhook's receiver.
type listener struct {
	*httptest.Server
	mu     sync.Mutex
	events []notice
}

const hookSecret = "0123456789abcdef0123456789abcdef"

func newListener(t *testing.T) *listener {
	l := &listener{}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		var n notice
		if err := errors.Join(webhook.Verify(hookSecret, r.Header, body, time.Minute), json.Unmarshal(body, &n)); err != nil {
			t.Errorf("%v: %s", err, body)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.events = append(l.events, n)
	}))
	t.Cleanup(l.Close)
	return l
}

// of waits until so many events of a call have come.
func (l *listener) of(ctx context.Context, t *testing.T, call string, count int) (events []notice) {
	t.Helper()
	for {
		l.mu.Lock()
		events = slices.DeleteFunc(slices.Clone(l.events), func(n notice) bool { return n.Call.Call != call })
		l.mu.Unlock()
		if len(events) >= count {
			return events
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("of call %s there are the events %+v", call, events)
		}
	}
}

// The running service, as whoever watches over it sees it: the figures are those that the docs list, and right; events
// say from the first on which account they are about; the limit of calls is told as the docs say; and it listens only
// where it was told to.
func TestTheServiceIsWatched(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	port, err := lab.FreeTCPPort()
	if err != nil {
		t.Fatal(err)
	}
	listen, hook := fmt.Sprintf("127.0.0.1:%d", port), newListener(t)
	flooded := account("flooded", 1)
	s, _ := setStageWith(ctx, t, stage.Options{
		Configuration: fmt.Sprintf(watchedConfiguration, listen, hook.URL, hookSecret), Dialplan: gatewayDialplan,
		Accounts: []stage.Account{{Name: "company", User: stage.Company}, flooded},
	})
	wantListening(t, s.Service.Pid(), listen)

	// A call to a stranger, for which Telegram makes the account wait for a second.
	s.Cloud.Control().FloodNext(stage.Company.ID, "phone.requestCall", 1)
	_, record := outgoing(ctx, t, s, "bob", person("bob").Username, lab.CallOptions{})
	checkEvents(t, hook.of(ctx, t, record.Call, 3), bridge.Asterisk, bridge.Telegram)

	// A call from Telegram fills the service: the next caller is refused.
	tg, sip := liveCall(ctx, t, s)
	if live := figuresAt(ctx, t, listen)["tgtrunk_calls_live"]; live != "1" {
		t.Errorf("tgtrunk_calls_live is %q in a call", live)
	}
	limit := row{name: "the limit of calls is reached", dialled: person("carol").Username, sip: 503, q850: 34, status: "CONGESTION", reason: bridge.Congestion}
	limit.check(ctx, t, s)
	if told := docsTable(t)[string(limit.reason)]; told != fmt.Sprintf("%d/%d", limit.q850, limit.sip) {
		t.Errorf("the docs say %s of it", told)
	}
	if n := s.People["carol"].Received(); n != 0 {
		t.Errorf("the refused call has rung at carol's %d times", n)
	}
	tg.Hangup()
	if _, err := sip.WaitOver(ctx); err != nil {
		t.Fatal(err)
	}
	came, err := stage.Record(ctx, s.Records(), "alice's call", func(r bridge.Record) bool { return r.Offering.Trunk == "company" })
	if err != nil {
		t.Fatal(err)
	}
	checkEvents(t, hook.of(ctx, t, came.Call, 3), bridge.Telegram, bridge.Asterisk)
	if n := len(hook.of(ctx, t, came.Call, 3)); n != 3 {
		t.Errorf("%d events of one call", n)
	}

	// An account that must wait for an hour.
	s.Cloud.Control().FloodNext(flooded.User.ID, "phone.requestCall", 3600)
	row{name: "Telegram wants the account to wait", caller: "901", who: "dora", sip: 503, q850: 42, status: "CONGESTION", reason: bridge.Flood,
		retry: 3600, late: 2}.check(ctx, t, s)
	if err := s.Settled(ctx); err != nil {
		t.Error(err)
	}
	checkFigures(ctx, t, listen)
}

// checkEvents looks at the three events of one call that was up.
func checkEvents(t *testing.T, events []notice, offering, dialled bridge.Kind) {
	t.Helper()
	for i, name := range []string{config.EventStarted, config.EventConnected, config.EventEnded} {
		e := events[i]
		if e.Event != name || e.Call.Account != "company" || e.Call.Offering.Kind != offering {
			t.Errorf("event %d is %s of account %q, kind %q, want %s of company, %q", i+1, e.Event, e.Call.Account, e.Call.Offering.Kind, name, offering)
		}
		if i > 0 && (len(e.Call.Attempts) != 1 || e.Call.Attempts[0].Kind != dialled) {
			t.Errorf("%s has the attempts %+v, want one of kind %q", name, e.Call.Attempts, dialled)
		}
	}
}

// checkFigures compares the figures at the end with what has happened.
func checkFigures(ctx context.Context, t *testing.T, listen string) {
	t.Helper()
	got := figuresAt(ctx, t, listen)
	for name, want := range map[string]string{
		`tgtrunk_calls_total{from="office",reason="NORMAL",result="connected"}`:  "1",
		`tgtrunk_calls_total{from="office",reason="CONGESTION",result="failed"}`: "1",
		`tgtrunk_calls_total{from="office",reason="FLOOD",result="failed"}`:      "1",
		`tgtrunk_calls_total{from="company",reason="NORMAL",result="connected"}`: "1",
		`tgtrunk_calls_live`:                                                        "0",
		`tgtrunk_account_up{account="company"}`:                                     "1",
		`tgtrunk_account_up{account="flooded"}`:                                     "1",
		`tgtrunk_stranger_budget_left{account="company"}`:                           "4",
		`tgtrunk_guard_retries_total{account="company",method="phone.requestCall"}`: "1",
		`tgtrunk_reach_seconds_count`:                                               "1",
		`tgtrunk_reports_waiting{to="records"}`:                                     "0",
		`tgtrunk_reports_waiting{to="webhook"}`:                                     "0",
		`tgtrunk_reports_lost_total{to="records"}`:                                  "0",
		`tgtrunk_reports_lost_total{to="webhook"}`:                                  "0",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %s", name, got[name], want)
		}
	}
	const ban = `tgtrunk_ban_remaining_seconds{account="flooded",method="phone.requestCall",why="flood wait"}`
	if left, err := strconv.ParseFloat(got[ban], 64); err != nil || left > 3600 || left < 3500 {
		t.Errorf("%s is %q", ban, got[ban])
	}
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `(tgtrunk_[a-z_]+)").FindAllStringSubmatch(string(text), -1) {
		there := func(name string) bool { return strings.HasPrefix(name, m[1]) }
		if !slices.ContainsFunc(slices.Collect(maps.Keys(got)), there) {
			t.Errorf("%s is documented and not there", m[1])
		}
	}
	// Whatever a label says is about trunks and outcomes, never about a person.
	known := []string{"office", "company", "flooded", "connected", "failed", "NORMAL", "CONGESTION", "FLOOD", "flood wait", "records", "webhook", ""}
	label := regexp.MustCompile(`(\w+)="([^"]*)"`)
	for name := range got {
		for _, m := range label.FindAllStringSubmatch(name, -1) {
			if m[1] != "le" && !slices.Contains(known, m[2]) && !strings.HasPrefix(m[2], "phone.") {
				t.Errorf("%s has a label of its own for %q", name, m[2])
			}
		}
	}
	for path, want := range map[string]int{"/": 404, "/metric": 404, "/metrics/x": 404, "/debug/pprof/": 404} {
		if status, _ := ask(ctx, t, http.MethodGet, "http://"+listen+path); status != want {
			t.Errorf("%s is answered with %d, want %d", path, status, want)
		}
	}
	if status, _ := ask(ctx, t, http.MethodPost, "http://"+listen+"/metrics"); status != http.StatusMethodNotAllowed {
		t.Errorf("a POST is answered with %d", status)
	}
}

// figuresAt are the service's own metrics, by name and labels.
func figuresAt(ctx context.Context, t *testing.T, listen string) map[string]string {
	t.Helper()
	status, text := ask(ctx, t, http.MethodGet, "http://"+listen+"/metrics")
	if status != http.StatusOK {
		t.Fatalf("the metrics are answered with %d: %s", status, text)
	}
	all := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^(tgtrunk_\S*(?:\{.*\})?) (\S+)$`).FindAllStringSubmatch(text, -1) {
		all[m[1]] = m[2]
	}
	return all
}

func ask(ctx context.Context, t *testing.T, method, url string) (status int, text string) {
	t.Helper()
	q, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Close = true
	answer, err := (&http.Client{Timeout: 10 * time.Second}).Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// wantListening looks at the TCP sockets that a process listens on, as the kernel knows them.
func wantListening(t *testing.T, pid int, want ...string) {
	t.Helper()
	own := map[string]bool{}
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil || len(links) == 0 {
		t.Logf("this system does not show the sockets of a process: %v", err)
		return
	}
	for _, link := range links {
		to, err := os.Readlink(link)
		if inode, ok := strings.CutPrefix(to, "socket:["); err == nil && ok {
			own[strings.TrimSuffix(inode, "]")] = true
		}
	}
	var got []string
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			const listening = "0A" // proc(5): local address is the second field, state the fourth, inode the tenth
			if f := strings.Fields(line); len(f) > 9 && f[3] == listening && own[f[9]] {
				got = append(got, f[1])
			}
		}
	}
	var hex []string
	for _, address := range want {
		var a, b, c, d, port int
		if _, err := fmt.Sscanf(address, "%d.%d.%d.%d:%d", &a, &b, &c, &d, &port); err != nil {
			t.Fatal(err)
		}
		hex = append(hex, fmt.Sprintf("%02X%02X%02X%02X:%04X", d, c, b, a, port)) // of a little-endian machine
	}
	if !slices.Equal(got, hex) {
		t.Errorf("the service listens on %v, want %v (%v)", got, hex, want)
	}
}
