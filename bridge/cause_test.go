package bridge

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/routing"
)

// The causes that a PBX can be told and turns into a fitting SIP answer (Asterisk 22: every other becomes 603).
func TestCausesThatThePBXKnows(t *testing.T) {
	known := map[Q850]bool{1: true, 3: true, 16: true, 17: true, 19: true, 20: true, 21: true, 26: true, 27: true, 28: true, 34: true, 38: true, 42: true, 58: true}
	for reason := range q850 {
		c := CauseOf(reason)
		if c.Reason != reason || !known[c.Q850] {
			t.Errorf("%v", c)
		}
	}
	if c := CauseOf("SOMETHING"); c.Q850 != 38 || c.Reason != "SOMETHING" {
		t.Errorf("an unknown reason became %v", c)
	}
}

func TestCauseFromQ850(t *testing.T) {
	for code, want := range map[Q850]Reason{
		0: Normal, 16: Normal, 31: Normal, 1: NoRoute, 3: NoRoute, 17: Busy, 18: Unreachable, 20: Unreachable, 19: NoAnswer, 21: Declined,
		26: Elsewhere, 28: BadNumber, 34: Congestion, 42: Congestion, 58: MediaFailed, 127: Failure, 41: Failure,
		27: Unreachable, 102: Unreachable, 44: Congestion, 57: MediaFailed, 23: NoRoute, 25: NoRoute, 66: NoRoute, 45: Congestion,
	} {
		if c := CauseFromQ850(code); c.Reason != want || c.Q850 == 0 {
			t.Errorf("%d became %v", code, c)
		}
	}
}

// limited is an error with a verdict.
type limited struct{}

func (limited) Error() string { return "limited" }
func (limited) Cause() Cause  { return CauseOf(Flood).WithRetryAfter(1500 * time.Millisecond) }

func TestCauseFromError(t *testing.T) {
	if c := CauseFromError(fmt.Errorf("dial: %w", limited{})); c.Reason != Flood || c.RetryAfterSeconds() != "2" {
		t.Errorf("%v, %q", c, c.RetryAfterSeconds())
	}
	if c := CauseFromError(fmt.Errorf("route: %w", &routing.NumberError{})); c != CauseOf(BadNumber) {
		t.Error(c)
	}
	if c := CauseFromError(&routing.NoRouteError{}); c != CauseOf(NoRoute) {
		t.Error(c)
	}
	for _, err := range []error{errors.New("x"), nil} {
		if c := CauseFromError(err); c != CauseOf(Failure) {
			t.Errorf("%v became %v", err, c)
		}
	}
	if s := CauseOf(Busy).RetryAfterSeconds(); s != "" {
		t.Errorf("no time became %q", s)
	}
}

func TestMask(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "s": "s", "101": "101", "2000": "2000", "12345": "1xx45", "123456": "12xx56", "+4915112345678": "+49xxxxxxxxx78",
		"*123456789": "*12xxxxx89", "durov": "dxxov", "Павел Дуров": "Павxxxxxxов",
	} {
		if got := Mask(in); got != want {
			t.Errorf("Mask(%q) = %q, want %q", in, got, want)
		}
	}
	if got := Mask(strings.Repeat("1", 1000)); len(got) != 1000 || strings.Count(got, "1") != 5 {
		t.Errorf("%q", got)
	}
}

// The table of docs/operations.md has every reason that a dialplan can meet, with its cause.
func TestDocsTellEveryReason(t *testing.T) {
	text, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "\n| TGTRUNK_REASON |")
	table, _, _ = strings.Cut(table, "\n\n")
	told := map[Reason]string{}
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) != 6 {
			continue
		}
		for _, m := range regexp.MustCompile("`([A-Z_]+)`").FindAllStringSubmatch(cells[1], -1) {
			told[Reason(m[1])] = strings.TrimSpace(cells[3])
		}
	}
	for reason, code := range q850 {
		if reason == Normal || reason == Cancelled {
			continue
		}
		if want := strconv.Itoa(int(code)); told[reason] != want {
			t.Errorf("docs/operations.md says %q for %s, want %s", told[reason], reason, want)
		}
	}
	for reason := range told {
		if _, ok := q850[reason]; !ok {
			t.Errorf("docs/operations.md has the reason %s, which does not exist", reason)
		}
	}
}
