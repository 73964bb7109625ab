package routing

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestSanitizeName(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"Alice", "Alice"},
		{"  Alice \t  Bob ", "Alice Bob"},
		{"Иван Петров", "Иван Петров"},
		{"李小龍", "李小龍"},
		{"محمد", "محمد"},
		{"می\u200cخواهم", "می\u200cخواهم"}, // the non-joiner is spelling
		{"Alice 👩‍👩‍👧 ❤️ 🇩🇪", "Alice 👩‍👩‍👧 ❤️ 🇩🇪"},
		{"👍🏽", "👍🏽"},
		{"O'Brien", "O’Brien"},
		{`"Bob" <sip:1@x>`, "Bob sip:1@x"},
		{"Bob\r\nX-Evil: 1", "Bob X-Evil: 1"},
		{"Bob\u2028Eve", "Bob Eve"},
		{"${SHELL(id)}", "SHELL id"},
		{"a,b;c|d\\e`f[g]{h}", "a b c d e f g h"},
		{"\u202eevil\u202c\u2066x\u2069\u200e\u200f", "evilx"},
		{"\u200bB\u2060o\ufeffb\u00ad", "Bob"},
		{"Bob\x00\x07\x1b[31m", "Bob 31m"},
		{"Bob\U000e0041\U000e0042", "Bob"}, // tags: hidden text
		{"\ue000\U000f0000Bob", "Bob"},     // private use
		{"\u3164\u3164", ""},               // a filler that draws nothing
		{"\u200d\u200dBob\u200d", "Bob"},
		{"Bob\xff\xfe!", "Bob!"},
		{"", ""},
		{"\r\n", ""},
		{strings.Repeat("x", 80), strings.Repeat("x", 64)},
		{strings.Repeat("ж", 80), strings.Repeat("ж", 64)},
		{strings.Repeat("x", 62) + "👩‍👩‍👧", strings.Repeat("x", 62)},
		{strings.Repeat("x", 63) + "👍🏽", strings.Repeat("x", 63)},
		{strings.Repeat("x", 63) + " y", strings.Repeat("x", 63)},
		{"a" + strings.Repeat("\u0301", 100), "a" + strings.Repeat("\u0301", 63)},
	} {
		if got := SanitizeName(test.in); got != test.want {
			t.Errorf("SanitizeName(%q) = %q, want %q", test.in, got, test.want)
		}
	}
}

func FuzzSanitizeName(f *testing.F) {
	for _, seed := range []string{"Alice", "\"Bob\"\r\n<x>", "👩‍👩‍👧👍🏽", "\u202ex", "a\u0301\u0301", "${x}", "\xff", strings.Repeat("👩‍", 40)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got := SanitizeName(name)
		switch {
		case !utf8.ValidString(got):
			t.Fatalf("%q: %q is not UTF-8", name, got)
		case utf8.RuneCountInString(got) > MaxName:
			t.Fatalf("%q: %q is too long", name, got)
		case got != strings.TrimSpace(got), strings.Contains(got, "  "):
			t.Fatalf("%q: %q has blanks too many", name, got)
		case SanitizeName(got) != got:
			t.Fatalf("%q: %q is sanitised again to %q", name, got, SanitizeName(got))
		}
		for _, r := range got {
			switch {
			case r == zeroWidthJoiner || r == zeroWidthNonJoiner:
			case unicode.IsControl(r), unicode.In(r, unicode.Cf, unicode.Co, unicode.Zl, unicode.Zp), strings.ContainsRune("\"<>`$,;|\\{}[]'", r):
				t.Fatalf("%q: %q contains %q", name, got, r)
			}
		}
	})
}
