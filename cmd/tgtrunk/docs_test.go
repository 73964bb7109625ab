package main

import (
	"bufio"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tgtrunk/tgtrunk/config"
	"github.com/tgtrunk/tgtrunk/lab/stage"
)

// block is a fenced block of a document.
type block struct{ file, language, text string }

func blocks(t *testing.T) []block {
	t.Helper()
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	var all []block
	for _, file := range append(files, "../../README.md", "../../CONTRIBUTING.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```").FindAllStringSubmatch(string(text), -1) {
			all = append(all, block{file, m[1], m[2]})
		}
	}
	if len(all) < 5 {
		t.Fatalf("only %d blocks are found", len(all))
	}
	return all
}

func TestYAMLInTheDocsLoads(t *testing.T) {
	t.Setenv("TGTRUNK_API_HASH", strings.Repeat("0", 32))
	t.Setenv("TGTRUNK_STORE_KEY", strings.Repeat("0", 64))
	for _, name := range []string{"ARI", "REDIS", "ESL", "VERTO", "SOCKET"} {
		t.Setenv("TGTRUNK_"+name+"_PASSWORD", "secret")
	}
	loaded := 0
	for _, b := range blocks(t) {
		if b.language != "yaml" {
			continue
		}
		path := filepath.Join(t.TempDir(), "tgtrunk.yaml")
		if err := os.WriteFile(path, []byte(b.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := config.Load(path); err != nil {
			t.Errorf("%s: %v", b.file, err)
		}
		loaded++
	}
	if loaded == 0 {
		t.Error("no yaml is found")
	}
}

// Every tgtrunk command in a shell block exists and takes its flags; every make target exists.
func TestCommandsInTheDocsExist(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, b := range blocks(t) {
		if b.language != "sh" {
			continue
		}
		lines := bufio.NewScanner(strings.NewReader(b.text))
		for lines.Scan() {
			words := strings.Fields(lines.Text())
			switch {
			case len(words) == 0:
				continue
			case words[0] == "make":
				if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(words[1]) + `:`).Match(makefile) {
					t.Errorf("%s: there is no target %q", b.file, words[1])
				}
			case words[0] == "tgtrunk":
				checkCommand(t, b.file, words[1:])
			default:
				t.Errorf("%s: command %q is checked by no test", b.file, lines.Text())
			}
			seen++
		}
	}
	if seen < 5 {
		t.Errorf("only %d commands are found", seen)
	}
}

// Every command is somewhere in the documents.
func TestCommandsAreInTheDocs(t *testing.T) {
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	var docs strings.Builder
	for _, file := range append(files, "../../README.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		docs.Write(text)
	}
	root := newRootCommand()
	seen := 0
	for _, command := range root.Commands() {
		leaves := command.Commands()
		if len(leaves) == 0 {
			leaves = append(leaves, command)
		}
		for _, leaf := range leaves {
			seen++
			if path := leaf.CommandPath(); !strings.Contains(docs.String(), path) {
				t.Errorf("no document speaks of %q", path)
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d commands are found", seen)
	}
}

func checkCommand(t *testing.T, file string, args []string) {
	t.Helper()
	command, rest, err := newRootCommand().Find(args)
	if err != nil || command.HasSubCommands() && command.Args == nil { // a group, which does nothing by itself
		t.Errorf("%s: tgtrunk %v: %v", file, args, err)
		return
	}
	if err := command.ParseFlags(rest); err != nil {
		t.Errorf("%s: tgtrunk %v: %v", file, args, err)
	}
}

// The dialplan of the README is the one that the demo and the integration test run.
func TestDialplanOfTheREADMEIsTheOneThatRuns(t *testing.T) {
	for _, file := range []string{"../../README.md", "../../deploy/lab/asterisk/extensions_local.conf"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(stage.Dialplan) {
			if line = strings.TrimSpace(line); line != "" && !strings.Contains(string(text), line) {
				t.Errorf("%s lacks %q", file, line)
			}
		}
	}
}
