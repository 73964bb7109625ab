package bridge

import "strings"

// Mask hides the middle of a phone number, user-id, username or name for logs: the first three and the last two
// characters stay, which is enough to find the call in the records. Up to four characters (extensions) stay whole.
func Mask(text string) string {
	runes := []rune(text)
	const head, tail, open = 3, 2, 4
	if len(runes) <= open {
		return text
	}
	keep := min(head, len(runes)-tail-2)
	return string(runes[:keep]) + strings.Repeat("x", len(runes)-keep-tail) + string(runes[len(runes)-tail:])
}
