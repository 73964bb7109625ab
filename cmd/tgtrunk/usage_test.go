package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
)

// writeUsage makes a file of records of two accounts, two directions and two months.
func writeUsage(t *testing.T) string {
	t.Helper()
	var text bytes.Buffer
	at := time.Date(2026, 10, 31, 23, 59, 0, 0, time.Local)
	for _, c := range []struct {
		after   time.Duration
		account string
		from    bridge.Kind
		talk    time.Duration // < 0: not answered
	}{
		{0, "sales", bridge.Asterisk, 61 * time.Second},
		{2 * time.Minute, "sales", bridge.Asterisk, 600 * time.Millisecond},
		{3 * time.Minute, "sales", bridge.Asterisk, -1},
		{4 * time.Minute, "sales", bridge.Telegram, 2 * time.Minute},
		{24 * time.Hour, "support", bridge.Telegram, 0},
		{25 * time.Hour, "", bridge.Asterisk, -1}, // no route
	} {
		r := bridge.Record{
			Schema: bridge.RecordSchema, Call: "c", Account: c.account,
			Offering: bridge.LegRecord{Kind: c.from, Trunk: "office"},
			Times:    bridge.Times{Offered: at.Add(c.after)},
		}
		if c.talk >= 0 {
			r.Times.Connected, r.Times.TalkMS = r.Times.Offered.Add(time.Second), c.talk.Milliseconds()
		}
		line, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(append(line, '\n'))
	}
	path := filepath.Join(t.TempDir(), "calls.jsonl")
	if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUsage(t *testing.T) {
	path := writeUsage(t)
	const head = "period,account,direction,calls,answered,talk_s,minutes\n"
	for args, want := range map[string]string{
		"": "2026-10,sales,to-telegram,1,1,61,2\n2026-11,-,to-telegram,1,0,0,0\n2026-11,sales,from-telegram,1,1,120,2\n" +
			"2026-11,sales,to-telegram,2,1,1,1\n2026-11,support,from-telegram,1,1,0,0\n",
		"--by day --account office --since 2026-11-01T23:00": "2026-11-01,support,from-telegram,1,1,0,0\n2026-11-02,-,to-telegram,1,0,0,0\n",
		"--by all --until 2026-11-01T00:03":                  "all,sales,to-telegram,3,2,62,3\n",
		"--since 2027-01-01":                                 "",
	} {
		var out bytes.Buffer
		c := newRootCommand()
		c.SetArgs(append([]string{"calls", "usage", "--csv", "--file", path}, strings.Fields(args)...))
		c.SetOut(&out)
		if err := c.Execute(); err != nil {
			t.Errorf("%s: %v", args, err)
		} else if out.String() != head+want {
			t.Errorf("%s:\n%swant\n%s", args, out.String(), head+want)
		}
	}
	var out bytes.Buffer
	c := newRootCommand()
	c.SetArgs([]string{"calls", "usage", "--file", path, "--by", "all"})
	c.SetOut(&out)
	if err := c.Execute(); err != nil || !strings.HasPrefix(out.String(), "PERIOD  ACCOUNT") || strings.Count(out.String(), "\n") != 5 {
		t.Errorf("%v\n%s", err, out.String())
	}
	c = newRootCommand()
	c.SetArgs([]string{"calls", "usage", "--file", path, "--by", "week"})
	c.SetOut(&out)
	c.SetErr(&out)
	if err := c.Execute(); err == nil || !strings.Contains(err.Error(), "day, month or all") {
		t.Errorf("--by week: %v", err)
	}
}
