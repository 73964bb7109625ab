package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/routing"
)

func TestExampleLoads(t *testing.T) {
	t.Setenv("TGTRUNK_API_HASH", "0123456789abcdef0123456789abcdef")
	t.Setenv("TGTRUNK_ARI_PASSWORD", "secret")
	c, err := Load("../tgtrunk.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Accounts[0].APIHash.Reveal(); got != "0123456789abcdef0123456789abcdef" {
		t.Errorf("api_hash is %q", got)
	}
	if c.Routes[0].Timeout != time.Minute || c.Numbers.Country != "49" {
		t.Errorf("routes are %+v", c.Routes)
	}
}

// The example is where people look a key up: it has every one, in a comment where it is not for everybody.
func TestExampleHasEveryKey(t *testing.T) {
	text, err := os.ReadFile("../tgtrunk.yaml")
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]bool{}
	collectKeys(reflect.TypeFor[Config](), keys)
	if len(keys) < 60 {
		t.Errorf("only %d keys are found", len(keys))
	}
	delete(keys, "user_id_prefix") // refused
	for key := range keys {
		if !regexp.MustCompile(`(?m)(^|[ {-])`+key+`:`).Match(text) && !strings.Contains(string(text), "`"+key+":") {
			t.Errorf("tgtrunk.yaml does not show the key %s", key)
		}
	}
}

func collectKeys(t reflect.Type, keys map[string]bool) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return
	}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		if name == "-" {
			continue
		}
		if name != "" {
			keys[name] = true
		}
		collectKeys(t.Field(i).Type, keys)
	}
}

func TestRoutesBecomeATable(t *testing.T) {
	c, err := Load("testdata/minimal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	plan, err := c.Table.Route(routing.Request{Trunk: "office", Dialled: "*123456789"})
	if err != nil || len(plan.Targets) != 1 || plan.Targets[0].Trunk != "sales" || plan.Targets[0].Number.UserID != 123456789 {
		t.Errorf("the plan is %+v, %v", plan, err)
	}
}

func TestDefaults(t *testing.T) {
	c, err := Load("testdata/minimal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	a := c.Accounts[0]
	if a.P2P != P2PAuto || a.AnswerWithin != 18*time.Second {
		t.Errorf("defaults are missing: %+v", a)
	}
	if a.Calls != CallsMulti || a.Prefer != PreferAuto || a.ReachedIn != 15*time.Second || a.Reference || c.PBX[0].Asterisk.App != "tgtrunk" ||
		c.Limits.Calls != 200 || c.Telegram.Server.DC != 0 || c.Guard != defaultGuard() || c.Metrics.Listen != "" {
		t.Errorf("defaults are missing: %+v", c)
	}
}

func TestStoreForms(t *testing.T) {
	minimal, err := os.ReadFile("testdata/minimal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("STORE_KEY", strings.Repeat("0", 64))
	for text, want := range map[string]Store{
		"":                    {Path: "/var/lib/tgtrunk"},
		"data: /d\n":          {Path: "/d"},
		"store: {path: /d}\n": {Path: "/d"},
		"data: /d\nstore: {key: {env: STORE_KEY}, lease: 1m}\n": {Path: "/d", Key: NewSecret(strings.Repeat("0", 64)), Lease: time.Minute},
		"store: {redis: {url: 'unix:///run/redis.sock?db=1'}, key: {env: STORE_KEY}}\n": {Key: NewSecret(strings.Repeat("0", 64)),
			Redis: &Redis{URL: "unix:///run/redis.sock?db=1", Prefix: "tgtrunk", Timeout: 5 * time.Second}},
	} {
		c, err := parse("x.yaml", append([]byte(text), minimal...))
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		setDefault(&want.Lease, 30*time.Second)
		if !reflect.DeepEqual(c.Store, want) {
			t.Errorf("%q is %+v, want %+v", text, c.Store, want)
		}
	}
}

// What the file does not say of the guard keeps its default; a 0 is a choice.
func TestGuardKeepsZeroes(t *testing.T) {
	text, err := os.ReadFile("testdata/minimal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := parse("x.yaml", append(text, "guard: {retry: 0s, import_contacts: false, strangers: {per_day: 0, declines: {count: 0}}}\n"...))
	if err != nil {
		t.Fatal(err)
	}
	want := defaultGuard()
	want.Retry, want.ImportContacts, want.Strangers.PerDay, want.Strangers.Declines.Count = 0, false, 0, 0
	if c.Guard != want {
		t.Errorf("the guard is %+v", c.Guard)
	}
}

// Every file of testdata/bad holds one mistake and says in its first line what the error must contain.
func TestMistakesAreNamedWithTheirLine(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			first, _, _ := strings.Cut(string(text), "\n")
			want, ok := strings.CutPrefix(first, "# want: ")
			if !ok {
				t.Fatal("the first line does not say what is wanted")
			}
			if regexp.MustCompile(`^\d+: `).MatchString(want) {
				want = path + ":" + want
			}
			_, err = Load(path)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("the error is\n%v\nwithout %q", err, want)
			}
			var problems Problems
			if !errors.As(err, &problems) || len(problems) != 1 {
				t.Errorf("%d problems are reported for one mistake: %v", len(problems), err)
			}
		})
	}
}

func TestAllMistakesAreReportedAtOnce(t *testing.T) {
	_, err := parse("x.yaml", []byte("log: {level: loud}\nlimits: {calls: -2}\n"))
	var problems Problems
	if !errors.As(err, &problems) || len(problems) != 5 {
		t.Fatalf("the problems are %v", err)
	}
}

