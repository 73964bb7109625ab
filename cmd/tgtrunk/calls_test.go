package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/config"
)

// exampleRecord is the record that docs/records.md shows, on one line.
func exampleRecord(t *testing.T) []byte {
	t.Helper()
	for _, b := range blocks(t) {
		if b.language == "json" && strings.HasSuffix(b.file, "records.md") {
			var line bytes.Buffer
			if err := json.Compact(&line, []byte(b.text)); err != nil {
				t.Fatal(err)
			}
			return line.Bytes()
		}
	}
	t.Fatal("docs/records.md has no example")
	return nil
}

// The example has every field that it shows under its right name, and nothing of it is lost.
func TestRecordOfTheDocs(t *testing.T) {
	line := exampleRecord(t)
	var r bridge.Record
	strict := json.NewDecoder(bytes.NewReader(line))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&r); err != nil {
		t.Fatal(err)
	}
	if r.Schema != bridge.RecordSchema {
		t.Errorf("schema %d, the code's is %d", r.Schema, bridge.RecordSchema)
	}
	again, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var got, want any
	if json.Unmarshal(again, &got) != nil || json.Unmarshal(line, &want) != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("the example is\n%s\nand is written as\n%s", line, again)
	}
	masked, err := json.Marshal(r.Masked())
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"5000201", "bob_lab", "Bob Lab", "Anna Berg", "49301000201", "TGTRUNK_PRESENCE", "PJSIP/201"} {
		if strings.Contains(string(masked), secret) {
			t.Errorf("masked, it has %q: %s", secret, masked)
		}
	}
}

// The example of an event has every field under its right name, loses nothing, and says which account it is about and
// what the legs are made of.
func TestEventOfTheDocs(t *testing.T) {
	var text []byte
	for _, b := range blocks(t) {
		if b.language == "json" && strings.HasSuffix(b.file, "records.md") && strings.Contains(b.text, `"event": "call.`) {
			text = []byte(b.text)
		}
	}
	var n notice
	strict := json.NewDecoder(bytes.NewReader(text))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&n); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	var got, want any
	if json.Unmarshal(again, &got) != nil || json.Unmarshal(text, &want) != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("the example is\n%s\nand is written as\n%s", text, again)
	}
	if n.ID != n.Call.Call+"."+n.Event || n.Event != config.EventConnected || n.Schema != bridge.RecordSchema {
		t.Errorf("the event is %+v", n)
	}
	if n.Call.Account == "" || n.Call.Offering.Kind == "" || n.Call.Attempts[0].Kind == "" {
		t.Errorf("the example lacks account or kind: %s", text)
	}
	docs, err := os.ReadFile("../../docs/records.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []bridge.Kind{bridge.Telegram, bridge.Asterisk, bridge.FreeSWITCH} {
		if !strings.Contains(string(docs), "`"+string(kind)+"`") {
			t.Errorf("docs/records.md lacks the kind %q", kind)
		}
	}
}

// Every field of a record is in docs/records.md.
func TestFieldsOfRecordsAreInTheDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/records.md")
	if err != nil {
		t.Fatal(err)
	}
	var look func(reflect.Type)
	look = func(kind reflect.Type) {
		switch kind.Kind() {
		case reflect.Pointer, reflect.Slice:
			look(kind.Elem())
		case reflect.Struct:
			for i := range kind.NumField() {
				name, _, _ := strings.Cut(kind.Field(i).Tag.Get("json"), ",")
				if name != "" && name != "retry_after_s" && !strings.Contains(string(text), name) {
					t.Errorf("docs/records.md lacks %q", name)
				}
				look(kind.Field(i).Type)
			}
		}
	}
	look(reflect.TypeFor[bridge.Record]())
}

