package esl

import (
	"maps"
	"strings"
	"testing"
)

// separate takes a text apart as FreeSWITCH 1.10 does (switch_separate_string): apostrophes hold together, a backslash
// keeps the next character from meaning anything, and both are stripped from what results.
func separate(text string, delimiter byte, most int) []string {
	var words []string
	start, quoted := 0, false
	for i := 0; i < len(text) && len(words) < most-1; i++ {
		switch {
		case text[i] == '\\':
			i++
		case text[i] == '\'' && (quoted || delimiter == ' ' || strings.Contains(text[i+1:], "'")):
			quoted = !quoted
		case text[i] == delimiter && !quoted:
			words = append(words, text[start:i])
			for delimiter == ' ' && i+1 < len(text) && text[i+1] == ' ' {
				i++
			}
			start = i + 1
		}
	}
	words = append(words, text[start:])
	for i := range words {
		words[i] = strip(words[i], delimiter)
	}
	return words
}

func strip(word string, delimiter byte) string {
	word = strings.TrimLeft(word, " ")
	var out []byte
	end, quoted := 0, false
	for i := 0; i < len(word); i++ {
		if word[i] == '\\' && i+1 < len(word) {
			at := strings.IndexByte("'\"\\nrts", word[i+1])
			if at < 0 && word[i+1] == delimiter && delimiter != ' ' {
				out, end, i = append(out, delimiter), len(out)+1, i+1
				continue
			}
			if at >= 0 {
				out, end, i = append(out, "'\"\\\n\r\t "[at]), len(out)+1, i+1
				continue
			}
		}
		if word[i] == '\'' && (quoted || strings.Contains(word[i+1:], "'")) {
			if quoted = !quoted; quoted {
				end = len(out)
			}
			continue
		}
		if out = append(out, word[i]); word[i] != ' ' || quoted {
			end = len(out)
		}
	}
	return string(out[:end])
}

// wilds are values with everything that means something to FreeSWITCH.
var wilds = map[string]string{
	"PLAIN": "blue", "COMMA": "a,b,,c", "APOSTROPHE": "O'Neill's", "LONE": "don't", "QUOTES": `say "hi"`, "CARETS": "^^:a=b:c=d",
	"EQUALS": "a=b=c", "SPACES": " two  spaces ", "UTF8": "Zoë 李 🎉", "BACKSLASH": `C:\new\table\`, "SEMICOLON": "a;b='c;d'",
	"PIPE": "a|b&c(d)", "DOLLAR": "5 $ {x}", "VARIABLE": "${TGTRUNK_LEG} $${domain}", "CALL": "${system(touch x)}", "BRACES": "}{][><",
	"PERCENT": "%20%41", "BACKTICK": "`id`", "ENTERPRISE": "a:_:b", "END": "x'", "MIX": `'\'',\\",;'`,
}

// what a command line carries comes out of FreeSWITCH's own separation as it went in.
func TestQuote(t *testing.T) {
	for name, value := range wilds {
		if got := separate("uuid_setvar id "+name+" "+quote(value), ' ', 4); len(got) != 4 || got[3] != value {
			t.Errorf("%s: %q comes out as %q", name, value, got)
		}
		if got := separate("x=y;"+name+"="+quote(value)+";z=1", ';', 64); len(got) != 3 || got[1] != name+"="+value {
			t.Errorf("%s: %q comes out as %q", name, value, got)
		}
	}
}

func TestOriginateQuotes(t *testing.T) {
	line, left := originate(wilds, "user/100@example.org")
	words := separate(line, ' ', 10)
	if len(words) != 3 || words[0] != "originate" || words[2] != "&park()" {
		t.Fatalf("%q", words)
	}
	text, ok := strings.CutSuffix(strings.TrimPrefix(words[1], "{"), "}user/100@example.org")
	if !ok || strings.ContainsAny(text, "{}[]<>$") {
		t.Fatalf("%q", words[1])
	}
	got := maps.Clone(left)
	for _, pair := range separate(text, ',', 1024) {
		if words := separate(pair, '=', 2); len(words) == 2 {
			got[words[0]] = words[1]
		}
	}
	if !maps.Equal(got, wilds) {
		t.Errorf("%q\nwant %q", got, wilds)
	}
	for _, name := range []string{"VARIABLE", "CALL", "DOLLAR", "BRACES", "ENTERPRISE"} {
		if _, is := left[name]; !is {
			t.Errorf("%s is part of the dial string", name)
		}
	}
}
