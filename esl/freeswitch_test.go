package esl_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/esl"
	"github.com/tgtrunk/tgtrunk/lab"
)

// The files of deploy/freeswitch are what the tests' FreeSWITCH runs with, but for its ports and passwords.
const deployed = "../deploy/freeswitch/"

const testDialplan = `
<context name="lab">
  <extension name="end"><condition field="destination_number" expression="^end$">
    <action application="set" data="end_result=${TGTRUNK_STATUS}/${TGTRUNK_REASON}/${TGTRUNK_CAUSE}/${TGTRUNK_RETRY_AFTER}"/>
    <action application="hash" data="insert/end/${tgtrunk_dialled}/${TGTRUNK_STATUS}:${TGTRUNK_REASON}:${TGTRUNK_CAUSE}:${TGTRUNK_RETRY_AFTER}"/>
    <action application="set" data="last_bridge_proto_specific_hangup_cause=${tgtrunk_sip}"/>
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
    <action application="set" data="last_bridge_proto_specific_hangup_cause=${tgtrunk_sip}"/>
    <action application="hangup" data="${tgtrunk_hangup}"/>
  </condition></extension>
  <extension name="static"><condition field="destination_number" expression="^6\d+$">
    <action application="set" data="tgtrunk_dialled=${destination_number}"/>
    <action application="set" data="tgtrunk_password=sesame"/>
    <action application="set" data="tgtrunk_hangup=NORMAL_TEMPORARY_FAILURE"/>
    <action application="socket" data="127.0.0.1:@SOCKET@ full"/>
    <action application="set" data="last_bridge_proto_specific_hangup_cause=${tgtrunk_sip}"/>
    <action application="hangup" data="${tgtrunk_hangup}"/>
  </condition></extension>
  <extension name="twice"><condition field="destination_number" expression="^(3\d+|once-more)$">
    <action application="set" data="tgtrunk_app=tgtrunk"/>
    <action application="set" data="tgtrunk_failed=${cond(${destination_number} == once-more ? end : once-more)} XML lab"/>
    <action application="set" data="park_timeout=10:NORMAL_TEMPORARY_FAILURE"/>
    <action application="park"/>
  </condition></extension>
  <extension name="elsewhere"><condition field="destination_number" expression="^4\d+$">
    <action application="set" data="tgtrunk_app=tgtrunk"/><action application="set" data="tgtrunk_failed=busy XML lab"/>
    <action application="park"/>
  </condition></extension>
  <extension name="hold"><condition field="destination_number" expression="^hold$">
    <action application="set" data="park_timeout=3:NORMAL_CLEARING"/><action application="park"/>
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
  <extension name="far end"><condition field="destination_number" expression="^wide$">
    <action application="set" data="absolute_codec_string=G722,L16@16000h@20i,opus@48000h,PCMU"/>
    <action application="set" data="tgtrunk_app=far"/><action application="park"/>
  </condition></extension>
  <extension name="early"><condition field="destination_number" expression="^early$">
    <action application="pre_answer"/><action application="playback" data="tone_stream://%(700,0,1004)"/><action application="answer"/><action application="echo"/>
  </condition></extension>
  <extension name="queue"><condition field="destination_number" expression="^queue$">
    <action application="answer"/><action application="sleep" data="200"/>
    <action application="bridge" data="{absolute_codec_string=PCMU,origination_callee_id_name=Anna,origination_callee_id_number=201}${AGENT}"/>
  </condition></extension>
  <extension name="agent"><condition field="destination_number" expression="^agent$"><action application="bridge" data="{absolute_codec_string=PCMU}${AGENT}"/></condition></extension>
  <extension name="slow"><condition field="destination_number" expression="^slow$">
    <action application="ring_ready"/><action application="sleep" data="500"/><action application="answer"/><action application="echo"/>
  </condition></extension>
  <extension name="pin"><condition field="destination_number" expression="^pin$">
    <action application="answer"/><action application="read" data="4 4 silence_stream://5000 pin 5000 #"/>
    <action application="hash" data="insert/end/pin/${pin}"/><action application="sleep" data="500"/><action application="hangup"/>
  </condition></extension>
  <extension name="cause"><condition field="destination_number" expression="^cause-(\w+)$"><action application="hangup" data="$1"/></condition></extension>
  <extension name="busy"><condition field="destination_number" expression="^busy$"><action application="hangup" data="USER_BUSY"/></condition></extension>
  <extension name="reject"><condition field="destination_number" expression="^reject$"><action application="hangup" data="CALL_REJECTED"/></condition></extension>
</context>
<context name="wide"><extension name="wide"><condition field="destination_number" expression="^(G722|L16|opus|PCMU)$">
  <action application="bridge" data="[absolute_codec_string=${wide_codec}]sofia/internal/wide@127.0.0.1:${wide_port}"/>
</condition></extension></context>
<context name="forward"><extension name="forward"><condition field="destination_number" expression="^(.+)$">
  <action application="transfer" data="*$1 XML to-telegram"/>
</condition></extension></context>
<context name="in"><extension name="in"><condition field="destination_number" expression="^(.+)$">
  <action application="set" data="tgtrunk_app=tgtrunk"/>
  <action application="set" data="tgtrunk_dialled=$1"/>
  <action application="set" data="park_timeout=20:NORMAL_TEMPORARY_FAILURE"/>
  <action application="park"/>
</condition></extension></context>
<context name="far"><extension name="far"><condition field="destination_number" expression="^(.+)$">
  <action application="set" data="tgtrunk_app=far"/>
  <action application="set" data="tgtrunk_dialled=$1"/>
  <action application="set" data="park_timeout=2:NORMAL_TEMPORARY_FAILURE"/>
  <action application="park"/>
</condition></extension></context>
`

