package routing

import (
	"strings"
	"unicode"
)

// MaxName is the length of a sanitised display name in runes.
const MaxName = 64

// SanitizeName makes a display name that a stranger chose safe to show and to hand to a dialplan: it is the one place
// where that is done. It keeps letters of every script, digits, punctuation and emoji, and
//
//   - drops control characters, bidi and other invisible controls, private and unassigned code points, invalid UTF-8;
//   - turns line breaks and every other space into one blank, none at either end;
//   - turns " < > ` $ { } [ ] \ | ; and comma into blanks: they quote, split or expand in SIP headers, dialplan
//     arguments, channel variables and originate strings. An apostrophe becomes ’, as names need it;
//   - cuts to MaxName runes, never in the middle of an emoji that is joined from several.
//
// It is idempotent.
func SanitizeName(name string) string { return sanitize(name, MaxName) }

const (
	zeroWidthNonJoiner = '\u200c' // Persian and Indic spelling
	zeroWidthJoiner    = '\u200d' // joins emoji
)

func sanitize(text string, limit int) string {
	out := make([]rune, 0, limit+2)
	blank := false // a blank is due before the next visible rune
	for _, r := range text {
		r = safeRune(r)
		switch {
		case r < 0:
			continue
		case r == ' ':
			blank = len(out) > 0
			continue
		case isJoiner(r) && (len(out) == 0 || blank):
			continue // nothing to join with
		}
		if blank {
			out = append(out, ' ')
			blank = false
		}
		out = append(out, r)
		if len(out) > limit {
			out = out[:clusterStart(out, limit)]
			break
		}
	}
	return strings.TrimRightFunc(string(out), func(r rune) bool { return r == ' ' || isJoiner(r) })
}

// clusterStart returns the last place at or before i where the runes can be cut without splitting a character that is
// drawn as one; i itself where there is none.
func clusterStart(runes []rune, i int) int {
	for at := i; at > 0; at-- {
		if !continues(runes[at]) && runes[at-1] != zeroWidthJoiner {
			return at
		}
	}
	return i
}

// continues reports whether r is drawn as part of what stands before it.
func continues(r rune) bool {
	return isJoiner(r) || unicode.Is(unicode.M, r) || 0x1F3FB <= r && r <= 0x1F3FF // skin tones
}

func isJoiner(r rune) bool { return r == zeroWidthJoiner || r == zeroWidthNonJoiner }

// safeRune returns the rune to show for r, ' ' for what separates, -1 for what is dropped.
func safeRune(r rune) rune {
	switch {
	case r == '\'':
		return '’'
	case strings.ContainsRune("\"<>`$;,\\|{}[]", r), unicode.IsSpace(r), unicode.In(r, unicode.Z):
		return ' '
	case isJoiner(r):
		return r
	case r == unicode.ReplacementChar, !unicode.IsGraphic(r):
		return -1 // IsGraphic excludes Cc, Cf (bidi, tags), Co, Cs and unassigned code points
	case r == 0x115F || r == 0x1160 || r == 0x3164 || r == 0xFFA0 || r == 0x2800:
		return ' ' // letters and symbols that draw nothing: names made of them look empty
	}
	return r
}
