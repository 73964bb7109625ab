package ari

import (
	"strings"
	"unicode"

	"github.com/tgtrunk/tgtrunk/routing"
)

// Longest texts handed to Asterisk, cleaned by routing.SanitizeText, in bytes of UTF-8. Asterisk itself cuts channel
// variables nowhere, but phones and SIP headers do.
const (
	maxNameBytes   = 80
	maxNumberBytes = 40
	maxValueBytes  = 256
)

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

// callerID returns name and number in the form `"name" <number>` that the originate request wants; "" where both are
// unknown.
func callerID(name, number string) string {
	name, number = routing.SanitizeText(name, maxNameBytes), cleanNumber(number)
	switch {
	case name == "" && number == "":
		return ""
	case name == "":
		return "<" + number + ">"
	}
	return `"` + name + `" <` + number + ">"
}

// cleanVariables returns the variables that may be set on a channel, with their values cleaned. Names that are no plain
// variable name, with at most the two underscores of inheritance, or one of the few harmless functions, are returned as
// refused: others could write files or run commands (Asterisk's FILE, SHELL).
func cleanVariables(in map[string]string) (out map[string]string, refused []string) {
	out = make(map[string]string, len(in))
	for name, value := range in {
		if !validVariable(name) {
			refused = append(refused, name)
			continue
		}
		out[name] = routing.SanitizeText(value, maxValueBytes)
	}
	return out, refused
}

func validVariable(name string) bool {
	if strings.Contains(name, "(") {
		return routing.DialplanFunction(name)
	}
	plain := strings.TrimPrefix(strings.TrimPrefix(name, "_"), "_")
	return plain != "" && len(plain) <= 80 && plain[0] != '_' && (plain[0] < '0' || plain[0] > '9') && onlyRunes(plain, isWord)
}

// validExtension reports whether text can stand as an extension in Local/extension@context.
func validExtension(s string) bool { return s != "" && len(s) <= 80 && onlyRunes(s, isDialChar) }

func validContext(s string) bool {
	return s != "" && len(s) <= 80 && onlyRunes(s, func(r rune) bool { return isWord(r) || r == '-' || r == '.' })
}

// validEndpoint reports whether text can be an endpoint ("PJSIP/100", "PJSIP/line/sip:100@host:5060;transport=tcp").
func validEndpoint(s string) bool {
	technology, rest, ok := strings.Cut(s, "/")
	return ok && technology != "" && rest != "" && len(s) <= 255 && onlyRunes(s, func(r rune) bool {
		return r > ' ' && r < 0x7f && !strings.ContainsRune("\"'`$\\{}[]<>,|&", r)
	})
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

func printable(s string) bool { return onlyRunes(s, unicode.IsPrint) }
