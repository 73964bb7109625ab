package config

import (
	"errors"
	"os"
	"strings"
	"testing"
)

// minimal is a file that loads, with one thing in it replaced.
func minimal(t *testing.T, old, replacement string) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/minimal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), old, replacement, 1)
	if changed == string(text) && old != "" {
		t.Fatalf("the minimal file has no %q", old)
	}
	return []byte(changed)
}

func TestFilesOfWindowsLoad(t *testing.T) {
	crlf := strings.ReplaceAll(string(minimal(t, "", "")), "\n", "\r\n")
	c, err := loadText(t, "\ufeff"+crlf)
	if err != nil || c.Routes[0].Extension != "1" {
		t.Errorf("%v", err)
	}
	utf16 := "\xff\xfe" + strings.Join(strings.Split(crlf, ""), "\x00")
	if _, err := loadText(t, utf16); err == nil || !strings.Contains(err.Error(), "UTF-8") {
		t.Errorf("of a file in UTF-16 the error is %v", err)
	}
}

func loadText(t *testing.T, text string) (*Config, error) {
	t.Helper()
	path := t.TempDir() + "/tgtrunk.yaml"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(path)
}

// 0100 without quotes is 64 to yaml, and +49 is 49: such a file must not load as if nothing were the matter.
func TestNumbersThatYAMLChangesAreRefused(t *testing.T) {
	for _, number := range []string{"0100", "+4930", "0x64", "1_00", "10.0"} {
		_, err := parse("x.yaml", minimal(t, `extension: "1"`, "extension: "+number))
		if err == nil || !strings.Contains(err.Error(), "extension: put this number in quotes") {
			t.Errorf("extension %s: the error is %v", number, err)
		}
	}
	if c, err := parse("x.yaml", minimal(t, `extension: "1"`, "extension: 100")); err != nil || c.Routes[0].Extension != "100" {
		t.Errorf("extension 100: %v", err)
	}
	_, err := parse("x.yaml", minimal(t, `api_hash: "0123456789abcdef0123456789abcdef"`, "api_hash: 0012"))
	if err == nil || strings.Contains(err.Error(), "0012") {
		t.Errorf("of a secret the error is %v", err)
	}
}

func TestMisspeltKeysAreReportedAtOnce(t *testing.T) {
	text := strings.NewReplacer("api_id:", "api_ident:", "username:", "user:", "extension:", "exten:").Replace(string(minimal(t, "", "")))
	_, err := parse("x.yaml", []byte(text))
	var problems Problems
	if !errors.As(err, &problems) || len(problems) != 3 {
		t.Errorf("the problems are\n%v", err)
	}
}

// A value that is left out has its default; one that is written counts as it is.
func TestZeroIsNoDefault(t *testing.T) {
	for _, written := range []string{
		"limits: {calls: 0}", "store: {lease: 0s}", "lookups: {found_for: 0}", "records: {file: x, keep: 0}",
	} {
		_, err := parse("x.yaml", minimal(t, "accounts:", written+"\naccounts:"))
		if err == nil || !strings.Contains(err.Error(), "1") {
			t.Errorf("%s: the error is %v", written, err)
		}
	}
	for _, written := range []string{"max_calls: 0", "reached_in: 0s", "answered_in: 0s", "answer_within: 0s"} {
		_, err := parse("x.yaml", minimal(t, "api_id:", written+", api_id:"))
		if err == nil || !strings.Contains(err.Error(), "out of range") {
			t.Errorf("%s: the error is %v", written, err)
		}
	}
}

func TestWrongTypesAreNamedInWords(t *testing.T) {
	for written, want := range map[string]string{
		"limits: 5":                            "limits: a section with keys of its own",
		"limits: {calls: many}":                "calls: a whole number",
		"limits: {calls: 9999999999999999999}": "calls: a smaller number",
		"lookups: {found_for: 5 seconds}":      "x.yaml:1: found_for: a duration with its unit", `lookups: {found_for: "5"}`: "found_for: a duration",
		"lookups: {found_for: soon}":    "x.yaml:1: found_for: a duration with its unit",
		"lookups: {found_for: 5}":       "found_for",
		"webhook: {events: call.ended}": "events: a list",
		"records: {mask: perhaps}":      "mask: true or false",
		"log:\n\tlevel: info":           "a tab",
		"text":                          "",
	} {
		_, err := parse("x.yaml", minimal(t, "accounts:", written+"\naccounts:"))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "Go ") {
			t.Errorf("%q: the error is %v, want %q", written, err, want)
		}
	}
}
