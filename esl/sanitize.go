package esl

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Longest texts handed to FreeSWITCH, in bytes of UTF-8.
const (
	maxNameBytes   = 80
	maxNumberBytes = 40
	maxValueBytes  = 256
)

// cleanText makes text that strangers chose harmless wherever a dialplan may put it: it drops control, format and
// invalid characters and everything that has a meaning in a dial string, a ${} expression, a list of variables, a SIP
// header or a shell. Quotes become the typographic apostrophe, so that O'Neill stays readable. The result is valid
// UTF-8 of at most limit bytes, without leading, trailing and doubled spaces, and cleaning it again changes nothing.
func cleanText(s string, limit int) string {
	var b strings.Builder
	for _, word := range strings.FieldsFunc(strings.Map(cleanRune, s), unicode.IsSpace) {
		if b.Len() > 0 {
			word = " " + word
		}
		if b.Len()+len(word) > limit {
			word = cut(word, limit-b.Len())
			b.WriteString(strings.TrimRight(word, " "))
			break
		}
		b.WriteString(word)
	}
	return b.String()
}

// cut returns the first characters of s that fit into limit bytes.
func cut(s string, limit int) string {
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// cleanRune returns the character to write instead of r: ' ' for what separates, -1 for what is dropped.
func cleanRune(r rune) rune {
	switch r {
	case '"', '\'', '`':
		return '’'
	case ',', ';', '|', '&', '<', '>', '(', ')', '\t', '\n', '\r':
		return ' '
	case '$', '{', '}', '[', ']', '\\', '^', '=', utf8.RuneError:
		return -1
	}
	switch {
	case unicode.IsSpace(r):
		return ' '
	case !unicode.IsPrint(r): // control, format (bidi overrides, zero width), surrogates, private use, unassigned
		return -1
	}
	return r
}

// cleanNumber keeps of a caller number what phones can show and dialplan patterns can match.
func cleanNumber(s string) string {
	kept := strings.Map(func(r rune) rune {
		if isDialChar(r) {
			return r
		}
		return -1
	}, s)
	return kept[:min(len(kept), maxNumberBytes)]
}

// guarded are variables that a route may not set: some run applications or scripts, some name our own channels.
var guarded = []string{"api_", "execute_on_", "origination_uuid", "exec_", "session_in_hangup_hook", "park_", "tgtrunk_"}

// cleanVariables returns the variables that may be set on a channel, with their values cleaned, and the names of those
// that may not: what is no plain name, and what FreeSWITCH would run something for.
func cleanVariables(in map[string]string) (out map[string]string, refused []string) {
	out = make(map[string]string, len(in))
	for name, value := range in {
		if !validVariable(name) {
			refused = append(refused, name)
			continue
		}
		out[name] = cleanText(value, maxValueBytes)
	}
	return out, refused
}

func validVariable(name string) bool {
	if name == "" || len(name) > 80 || name[0] >= '0' && name[0] <= '9' ||
		!onlyRunes(name, func(r rune) bool { return isWord(r) || r == '-' }) {
		return false
	}
	for _, begin := range guarded {
		if strings.HasPrefix(strings.ToLower(name), begin) && !strings.HasPrefix(name, "TGTRUNK_") {
			return false
		}
	}
	return true
}

// validExtension reports whether text can stand as an extension in loopback/extension/context.
func validExtension(s string) bool { return s != "" && len(s) <= 80 && onlyRunes(s, isDialChar) }

func validContext(s string) bool {
	return s != "" && len(s) <= 80 && onlyRunes(s, func(r rune) bool { return isWord(r) || r == '-' || r == '.' })
}

// validEndpoint reports whether text can be a dial string: user/100@example.org, sofia/gateway/line/100,
// sofia/internal/100%example.org.
func validEndpoint(s string) bool {
	technology, rest, ok := strings.Cut(s, "/")
	return ok && technology != "" && rest != "" && len(s) <= 255 && onlyRunes(s, func(r rune) bool {
		return r > ' ' && r < 0x7f && !strings.ContainsRune("\"'`$\\{}[]<>,|&()^", r)
	})
}

// validID reports whether text can be the uuid of a channel of anybody's.
func validID(s string) bool {
	return s != "" && len(s) <= 128 && onlyRunes(s, func(r rune) bool { return isWord(r) || r == '-' || r == '.' })
}

// isDialChar accepts what an extension or a number is made of.
func isDialChar(r rune) bool { return isWord(r) || strings.ContainsRune("+*#.-", r) }

// isWord accepts what a variable name is made of.
func isWord(r rune) bool {
	return r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}

func onlyRunes(s string, accept func(rune) bool) bool {
	return strings.IndexFunc(s, func(r rune) bool { return !accept(r) }) < 0
}
