package chat

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// tag is a language in the one form that languages are compared in: Telegram and people write de, de-AT, pt_BR and PT-br.
func tag(language string) string { return strings.ToLower(strings.ReplaceAll(language, "_", "-")) }

// isTag reports whether a language looks like one: two or three letters, and perhaps parts behind hyphens (RFC 5646).
func isTag(language string) bool {
	for i, part := range strings.Split(tag(language), "-") {
		letters := strings.Trim(part, "abcdefghijklmnopqrstuvwxyz") == ""
		switch {
		case i == 0 && (!letters || len(part) < 2 || len(part) > 3):
			return false
		case part == "" || len(part) > 8 || strings.Trim(part, "abcdefghijklmnopqrstuvwxyz0123456789") != "":
			return false
		}
	}
	return true
}

// byTag returns a map by languages in their one form.
func byTag[T any](in map[string]T, refuse func(string, ...any), way ...any) map[string]T {
	out := make(map[string]T, len(in))
	for _, language := range slices.Sorted(maps.Keys(in)) {
		here := append(slices.Clone(way), language)
		if !isTag(language) {
			refuse(fmt.Sprintf("%q is no language: write it as en, de or pt-BR", language), here...)
		}
		if _, twice := out[tag(language)]; twice {
			refuse(fmt.Sprintf("language %q is there twice", language), here...)
		}
		out[tag(language)] = in[language]
	}
	return out
}

// pick returns the text of the first language that there is: English, or any, where there is none of them. de-AT is served
// by de, and zh-hant-hk by zh-hant.
func pick(texts map[string]string, languages ...string) (string, bool) {
	for _, language := range append(languages, builtIn) {
		for l := tag(language); l != ""; {
			if text, ok := texts[l]; ok {
				return text, true
			}
			l = l[:max(strings.LastIndexByte(l, '-'), 0)]
		}
	}
	for _, language := range slices.Sorted(maps.Keys(texts)) {
		return texts[language], true
	}
	return "", false
}
