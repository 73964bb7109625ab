package tgtrunk_test

import (
	"os"
	"strings"
	"testing"

	"github.com/tgtrunk/tgtrunk/bridge"
)

// TestUnitReloads: what the documentation says of SIGHUP is what systemctl reload does.
func TestUnitReloads(t *testing.T) {
	unit, err := os.ReadFile("deploy/tgtrunk.service")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(unit), "\nExecReload=/bin/kill -HUP $MAINPID\n") {
		t.Error("the unit has no ExecReload")
	}
}

// TestKindsOfTheDocs: the documentation of the records names every kind of trunk.
func TestKindsOfTheDocs(t *testing.T) {
	text, err := os.ReadFile("docs/records.md")
	if err != nil {
		t.Fatal(err)
	}
	_, row, _ := strings.Cut(string(text), "\n| `kind` | ")
	row, _, _ = strings.Cut(row, "\n")
	for _, kind := range []bridge.Kind{bridge.Telegram, bridge.Asterisk, bridge.FreeSWITCH} {
		if !strings.Contains(row, "`"+string(kind)+"`") {
			t.Errorf("kind %s is missing: %s", kind, row)
		}
	}
}
