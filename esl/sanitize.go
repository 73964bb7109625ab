package esl

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tgtrunk/tgtrunk/routing"
)

// Longest texts handed to FreeSWITCH, in bytes of UTF-8.
const (
	maxNameBytes   = 80
	maxNumberBytes = 40
	maxValueBytes  = 256
)

// cleanText makes text that strangers chose harmless wherever a dialplan or a dial string may put it, in at most limit
// bytes. The house sanitiser does, but for two characters that only FreeSWITCH gives a meaning.
func cleanText(s string, limit int) string {
	return routing.SanitizeText(strings.Map(func(r rune) rune {
		if r == '^' || r == '=' {
			return ' '
		}
		return r
	}, s), limit)
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

// cleanVariables returns the variables that may be set on a channel, and the names of those that may not: what is no
// plain name or names something FreeSWITCH would run, and what has a control character in its value. Those of ours tell
// of strangers and are cleaned; the others are the administrator's own text and stay as they are.
func cleanVariables(in map[string]string) (out map[string]string, refused []string) {
	out = make(map[string]string, len(in))
	for name, value := range in {
		if !validVariable(name) || !isPlain(value) {
			refused = append(refused, name)
			continue
		}
		if strings.HasPrefix(name, "TGTRUNK_") {
			value = cleanText(value, maxValueBytes)
		}
		out[name] = value
	}
	return out, refused
}

// isPlain reports whether text is UTF-8 without control characters.
func isPlain(s string) bool {
	return utf8.ValidString(s) && onlyRunes(s, func(r rune) bool { return !unicode.IsControl(r) })
}

// readable reports whether text can be the name of a channel variable.
func readable(name string) bool {
	return name != "" && len(name) <= 80 && (name[0] < '0' || name[0] > '9') &&
		onlyRunes(name, func(r rune) bool { return isWord(r) || r == '-' })
}

// validVariable reports whether a route may set a variable.
func validVariable(name string) bool {
	if !readable(name) {
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
