package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/config"
	"github.com/tgtrunk/tgtrunk/routing"
	"github.com/tgtrunk/tgtrunk/routing/memory"
	"github.com/tgtrunk/tgtrunk/store"
	"github.com/tgtrunk/tgtrunk/store/storetest"
)

const numbersConfig = `data: DIR
accounts:
  - {name: sales, api_id: 1, api_hash: "00000000000000000000000000000000"}
  - {name: support, api_id: 1, api_hash: "00000000000000000000000000000000"}
pbx:
  - {name: office, asterisk: {url: "http://127.0.0.1:8088/ari", username: u, password: p}}
caller_id: ["*99{userid}", "{username}"]
caller_name: {show: ["{first} {last}", "@{username}"], charset: ascii}
numbers: {country: "49", national_prefix: "0"}
aliases: {"7001": "@anna_sales"}
routes:
  - {name: vip, from: sales, to: office, context: in, extension: "1", caller: "@the_boss", caller_id: ["+{phone}", "{username}"]}
  - {name: in, from: sales, to: office, context: in, extension: "100"}
  - {name: by-variable, from: office, to: support, variable: {TGTRUNK_ACCOUNT: support}}
  - {name: by-suffix, from: office, to: support, suffix: "#", strip: true}
  - {name: out, from: office, to: sales, timeout: 30s, otherwise: [{to: support}]}
`