// freeswitch is one FreeSWITCH of the lab.
type freeswitch struct {
	*lab.FreeSWITCH
	dir    string
	binary string
	verto  bool
	// context is that of the phones' calls; default "lab"
	context string
	ports   struct{ esl, verto, sip, socket int } // socket is where the dialplan's socket application goes
}

// binary returns the FreeSWITCH to test with.
func binary(t testing.TB) string {
	t.Helper()
	path, err := lab.FindFreeSWITCH()
	if errors.Is(err, lab.ErrNoFreeSWITCH) {
		t.Skip("FREESWITCH names no binary of FreeSWITCH 1.10: the test on a real one is skipped")
	}
	if err != nil {
		t.Fatal(err)
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

func newFreeSWITCH(path string, verto bool) (*freeswitch, error) {
	dir, err := os.MkdirTemp("", "esl")
	if err != nil {
		return nil, err
	}
	fs := &freeswitch{dir: dir, binary: path, verto: verto}
	fs.ports.socket, err = lab.FreeTCPPort()
	return fs, err
}

// start starts it, or starts it again where it was before.
func (fs *freeswitch) start() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if fs.FreeSWITCH != nil {
		return fs.Restart(ctx)
	}
	fs.FreeSWITCH, err = lab.StartFreeSWITCH(ctx, lab.FreeSWITCHOptions{
		Dir: fs.dir, Binary: fs.binary, NoVerto: !fs.verto, Password: password, VertoPassword: vertoPassword, PhoneContext: cmp.Or(fs.context, "lab"),
		Modules: []string{"mod_conference"}, Configuration: featureConference,
		Dialplan: strings.Replace(strings.ReplaceAll(testDialplan, "@SOCKET@", fmt.Sprint(fs.ports.socket)), `<context name="lab">`,
			`<context name="lab">`+strings.ReplaceAll(featureDialplan, "@DIR@", fs.dir), 1),
	})
	if err != nil {
		return err
	}
	for addr, port := range map[string]*int{fs.ESLAddr(): &fs.ports.esl, strings.TrimPrefix(fs.VertoURL(), "ws://"): &fs.ports.verto, fs.SIPAddr(): &fs.ports.sip} {
		*port = int(netip.MustParseAddrPort(addr).Port())
	}
	return nil
}

// stop ends it as a crash would.
func (fs *freeswitch) stop() { fs.Kill() }

func (fs *freeswitch) remove() {
	fs.stop()
	_ = os.RemoveAll(fs.dir)
}

// api runs a command over a connection of its own, in which nothing of the package under test has a hand.
func (fs *freeswitch) api(command string) (string, error) {
	return fs.API(context.Background(), command)
}

func (fs *freeswitch) options() esl.Options {
	return esl.Options{
		Name: "pbx", Address: fs.ESLAddr(), Password: password, Context: "lab",
		Verto: esl.VertoOptions{URL: fs.VertoURL(), Login: "tgtrunk@tgtrunk.local", Password: vertoPassword},
	}
}

const (
	password      = "geheim-4711"
	vertoPassword = "geheim-4712"
)

func TestMain(m *testing.M) {
	if os.Getenv(ownerVar) != "" {
		os.Exit(serveAsOwner())
	}
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