func TestMissingFileIsNamed(t *testing.T) {
	if _, err := Load("testdata/none.yaml"); err == nil || !strings.Contains(err.Error(), "testdata/none.yaml") {
		t.Errorf("the error is %v", err)
	}
}

func TestSecretNeverShows(t *testing.T) {
	s := NewSecret("hunter2")
	text, _ := s.MarshalText()
	for _, shown := range []string{fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q", s, s, s, s, s), string(text),
		fmt.Sprintf("%+v", Account{APIHash: s})} {
		if strings.Contains(shown, "hunter2") {
			t.Errorf("the secret shows in %q", shown)
		}
	}
}

func TestSecretFromFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("word\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := secretSource{File: path}.read()
	if err != nil || got != "word" {
		t.Errorf("got %q, %v", got, err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", filepath.Dir(path))
	got, err = secretSource{Credential: "secret"}.read()
	if err != nil || got != "word" {
		t.Errorf("got %q, %v", got, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, path := range []string{"testdata/minimal.yaml", "../tgtrunk.yaml"} {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if c, err := parse("fuzz.yaml", text); (c == nil) == (err == nil) {
			t.Errorf("neither a configuration nor an error for %q", text)
		}
	})
}

// The yaml library has panicked on this one.
func TestOddYAMLIsAnError(t *testing.T) {
	for _, text := range []string{"accounts:\n  !", "!", "a: &b\n  *b", "? : :"} {
		if _, err := parse("x.yaml", []byte(text)); err == nil {
			t.Errorf("%q loads", text)
		}
	}
}

// The errors that docs/configuration.md shows are those that are printed.
func TestErrorsInTheDocsAreReal(t *testing.T) {
	text, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	minimal, err := os.ReadFile("testdata/minimal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for wrong, right := range map[string]string{`api_hash: "0"`: `api_hash: "0123456789abcdef0123456789abcdef"`,
		"{name: calls-out, from: office, to: sale}":                                                                "{from: office, to: sales}",
		"{name: calls-out, from: office, to: sales,\n    caller_id: [\n     \"*{userid}\",\n     \"*1{userid}\"]}": "{from: office, to: sales}"} {
		_, err := parse("tgtrunk.yaml", []byte(strings.Replace(string(minimal), right, wrong, 1)))
		var problems Problems
		if !errors.As(err, &problems) || len(problems) != 1 || !strings.Contains(lineless(string(text)), lineless(problems[0].Text)) {
			t.Errorf("docs/configuration.md does not show %v", err)
		}
	}
}

// lineless takes the numbers of lines out of a message: those of the docs are of another file.
func lineless(text string) string {
	return regexp.MustCompile(`\(line \d+\)`).ReplaceAllString(text, "(line)")
}

// A list under `to` is a pool; what follows under otherwise is not part of it.
func TestPoolOfAccounts(t *testing.T) {
	text := `
accounts:
  - {name: sales, api_id: 1, api_hash: "0123456789abcdef0123456789abcdef"}
  - {name: sales2, api_id: 1, api_hash: "0123456789abcdef0123456789abcdef"}
pbx:
  - {name: office, asterisk: {url: "http://127.0.0.1:8088/ari", username: u, password: p}}
routes:
  - {from: office, to: [sales, sales2], reached_in: 8s, otherwise: [{to: sales}]}
`
	c, err := parse("x.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	plan, err := c.Table.Route(routing.Request{Trunk: "office", Dialled: "durov"})
	if err != nil || len(plan.Targets) != 3 {
		t.Fatalf("%+v, %v", plan, err)
	}
	for i, want := range []routing.Target{{Trunk: "sales", Pool: 1, ReachedIn: 8 * time.Second}, {Trunk: "sales2", Pool: 1, ReachedIn: 8 * time.Second}, {Trunk: "sales"}} {
		if got := plan.Targets[i]; got.Trunk != want.Trunk || got.Pool != want.Pool || got.ReachedIn != want.ReachedIn {
			t.Errorf("target %d is %+v", i, got)
		}
	}
	for bad, want := range map[string]string{"[sales, sales]": `"sales" is listed twice`, "[sales, nobody]": `no trunk "nobody"`, "[]": `no trunk ""`} {
		_, err := parse("x.yaml", []byte(strings.Replace(text, "[sales, sales2]", bad, 1)))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "x.yaml:8") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// What the example shows of an account's chat in comments is right, too.
func TestCommentedChatLoads(t *testing.T) {
	text, err := os.ReadFile("../tgtrunk.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, block, found := strings.Cut(string(text), "    # chat:\n")
	if !found {
		t.Fatal("the example has no chat")
	}
	block, _, _ = strings.Cut(block, "\n\n")
	chat := "    chat:\n" + regexp.MustCompile(`(?m)^    # `).ReplaceAllString(block, "    ") + "\n"
	minimal := `accounts:
  - name: sales
    api_id: 1
    api_hash: "0123456789abcdef0123456789abcdef"
` + chat + `pbx:
  - {name: office, asterisk: {url: "http://127.0.0.1:8088/ari", username: u, password: p}}
routes:
  - {from: sales, to: office, context: c, extension: "1"}
`
	c, err := parse("x.yaml", []byte(minimal))
	if err != nil {
		t.Fatalf("%v\n%s", err, minimal)
	}
	if a := c.Accounts[0].Chat; a.Desk == nil || len(a.Departments) != 1 || a.Limits.Calls.Count != 4 || !a.Desk.Digits().ToUser {
		t.Errorf("the chat is %+v", a)
	}
}

// An account without the key has no desk.
func TestChatIsOffByDefault(t *testing.T) {
	c, err := Load("testdata/minimal.yaml")
	if err != nil || c.Accounts[0].Chat != nil {
		t.Errorf("%+v, %v", c.Accounts, err)
	}
}
