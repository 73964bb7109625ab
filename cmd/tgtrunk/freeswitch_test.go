package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/config"
	"github.com/tgtrunk/tgtrunk/deploy/freeswitch"
	"github.com/tgtrunk/tgtrunk/lab"
	"github.com/tgtrunk/tgtrunk/lab/stage"
)

// freshTree is the configuration of a FreeSWITCH that has never heard of tgtrunk: no event socket, no profile of
// mod_verto, no dialplan. Its phones' calls go where a route to Telegram is to be. FreeSWITCH's pre-processor wants lines of
// its own.
const freshTree = `<document type="freeswitch/xml">
  <section name="configuration">
    <X-PRE-PROCESS cmd="include" data="autoload_configs/*.xml"/>
    <configuration name="switch.conf"><settings>
      <param name="rtp-start-port" value="@RTP@"/><param name="rtp-end-port" value="@RTPEND@"/>
    </settings></configuration>
    <configuration name="timezones.conf"><timezones/></configuration>
    <configuration name="acl.conf"><network-lists/></configuration>
    <configuration name="sofia.conf"><global_settings/><profiles><profile name="internal"><settings>
      <param name="context" value="to-telegram"/><param name="dialplan" value="XML"/>
      <param name="sip-ip" value="127.0.0.1"/><param name="sip-port" value="@SIP@"/><param name="rtp-ip" value="127.0.0.1"/>
      <param name="auth-calls" value="false"/><param name="manage-presence" value="false"/>
      <param name="inbound-codec-prefs" value="PCMU,PCMA"/><param name="outbound-codec-prefs" value="PCMU,PCMA"/>
    </settings></profile></profiles></configuration>
  </section>
  <section name="dialplan">
    <X-PRE-PROCESS cmd="include" data="dialplan/*.xml"/>
  </section>
  <section name="directory">
    <X-PRE-PROCESS cmd="include" data="directory/*.xml"/>
  </section>
</document>
`

// freshModules is a modules.conf.xml; @MISSING@ is what the administrator adds.
const freshModules = `<configuration name="modules.conf"><modules>
  <load module="mod_event_socket"/><load module="mod_commands"/><load module="mod_dptools"/><load module="mod_dialplan_xml"/>
  <load module="mod_loopback"/><load module="mod_sofia"/>
@MISSING@</modules></configuration>
`

