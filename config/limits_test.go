package config

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"
)

// TestLookupsAndMaxCalls: what is left out has its default, what is written counts.
func TestLookupsAndMaxCalls(t *testing.T) {
	text, err := os.ReadFile("testdata/minimal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := parse("x.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	if c.Lookups != (Lookups{24 * time.Hour, 24 * time.Hour, time.Hour}) || c.Accounts[0].MaxCalls != 10 {
		t.Errorf("the defaults are %+v, %d calls", c.Lookups, c.Accounts[0].MaxCalls)
	}
	text = bytes.Replace(text, []byte("{name: sales,"), []byte("{name: sales, max_calls: 3,"), 1)
	c, err = parse("x.yaml", append(text, "lookups: {missing_for: 1h, no_dialog_for: 5m}\n"...))
	if err != nil {
		t.Fatal(err)
	}
	if c.Lookups != (Lookups{24 * time.Hour, time.Hour, 5 * time.Minute}) || c.Accounts[0].MaxCalls != 3 {
		t.Errorf("%+v, %d calls", c.Lookups, c.Accounts[0].MaxCalls)
	}
}

// TestAccountWithoutRouteIsWarnedOf: with the account's own line.
func TestAccountWithoutRouteIsWarnedOf(t *testing.T) {
	text, err := os.ReadFile("testdata/minimal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte("  - {from: sales, to: office, context: c, extension: \"1\"}\n"), nil, 1)
	c, err := parse("x.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, w := range c.Table.Warnings() {
		found = found || w.Line == 2 && strings.Contains(w.Text, "no route has from: sales")
	}
	if !found {
		t.Errorf("the warnings are %+v", c.Table.Warnings())
	}
}
