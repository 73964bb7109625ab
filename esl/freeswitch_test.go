package esl_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/esl"
)

// The files of deploy/freeswitch are what the tests' FreeSWITCH runs with, but for its ports and passwords.
const deployed = "../deploy/freeswitch/"

const testDialplan = `
<context name="lab">
  <extension name="end"><condition field="destination_number" expression="^end$">
    <action application="set" data="end_result=${TGTRUNK_STATUS}/${TGTRUNK_REASON}/${TGTRUNK_CAUSE}/${TGTRUNK_RETRY_AFTER}"/>
    <action application="hash" data="insert/end/${tgtrunk_dialled}/${TGTRUNK_STATUS}:${TGTRUNK_REASON}:${TGTRUNK_CAUSE}:${TGTRUNK_RETRY_AFTER}"/>
    <action application="hangup" data="${tgtrunk_hangup}"/>
  </condition></extension>
  <extension name="failing"><condition field="destination_number" expression="^8\d+$">
    <action application="set" data="tgtrunk_app=tgtrunk"/>
    <action application="set" data="tgtrunk_failed=end XML lab"/>
    <action application="set" data="tgtrunk_dialled=${destination_number}"/>
    <action application="set" data="park_timeout=4:NORMAL_TEMPORARY_FAILURE"/>
    <action application="park"/>
  </condition></extension>
  <extension name="bare"><condition field="destination_number" expression="^5\d+$">
    <action application="set" data="tgtrunk_app=tgtrunk"/>
    <action application="set" data="park_timeout=2:NORMAL_TEMPORARY_FAILURE"/>
    <action application="park"/>
  </condition></extension>
  <extension name="socket"><condition field="destination_number" expression="^7\d+$">
    <action application="set" data="tgtrunk_dialled=${destination_number}"/>
    <action application="set" data="tgtrunk_password=sesame"/>
    <action application="socket" data="127.0.0.1:@SOCKET@ async"/>
    <action application="hash" data="insert/end/${tgtrunk_dialled}/${TGTRUNK_STATUS}:${TGTRUNK_REASON}:${TGTRUNK_CAUSE}:${TGTRUNK_RETRY_AFTER}"/>
    <action application="hangup" data="${tgtrunk_hangup}"/>
  </condition></extension>
  <extension name="echo"><condition field="destination_number" expression="^echo$">
    <action application="answer"/><action application="echo"/>
  </condition></extension>
  <extension name="tone"><condition field="destination_number" expression="^tone$">
    <action application="answer"/><action application="playback" data="tone_stream://%(60000,0,1004)"/>
  </condition></extension>
  <extension name="facts"><condition field="destination_number" expression="^facts$">
    <action application="hash" data="insert/end/facts/${caller_id_number}:${caller_id_name}:${TGTRUNK_USER_ID}:${TGTRUNK_NAME}:${COLOUR}"/>
    <action application="ring_ready"/><action application="sleep" data="200"/><action application="answer"/><action application="park"/>
  </condition></extension>
  <extension name="queue"><condition field="destination_number" expression="^queue$">
    <action application="answer"/><action application="sleep" data="200"/>
    <action application="bridge" data="{absolute_codec_string=PCMU,origination_callee_id_name=Anna,origination_callee_id_number=201}${AGENT}"/>
  </condition></extension>
  <extension name="extension"><condition field="destination_number" expression="^3\d\d$"><action application="bridge" data="{absolute_codec_string=PCMU}${AGENT}"/></condition></extension>
  <extension name="slow"><condition field="destination_number" expression="^slow$">
    <action application="ring_ready"/><action application="sleep" data="500"/><action application="answer"/><action application="echo"/>
  </condition></extension>
  <extension name="pin"><condition field="destination_number" expression="^pin$">
    <action application="answer"/><action application="read" data="4 4 silence_stream://5000 pin 5000 #"/>
    <action application="hash" data="insert/end/pin/${pin}"/><action application="sleep" data="500"/><action application="hangup"/>
  </condition></extension>
  <extension name="busy"><condition field="destination_number" expression="^busy$"><action application="hangup" data="USER_BUSY"/></condition></extension>
  <extension name="reject"><condition field="destination_number" expression="^reject$"><action application="hangup" data="CALL_REJECTED"/></condition></extension>
</context>
<context name="in"><extension name="in"><condition field="destination_number" expression="^(.+)$">
  <action application="set" data="tgtrunk_app=tgtrunk"/>
  <action application="set" data="tgtrunk_dialled=$1"/>
  <action application="set" data="park_timeout=2:NORMAL_TEMPORARY_FAILURE"/>
  <action application="park"/>
</condition></extension></context>
<context name="far"><extension name="far"><condition field="destination_number" expression="^(.+)$">
  <action application="set" data="tgtrunk_app=far"/>
  <action application="set" data="tgtrunk_dialled=$1"/>
  <action application="set" data="park_timeout=2:NORMAL_TEMPORARY_FAILURE"/>
  <action application="park"/>
</condition></extension></context>
`

