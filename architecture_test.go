// Package tgtrunk_test holds the plan of the house as a test: who may import whom.
package tgtrunk_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/tgtrunk/tgtrunk"

// anything in a list of rooms stands for every room but the command and what only tests import.
const anything = "..."

// forTests are packages that no code imports but tests, by their full name.
var forTests = []string{"bridge/trunktest", "store/storetest", "telegram/cloud/tdjson", "lab/browser"}

// room is what the code of one folder, and of the folders below it that are no room of their own, may import from the
// module. A name that ends with /... stands for a room with all below it.
type room struct {
	live  []string // in code
	tests []string // in tests besides; a room's tests may always import what its code may, and the room itself
}

var rooms = map[string]room{
	"routing":                  {},
	"media":                    {live: []string{"media/..."}},
	"bridge":                   {live: []string{"routing", "media"}, tests: []string{"bridge/trunktest"}},
	"bridge/pbx":               {live: []string{"bridge"}},
	"bridge/trunktest":         {live: []string{"bridge", "routing", "media"}},
	"routing/memory":           {live: []string{"routing", "store"}, tests: []string{"bridge", "bridge/trunktest"}},
	"store":                    {tests: []string{"store/storetest"}},
	"store/storetest":          {live: []string{"store"}},
	"metrics":                  {live: []string{"bridge"}},
	"records":                  {live: []string{"bridge"}},
	"webhook":                  {live: []string{"store"}, tests: []string{"store/storetest"}},
	"config":                   {live: []string{"routing", "telegram/chat"}},
	"ari":                      {live: []string{"bridge", "bridge/pbx", "routing", "media"}, tests: []string{"bridge/trunktest", "lab", "media/tone"}},
	"esl":                      {live: []string{"bridge", "bridge/pbx", "routing", "media"}, tests: []string{"bridge/trunktest", "lab", "media/tone"}},
	"telegram":                 {live: []string{"bridge", "routing", "media", "store", "telegram/calls", "telegram/voip", "telegram/guard", "telegram/chat"}, tests: []string{"bridge/trunktest", "telegram/cloud/...", "telegram/voip/signaling", "media/tone", "store/storetest"}},
	"telegram/guard":           {live: []string{"store"}},
	"telegram/chat":            {live: []string{"routing"}},
	"telegram/calls":           {live: []string{"telegram/voip/...", "media"}, tests: []string{"telegram/cloud/...", "media/tone"}},
	"telegram/voip":            {live: []string{"telegram/voip/...", "media"}, tests: []string{"telegram/cloud/reflector", "media/tone"}},
	"telegram/cloud":           {live: []string{"telegram/cloud/...", "telegram/voip", "media"}, tests: []string{"telegram/voip/signaling", "media/tone"}},
	"telegram/cloud/reflector": {},
	"telegram/cloud/phone":     {live: []string{"telegram/cloud/...", "telegram/calls", "telegram/voip", "media/..."}},
	"deploy/freeswitch":        {},
	"lab":                      {live: []string{anything}, tests: []string{"bridge/trunktest"}},
	"cmd":                      {live: []string{anything}, tests: []string{"bridge/trunktest", "store/storetest"}},
	".":                        {tests: []string{anything}}, // tests of what lies at the root
}

// homes says in which rooms, with all below them, a foreign import may stand; "." is the root's own tests, goleak may
// stand in every test. The longest name decides, and what has none is not imported.
var homes = map[string][]string{
	"C":                            {"media"},
	"github.com/CyCoreSystems/ari": {"ari"},
	"github.com/coder/websocket":   {"ari", "esl"},
	"github.com/0x19/goesl":        {"esl"},
	"github.com/op/go-logging":     {"esl"}, // goesl's log, to silence it
	"github.com/gotd":              {"telegram"},
	"github.com/pion":              {"telegram/voip", "telegram/cloud"},
	"github.com/pion/rtp":          {"telegram/voip", "telegram/cloud", "media"},
	"github.com/pion/turn":         {"telegram/voip", "telegram/cloud", "lab/browser"},
	"github.com/emiago/sipgo":      {"lab"},
	"github.com/spf13/cobra":       {"cmd"},
	"github.com/mdp/qrterminal":    {"cmd"},
	"go.etcd.io/bbolt":             {"store"},
	"github.com/redis/go-redis":    {"store"},
	"github.com/prometheus":        {"metrics"},
	"github.com/goccy/go-yaml":     {"config", "telegram/cloud"},
	"go.uber.org/goleak":           {"bridge/trunktest"},
	"golang.org/x":                 {anything},
	"github.com/ebitengine/purego": {"telegram/cloud/tdjson"},
	"github.com/compose-spec":      {"."}, // docker-compose.yml against its schema
	"github.com/mozillazg":         {"routing"},
}