// numbersFile writes the configuration and returns its path and its data directory.
func numbersFile(t *testing.T) (path, dir string) {
	t.Helper()
	dir = t.TempDir()
	path = filepath.Join(dir, "tgtrunk.yaml")
	if err := os.WriteFile(path, []byte(strings.Replace(numbersConfig, "DIR", dir, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, dir
}

// tgtrunk runs a command and returns what it printed.
func tgtrunk(t *testing.T, args ...string) (out, errs string, err error) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	c := newRootCommand()
	c.SetArgs(args)
	c.SetOut(&stdout)
	c.SetErr(&stderr)
	err = c.ExecuteContext(t.Context())
	return stdout.String(), stderr.String(), err
}

func TestPreviewOfADescribedPerson(t *testing.T) {
	path, _ := numbersFile(t)
	out, _, err := tgtrunk(t, "cid", "preview", "-c", path, "--userid", "5000000201", "--first", "Анна", "--last", "Ёлкина 🎄", "--account", "sales")
	if err != nil {
		t.Fatal(err)
	}
	want := `route   vip (line 12), sales to office: does not take this caller's calls
number  none: nothing is known that a rule of caller_id shows
name    Anna Iolkina   by caller_name "{first} {last}"
back    dialled at office, the number does not call this user back
route   in (line 13), sales to office: takes this caller's calls
number  *995000000201   by caller_id "*99{userid}"
name    Anna Iolkina   by caller_name "{first} {last}"
back    dialled at office, the number calls this user back
`
	if out != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
	for says, args := range map[string][]string{
		"say who calls":           {},
		"nothing has been stored": {"@anna"},
		"no route from an accou":  {"--userid", "5000000201", "--route", "out"},
		"no account has met":      {"5000000299"},
	} {
		if says == "no account has met" {
			writePeer(t, path)
		}
		if _, _, err := tgtrunk(t, append([]string{"cid", "preview", "-c", path}, args...)...); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v, want %q", args, err, says)
		}
		if says == "no account has met" {
			break
		}
	}
}

// writePeer puts a person into the store of an account, as the account does.
func writePeer(t *testing.T, path string) {
	t.Helper()
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	keep, err := openStore(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	peer := `{"id":5000000201,"hash":1,"username":"the_boss","phone":"+4930123456","first":"Bo","last":"Ss","person":true}`
	if _, err := keep.Put(t.Context(), "telegram/sales/5000/peer/5000000201", []byte(peer), store.Put{}); err != nil {
		t.Fatal(err)
	}
	m := memory.New(memory.Options{Store: keep})
	m.Remember(t.Context(), "office", routing.Presented{Number: "*995000000777", Own: "5000000777", Kind: routing.UserID, UserID: 5000000777, Username: "dora_d"})
	if err := keep.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestPreviewOfAStoredPerson(t *testing.T) {
	path, _ := numbersFile(t)
	writePeer(t, path)
	for _, who := range []string{"@THE_boss", "5000000201", "*5000000201", "+4930123456"} {
		out, _, err := tgtrunk(t, "cid", "preview", "-c", path, "--json", who)
		if err != nil {
			t.Errorf("%s: %v", who, err)
			continue
		}
		var vip struct {
			Route, Number, Name string
			NumberBy            string `json:"number_by"`
			Takes               bool
			CallsBack           bool `json:"calls_back"`
		}
		if err := json.NewDecoder(strings.NewReader(out)).Decode(&vip); err != nil {
			t.Fatal(err)
		}
		if vip.Route != "vip" || vip.Number != "+4930123456" || vip.NumberBy != "+{phone}" || vip.Name != "Bo Ss" || !vip.Takes || !vip.CallsBack {
			t.Errorf("%s: %s", who, out)
		}
	}
	out, _, err := tgtrunk(t, "cid", "preview", "-c", path, "--route", "in", "--phone", "+4911111111", "--first", "New", "@the_boss")
	if err != nil || !strings.Contains(out, "*995000000201") || !strings.Contains(out, "New Ss") || !strings.Contains(out, "does not take") {
		t.Errorf("%s, %v", out, err)
	}
}

// A store that is there and does not open is not passed over in silence.
func TestRouteTestSaysWhatItLeavesOut(t *testing.T) {
	path, _ := numbersFile(t)
	if _, errs, err := tgtrunk(t, "route", "test", "-c", path, "7001"); err != nil || errs != "" {
		t.Errorf("without a store: %v %s", err, errs)
	}
	writePeer(t, path)
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(cfg.Store.Path, "tgtrunk.key"), []byte(store.NewSecret()), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errs, err := tgtrunk(t, "route", "test", "-c", path, "7001"); err != nil || !strings.Contains(errs, "number memory is left out") {
		t.Errorf("with the wrong key: %v %s", err, errs)
	}
}

// The commands that only look do so while the service has the store, on either driver, and leave it as it is.
func TestLookingBesideTheService(t *testing.T) {
	server := storetest.StartRedis(t)
	for name, where := range map[string]string{
		"directory": "data: %s",
		"redis":     fmt.Sprintf(`store: {redis: {url: "%s", timeout: 20s}, key: "%s"}`, server.URL(), store.NewSecret()) + " # %s",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "tgtrunk.yaml")
			text := strings.Replace(numbersConfig, "data: DIR", fmt.Sprintf(where, dir), 1)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			writePeer(t, path)
			cfg, err := config.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			keep, err := openStore(t.Context(), cfg, slog.New(slog.DiscardHandler)) // as the service does
			if err != nil {
				t.Fatal(err)
			}
			defer keep.Close()
			before := stored(t, keep)
			began := time.Now()
			out, errs, err := tgtrunk(t, "cid", "preview", "-c", path, "@the_boss", "--route", "in")
			if err != nil || errs != "" || !strings.Contains(out, "*995000000201") {
				t.Errorf("preview: %v %s %s", err, errs, out)
			}
			out, errs, err = tgtrunk(t, "route", "test", "-c", path, "85000000777")
			if err != nil || errs != "" || !strings.Contains(out, "number memory") {
				t.Errorf("route test: %v %s %s", err, errs, out)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("both took %v", took)
			}
			if after := stored(t, keep); !maps.Equal(before, after) {
				t.Errorf("the store was %v and is %v", before, after)
			}
			if _, err := keep.Put(t.Context(), "k", nil, store.Put{}); err != nil {
				t.Errorf("the service cannot write any more: %v", err)
			}
		})
	}
}

// stored is the version of every key.
func stored(t *testing.T, s store.Store) map[string]uint64 {
	t.Helper()
	versions := map[string]uint64{}
	if err := s.Scan(t.Context(), "", func(e store.Entry) error { versions[e.Key] = e.Version; return nil }); err != nil {
		t.Fatal(err)
	}
	if len(versions) < 2 {
		t.Fatalf("the store has %v", versions)
	}
	return versions
}

