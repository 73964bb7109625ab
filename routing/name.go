package routing

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxName is the length of a sanitised display name in characters (code points).
const MaxName = 64

// SanitizeName makes a display name that a stranger chose safe to show and to hand to a dialplan. With SanitizeText it is
// the one place where that is done. It keeps letters of every script, digits, punctuation and emoji, and
//
//   - drops control characters, bidi and other invisible controls, private and unassigned code points, invalid UTF-8;
//   - turns line breaks and every other space into one blank, none at either end;
//   - turns " < > ( ) ` $ { } [ ] \ | & ; and comma into blanks: they quote, split or expand in SIP headers, dialplan
//     arguments, channel variables and originate strings. An apostrophe becomes ’, as names need it;
//   - cuts to MaxName characters, never in the middle of what is drawn as one, such as an emoji that is joined from several.
//
// It is idempotent.
func SanitizeName(name string) string { return sanitize(name, MaxName, MaxName*utf8.UTFMax) }

// SanitizeText is SanitizeName for any text, cut to so many bytes of UTF-8.
func SanitizeText(text string, bytes int) string { return sanitize(text, bytes, bytes) }

const (
	zeroWidthNonJoiner = '\u200c' // Persian and Indic spelling
	zeroWidthJoiner    = '\u200d' // joins emoji
)

func sanitize(text string, limit, bytes int) string {
	out := make([]rune, 0, min(len(text), limit)+2)
	blank, size, over := false, 0, false // blank: one is due before the next visible rune
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
			size++
			blank = false
		}
		out = append(out, r)
		size += utf8.RuneLen(r)
		if over = len(out) > limit || size > bytes; over {
			break
		}
	}
	if over {
		out = out[:cutAt(out, limit, bytes)]
	}
	return strings.TrimRightFunc(string(out), func(r rune) bool { return r == ' ' || isJoiner(r) })
}

// cutAt returns the last place where the runes can be cut to keep to both limits without splitting what is drawn as one;
// where all of it is one, the last place that keeps to the limits.
func cutAt(runes []rune, limit, bytes int) int {
	end := 0
	for size := 0; end < min(len(runes), limit); end++ {
		if size += utf8.RuneLen(runes[end]); size > bytes {
			break
		}
	}
	for at := end; at > 0; at-- {
		if boundary(runes, at) {
			return at
		}
	}
	return end
}

// boundary reports whether the runes can be cut before i: an approximation of the grapheme clusters of UAX #29 that splits
// no emoji, flag, Hangul syllable or base with its marks.
func boundary(runes []rune, i int) bool {
	if i >= len(runes) {
		return true
	}
	before, r := runes[i-1], runes[i]
	switch {
	case continues(r), before == zeroWidthJoiner:
		return false
	case isRegional(r) && isRegional(before):
		pairs := 0 // a flag is two of them
		for j := i - 1; j >= 0 && isRegional(runes[j]); j-- {
			pairs++
		}
		return pairs%2 == 0
	case 0x1100 <= r && r <= 0x11FF: // Hangul letters that are drawn as one syllable
		return !unicode.Is(unicode.Hangul, before)
	}
	return true
}

func isRegional(r rune) bool { return 0x1F1E6 <= r && r <= 0x1F1FF }

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
	case strings.ContainsRune("\"<>()`$;,\\|&{}[]", r), unicode.IsSpace(r), unicode.In(r, unicode.Z):
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