const testConfig = `<?xml version="1.0"?>
<document type="freeswitch/xml">
<section name="configuration">
 <configuration name="modules.conf"><modules>
  <load module="mod_logfile"/><load module="mod_event_socket"/><load module="mod_commands"/><load module="mod_dptools"/>
  <load module="mod_hash"/><load module="mod_dialplan_xml"/><load module="mod_loopback"/><load module="mod_rtc"/>
  <load module="mod_sofia"/><load module="mod_opus"/><load module="mod_sndfile"/><load module="mod_tone_stream"/>@VERTO_MODULE@
 </modules></configuration>
 <configuration name="logfile.conf"><settings/><profiles><profile name="default"><settings><param name="logfile" value="@DIR@/freeswitch.log"/></settings><mappings><map name="all" value="debug,info,notice,warning,err,crit,alert"/></mappings></profile></profiles></configuration>
 @EVENT_SOCKET@
 @VERTO@
 <configuration name="switch.conf"><settings><param name="max-sessions" value="1000"/><param name="sessions-per-second" value="200"/><param name="loglevel" value="debug"/><param name="rtp-start-port" value="@RTP@00"/><param name="rtp-end-port" value="@RTP@98"/><param name="dump-cores" value="no"/></settings></configuration>
 <configuration name="timezones.conf"><timezones/></configuration>
 <configuration name="acl.conf"><network-lists/></configuration>
 <configuration name="hash.conf"><remotes/></configuration>
 <configuration name="opus.conf"><settings><param name="use-vbr" value="1"/><param name="complexity" value="5"/></settings></configuration>
 <configuration name="sofia.conf"><global_settings/><profiles><profile name="internal"><gateways/><aliases/><domains/><settings>
   <param name="context" value="@PHONES@"/><param name="dialplan" value="XML"/>
   <param name="sip-ip" value="127.0.0.1"/><param name="sip-port" value="@SIP@"/><param name="rtp-ip" value="127.0.0.1"/>
   <param name="auth-calls" value="false"/><param name="accept-blind-reg" value="true"/><param name="accept-blind-auth" value="true"/>
   <param name="inbound-codec-prefs" value="PCMU,PCMA,opus"/><param name="outbound-codec-prefs" value="PCMU,PCMA,opus"/>
   <param name="rtp-timer-name" value="soft"/><param name="manage-presence" value="false"/>
 </settings></profile></profiles></configuration>
</section>
<section name="dialplan">@DIALPLAN@</section>
<section name="directory">@DIRECTORY@</section>
<section name="languages"/>
</document>
`

// freeswitch is one running FreeSWITCH.
type freeswitch struct {
	dir    string
	binary string
	verto  bool
	ports  struct{ esl, verto, sip, socket int }
	cmd    *exec.Cmd
	done   chan struct{}
}

// binary returns the FreeSWITCH to test with.
func binary(t testing.TB) string {
	t.Helper()
	path := os.Getenv("FREESWITCH")
	if path == "" {
		t.Skip("FREESWITCH names no binary of FreeSWITCH 1.10: the test on a real one is skipped")
	}
	return path
}

var shared struct {
	sync.Mutex
	fs *freeswitch
}

// sharedFreeSWITCH is the one that most tests use; those that break one start their own.
func sharedFreeSWITCH(t testing.TB) *freeswitch {
	path := binary(t)
	shared.Lock()
	defer shared.Unlock()
	if shared.fs == nil {
		fs, err := newFreeSWITCH(path, true)
		if err != nil {
			t.Fatal(err)
		}
		if err := fs.start(); err != nil {
			t.Fatal(err)
		}
		shared.fs = fs
	}
	return shared.fs
}

var instances atomic.Int64