func TestRouteTest(t *testing.T) {
	path, _ := numbersFile(t)
	writePeer(t, path)
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"*995000000201", "--caller", "201"}, `route   out (line 16)
read    user-id 5000000201   by caller_id rule "*99{userid}"
target  1   Telegram account sales     user-id 5000000201   rings for 30s
target  2   Telegram account support   user-id 5000000201
`},
		{[]string{"030123456#"}, `route   by-suffix (line 15)
read    phone number +4930123456   by national number of +49
target  1   Telegram account support   phone number +4930123456
`},
		{[]string{"7001", "--variable", "TGTRUNK_ACCOUNT=support"}, `route   by-variable (line 14)
read    username @anna_sales   by alias "7001"
target  1   Telegram account support   username @anna_sales
`},
		{[]string{"005000000777#"}, `route   by-suffix (line 15)
read    user-id 5000000777   by number memory, shown as *995000000777
target  1   Telegram account support   user-id 5000000777, else username @dora_d
`},
		{[]string{"--from", "sales", "--caller", "@The_Boss"}, `route   vip (line 12)
target  1   PBX office   1@in
`},
	} {
		out, errs, err := tgtrunk(t, append([]string{"route", "test", "-c", path}, test.args...)...)
		if err != nil || out != test.want || errs != "" {
			t.Errorf("%v: %v %s, got\n%s\nwant\n%s", test.args, err, errs, out, test.want)
		}
	}
	for says, args := range map[string][]string{
		"find route: no rule takes this call": {"--from", "support"},
		"a username has no":                   {"anna.b"},
		`there is no trunk "x"`:               {"7001", "--from", "x"},
		"say what was dialled":                {},
		"carry no dialled number":             {"7001", "--from", "sales"},
	} {
		if _, _, err := tgtrunk(t, append([]string{"route", "test", "-c", path}, args...)...); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v, want %q", args, err, says)
		}
	}
}

func TestRouteTestInJSON(t *testing.T) {
	path, _ := numbersFile(t)
	writePeer(t, path)
	out, _, err := tgtrunk(t, "route", "test", "-c", path, "--json", "85000000777")
	if err != nil {
		t.Fatal(err)
	}
	var plan routeJSON
	if err := json.Unmarshal([]byte(out), &plan); err != nil {
		t.Fatal(err)
	}
	if plan.Route != "out" || plan.Matched != routing.ByMemory || len(plan.Targets) != 2 || plan.Targets[0].Number.UserID != 5000000777 ||
		plan.Targets[0].TimeoutS != 30 || len(plan.Targets[1].Others) != 1 || plan.Targets[1].Others[0].Username != "dora_d" {
		t.Errorf("%s", out)
	}
}

func TestConfigCheckWarns(t *testing.T) {
	path, _ := numbersFile(t)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Replace(text, []byte(`"*99{userid}"`), []byte(`"0{userid}"`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, err := tgtrunk(t, "config", "check", "-c", path)
	if err != nil || !strings.Contains(out, "is right") || !strings.Contains(errs, path+`:7: warning: caller_id rule "0{userid}" collides with national numbers`) {
		t.Errorf("%s %s %v", out, errs, err)
	}
}

// The output of route test in the docs is that for the example beside it.
func TestRouteTestInTheDocsIsReal(t *testing.T) {
	t.Setenv("TGTRUNK_API_HASH", strings.Repeat("0", 32))
	t.Setenv("TGTRUNK_ARI_PASSWORD", "secret")
	all := blocks(t)
	for _, b := range all {
		if b.language != "yaml" || !strings.Contains(b.text, "*99{userid}") {
			continue
		}
		t.Chdir(t.TempDir())
		if err := os.WriteFile("tgtrunk.yaml", []byte(b.text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, _, err := tgtrunk(t, "route", "test", "*995000000201")
		if err != nil {
			t.Fatal(err)
		}
		for _, shown := range all {
			if strings.Contains(shown.text, strings.TrimSpace(out)) {
				return
			}
		}
		t.Fatalf("docs/configuration.md does not show\n%s", out)
	}
	t.Fatal("no example has the rule *99{userid}")
}
