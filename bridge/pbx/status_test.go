package pbx_test

import (
	"os"
	"regexp"
	"testing"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/bridge/pbx"
)

// The second table of docs/operations.md says which reasons have which status.
func TestStatusOf(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| `([A-Z]+)` \\| (`.*) \\|$").FindAllStringSubmatch(string(text), -1)
	seen := 0
	for _, row := range rows {
		for _, reason := range regexp.MustCompile("`([A-Z_]+)`").FindAllStringSubmatch(row[2], -1) {
			if got := pbx.StatusOf(bridge.Reason(reason[1])); got != row[1] {
				t.Errorf("docs/operations.md says %s for %s, it is %s", row[1], reason[1], got)
			}
			seen++
		}
	}
	if seen != 11 {
		t.Errorf("the table has %d reasons with a status other than CHANUNAVAIL: %q", seen, rows)
	}
	for _, r := range []bridge.Reason{bridge.Self, bridge.NotFound, bridge.Privacy, bridge.Unreachable, bridge.AccountDown, bridge.Failure, "NEW"} {
		if got := pbx.StatusOf(r); got != "CHANUNAVAIL" {
			t.Errorf("%s is %s", r, got)
		}
	}
}
