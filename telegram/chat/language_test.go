package chat

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Every built-in language has every text, with the fields of the English one and brackets that work.
func TestBuiltInTexts(t *testing.T) {
	field := regexp.MustCompile(`\{\w+\}`)
	fields := func(text string) string {
		all := field.FindAllString(text, -1)
		slices.Sort(all)
		return strings.Join(all, " ")
	}
	languages := builtInTexts()
	if len(languages) != 10 {
		t.Errorf("%d languages", len(languages))
	}
	seen := map[string]string{}
	for language, texts := range languages {
		if !isTag(language) || tag(language) != language {
			t.Errorf("%q is no language", language)
		}
		for _, k := range Keys() {
			text, ok := texts[k]
			if !ok && (k != TextDigits || language == builtIn) {
				t.Errorf("text %s is missing in %s", k, language)
			}
			if !ok {
				continue
			}
			if problem := checkTemplate(text, fieldsOf(k)); problem != "" || fields(text) != fields(languages[builtIn][k]) {
				t.Errorf("text %s in %s: %s has %s, want %s", k, language, problem, fields(text), fields(languages[builtIn][k]))
			}
			if k != TextDigits && seen[text] != "" {
				t.Errorf("text %s is the same in %s and %s", k, language, seen[text])
			}
			seen[text] = language
		}
		if len(texts) > len(Keys()) {
			t.Errorf("%s has a text too many", language)
		}
	}
}

// The language of a text: Telegram's word on the person, then the words the person wrote, then the account's, then English;
// of a text of one's own only the languages it is in.
func TestLanguageOfATextIsTheNearest(t *testing.T) {
	const key = TextLater
	own := Texts{key: {"de": "eigener", "PT_br": "próprio", "en": "own"}}
	for name, c := range map[string]struct {
		texts                   Texts
		person, wrote, fallback string
		want                    string // the beginning
	}{
		"built in":                       {nil, "ru", "", "", "Вы уже"},
		"with a region":                  {nil, "es-419", "", "", "Ya ha"},
		"as Telegram writes it":          {nil, "pt-br", "", "", "Você já"},
		"a language pack of the apps":    {nil, "uk-raw", "", "", "Ви вже"},
		"in capitals":                    {nil, "TR", "", "", "Birkaç"},
		"the words that were written":    {nil, "", "fr", "de", "Vous avez"},
		"Telegram's before the words":    {nil, "it", "fr", "de", "Ha già"},
		"unknown, then the words":        {nil, "eo", "pl", "de", "Zamówiono"},
		"unknown, then the account's":    {nil, "eo", "", "de_AT", "Sie haben"},
		"unknown everywhere":             {nil, "eo", "tlh", "nl", "You have"},
		"nothing is known":               {nil, "", "", "", "You have"},
		"nonsense":                       {nil, "-", "--x", "", "You have"},
		"one's own":                      {own, "de-CH", "", "", "eigener"},
		"one's own with a region":        {own, "pt-BR", "", "", "próprio"},
		"one's own for another region":   {own, "pt-PT", "", "", "own"},
		"one's own is not mixed":         {own, "ru", "", "de", "eigener"},
		"one's own after the words":      {own, "ru", "de", "en", "eigener"},
		"another text is left built in":  {Texts{TextMenu: {"en": "x {departments}"}}, "ru", "", "", "Вы уже"},
		"only the account's own is left": {Texts{key: {"nl": "eigen"}}, "ru", "de", "nl", "eigen"},
	} {
		d := desk(t, Options{Language: c.fallback, Texts: c.texts})
		if got, ok := d.text(key, Person{Language: c.person}, &Book{Language: c.wrote}, nil); !ok || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %q, want %q…", name, got, c.want)
		}
	}
}

// Names of departments, and words to write, are found in whatever form their language is written.
func TestLanguagesOfNamesAndWords(t *testing.T) {
	c := chatter{s: fresh(), p: Person{Language: "pt-br"}, Desk: desk(t, Options{
		Departments: []Department{{Name: map[string]string{"en": "Sales", "pt_BR": "Vendas"}, Place: Place{Extension: "600"}}},
		Menu:        Menu{Words: Words{"PT-BR": {"menu"}}},
	})}
	if got := said(t, c.writes("menu", noon)); got != "Responda com um número, e ligaremos para você e faremos a transferência:\n1. Vendas" {
		t.Errorf("%q", got)
	}
	if c.s.Book.Language != "pt-br" {
		t.Errorf("the language of the words is %q", c.s.Book.Language)
	}
}
