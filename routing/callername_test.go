package routing

import (
	"strings"
	"testing"
	"unicode/utf8"
)

const family = "👩‍👩‍👧" // three people, joined

// goldenNames are names as strangers choose them, and what a PBX is shown by default, and as ascii without emoji.
var goldenNames = []struct{ name, utf8, ascii string }{
	{"Alice Liddell", "Alice Liddell", "Alice Liddell"},
	{"Zoë Ångström-Ñuñez", "Zoë Ångström-Ñuñez", "Zoe Angstrom-Nunez"},
	{"Иван Щукин", "Иван Щукин", "Ivan Shchukin"},
	{"Ольга Соловьёва", "Ольга Соловьёва", "Olga Soloviova"}, // a soft sign would be an apostrophe
	{"Ελένη", "Ελένη", "Elene"},
	{"Straße Æ œ ß ł đ", "Straße Æ œ ß ł đ", "Strasse AE oe ss l d"},
	{"李小龍", "李小龍", "Li Xiao Long"},
	{"さくら", "さくら", "sakura"},
	{"김철수", "김철수", "gimceolsu"},
	{"محمد", "محمد", "mHmd"},
	{"שלום", "שלום", "SHlvm"},
	{"\u202eevil\u202c Bob", "evil Bob", "evil Bob"},       // right-to-left override
	{"\u2067Bob\u2069\u200f", "Bob", "Bob"},                // isolates and marks
	{"e\u0301lan a\u0308", "e\u0301lan a\u0308", "elan a"}, // combining marks
	{"Bob\r\nX-Evil: 1", "Bob X-Evil: 1", "Bob X-Evil: 1"},
	{`"Bob" 'Bobby' <b>`, "Bob ’Bobby’ b", "Bob Bobby b"},
	{"${SHELL(rm)} $[1+1]", "SHELL rm 1+1", "SHELL rm 1+1"},
	{"a,b;c|d&e", "a b c d e", "a b c d e"},
	{`back\slash` + "`id`", "back slash id", "back slash id"},
	{"Anna 🎄" + family + "👍🏽", "Anna 🎄" + family + "👍🏽", "Anna"},
	{"🇩🇪 Uwe ❤️ 1️⃣", "🇩🇪 Uwe ❤️ 1️⃣", "Uwe 1"},
	{"Bob\x00\x07", "Bob", "Bob"},
	{"Bob\xff\xfe!", "Bob!", "Bob!"},
	{"Bob\U000e0041\u200b\ufeff\u00ad", "Bob", "Bob"},
	{"№ 5 ½ ™", "№ 5 ½ ™", "No. 5 1/2 tm"},
	{strings.Repeat("ж", 64), strings.Repeat("ж", 64), strings.Repeat("zh", 32)},
	{strings.Repeat("x", 63) + family, strings.Repeat("x", 63), strings.Repeat("x", 63)},
	{strings.Repeat("x", 63) + "🇩🇪", strings.Repeat("x", 63), strings.Repeat("x", 63)},
	{strings.Repeat("x", 62) + "🇩🇪🇫🇷", strings.Repeat("x", 62) + "🇩🇪", strings.Repeat("x", 62)},
	{strings.Repeat("x", 63) + "e\u0301", strings.Repeat("x", 63), strings.Repeat("x", 63) + "e"},
	{strings.Repeat("x", 63) + "\u1112\u1161\u11ab", strings.Repeat("x", 63), strings.Repeat("x", 63) + "h"}, // Hangul of three letters
}

func TestGoldenNames(t *testing.T) {
	plain, err := newNames(NameRules{})
	if err != nil {
		t.Fatal(err)
	}
	plainest, err := newNames(NameRules{Charset: CharsetASCII, Emoji: EmojiStrip})
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range goldenNames {
		if got := plain.show(Party{Name: g.name}).text; got != g.utf8 {
			t.Errorf("%q is shown as %q, want %q", g.name, got, g.utf8)
		}
		if got := plainest.show(Party{Name: g.name}).text; got != g.ascii {
			t.Errorf("%q in ascii is %q, want %q", g.name, got, g.ascii)
		}
	}
}

