package routing

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/mozillazg/go-unidecode"
)

// The values of NameRules.Charset and NameRules.Emoji.
const (
	CharsetUTF8  = "utf8"
	CharsetASCII = "ascii"
	EmojiKeep    = "keep"
	EmojiStrip   = "strip"
)

// NameRules says how the name of a Telegram user is shown to a PBX. The zero value is usable.
type NameRules struct {
	// Templates are tried in order: the first whose fields are all known, and of which something is left, is the name.
	// Fields are {name}, {first}, {last}, {username} and {phone} (with plus). Nil means {name}, @{username}.
	Templates []string
	Charset   string // utf8 (""), or ascii: every other script is transliterated
	Emoji     string // keep (""), or strip
	Length    int    // characters (code points) at most, without splitting what is drawn as one; 0 means MaxName
}

var defaultNames = []string{"{name}", "@{username}"}

const maxNameTemplates = 16

// names are checked NameRules.
type names struct {
	NameRules
}

// Check returns what makes the rules unusable, nil for good ones.
func (r NameRules) Check() error {
	_, err := newNames(r)
	return err
}

func newNames(r NameRules) (names, error) {
	var errs []error
	refuse := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if r.Templates == nil {
		r.Templates = defaultNames
	}
	if len(r.Templates) == 0 || len(r.Templates) > maxNameTemplates {
		refuse("there are %d caller-name templates; write 1 to %d, or leave them out for the default", len(r.Templates), maxNameTemplates)
	}
	for _, t := range r.Templates {
		if err := checkNameTemplate(t); err != nil {
			errs = append(errs, err)
		}
	}
	if r.Charset != "" && r.Charset != CharsetUTF8 && r.Charset != CharsetASCII {
		refuse("caller-name charset %q: use %s or %s", r.Charset, CharsetUTF8, CharsetASCII)
	}
	if r.Emoji != "" && r.Emoji != EmojiKeep && r.Emoji != EmojiStrip {
		refuse("caller-name emoji %q: use %s or %s", r.Emoji, EmojiKeep, EmojiStrip)
	}
	if r.Length == 0 {
		r.Length = MaxName
	}
	if r.Length < 1 || r.Length > MaxName {
		refuse("a caller name of %d characters is outside 1 to %d", r.Length, MaxName)
	}
	return names{r}, errors.Join(errs...)
}

func checkNameTemplate(text string) error {
	fields := 0
	var around strings.Builder
	err := nameParts(text, func(literal string) { around.WriteString(literal) }, func(string) { fields++ })
	switch {
	case err != nil:
		return err
	case fields == 0:
		return fmt.Errorf("caller-name template %q names no field: {name}, {first}, {last}, {username} or {phone}", text)
	}
	for _, r := range around.String() {
		if safeRune(r) != r {
			return fmt.Errorf("caller-name template %q contains %q, which is not passed to a PBX", text, r)
		}
	}
	return nil
}

// nameParts takes a template apart.
func nameParts(text string, literal, field func(string)) error {
	rest := text
	for rest != "" {
		open := strings.IndexByte(rest, '{')
		if open < 0 {
			literal(rest)
			return nil
		}
		literal(rest[:open])
		end := strings.IndexByte(rest, '}')
		if end < open {
			return fmt.Errorf("caller-name template %q: a field is written {name}", text)
		}
		switch name := rest[open : end+1]; name {
		case "{name}", "{first}", "{last}", "{username}", "{phone}":
			field(name)
		default:
			return fmt.Errorf("caller-name template %q: there is no field %s; use {name}, {first}, {last}, {username} or {phone}", text, name)
		}
		rest = rest[end+1:]
	}
	return nil
}

// shown is a name with the template that made it.
type shownName struct{ text, template string }

// show returns the name of a Telegram user as the PBX should see it; "" where nothing is known.
func (n names) show(p Party) shownName {
	for _, template := range n.Templates {
		var b strings.Builder
		complete := true
		_ = nameParts(template, // checked by newNames
			func(literal string) { b.WriteString(literal) },
			func(field string) {
				value := n.clean(p.nameField(field))
				complete = complete && value != ""
				b.WriteString(value)
			})
		text := b.String()
		if n.Charset == CharsetASCII {
			text = ascii(text) // before the cut: one character may become several
		}
		if text = sanitize(text, n.Length, n.Length*utf8.UTFMax); complete && text != "" {
			return shownName{text, template}
		}
	}
	return shownName{}
}

func (p Party) nameField(field string) string {
	switch field {
	case "{name}":
		return p.Name
	case "{first}":
		return p.First
	case "{last}":
		return p.Last
	case "{username}":
		return p.field(Username)
	}
	if p.Phone == "" {
		return ""
	}
	return "+" + p.field(Phone)
}

// maxNameField is how much of one field is looked at, in bytes: Telegram's names have 64 characters.
const maxNameField = 512

func (n names) clean(value string) string {
	value = SanitizeText(value, maxNameField)
	if n.Emoji == EmojiStrip {
		value = SanitizeText(stripEmoji(value), maxNameField)
	}
	if n.Charset == CharsetASCII {
		value = ascii(value)
	}
	return value
}

// ascii transliterates every script into printable ASCII. What the tables say is sanitised again: they have quotes and
// brackets for many a sign.
func ascii(text string) string {
	text = SanitizeText(unidecode.Unidecode(text), maxNameField)
	text = strings.Map(func(r rune) rune {
		if r > '~' {
			return -1 // ’, and what the tables do not know
		}
		return r
	}, text)
	return strings.Join(strings.Fields(text), " ")
}

// stripEmoji drops emoji with what joins and colours them.
func stripEmoji(text string) string {
	after := false // what stood before was one
	return strings.Map(func(r rune) rune {
		switch {
		case isEmoji(r), after && (isJoiner(r) || continues(r)):
			after = true
			return -1
		case r == 0xFE0F || r == 0x20E3: // "draw it as an emoji", and the frame of a keycap
			return -1
		}
		after = false
		return r
	}, text)
}

// isEmoji covers the blocks of pictographs (Unicode 16, emoji-data), with the dingbats among them.
func isEmoji(r rune) bool {
	switch {
	case 0x1F000 <= r && r <= 0x1FAFF, 0x2600 <= r && r <= 0x27BF, 0x2B00 <= r && r <= 0x2BFF, 0x2300 <= r && r <= 0x23FF:
		return true
	}
	return r == 0x3030 || r == 0x303D || r == 0x3297 || r == 0x3299
}
