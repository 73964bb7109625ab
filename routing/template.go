package routing

import (
	"fmt"
	"strings"
)

// field is a fact of a Telegram user that a caller-ID rule shows. Its texts are, over ASCII and without regard to case:
//
//	{userid}    5-20 digits, the first not 0   [1-9][0-9]{4,19}
//	{phone}     7-15 digits, the first not 0   [1-9][0-9]{6,14}       (E.164 without its plus)
//	{username}  4-32 characters                [a-z][a-z0-9_]{3,31}
//
// Every one of them is of the shape "one of these first, then so many of those", which overlap makes use of.
type field struct {
	name        string
	kind        NumberKind
	first, rest charset
	min, max    int
}

var (
	userIDField = field{
		name: "{userid}", kind: UserID, first: nonZero, rest: digits, min: minUserIDDigits, max: maxUserIDDigits,
	}
	phoneField = field{
		name: "{phone}", kind: Phone, first: nonZero, rest: digits, min: minPhoneDigits, max: maxPhoneDigits,
	}
	usernameField = field{
		name: "{username}", kind: Username, first: letters, rest: letters.or(digits).or(oneOf("_")), min: minUsername, max: maxUsername,
	}
)

// template is a text with one field in it: what stands around the field is written as it is, and read without regard to
// the case of letters. Its texts are therefore a regular language of a simple kind: those of one length are a product
// of one set of characters for every place, because prefix and suffix have one length each.
type template struct {
	prefix string
	field  field
	suffix string
}

// maxLiteral is how many characters may stand around a field.
const maxLiteral = 24

// parseTemplate reads a rule such as *{userid} or tg-{username}.
func parseTemplate(text string) (template, error) {
	open, end := strings.IndexByte(text, '{'), strings.IndexByte(text, '}')
	if open < 0 || end < open {
		return template{}, fmt.Errorf("caller-id rule %q names no field: {userid}, {username} or {phone}", text)
	}
	t := template{prefix: text[:open], suffix: text[end+1:]}
	name := text[open : end+1]
	switch name {
	case userIDField.name:
		t.field = userIDField
	case phoneField.name:
		t.field = phoneField
	case usernameField.name:
		t.field = usernameField
	default:
		return template{}, fmt.Errorf("caller-id rule %q: there is no field %s; use {userid}, {username} or {phone}", text, name)
	}
	around := t.prefix + t.suffix
	switch {
	case strings.ContainsAny(around, "{}"):
		return template{}, fmt.Errorf("caller-id rule %q has more than one field: what it shows could not be read back", text)
	case len(around) > maxLiteral:
		return template{}, fmt.Errorf("caller-id rule %q has more than %d characters around its field", text, maxLiteral)
	}
	for _, c := range []byte(around) {
		if !dialable(c) {
			return template{}, fmt.Errorf("caller-id rule %q contains %q; letters, digits and + * # @ _ - . are accepted", text, rune(c))
		}
	}
	return t, nil
}

func (t template) String() string { return t.prefix + t.field.name + t.suffix }

// write returns the text for a value of the field; "" for a value that is none of its texts.
func (t template) write(value string) string {
	if !t.field.has(value) {
		return ""
	}
	return t.prefix + value + t.suffix
}

// read returns the field's value in a text of the template.
func (t template) read(text string) (value string, ok bool) {
	value, ok = t.peel(text)
	return value, ok && t.field.has(value)
}

// peel takes prefix and suffix off, whatever is left.
func (t template) peel(text string) (rest string, ok bool) {
	around := len(t.prefix) + len(t.suffix)
	if len(text) < around || !strings.EqualFold(text[:len(t.prefix)], t.prefix) ||
		!strings.EqualFold(text[len(text)-len(t.suffix):], t.suffix) {
		return "", false
	}
	return text[len(t.prefix) : len(text)-len(t.suffix)], true
}

// has reports whether the text is one of the field's.
func (f field) has(text string) bool {
	if len(text) < f.min || len(text) > f.max {
		return false
	}
	for i := range len(text) {
		set := f.rest
		if i == 0 {
			set = f.first
		}
		if !set.has(text[i]) {
			return false
		}
	}
	return true
}

// shortest and longest are the lengths of the template's texts.
func (t template) shortest() int { return len(t.prefix) + t.field.min + len(t.suffix) }
func (t template) longest() int  { return len(t.prefix) + t.field.max + len(t.suffix) }

// at returns the characters that texts of length n may have at place i.
func (t template) at(i, n int) charset {
	switch {
	case i < len(t.prefix):
		return oneOf(t.prefix[i : i+1])
	case i >= n-len(t.suffix):
		at := i - (n - len(t.suffix))
		return oneOf(t.suffix[at : at+1])
	case i == len(t.prefix):
		return t.field.first
	}
	return t.field.rest
}

// overlap returns a text that both templates can write, and whether there is one.
//
// It is exact, and needs no automata: fix the length n. The texts of length n of a template are then a product of n sets
// of characters (template.at), and two products have an element in common exactly if their sets do at every place. The
// lengths are bounded, so all of them are tried. The same comparison decides whether a text could be read by both, as
// what a rule reads is what it can write. The 20-digit numbers above 2^63-1 are counted as user-ids although none is
// one; a rule says so when it reads one, and no other rule may read it as something else.
func overlap(a, b template) (text string, ok bool) {
	for n := max(a.shortest(), b.shortest()); n <= min(a.longest(), b.longest()); n++ {
		if text, ok := overlapAt(a, b, n); ok {
			return text, true
		}
	}
	return "", false
}

func overlapAt(a, b template, n int) (text string, ok bool) {
	witness := make([]byte, n)
	for i := range n {
		common := a.at(i, n).and(b.at(i, n))
		if common == (charset{}) {
			return "", false
		}
		witness[i] = common.example(i)
	}
	return string(witness), true
}

// charset is a set of ASCII characters, letters in lower case.
type charset [2]uint64

var (
	nonZero = oneOf("123456789")
	digits  = oneOf("0123456789")
	letters = oneOf("abcdefghijklmnopqrstuvwxyz")
)

func oneOf(chars string) (s charset) {
	for _, c := range []byte(strings.ToLower(chars)) {
		if c < 0x80 {
			s[c/64] |= 1 << (c % 64)
		}
	}
	return s
}

func (s charset) or(o charset) charset  { return charset{s[0] | o[0], s[1] | o[1]} }
func (s charset) and(o charset) charset { return charset{s[0] & o[0], s[1] & o[1]} }

func (s charset) has(c byte) bool {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c < 0x80 && s[c/64]&(1<<(c%64)) != 0
}

// example returns a character of the set, a varied one where it can: it is for people to read.
func (s charset) example(i int) byte {
	for _, c := range []byte{"1234567890"[i%10], "abcdefghij"[i%10]} {
		if s.has(c) {
			return c
		}
	}
	for c := range byte(0x80) {
		if s.has(c) && (c < 'A' || c > 'Z') {
			return c
		}
	}
	return 0
}