// newTree writes it; the ports are rtp, sip.
func newTree(t *testing.T, rtp, sip int) string {
	t.Helper()
	dir := t.TempDir()
	text := strings.NewReplacer("@RTP@", fmt.Sprint(rtp), "@RTPEND@", fmt.Sprint(rtp+198), "@SIP@", fmt.Sprint(sip)).Replace(freshTree)
	for name, text := range map[string]string{"freeswitch.xml": text, "autoload_configs/modules.conf.xml": strings.ReplaceAll(freshModules, "@MISSING@", "")} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFreeSWITCHInstall(t *testing.T) {
	dir := newTree(t, 20000, 5060)
	diff, said, err := tgtrunk(t, "freeswitch", "install", "--config", dir, "--dry-run")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"+++ " + filepath.Join(dir, freeswitch.VertoFile), `+    <param name="password" value="(generated)"/>`, "--- /dev/null",
	} {
		if !strings.Contains(diff, want) {
			t.Errorf("the diff lacks %q:\n%s", want, diff)
		}
	}
	for _, want := range []string{`<load module="mod_verto"/>`, "fs_cli -x 'reloadxml'", "fs_cli -x 'load mod_rtc'", "fs_cli -x 'reload mod_event_socket'"} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q:\n%s", want, said)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, freeswitch.VertoFile)); !os.IsNotExist(err) {
		t.Fatal("a dry run has written something", err)
	}
	section, _, err := tgtrunk(t, "freeswitch", "install", "--config", dir)
	if err != nil {
		t.Fatal(err)
	}
	again, said, err := tgtrunk(t, "freeswitch", "install", "--config", dir)
	if err != nil || again != section || !strings.Contains(said, "nothing to do") || strings.Contains(said, "fs_cli") {
		t.Errorf("the second run: %v\n%s%s", err, said, again)
	}
	path := filepath.Join(t.TempDir(), "tgtrunk.yaml")
	rest := "accounts:\n  - {name: sales, api_id: 1, api_hash: \"" + strings.Repeat("0", 32) + "\", phone: \"+49301234567\"}\n" +
		"routes:\n  - {from: office, to: sales}\ndata: " + t.TempDir() + "\n"
	if err := os.WriteFile(path, []byte(section+rest), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile(filepath.Join(dir, freeswitch.EventSocketFile))
	if f := cfg.PBX[0].FreeSWITCH; err != nil || !strings.Contains(string(written), f.Password.Reveal()) || f.Address != "127.0.0.1:8021" {
		t.Errorf("%v: the file does not have the password of\n%s", err, section)
	}

	// What lacks something is not touched without being told, nor then without a copy.
	file := filepath.Join(dir, freeswitch.DialplanFile)
	if err := os.WriteFile(file, []byte("<include/>\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	out, said, err := tgtrunk(t, "freeswitch", "install", "--config", dir)
	if err == nil || out != "" || !strings.Contains(said, file+".new") {
		t.Errorf("a file that differs: %v\n%s%s", err, said, out)
	}
	out, said, err = tgtrunk(t, "freeswitch", "install", "--config", dir, "--force")
	if err != nil || out != section || !strings.Contains(said, file+".bak") {
		t.Errorf("by force: %v\n%s%s", err, said, out)
	}
	if _, _, err := tgtrunk(t, "freeswitch", "install", "--config", t.TempDir()); err == nil || !strings.Contains(err.Error(), "freeswitch.xml") {
		t.Errorf("a directory that is none: %v", err)
	}
}

var modulePattern = regexp.MustCompile(`(?m)^ +<load module=.*/>\n`)

// What the command installs is what a real FreeSWITCH and the service run with: nothing but ports is changed by hand.
func TestFreeSWITCHInstallWorks(t *testing.T) {
	needFreeSWITCH(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var ports [3]int
	for i := range ports {
		var err error
		if ports[i], err = lab.FreeTCPPort(); err != nil {
			t.Fatal(err)
		}
	}
	dir := newTree(t, 20000+200*rand.IntN(5), ports[2])
	section, said, err := tgtrunk(t, "freeswitch", "install", "--config", dir)
	if err != nil {
		t.Fatal(err, said)
	}
	modules := strings.ReplaceAll(freshModules, "@MISSING@", strings.Join(modulePattern.FindAllString(said, -1), ""))
	if err := os.WriteFile(filepath.Join(dir, "autoload_configs", "modules.conf.xml"), []byte(modules), 0o644); err != nil {
		t.Fatal(err)
	}
	free := strings.NewReplacer("8021", fmt.Sprint(ports[0]), "127.0.0.1:8081", fmt.Sprint("127.0.0.1:", ports[1]))
	section = free.Replace(section)
	for _, name := range []string{freeswitch.EventSocketFile, freeswitch.VertoFile} {
		path := filepath.Join(dir, name)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(free.Replace(string(text))), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	begin, end := strings.Index(stage.Configuration, "pbx:"), strings.Index(stage.Configuration, "routes:")
	s, _ := setStageWith(ctx, t, stage.Options{
		PBX: stage.OnFreeSWITCH, Configuration: stage.Configuration[:begin] + section + stage.Configuration[end:],
		FreeSWITCH: stage.FreeSWITCH{Config: dir, EventSocketPort: ports[0], VertoPort: ports[1], SIPPort: ports[2], Password: passwordIn(t, section)},
	})
	if r := callOut(ctx, s, "201", "bob", stage.People["bob"].Username); !r.OK {
		t.Errorf("the call: %+v", r)
	}
	clickToCall(ctx, t, s, "fs_cli", strings.NewReplacer(
		"user/201", "sofia/internal/100@"+s.Phones["100"].Addr(), "*5000201", stage.People["bob"].Username,
	), s.FreeSWITCH.API)
	if err := s.Settled(ctx); err != nil {
		t.Error(err)
	}
}

// passwordIn is the event socket's in a section of yaml.
func passwordIn(t *testing.T, section string) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^      password: "(\w+)"$`).FindStringSubmatch(section)
	if m == nil {
		t.Fatalf("no password in\n%s", section)
	}
	return m[1]
}