// refused are names that say nothing of what a package does.
var refused = []string{"util", "utils", "common", "helper", "helpers", "manager", "types", "models", "core", "misc", "internal"}

// under reports whether folder is dir or below it; nothing is below ".".
func under(folder, dir string) bool {
	return folder == dir || strings.HasPrefix(folder, dir+"/")
}

// roomOf returns the room that a folder belongs to; "" for none.
func roomOf(folder string) string {
	best := ""
	for name := range rooms {
		if under(folder, name) && len(name) > len(best) {
			best = name
		}
	}
	return best
}

// complaint says why a file of that folder must not import what it does; "" where it may.
func complaint(folder string, test bool, imported string) string {
	if own, inside := strings.CutPrefix(imported, module+"/"); inside {
		return aboutRoom(folder, test, own)
	}
	if first, _, _ := strings.Cut(imported, "/"); imported != "C" && !strings.Contains(first, ".") {
		return "" // standard library
	}
	best := ""
	for name := range homes {
		if under(imported, name) && len(name) > len(best) {
			best = name
		}
	}
	switch {
	case best == "":
		return fmt.Sprintf("%s has no home in this house", imported)
	case test && best == "go.uber.org/goleak":
		return ""
	case !slices.ContainsFunc(homes[best], func(home string) bool { return home == anything || under(folder, home) }):
		return fmt.Sprintf("%s is only for %v", best, homes[best])
	}
	return ""
}

// aboutRoom is complaint for an import from this module.
func aboutRoom(folder string, test bool, imported string) string {
	name := roomOf(folder)
	if name == "" {
		return fmt.Sprintf("folder %s is no room of the plan", folder)
	}
	allowed := rooms[name].live
	if test {
		allowed = slices.Concat(allowed, rooms[name].tests, []string{name + "/..."})
	}
	if !test && slices.Contains(forTests, imported) {
		return imported + " is only for tests"
	}
	for _, a := range allowed {
		tree, whole := strings.CutSuffix(a, "/...")
		switch {
		case a == imported, whole && under(imported, tree):
			return ""
		case a == anything && !under(imported, "cmd"):
			return ""
		}
	}
	return fmt.Sprintf("%s may not import %s, only %v", name, imported, allowed)
}

// inspect returns every complaint about the Go files below root.
func inspect(root fs.FS) (complaints []string, files int, err error) {
	err = fs.WalkDir(root, ".", func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case !d.IsDir():
			if !strings.HasSuffix(file, ".go") {
				return nil
			}
			files++
			found, err := inspectFile(root, file)
			complaints = append(complaints, found...)
			return err
		case file != "." && strings.HasPrefix(d.Name(), "."), d.Name() == "testdata":
			return fs.SkipDir
		case slices.Contains(refused, d.Name()):
			complaints = append(complaints, file+": this name says nothing of what a package does")
		}
		return nil
	})
	return complaints, files, err
}

// inspectFile returns the complaints about the imports of one file.
func inspectFile(root fs.FS, file string) (complaints []string, err error) {
	source, err := fs.ReadFile(root, file)
	if err != nil {
		return nil, err
	}
	parsed, err := parser.ParseFile(token.NewFileSet(), file, source, parser.ImportsOnly)
	if err != nil {
		return nil, err
	}
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		if c := complaint(path.Dir(file), strings.HasSuffix(file, "_test.go"), imported); c != "" {
			complaints = append(complaints, file+": "+c)
		}
	}
	return complaints, nil
}