func TestNameTemplates(t *testing.T) {
	anna := Party{Name: "Anna Karenina", First: "Anna", Last: "Karenina", Username: "anna_k", Phone: "4930123456"}
	for _, test := range []struct {
		rules NameRules
		party Party
		want  shownName
	}{
		{NameRules{}, anna, shownName{"Anna Karenina", "{name}"}},
		{NameRules{}, Party{Username: "anna_k"}, shownName{"@anna_k", "@{username}"}},
		{NameRules{}, Party{}, shownName{}},
		{NameRules{Templates: []string{"{last}, {first}"}}, anna, shownName{}}, // refused: a comma
		{NameRules{Templates: []string{"{phone} {name}", "{name}"}}, anna, shownName{"+4930123456 Anna Karenina", "{phone} {name}"}},
		{NameRules{Templates: []string{"{phone} {name}", "TG: {first}"}}, Party{First: "Bo", Name: "Bo"}, shownName{"TG: Bo", "TG: {first}"}},
		{NameRules{Templates: []string{"{last}", "@{username}"}, Emoji: EmojiStrip}, Party{Last: "🎄🎄", Username: "x_mas"}, shownName{"@x_mas", "@{username}"}},
		{NameRules{Templates: []string{"{last}"}, Emoji: EmojiStrip}, Party{Last: "a" + family + "b"}, shownName{"ab", "{last}"}},
		{NameRules{Length: 4}, anna, shownName{"Anna", "{name}"}},
		{NameRules{Length: 5}, anna, shownName{"Anna", "{name}"}},
		{NameRules{Templates: []string{"Ж {name}"}, Charset: CharsetASCII, Length: 6}, anna, shownName{"Zh Ann", "Ж {name}"}},
		{NameRules{Length: 3}, Party{Name: "ab" + family}, shownName{"ab", "{name}"}},
	} {
		n, err := newNames(test.rules)
		if err != nil {
			if test.want != (shownName{}) {
				t.Errorf("%+v: %v", test.rules, err)
			}
			continue
		}
		if got := n.show(test.party); got != test.want {
			t.Errorf("%+v shows %+v as %+v, want %+v", test.rules, test.party, got, test.want)
		}
	}
}

func TestNameRulesRefused(t *testing.T) {
	for says, bad := range map[string]NameRules{
		`"Telegram" names no field`:   {Templates: []string{"Telegram"}},
		`there is no field {userid}`:  {Templates: []string{"{userid}"}},
		`a field is written {name}`:   {Templates: []string{"{name"}},
		`contains '('`:                {Templates: []string{"{phone} ({name})"}},
		`there are 0 caller-name`:     {Templates: []string{}},
		`charset "latin1"`:            {Charset: "latin1"},
		`emoji "no": use keep`:        {Emoji: "no"},
		`65 characters is outside`:    {Length: 65},
		`-1 characters is outside 1`:  {Length: -1},
		`contains '\u202e', which is`: {Templates: []string{"\u202e{name}"}},
	} {
		if err := bad.Check(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v, want %q", bad, err, says)
		}
	}
}

// FuzzCallerName: whatever a stranger calls himself, what is shown is short, clean, and in the alphabet that was asked for.
func FuzzCallerName(f *testing.F) {
	for _, g := range goldenNames {
		f.Add(g.name, "x", 10)
	}
	f.Fuzz(func(t *testing.T, first, last string, length int) {
		for _, charset := range []string{CharsetUTF8, CharsetASCII} {
			for _, emoji := range []string{EmojiKeep, EmojiStrip} {
				n, err := newNames(NameRules{Templates: []string{"{first} {last}", "{first}"}, Charset: charset, Emoji: emoji, Length: length})
				if err != nil {
					return
				}
				got := n.show(Party{First: first, Last: last}).text
				if got != SanitizeName(got) || utf8.RuneCountInString(got) > n.Length {
					t.Fatalf("%q %q is shown as %q in %s", first, last, got, charset)
				}
				for _, r := range got {
					if charset == CharsetASCII && (r < ' ' || r > '~') || emoji == EmojiStrip && isEmoji(r) {
						t.Fatalf("%q %q is shown as %q: %q", first, last, got, r)
					}
				}
			}
		}
	})
}

func TestSanitizeText(t *testing.T) {
	for _, test := range []struct {
		in    string
		bytes int
		want  string
	}{
		{strings.Repeat("я", 100), 80, strings.Repeat("я", 40)},
		{strings.Repeat("a ", 100), 80, strings.TrimSpace(strings.Repeat("a ", 40))},
		{"x" + family, 10, "x"},
		{family, 5, "👩"}, // nothing but a piece of it fits
		{"abc", 0, ""},
	} {
		if got := SanitizeText(test.in, test.bytes); got != test.want {
			t.Errorf("SanitizeText(%q, %d) = %q, want %q", test.in, test.bytes, got, test.want)
		}
	}
}
