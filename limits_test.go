package tgtrunk_test

import (
	"cmp"
	"flag"
	"fmt"
	"go/constant"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/config"
)

var updateLimits = flag.Bool("update", false, "write docs/limits.md")

const limitsFile = "docs/limits.md"

// row is a line of docs/limits.md.
type row struct {
	what string
	key  string // of the configuration; "" where it is fixed
	from string // "folder name" in the code, see source.limit; "" where the configuration's default says it
	span string // what the configuration accepts: the field that it checks; see source.span
	most string // or, as from, the most it accepts
	unit string // of a number
	zero string // what 0 means
	set  string // who sets it, where that is neither a key nor us
}

// notLimits are keys with a number that limits nothing, and keys that are listed in another place of the file.
var notLimits = []string{
	"telegram.server.dc", "accounts.api_id", "numbers.national_digits", "routes.numbers.national_digits",
	"routes.caller_name.length", "routes.otherwise.timeout", "routes.otherwise.reached_in",
}

// limitsConfig has every section, and in none of them a limit.
const limitsConfig = `
store: {redis: {url: "redis://127.0.0.1:6379/0"}, key: "0000000000000000000000000000000000000000000000000000000000000000"}
accounts: [{name: a, api_id: 1, api_hash: "00000000000000000000000000000000", chat: {}}]
pbx:
  - {name: b, asterisk: {url: "http://127.0.0.1:8088/ari", username: u, password: p}}
  - {name: c, freeswitch: {address: "127.0.0.1:8021", password: p, verto: {url: "ws://127.0.0.1:8081", login: u@d, password: p}}}
routes: [{from: b, to: a}]
caller_name: {}
webhook: {url: "https://example.com/", secret: "00000000000000000000000000000000"}
`

// leaves calls each with every number, time and rate of a configuration, by its key. The first of a list stands for all;
// what v does not have comes as its type's zero.
func leaves(t reflect.Type, v reflect.Value, key string, each func(key string, v reflect.Value)) {
	switch {
	case t == reflect.TypeFor[config.Rate](), t.Kind() == reflect.Int, t == reflect.TypeFor[time.Duration]():
		each(key, v)
	case t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice:
		next := reflect.Zero(t.Elem())
		if t.Kind() == reflect.Pointer && !v.IsNil() {
			next = v.Elem()
		}
		if t.Kind() == reflect.Slice {
			for i := range v.Len() { // as the link that is an Asterisk, and the one that is a FreeSWITCH
				leaves(t.Elem(), v.Index(i), key, each)
			}
		}
		if t.Kind() == reflect.Pointer || v.Len() == 0 {
			leaves(t.Elem(), next, key, each)
		}
	case t.Kind() == reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			name, rest, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			switch {
			case name == "-" || !f.IsExported():
			case rest == "inline":
				leaves(f.Type, v.Field(i), key, each)
			default:
				leaves(f.Type, v.Field(i), strings.TrimPrefix(key+"."+name, "."), each)
			}
		}
	}
}

// configured returns the default of every limit of the configuration, by its key.
func configured(t *testing.T) map[string]figure {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tgtrunk.yaml")
	if err := os.WriteFile(path, []byte(limitsConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]figure{}
	leaves(reflect.TypeFor[config.Config](), reflect.ValueOf(*c), "", func(key string, v reflect.Value) {
		var f figure
		if v.CanInt() {
			f = figure{value: constant.MakeInt64(v.Int()), time: v.Type() == reflect.TypeFor[time.Duration]()}
		}
		if before := found[key]; before.value == nil || constant.Sign(before.value) == 0 {
			found[key] = f
		}
	})
	return found
}

func (r row) text(t *testing.T, s *source, keys map[string]figure) string {
	t.Helper()
	value, set := figure{}, cmp.Or(r.set, "fixed")
	if r.key != "" {
		var known bool
		if value, known = keys[r.key]; !known {
			t.Fatalf("the configuration has no key %s", r.key)
		}
		set = "`" + r.key + "`"
	}
	if r.from != "" {
		if value.value != nil && constant.Sign(value.value) != 0 {
			t.Errorf("%s has a default of its own, that of %s does not count", r.key, r.from)
		}
		folder, name, _ := strings.Cut(r.from, " ")
		value = s.limit(folder, name)
	}
	if value.value == nil {
		t.Fatalf("%q has no value", r.what)
	}
	text := value.in(r.unit)
	if constant.Sign(value.value) == 0 && r.zero != "" {
		text = r.zero
	}
	switch {
	case r.span != "":
		least, most := s.span(r.span)
		least.time, most.time = value.time, value.time
		low := least.in("")
		if constant.Sign(least.value) == 0 {
			low = "0"
		}
		set += fmt.Sprintf(", %s to %s", low, most.in(""))
	case r.most != "":
		folder, name, _ := strings.Cut(r.most, " ")
		set += ", up to " + s.limit(folder, name).in("")
	}
	return fmt.Sprintf("| %s | %s | %s |\n", r.what, text, set)
}

// TestLimits compares docs/limits.md with the code; with -update it writes it.
func TestLimits(t *testing.T) {
	s, keys := newSource(t), configured(t)
	var page strings.Builder
	page.WriteString(limitsHead)
	listed := slices.Clone(notLimits)
	for _, section := range limitRows {
		fmt.Fprintf(&page, "\n## %s\n\n", section.name)
		if section.note != "" {
			page.WriteString(section.note + "\n\n")
		}
		page.WriteString("| what | default | set by |\n|---|---|---|\n")
		for _, r := range section.rows {
			page.WriteString(r.text(t, s, keys))
			listed = append(listed, r.key)
		}
	}
	for key := range keys {
		if !slices.Contains(listed, key) {
			t.Errorf("the configuration's %s is not listed: add a row to limitRows, or the key to notLimits", key)
		}
	}
	if *updateLimits {
		if t.Failed() {
			t.Fatal("not written")
		}
		if err := os.WriteFile(limitsFile, []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	file, err := os.ReadFile(limitsFile)
	if err != nil {
		t.Fatal(err)
	}
	if page.String() == string(file) {
		return
	}
	t.Errorf("%s is not what the code has: go test . -run Limits -update", limitsFile)
	for line := range strings.Lines(page.String()) {
		if !strings.Contains(string(file), line) {
			t.Errorf("not in the file: %s", line)
		}
	}
	for line := range strings.Lines(string(file)) {
		if !strings.Contains(page.String(), line) {
			t.Errorf("not in the code: %s", line)
		}
	}
}