func TestWhoImportsWhom(t *testing.T) {
	complaints, files, err := inspect(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	if files < 10 {
		t.Errorf("only %d files were looked at", files)
	}
	for _, c := range complaints {
		t.Error(c)
	}
}

// The plan would be worth nothing if it let everything through.
func TestPlanIsNotEmpty(t *testing.T) {
	for _, test := range []struct {
		folder   string
		test     bool
		imported string
		refused  bool
	}{
		{"bridge", false, "routing", false},
		{"bridge", false, "media", false},
		{"bridge", false, "ari", true},
		{"bridge", false, "telegram", true},
		{"bridge", false, "store", true},
		{"bridge", false, "bridge/trunktest", true},
		{"bridge", true, "bridge/trunktest", false},
		{"bridge", true, "telegram", true},
		{"bridge/trunktest", false, "bridge", false},
		{"bridge/trunktest", false, "ari", true},
		{"routing", false, "bridge", true},
		{"routing", false, "media", true},
		{"routing", false, "store", true},
		{"routing", true, "routing", false},
		{"routing", false, "routing/memory", true},
		{"routing/memory", false, "store", false},
		{"bridge", false, "routing/memory", true},
		{"media", false, "media/tone", false},
		{"media", false, "bridge", true},
		{"media/tone", false, "routing", true},
		{"store", false, "telegram", true},
		{"store", false, "store/storetest", true},
		{"store", true, "store/storetest", false},
		{"telegram", false, "store/storetest", true},
		{"config", false, "store", true},
		{"metrics", false, "bridge", false},
		{"metrics", false, "telegram", true},
		{"bridge", false, "metrics", true},
		{"records", false, "bridge", false},
		{"records", false, "webhook", true},
		{"webhook", false, "bridge", true},
		{"config", false, "telegram", true},
		{"ari", false, "bridge", false},
		{"ari", false, "telegram", true},
		{"ari", false, "lab", true},
		{"ari", true, "lab", false},
		{"ari", true, "telegram/cloud", true},
		{"ari", false, "telegram/voip", true},
		{"esl", false, "ari", true},
		{"telegram", false, "ari", true},
		{"telegram", false, "esl", true},
		{"telegram", false, "telegram/calls", false},
		{"telegram", false, "telegram/voip", false},
		{"telegram/guard", false, "store", false},
		{"telegram/guard", false, "bridge", true},
		{"telegram/chat", false, "store", true},
		{"telegram/chat", false, "telegram", true},
		{"telegram/chat", false, "routing", false},
		{"telegram", false, "telegram/chat", false},
		{"config", false, "telegram/chat", false},
		{"telegram/guard", false, "telegram/calls", true},
		{"telegram", false, "telegram/cloud", true},
		{"telegram", true, "telegram/cloud/phone", false},
		{"telegram/calls", false, "telegram/voip/signaling", false},
		{"telegram/calls", false, "telegram", true},
		{"telegram/calls", false, "bridge", true},
		{"telegram/voip", false, "bridge", true},
		{"telegram/voip", false, "telegram/calls", true},
		{"telegram/voip", false, "telegram/cloud/reflector", true},
		{"telegram/voip", true, "telegram/cloud/reflector", false},
		{"telegram/voip", true, "telegram/cloud", true},
		{"telegram/cloud/reflector", false, "telegram/voip", true},
		{"telegram/voip/signaling", false, "telegram", true},
		{"telegram/cloud", false, "telegram/calls", true},
		{"telegram/cloud/mtserver", false, "telegram/calls", true},
		{"telegram/cloud/phone", false, "telegram/calls", false},
		{"telegram/cloud/phone", false, "telegram", true},
		{"lab", false, "telegram/cloud", false},
		{"lab", false, "cmd/tgtrunk", true},
		{"lab/stage", false, "ari", false},
		{"lab", false, "bridge/trunktest", true},
		{"lab", true, "bridge/trunktest", false},
		{"telegram/cloud", false, "telegram/cloud/tdjson", true},
		{"telegram/cloud", true, "telegram/cloud/tdjson", false},
		{"cmd/tgtrunk", false, "telegram", false},
		{"cmd/tgtrunk", false, "bridge/trunktest", true},
		{"newroom", false, "bridge", true},
	} {
		c := complaint(test.folder, test.test, module+"/"+test.imported)
		if (c != "") != test.refused {
			t.Errorf("%s (test %v) imports %s: %q", test.folder, test.test, test.imported, c)
		}
	}
}

func TestForeignHomes(t *testing.T) {
	for _, test := range []struct {
		folder, imported string
		refused          bool
	}{
		{"ari", "github.com/CyCoreSystems/ari/v6/client/native", false},
		{"bridge", "github.com/CyCoreSystems/ari/v6", true},
		{"cmd/tgtrunk", "github.com/CyCoreSystems/ari/v6", true},
		{"telegram/cloud/mtserver", "github.com/gotd/td/tg", false},
		{"telegram/voip", "github.com/gotd/td/tg", false},
		{"lab", "github.com/gotd/td/tg", true},
		{"bridge", "github.com/gotd/td/tg", true},
		{"telegram/voip", "github.com/pion/ice/v4", false},
		{"telegram/cloud", "github.com/pion/turn/v5", false},
		{"telegram", "github.com/pion/ice/v4", true},
		{"telegram/calls", "github.com/pion/rtp", true},
		{"media", "github.com/pion/rtp", false},
		{"media", "github.com/pion/srtp/v3", true},
		{"ari", "github.com/pion/rtp", true},
		{"lab", "github.com/emiago/sipgo/sip", false},
		{"ari", "github.com/emiago/sipgo", true},
		{"cmd/tgtrunk", "github.com/spf13/cobra", false},
		{"config", "github.com/spf13/cobra", true},
		{"store", "go.etcd.io/bbolt", false},
		{"telegram", "go.etcd.io/bbolt", true},
		{"store", "github.com/redis/go-redis/v9", false},
		{"telegram", "github.com/redis/go-redis/v9", true},
		{"cmd/tgtrunk", "github.com/redis/go-redis/v9", true},
		{"media", "C", false},
		{"telegram/voip", "C", true},
		{"routing", "github.com/example/anything", true},
		{".", "github.com/compose-spec/compose-go/v2/cli", false},
		{"cmd/tgtrunk", "github.com/compose-spec/compose-go/v2/cli", true},
		{"telegram/cloud/tdjson", "github.com/ebitengine/purego", false},
		{"telegram/cloud", "github.com/ebitengine/purego", true},
		{".", "github.com/gotd/td/tg", true},
		{"routing", "golang.org/x/text", false},
		{"routing", "net/http", false},
	} {
		if c := complaint(test.folder, false, test.imported); (c != "") != test.refused {
			t.Errorf("%s imports %s: %q", test.folder, test.imported, c)
		}
	}
	for name := range homes { // only tables are at home in routing, beside what is at home everywhere
		if c := complaint("routing", false, name); c == "" && name != "golang.org/x" && name != "github.com/mozillazg" {
			t.Errorf("routing may import %s", name)
		}
	}
	if complaint("routing", false, "go.uber.org/goleak") == "" || complaint("routing", true, "go.uber.org/goleak") != "" {
		t.Error("goleak is for tests")
	}
}

// The walk finds what is wrong in files, tests and names of folders.
func TestInspectFindsFiles(t *testing.T) {
	root := t.TempDir()
	for file, source := range map[string]string{
		"bridge/x.go":            "package bridge\nimport _ \"" + module + "/ari\"",
		"bridge/x_test.go":       "package bridge\nimport _ \"" + module + "/telegram\"",
		"bridge/fine.go":         "package bridge\nimport _ \"" + module + "/media\"",
		"bridge/testdata/x.go":   "package x\nimport _ \"" + module + "/ari\"",
		"routing/util/string.go": "package util",
	} {
		full := filepath.Join(root, file)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, files, err := inspect(os.DirFS(root))
	if err != nil || files != 4 || len(got) != 3 {
		t.Errorf("%d files, %q, %v", files, got, err)
	}
	for i, prefix := range []string{"bridge/x.go: bridge may not import ari", "bridge/x_test.go: bridge may not import telegram", "routing/util: "} {
		if i < len(got) && !strings.HasPrefix(got[i], prefix) {
			t.Errorf("complaint %d: %q", i, got[i])
		}
	}
}
