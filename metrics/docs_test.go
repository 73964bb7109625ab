package metrics

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// documented are the metrics that docs/operations.md lists, with their labels.
func documented(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "\n## Metrics\n")
	table, _, _ = strings.Cut(table, "\n## ")
	all := map[string][]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(tgtrunk_[a-z_]+)(?:\\{([a-z,]+)\\})?` \\|").FindAllStringSubmatch(table, -1) {
		all[m[1]] = labels(m[2])
	}
	if len(all) < 5 {
		t.Fatalf("the docs list %v", all)
	}
	return all
}

func labels(list string) []string {
	if list == "" {
		return nil
	}
	names := strings.Split(list, ",")
	slices.Sort(names)
	return names
}

// The docs list every metric of ours that is registered, and no other, with its labels; and no label is about a person.
func TestMetricsAreTheDocs(t *testing.T) {
	m, err := New(Sources{})
	if err != nil {
		t.Fatal(err)
	}
	descriptions := make(chan *prometheus.Desc, 1000)
	m.registry.Describe(descriptions)
	close(descriptions)
	registered := map[string][]string{}
	for d := range descriptions { // which shows itself only so
		found := regexp.MustCompile(`fqName: "(tgtrunk_\w+)".*variableLabels: \{([\w,]*)\}`).FindStringSubmatch(d.String())
		if found != nil {
			registered[found[1]] = labels(found[2])
		}
	}
	if docs := documented(t); !maps.EqualFunc(docs, registered, slices.Equal) {
		t.Errorf("the docs list\n%v\nand registered are\n%v", docs, registered)
	}
	known := []string{"from", "result", "reason", "account", "why", "method", "to"}
	for name, has := range registered {
		for _, label := range has {
			if !slices.Contains(known, label) {
				t.Errorf("%s has the label %q: is it about a person?", name, label)
			}
		}
	}
}