func newFreeSWITCH(path string, verto bool) (*freeswitch, error) {
	dir, err := os.MkdirTemp("", "esl")
	if err != nil {
		return nil, err
	}
	fs := &freeswitch{dir: dir, binary: path, verto: verto}
	for _, p := range []*int{&fs.ports.esl, &fs.ports.verto, &fs.ports.sip, &fs.ports.socket} {
		if *p, err = freePort(); err != nil {
			return nil, err
		}
	}
	return fs, fs.configure()
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (fs *freeswitch) configure() error {
	read := func(name string) string {
		text, err := os.ReadFile(deployed + name)
		if err != nil {
			panic(err)
		}
		s := strings.NewReplacer("<include>", "", "</include>", "", "choose-one", password, "choose-another", vertoPassword,
			"8021", fmt.Sprint(fs.ports.esl), "8081", fmt.Sprint(fs.ports.verto)).Replace(string(text))
		return regexp.MustCompile(`(?s)<!--.*?-->`).ReplaceAllString(s, "")
	}
	module := ""
	if fs.verto {
		module = `<load module="mod_verto"/>`
	}
	text := strings.NewReplacer("@VERTO_MODULE@", module, "@DIR@", fs.dir, "@SIP@", fmt.Sprint(fs.ports.sip), "@PHONES@", "lab",
		// Two of them bind the same port without complaint, and take each other's audio.
		"@RTP@", fmt.Sprint(310+instances.Add(1)), "@EVENT_SOCKET@", read("autoload_configs/event_socket.conf.xml"), "@VERTO@", read("autoload_configs/verto.conf.xml"),
		"@DIRECTORY@", read("directory/tgtrunk.xml"),
		"@DIALPLAN@", read("dialplan/tgtrunk.xml")+strings.ReplaceAll(testDialplan, "@SOCKET@", fmt.Sprint(fs.ports.socket)),
	).Replace(testConfig)
	return os.WriteFile(filepath.Join(fs.dir, "freeswitch.xml"), []byte(text), 0o600)
}

func (fs *freeswitch) start() error {
	fs.cmd = exec.Command(fs.binary, "-nf", "-nonat", "-conf", fs.dir, "-log", fs.dir, "-db", fs.dir, "-run", fs.dir)
	fs.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := fs.cmd.Start(); err != nil {
		return err
	}
	fs.done = make(chan struct{})
	go func() { _ = fs.cmd.Wait(); close(fs.done) }()
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if out, err := fs.api("sofia status"); err == nil && strings.Contains(out, "RUNNING") {
			return nil
		}
	}
	fs.stop()
	log, _ := os.ReadFile(filepath.Join(fs.dir, "freeswitch.log"))
	return fmt.Errorf("freeswitch does not come up: %s", log[max(0, len(log)-3000):])
}

func (fs *freeswitch) stop() {
	_ = fs.cmd.Process.Kill()
	<-fs.done
}

func (fs *freeswitch) remove() {
	fs.stop()
	_ = os.RemoveAll(fs.dir)
}

// api runs a command over a connection of its own, in which nothing of the package under test has a hand.
func (fs *freeswitch) api(command string) (string, error) {
	conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", fs.ports.esl), time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprintf(conn, "auth %s\n\napi %s\n\nexit\n\n", password, command)
	var all bytes.Buffer
	_, _ = all.ReadFrom(conn)
	_, rest, ok := strings.Cut(all.String(), "Content-Type: api/response\nContent-Length: ")
	if !ok {
		return "", fmt.Errorf("no answer to %s: %q", command, all.String())
	}
	var n int
	_, _ = fmt.Sscanf(rest, "%d", &n)
	_, rest, _ = strings.Cut(rest, "\n\n")
	return strings.TrimSpace(rest[:min(n, len(rest))]), nil
}

func (fs *freeswitch) options() esl.Options {
	return esl.Options{
		Name: "pbx", Address: fmt.Sprintf("127.0.0.1:%d", fs.ports.esl), Password: password, Context: "lab",
		Verto: esl.VertoOptions{URL: fmt.Sprintf("ws://127.0.0.1:%d", fs.ports.verto), Login: "tgtrunk@tgtrunk.local",
			Password: vertoPassword},
	}
}

const (
	password      = "geheim-4711"
	vertoPassword = "geheim-4712"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.fs != nil {
		if code == 0 {
			shared.fs.remove()
		} else {
			shared.fs.stop()
			fmt.Println("freeswitch's log is in", shared.fs.dir)
		}
	}
	os.Exit(code)
}

func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func waitFor(ctx context.Context, happened <-chan struct{}) error {
	select {
	case <-happened:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
