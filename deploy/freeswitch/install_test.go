package freeswitch

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	mainFile = `<document type="freeswitch/xml">
  <section name="configuration">
    <X-PRE-PROCESS cmd="include" data="autoload_configs/*.xml"/>
  </section>
  <section name="dialplan">
    <X-PRE-PROCESS cmd="include" data="dialplan/*.xml"/>
  </section>
  <section name="directory">
    <X-PRE-PROCESS cmd="include" data="directory/*.xml"/>
  </section>
</document>
`
	modulesFile = `<configuration name="modules.conf"><modules>
  <load module="mod_event_socket"/><load module="mod_commands"/><load module="mod_dptools"/>
  <load module="mod_dialplan_xml"/><load module="mod_loopback"/><load module="mod_rtc"/>
  <!-- <load module="mod_verto"/> -- not yet -->
</modules></configuration>
`
	usualSocket = `<configuration name="event_socket.conf">
  <settings>
    <param name="listen-ip" value="::"/>
    <param name="listen-port" value="8021"/>
    <param name="password" value="ClueCon"/>
  </settings>
</configuration>
`
	usualVerto = `<configuration name="verto.conf">
  <profiles>
    <!-- <profile name="tgtrunk"/> is not here -- not even </profiles> -->
    <profile name="default-v4">
      <param name="bind-local" value="$${local_ip_v4}:8081"/>
      <param name="bind-local" value="[::1]:8082" secure="true"/>
    </profile>
  </profiles>
</configuration>
`
)

// tree is a configuration directory with these files.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func usualTree(t *testing.T) string {
	return tree(t, map[string]string{
		"freeswitch.xml": mainFile, "autoload_configs/modules.conf.xml": modulesFile, EventSocketFile: usualSocket, VertoFile: usualVerto,
	})
}

