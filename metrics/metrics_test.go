package metrics

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tgtrunk/tgtrunk/bridge"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve returns the address that the figures are served at.
func serve(t *testing.T, m *Metrics) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Serve(ctx, l, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Error("serving does not end")
		}
	})
	return "http://" + l.Addr().String()
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

func TestFigures(t *testing.T) {
	m, err := New(Sources{
		Calls: func() int { return 3 },
		Accounts: func() []Account {
			return []Account{
				{Name: "sales", Up: true, Calls: 2, Most: 10, Left: 7, Ringing: 2, Retries: map[string]uint64{"phone.requestCall": 2}, Bans: []Ban{
					{Why: "peer flood", Until: time.Now().Add(time.Hour)}, {Why: "flood wait", Method: "m", Until: time.Now().Add(-time.Second)},
				}},
				{Name: "support", Left: -1, Ringing: -1},
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	offered := time.Now()
	r := bridge.Record{Offering: bridge.LegRecord{Trunk: "office"}, Reason: bridge.Normal, Attempts: []bridge.LegRecord{{DialMS: 500}}}
	r.Times = bridge.Times{Offered: offered, Reached: offered.Add(2 * time.Second), Connected: offered.Add(5 * time.Second)}
	m.Record(r)
	m.Record(bridge.Record{Offering: bridge.LegRecord{Trunk: "office"}, Reason: bridge.Budget})
	m.Record(bridge.Record{Offering: bridge.LegRecord{Trunk: "office"}, Reason: bridge.Budget})
	address := serve(t, m)
	status, text := get(t, address+"/metrics")
	if status != http.StatusOK {
		t.Fatalf("status %d: %s", status, text)
	}
	for _, want := range []string{
		`tgtrunk_calls_total{from="office",reason="NORMAL",result="connected"} 1`,
		`tgtrunk_calls_total{from="office",reason="BUDGET",result="failed"} 2`,
		`tgtrunk_calls_live 3`, `tgtrunk_reach_seconds_count 1`, `tgtrunk_reach_seconds_sum 1.5`,
		`tgtrunk_account_up{account="sales"} 1`, `tgtrunk_account_up{account="support"} 0`,
		`tgtrunk_account_calls{account="sales"} 2`, `tgtrunk_account_calls_max{account="sales"} 10`,
		`tgtrunk_account_calls_max{account="support"} +Inf`,
		`tgtrunk_stranger_budget_left{account="sales"} 7`, `tgtrunk_stranger_budget_left{account="support"} +Inf`,
		`tgtrunk_account_devices_ringing{account="sales"} 2`,
		`tgtrunk_ban_remaining_seconds{account="sales",method="",why="peer flood"} 359`,
		`tgtrunk_guard_retries_total{account="sales",method="phone.requestCall"} 2`,
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("%s is missing", want)
		}
	}
	if strings.Contains(text, `tgtrunk_account_devices_ringing{account="support"}`) {
		t.Error("what is not known is shown")
	}
	if strings.Contains(text, `method="m"`) {
		t.Error("a ban that has passed is shown")
	}
	if status, _ := get(t, address+"/"); status != http.StatusNotFound {
		t.Errorf("the root answers with %d", status)
	}
}

// A listener that fails ends the serving with its error.
func TestListenerFails(t *testing.T) {
	m, err := New(Sources{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if err := m.Serve(t.Context(), l, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(fmt.Sprint(err), "serve metrics") {
		t.Errorf("the error is %v", err)
	}
}
