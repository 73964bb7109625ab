package esl_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The XML of the documentation is that of deploy/freeswitch, with which the tests run a FreeSWITCH.
func TestXMLOfTheDocsIsDeployed(t *testing.T) {
	var all strings.Builder
	files, err := filepath.Glob(deployed + "*/*.xml")
	if err != nil || len(files) != 4 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			all.WriteString(strings.TrimSpace(line) + "\n")
		}
	}
	doc, err := os.ReadFile("../docs/freeswitch.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```xml\n(.*?)^```").FindAllStringSubmatch(string(doc), -1)
	if len(blocks) < 4 {
		t.Fatalf("%d blocks", len(blocks))
	}
	for _, b := range blocks {
		var want strings.Builder
		for line := range strings.Lines(b[1]) {
			want.WriteString(strings.TrimSpace(line) + "\n")
		}
		if !strings.Contains(all.String(), want.String()) {
			t.Errorf("not deployed:\n%s", b[1])
		}
	}
}
