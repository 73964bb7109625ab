package config

import (
	"os"
	"strings"
	"testing"
)

// Prefixes that a PBX has other uses for are legal, and a warning at the rule's line.
func TestPrefixesThatCollideAreWarnedOf(t *testing.T) {
	minimal, err := os.ReadFile("testdata/minimal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for rule, want := range map[string][]string{
		"*{userid}":   {"feature codes"},
		"0{userid}":   {"outside line", "a national number after 0"},
		"*80{userid}": {"feature code *80"},
		"*99{userid}": nil,
	} {
		text := "numbers: {country: '49', national_prefix: '0'}\ncaller_id:\n  - '+{phone}'\n  - '" + rule + "'\n" + string(minimal)
		c, err := parse("x.yaml", []byte(text))
		if err != nil {
			t.Errorf("%s: %v", rule, err)
			continue
		}
		var got []string
		for _, w := range c.Table.Warnings() {
			if w.Line != 4 || !strings.Contains(w.Text, rule) {
				t.Errorf("%s: %+v", rule, w)
			}
			got = append(got, w.Text)
		}
		if len(got) != len(want) {
			t.Errorf("%s: warnings are %q", rule, got)
			continue
		}
		for i := range want {
			if !strings.Contains(got[i], want[i]) {
				t.Errorf("%s: %q does not say %q", rule, got[i], want[i])
			}
		}
	}
}