func content(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func look(t *testing.T, dir string) *Plan {
	t.Helper()
	p, err := Look(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A new tree gets all files, readable for whom its own are, and a second run has nothing to do.
func TestInstallIntoEmptyTree(t *testing.T) {
	dir := tree(t, map[string]string{"freeswitch.xml": mainFile})
	p := look(t, dir)
	if len(p.Changes) != 4 || len(p.Notes) != 0 || !slices.Equal(p.Missing, Modules()) {
		t.Fatalf("plan %+v", p)
	}
	if done, err := p.Apply(false); err != nil || len(done) != 4 {
		t.Fatal(done, err)
	}
	files := content(t, dir)
	for _, name := range Names() {
		if strings.Contains(files[name], passwordPlaceholder) || strings.Contains(files[name], vertoPasswordPlaceholder) {
			t.Errorf("%s has no password of its own", name)
		}
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o640 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if len(files) != 5 {
		t.Errorf("files %v", slices.Sorted(maps.Keys(files)))
	}
	if len(p.Settings.Password) < 20 || len(p.Settings.VertoPassword) < 20 || p.Settings.Password == p.Settings.VertoPassword {
		t.Errorf("passwords %q, %q", p.Settings.Password, p.Settings.VertoPassword)
	}
	again := look(t, dir)
	if len(again.Changes) != 0 || again.Settings != p.Settings || again.Diff() != "" || len(again.Commands()) != 0 {
		t.Errorf("second run: %+v, first %+v", again, p)
	}
}

// The usual tree keeps its event socket; the profile is added to its mod_verto by force only, with a copy.
func TestInstallIntoUsualTree(t *testing.T) {
	dir := usualTree(t)
	before := content(t, dir)
	p := look(t, dir)
	if !slices.Equal(p.Missing, []string{"mod_verto"}) || len(p.Notes) != 1 || !strings.Contains(p.Notes[0], "every new FreeSWITCH") {
		t.Errorf("missing %v, notes %q", p.Missing, p.Notes)
	}
	if s := p.Settings; s.EventSocket != "127.0.0.1:8021" || s.Password != "ClueCon" || s.Verto != "127.0.0.1:8083" {
		t.Errorf("settings %+v", s)
	}
	if !maps.Equal(content(t, dir), before) {
		t.Error("looking has changed something")
	}
	if _, err := p.Apply(false); !errors.Is(err, ErrDiffers) {
		t.Fatalf("a file that differs: %v", err)
	}
	after := content(t, dir)
	if after[VertoFile] != usualVerto || after[EventSocketFile] != usualSocket || !strings.Contains(after[VertoFile+".new"], `"tgtrunk"`) {
		t.Error("somebody's file was changed, or its new one is missing")
	}
	p = look(t, dir)
	done, err := p.Apply(false)
	if !errors.Is(err, ErrDiffers) || len(done) != 1 || !strings.HasSuffix(done[0], "is there already") {
		t.Errorf("second run: %q, %v", done, err)
	}
	if commands := p.Commands(); !slices.Equal(commands, []string{"fs_cli -x 'reloadxml'", "fs_cli -x 'load mod_verto'"}) {
		t.Errorf("commands %q", commands)
	}
	if done, err := p.Apply(true); err != nil || !strings.HasSuffix(done[0], VertoFile+".bak") {
		t.Fatal(done, err)
	}
	after = content(t, dir)
	if after[VertoFile+".bak"] != usualVerto {
		t.Error("there is no copy of the old file")
	}
	root, err := parse(after[VertoFile])
	if err != nil || root.find("profile", named("name", "default-v4")) == nil {
		t.Fatalf("%v\n%s", err, after[VertoFile])
	}
	profile := root.find("profiles", nil).find("profile", named("name", "tgtrunk"))
	if at, _ := profile.param("bind-local"); at != "127.0.0.1:8083" {
		t.Errorf("the profile listens at %q\n%s", at, after[VertoFile])
	}
	if p := look(t, dir); len(p.Changes) != 0 {
		t.Errorf("after force: %+v", p.Changes)
	}
}

// Each file of somebody's gets what its state asks for.
func TestInstallBesideFiles(t *testing.T) {
	render := func(name string) string {
		text, err := Settings{}.Render(name)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for title, c := range map[string]struct {
		name, text string
		kind       string // "" where the file is left alone
		check      func(*Plan) bool
	}{
		"copied by hand":        {EventSocketFile, render(EventSocketFile), Complete, func(p *Plan) bool { return len(p.Settings.Password) > 20 }},
		"user copied by hand":   {DirectoryFile, render(DirectoryFile), Complete, func(p *Plan) bool { return len(p.Settings.VertoPassword) > 20 }},
		"dialplan copied":       {DialplanFile, render(DialplanFile), "", nil},
		"profile copied":        {VertoFile, render(VertoFile), "", func(p *Plan) bool { return p.Settings.Verto == DefaultVerto }},
		"other address":         {VertoFile, strings.ReplaceAll(render(VertoFile), "127.0.0.1:8081", "10.0.0.1:99"), "", func(p *Plan) bool { return p.Settings.Verto == "10.0.0.1:99" }},
		"dialplan edited":       {DialplanFile, strings.ReplaceAll(render(DialplanFile), "from-telegram", "inbound"), "", nil},
		"dialplan without ours": {DialplanFile, "<include/>", Replace, nil},
		"password a variable": {EventSocketFile, strings.ReplaceAll(usualSocket, "ClueCon", "$${secret}"), "",
			func(p *Plan) bool { return p.Settings.Password == "" && len(p.Notes) == 1 }},
		"own password": {EventSocketFile, strings.ReplaceAll(usualSocket, "ClueCon", "a&amp;b"), "",
			func(p *Plan) bool { return p.Settings.Password == "a&b" && len(p.Notes) == 0 }},
		"left to the module": {EventSocketFile, "<configuration/>", "", func(p *Plan) bool { return p.Settings.Password == "ClueCon" }},
		"no profiles":        {VertoFile, "<configuration/>", Replace, nil},
		"empty":              {VertoFile, "", Create, nil},
		"other user":         {DirectoryFile, `<include><user id="x"/></include>`, Replace, nil},
		"user that may not": {DirectoryFile, strings.ReplaceAll(strings.ReplaceAll(render(DirectoryFile), "choose-another", "mine"), "jsonrpc", "x"),
			Replace, func(p *Plan) bool { return p.Settings.VertoPassword == "mine" }},
	} {
		p := look(t, tree(t, map[string]string{"freeswitch.xml": mainFile, c.name: c.text}))
		kind := ""
		for _, change := range p.Changes {
			if change.Name == c.name {
				kind = change.Kind
			}
		}
		if kind != c.kind || c.check != nil && !c.check(p) {
			t.Errorf("%s: %q, want %q; %+v", title, kind, c.kind, p)
		}
		if _, err := p.Apply(true); err != nil {
			t.Errorf("%s: %v", title, err)
		}
		if again := look(t, p.Dir); len(again.Changes) != 0 || again.Settings != p.Settings {
			t.Errorf("%s: second run has %+v, %+v after %+v", title, again.Changes, again.Settings, p.Settings)
		}
	}
}

func TestInstallWhereNothingIs(t *testing.T) {
	if _, err := Look(t.TempDir(), nil); !errors.Is(err, ErrNoConfig) {
		t.Error(err)
	}
	one, two := usualTree(t), usualTree(t)
	if dir, err := Find(one, t.TempDir()); dir != one || err != nil {
		t.Error(dir, err)
	}
	if _, err := Find(t.TempDir()); !errors.Is(err, ErrNoConfig) {
		t.Error(err)
	}
	if _, err := Find(one, two); err == nil || !strings.Contains(err.Error(), two) {
		t.Error(err)
	}
	for _, text := range []string{"<a", "<a b=>", strings.Repeat("<a>", 1000)} {
		if _, err := Look(tree(t, map[string]string{"freeswitch.xml": mainFile, DialplanFile: text}), nil); err == nil || !strings.Contains(err.Error(), DialplanFile) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
	if p := look(t, tree(t, map[string]string{"freeswitch.xml": "<document/>"})); len(p.Notes) != 3 {
		t.Errorf("notes %q", p.Notes)
	}
}

// The old copies stay, and a link stays a link.
func TestInstallKeepsEveryCopy(t *testing.T) {
	dir := usualTree(t)
	kept := filepath.Join(t.TempDir(), "verto.xml")
	path := filepath.Join(dir, VertoFile)
	if err := errors.Join(os.WriteFile(path+".bak", []byte("older"), 0o600), os.Rename(path, kept), os.Symlink(kept, path)); err != nil {
		t.Fatal(err)
	}
	if _, err := look(t, dir).Apply(true); err != nil {
		t.Fatal(err)
	}
	files := content(t, dir)
	if files[VertoFile+".bak"] != "older" || files[VertoFile+".bak1"] != usualVerto {
		t.Errorf("copies %q, %q", files[VertoFile+".bak"], files[VertoFile+".bak1"])
	}
	if to, err := os.Readlink(path); to != kept || err != nil {
		t.Error(to, err)
	}
	if text, err := os.ReadFile(kept); err != nil || !strings.Contains(string(text), `"tgtrunk"`) {
		t.Error("the linked file was not written", err)
	}
}

// The difference is one that patch(1) takes.
func TestDiffCanBeApplied(t *testing.T) {
	patch, err := exec.LookPath("patch")
	if err != nil {
		t.Skip("patch is not installed")
	}
	lines := func(from, to int) string {
		var all strings.Builder
		for i := from; i < to; i++ {
			all.WriteString(strings.Repeat("x", i) + "\n")
		}
		return all.String()
	}
	for _, c := range [][2]string{
		{lines(0, 40), lines(0, 10) + "new\n" + lines(12, 30) + lines(31, 40) + "end\n"},
		{lines(0, 3), ""}, {"", lines(0, 3)}, {"a\nb", "a\nc"}, {"a\n", "a"}, {lines(0, 9), "first\n" + lines(0, 9)},
		{lines(0, 20), lines(0, 5) + lines(6, 12) + lines(13, 20)}, {lines(0, 20), lines(0, 5) + lines(6, 13) + lines(14, 20)},
	} {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte(c[0]), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), patch, "--fuzz=0", "-p0", "-o", path+".out", path)
		cmd.Stdin = strings.NewReader(unified("a", "b", c[0], c[1]))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %s\n%s", err, out, unified("a", "b", c[0], c[1]))
			continue
		}
		if got, _ := os.ReadFile(path + ".out"); string(got) != c[1] {
			t.Errorf("%q becomes %q, not %q", c[0], got, c[1])
		}
	}
}

func FuzzLook(f *testing.F) {
	for _, text := range []string{usualSocket, usualVerto, modulesFile, "<profiles></profiles>", "<!-- <a> -- </a> --><profiles/>", "<profiles>"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		root, err := parse(text)
		if err != nil {
			return
		}
		ours, err := Settings{Verto: freeAddress(root)}.Render(VertoFile)
		if err != nil {
			t.Fatal(err)
		}
		merged, ok := withProfile(text, root, ours)
		if !ok {
			return
		}
		if !bytes.Contains([]byte(merged), []byte(`<profile name="tgtrunk">`)) || len(merged) < len(text) {
			t.Errorf("%q becomes %q", text, merged)
		}
		again, err := parse(merged)
		if err != nil || again.find("profile", named("name", "tgtrunk")) == nil {
			t.Errorf("%q does not have the profile: %v", merged, err)
		}
	})
}
