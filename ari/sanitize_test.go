package ari

import (
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/tgtrunk/tgtrunk/routing"
)

func TestCallerID(t *testing.T) {
	for _, c := range []struct{ name, number, want string }{
		{"", "", ""},
		{"Anna", "", `"Anna" <>`},
		{"", "+49 30 1", "<+49301>"},
		{`A" <666>, "B`, "1>\r\nX: y", `"A 666 B" <1Xy>`},
		{"Anna", "*777", `"Anna" <*777>`},
	} {
		if got := callerID(c.name, c.number); got != c.want {
			t.Errorf("%q, %q become %s, want %s", c.name, c.number, got, c.want)
		}
	}
}

func TestVariableNames(t *testing.T) {
	for name, want := range map[string]bool{
		"TGTRUNK_NAME": true, "_INHERIT": true, "__ALWAYS": true, "CALLERID(name)": true, "PJSIP_HEADER(add,X-Id)": true,
		"": false, "1X": false, "___THREE": false, "A B": false, "A=B": false, "FILE(/etc/passwd)": false, "SHELL(id)": false,
		"CALLERID(name": false, "CALLERID(${X})": false, "DB(a/b)": false, "Ä": false, "CALLER(name)": false,
	} {
		if got := validVariable(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
	set, refused := cleanVariables(map[string]string{"OK": "a,b", "SHELL(id)": "x"})
	if set["OK"] != "a b" || len(set) != 1 || !slices.Equal(refused, []string{"SHELL(id)"}) {
		t.Errorf("set %v, refused %v", set, refused)
	}
}

// FuzzCallerID: whatever a stranger calls himself, the caller id parses back to exactly one name and one number, and
// nothing in it means anything to a dialplan.
func FuzzCallerID(f *testing.F) {
	f.Add("Anna", "+49301234")
	f.Add(`"; DROP <1>`, "${EXTEN},x")
	f.Add("\u202e\xff\x00,\r\nVia: x", "*777#")
	f.Fuzz(func(t *testing.T, name, number string) {
		id := callerID(name, number)
		if id == "" {
			return
		}
		if !utf8.ValidString(id) || len(id) > maxNameBytes+maxNumberBytes+6 {
			t.Fatalf("%q", id)
		}
		if strings.Count(id, `"`)&^2 != 0 || strings.Count(id, "<") != 1 || strings.Count(id, ">") != 1 || !strings.HasSuffix(id, ">") {
			t.Fatalf("%q has more than a name and a number", id)
		}
		if i := strings.IndexFunc(id, func(r rune) bool {
			return strings.ContainsRune("${}[]\\,;|&`'()", r) || !unicode.IsPrint(r)
		}); i >= 0 {
			t.Fatalf("%q holds %q", id, id[i:])
		}
		once := routing.SanitizeText(name, maxNameBytes)
		if twice := routing.SanitizeText(once, maxNameBytes); twice != once {
			t.Fatalf("cleaning %q again makes %q", once, twice)
		}
	})
}

// FuzzVariable: what is accepted as a variable's name is one, and cannot name a function that writes or runs anything.
func FuzzVariable(f *testing.F) {
	f.Add("TGTRUNK_NAME")
	f.Add("PJSIP_HEADER(add,X-Id)")
	f.Add("SHELL(id)")
	f.Add("A(b)(c)")
	f.Fuzz(func(t *testing.T, name string) {
		if !validVariable(name) {
			return
		}
		if strings.ContainsAny(name, "${}[]\"'\\/ \r\n=;|&.") || strings.Count(name, "(") > 1 {
			t.Fatalf("%q", name)
		}
		if function, _, is := strings.Cut(name, "("); is && slices.Contains([]string{"SHELL", "FILE", "SYSTEM", "GLOBAL", "DB", "ENV"}, function) {
			t.Fatalf("%q", name)
		}
	})
}
