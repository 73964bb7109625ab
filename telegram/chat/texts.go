package chat

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// Key names a text.
type Key string

// The texts, with the fields each knows.
const (
	TextAutoAnswer Key = "auto_answer" // to a message that means nothing
	TextAutoClosed Key = "auto_closed" // {date}, {time}: the same while it is closed, and when it opens
	TextMenu       Key = "menu"        // {departments}
	TextClosed     Key = "closed"      // {name}, {date}, {time}: when it opens
	TextCalling    Key = "calling"     // {name}: with whom the person is being connected
	TextLater      Key = "later"       // the person has asked for too many calls
	TextCard       Key = "card"        // {name}, {number} of the caller, {account}, variables of the route: {DEPARTMENT}
	TextTried      Key = "tried"       // the same: a call that the person has missed
	TextPrivate    Key = "private"     // the same: a call that the person's privacy settings have refused
	TextMissed     Key = "missed"      // {word}: a call of the person's that nobody has taken
	TextFailed     Key = "call_failed" // a call that the person has asked for could not be placed
	TextDigits     Key = "digits"      // {digits} that the PBX has played
)

// Texts are by key and language. {field} is filled in; what stands in [brackets] vanishes when a field in it is not
// known, and a text that lacks one outside of them is not sent.
type Texts map[Key]map[string]string

const (
	builtIn    = "en"
	maxText    = 1000 // characters of a text; Telegram's own limit is 4096
	maxMessage = 4096 // characters that Telegram takes
	maxWord    = 64   // bytes of a word that means something
)

// Keys are all texts that there are.
func Keys() []Key {
	return []Key{
		TextAutoAnswer, TextAutoClosed, TextMenu, TextClosed, TextCalling, TextLater, TextCard, TextTried, TextPrivate, TextMissed,
		TextFailed, TextDigits,
	}
}

// withBuiltIn fills the texts that are not given in. One that is given in any language stands for itself: the built-in
// text of another language may say something else.
func (t Texts) withBuiltIn() Texts {
	all, languages := make(Texts, len(Keys())), builtInTexts()
	for _, k := range Keys() {
		if all[k] = t[k]; len(t[k]) > 0 {
			continue
		}
		all[k] = map[string]string{}
		for language, texts := range languages {
			if text, ok := texts[k]; ok {
				all[k][language] = text
			}
		}
	}
	return all
}

// fieldsOf are the fields of a text; nil where the route's variables are fields as well.
func fieldsOf(k Key) []string {
	switch k {
	case TextMenu:
		return []string{"departments"}
	case TextClosed:
		return []string{"name", "date", "time"}
	case TextAutoClosed:
		return []string{"date", "time"}
	case TextCalling:
		return []string{"name"}
	case TextMissed:
		return []string{"word"}
	case TextDigits:
		return []string{"digits"}
	case TextCard, TextTried, TextPrivate:
		return nil
	}
	return []string{}
}

func (t Texts) check(fallback string, refuse func(string, ...any)) {
	for _, k := range slices.Sorted(maps.Keys(t)) {
		if !slices.Contains(Keys(), k) {
			refuse(fmt.Sprintf("there is no text %q", k), "texts", string(k))
			continue
		}
		if _, ok := t[k][fallback]; !ok {
			refuse(fmt.Sprintf("text %q is missing in %q, the default language", k, fallback), "texts", string(k))
		}
		for _, language := range slices.Sorted(maps.Keys(t[k])) {
			text := t[k][language]
			problem := checkTemplate(text, fieldsOf(k))
			switch {
			case strings.TrimSpace(text) == "" || utf8.RuneCountInString(text) > maxText:
				problem = fmt.Sprintf("use 1 to %d characters", maxText)
			case !utf8.ValidString(text):
				problem = "it is no valid UTF-8"
			}
			if problem != "" {
				refuse(fmt.Sprintf("text %q in %q: %s", k, language, problem), "texts", string(k), language)
			}
		}
	}
}

// checkTemplate says what is wrong with a template; "" for nothing.
func checkTemplate(text string, fields []string) (problem string) {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '[':
			depth++
		case ']':
			depth--
		case '{':
			name, _, closed := strings.Cut(text[i+1:], "}")
			if !closed || name == "" || strings.ContainsAny(name, "{[]") {
				return "a { without its }"
			}
			if fields != nil && !slices.Contains(fields, name) {
				return fmt.Sprintf("there is no field {%s}", name)
			}
			i += len(name) + 1
		case '}':
			return "a } without its {"
		}
		if depth < 0 || depth > 1 {
			return "brackets do not match, or stand in each other"
		}
	}
	if depth != 0 {
		return "brackets do not match, or stand in each other"
	}
	return ""
}

// text returns a text in the person's language with its fields filled in; false where one is missing.
func (d *Desk) text(k Key, p Person, b *Book, fields map[string]string) (string, bool) {
	template, _ := pick(d.o.Texts[k], p.Language, b.Language, d.o.Language)
	return fill(template, fields)
}

// fill fills a checked template in. What comes from outside is never read as a template.
func fill(template string, fields map[string]string) (string, bool) {
	var out strings.Builder
	for template != "" {
		before, rest, found := strings.Cut(template, "[")
		text, ok := fillPlain(before, fields)
		if !ok {
			return "", false
		}
		out.WriteString(text)
		if !found {
			break
		}
		optional, after, _ := strings.Cut(rest, "]")
		if text, ok := fillPlain(optional, fields); ok {
			out.WriteString(text)
		}
		template = after
	}
	text := cut(strings.TrimSpace(out.String()))
	return text, text != ""
}

// cut leaves as much of a text as fits into a message.
func cut(text string) string {
	if utf8.RuneCountInString(text) <= maxMessage {
		return text
	}
	return string([]rune(text)[:maxMessage])
}

func fillPlain(template string, fields map[string]string) (string, bool) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(template, "{")
		out.WriteString(before)
		if !found {
			return out.String(), true
		}
		name, after, _ := strings.Cut(rest, "}")
		if fields[name] == "" {
			return "", false
		}
		out.WriteString(fields[name])
		template = after
	}
}
