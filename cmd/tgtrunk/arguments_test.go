package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// What is misspelt is an error, in scripts too: help and an exit status of 0 would be taken for success.
func TestMisspeltArgumentsAreErrors(t *testing.T) {
	for line, want := range map[string]string{
		"bogus":               `unknown command "bogus"`,
		"config chekc":        `unknown command "chekc" for "tgtrunk config"`,
		"account devcies x":   `unknown command "devcies"`,
		"cid x":               `unknown command "x"`,
		"route tset 1":        `unknown command "tset"`,
		"freeswitch instal":   `unknown command "instal"`,
		"run extra":           `unknown command "extra"`,
		"run --confg x":       "unknown flag: --confg",
		"demo --only az":      `there is no call 'z', only abcdefghi`,
		"bench --calls 0":     "--calls 0",
		"bench --length -1s":  "--length -1s",
		"bench --length 5ms":  "--length 5ms",
		"bench --paths thin":  "--paths thin",
		"peer --role x":       "key",
		"cloud --users /none": "/none",
	} {
		c := newRootCommand()
		c.SetArgs(strings.Fields(line))
		c.SetOut(io.Discard)
		c.SetErr(io.Discard)
		if err := c.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("tgtrunk %s: %v, want %q", line, err, want)
		}
	}
	c := newRootCommand()
	var help strings.Builder
	c.SetArgs([]string{"config"})
	c.SetOut(&help)
	if err := c.ExecuteContext(t.Context()); err != nil || !strings.Contains(help.String(), "check ") {
		t.Errorf("tgtrunk config: %v\n%s", err, help.String())
	}
}

// traced is an error like the MTProto client's: with %+v it shows its stack.
type traced struct{ error }

func (e traced) Format(s fmt.State, _ rune) {
	if s.Flag('+') {
		_, _ = io.WriteString(s, "main.go:17\n")
	}
	_, _ = io.WriteString(s, e.Error())
}

func TestErrorsAreLoggedOnOneLine(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		var out strings.Builder
		log, err := newLogger(&out, "info", format)
		if err != nil {
			t.Fatal(err)
		}
		log.Warn("trying again", "error", traced{errors.New("corrupted key")})
		if text := out.String(); !strings.Contains(text, "corrupted key") || strings.Contains(text, "main.go") {
			t.Errorf("%s: %s", format, text)
		}
	}
}