// writeCalls makes a file of records: bob busy, anna connected, anna unreachable, an hour after the other.
func writeCalls(t *testing.T, start time.Time) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "calls.jsonl")
	var text bytes.Buffer
	for i, c := range []struct {
		call, user string
		reason     bridge.Reason
	}{{"one", "bob_lab", bridge.Busy}, {"two", "anna_lab", bridge.Normal}, {"three", "anna_lab", bridge.Unreachable}} {
		at := start.Add(time.Duration(i) * time.Hour)
		r := bridge.Record{
			Schema: 1, Call: c.call, Dialled: c.user, Reason: c.reason,
			Offering: bridge.LegRecord{Trunk: "office", Party: bridge.Party{Number: "201", Name: "Carl"}},
			Attempts: []bridge.LegRecord{{Trunk: "sales", Party: bridge.Party{UserID: int64(5000200 + i), Username: c.user}}},
			Times:    bridge.Times{Offered: at, Ended: at.Add(time.Minute)},
		}
		if c.reason == bridge.Normal {
			r.Times.Connected, r.Times.TalkMS = at.Add(time.Second), 58_400
		}
		line, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if text.Write(append(line, '\n')); i == 0 { // the first call is in a rotated file
			if err := os.WriteFile(path+".1", text.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			text.Reset()
			old := time.Now().Add(-time.Hour)
			if err := os.Chtimes(path+".1", old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCallsAreListed(t *testing.T) {
	path := writeCalls(t, time.Date(2026, 11, 20, 8, 0, 0, 0, time.Local))
	for args, want := range map[string]string{
		"":                         "one two three",
		"--limit 2":                "two three",
		"--since 2026-11-20T09:00": "two three",
		"--until 2026-11-20T09:00": "one",
		"--reason busy":            "one",
		"--person @ANNA_lab":       "two three",
		"--person 5000200":         "one",
		"--person carl":            "one two three",
		"--account sales":          "one two three",
		"--account support":        "",
	} {
		var out bytes.Buffer
		c := newRootCommand()
		c.SetArgs(append([]string{"calls", "--file", path, "--json"}, strings.Fields(args)...))
		c.SetOut(&out)
		if err := c.Execute(); err != nil {
			t.Errorf("%s: %v", args, err)
			continue
		}
		var got []string
		for line := range strings.Lines(out.String()) {
			var r bridge.Record
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatal(err)
			}
			got = append(got, r.Call)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", args, got, want)
		}
	}
}

func TestCallsAsATable(t *testing.T) {
	var out bytes.Buffer
	c := newRootCommand()
	c.SetArgs([]string{"calls", "--file", writeCalls(t, time.Date(2026, 11, 20, 8, 0, 0, 0, time.Local))})
	c.SetOut(&out)
	if err := c.Execute(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 4 || strings.Join(strings.Fields(lines[2]), " ") != "2026-11-20 09:00:00 office 201 (Carl) sales @anna_lab 58s NORMAL two" {
		t.Errorf("%s", out.String())
	}
}

func TestCallsAreFollowed(t *testing.T) {
	path := writeCalls(t, time.Now().Add(-time.Hour))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	l := callList{file: path, limit: 1, json: true, follow: true}
	out := &stopper{want: `"call":"new"`, stop: cancel}
	var writing sync.WaitGroup
	defer writing.Wait()
	out.first = func() { // what is there is shown: now something comes
		writing.Go(func() {
			for ctx.Err() == nil {
				f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = f.WriteString(`{"call":"new"}` + "\n")
				_ = f.Close()
				select {
				case <-ctx.Done():
				case <-time.After(50 * time.Millisecond):
				}
			}
		})
	}
	if err := l.run(ctx, out, &bytes.Buffer{}); err != nil {
		t.Fatal(err)
	}
	if !out.seen {
		t.Error("the new call is not shown")
	}
}

// stopper stops when it has seen what it wants.
type stopper struct {
	want  string
	first func()
	stop  func()
	seen  bool
}

func (s *stopper) Write(b []byte) (int, error) {
	if s.first != nil {
		s.first()
		s.first = nil
	}
	if bytes.Contains(b, []byte(s.want)) {
		s.seen = true
		s.stop()
	}
	return len(b), nil
}

func TestMomentsAreRead(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.Local)
	for text, want := range map[string]time.Time{
		"": {}, "90m": now.Add(-90 * time.Minute), "7d": now.AddDate(0, 0, -7), "2026-11-22": time.Date(2026, 11, 22, 0, 0, 0, 0, time.Local),
		"2026-11-22 09:30": time.Date(2026, 11, 22, 9, 30, 0, 0, time.Local), "2026-11-22T09:30:00Z": time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC),
	} {
		if got, err := parseMoment(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"yesterday", "-5m", "-1d", "2026-13-01"} {
		if _, err := parseMoment(text, now); err == nil {
			t.Errorf("%q is read", text)
		}
	}
}
