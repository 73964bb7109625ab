package config

import (
	"os"
	"strings"
	"testing"
	"time"
)

// An account's guard says what differs from the file's; what the file's does not say either is the default. 0 is kept.
func TestGuardOfAnAccount(t *testing.T) {
	minimal, err := os.ReadFile("testdata/minimal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const name = "{name: sales,"
	if !strings.Contains(string(minimal), name) {
		t.Fatalf("the file has no %s", name)
	}
	common := defaultGuard()
	common.Retry, common.Strangers.PerDay, common.Strangers.PerExtension = 2*time.Second, 50, 10
	own := common
	own.ImportContacts = false
	own.Strangers.PerDay, own.Strangers.WarmUp, own.Strangers.Gap = 5, 0, 0
	own.Strangers.Declines.Count = 2
	for text, want := range map[string]Guard{
		"":            common,
		"guard: {}, ": common,
		"guard: {import_contacts: false, strangers: {per_day: 5, warm_up: 0, gap: 0s, declines: {count: 2}}}, ": own,
	} {
		// The account stands before the file's own guard, and shares a part of it.
		all := strings.Replace(string(minimal), name, name+" "+text, 1) +
			"guard: {retry: 2s, strangers: {per_day: 50, per_extension: 10}}\n"
		c, err := parse("x.yaml", []byte(all))
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got := c.Accounts[0].Guard.Guard; got != want {
			t.Errorf("%q is\n%+v, want\n%+v", text, got, want)
		}
		if c.Guard != common {
			t.Errorf("%q changes the file's own guard: %+v", text, c.Guard)
		}
	}
}

// The limits that several accounts share can be written once.
func TestGuardByAnAnchor(t *testing.T) {
	text, err := os.ReadFile("testdata/minimal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	all := "guard: {strangers: {declines: &strict {count: 2, within: 1h, pause: 1h}}}\n" +
		strings.Replace(string(text), "{name: sales,", "{name: sales, guard: {strangers: {declines: *strict}},", 1)
	c, err := parse("x.yaml", []byte(all))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Accounts[0].Guard.Strangers.Declines; got != (Declines{2, time.Hour, time.Hour}) {
		t.Errorf("declines are %+v", got)
	}
}
