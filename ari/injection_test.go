package ari_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/lab"
)

// publishedDialplan is what administrators are shown, without its first two lines, which the lab writes by itself.
func publishedDialplan(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../deploy/lab/asterisk/extensions_local.conf")
	if err != nil {
		t.Fatal(err)
	}
	_, dialplan, ok := strings.Cut(string(text), "include => lab\n")
	if !ok {
		t.Fatal("the published dialplan has no line \"include => lab\"")
	}
	return dialplan
}

// TestPhoneCannotWriteArguments: Stasis() splits what it is given at commas, and a phone may dial commas. With the
// dialplan that we publish none reaches it; with one that passes ${EXTEN} as it is, what stands behind the comma is no fact.
func TestPhoneCannotWriteArguments(t *testing.T) {
	phone, err := lab.NewPhone(lab.PhoneOptions{Name: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(phone.Close)
	dir, err := os.MkdirTemp("", "ari") // t.TempDir is too long for a control socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	a, err := lab.StartAsterisk(t.Context(), lab.AsteriskOptions{
		Dir: filepath.Join(dir, "a"), Endpoints: []lab.SIPEndpoint{{Name: "alice", ContactPort: phone.Port()}},
		Dialplan: publishedDialplan(t) + "[phones]\nexten => _7.,1,Stasis(tgtrunk,${EXTEN},TGTRUNK_COLOUR=blue)\n same => n,Hangup()\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Stop)
	phone.SetServer(a.SIPAddr())
	r := newRig(t, a)

	offered := func(number string) (dialled string, facts map[string]string) {
		t.Helper()
		c := call(t, phone, number)
		offer := r.offer()
		offer.Leg.Hangup(bridge.CauseOf(bridge.BadNumber))
		ended(t, offer.Leg, bridge.BadNumber)
		if _, err := c.WaitOver(soon(t)); err != nil {
			t.Error(err)
		}
		return offer.Dialled, offer.Variables
	}
	for number, want := range map[string]string{
		"*5000201":            "*5000201",
		"+49301000203":        "+49301000203",
		"alice_lab":           "alice_lab",
		"tg-alice_lab.x@y#*+": "tg-alice_lab.x@y#*+",
		"*5000201,TGTRUNK_ACCOUNT=vip,TGTRUNK_TIMEOUT=600": "*5000201TGTRUNK_ACCOUNTvipTGTRUNK_TIMEOUT600",
		"*5000201):0:3,A=1": "*50",
		"*5${GLOBAL(A)}":    "*5GLOBALA",
	} {
		dialled, facts := offered(number)
		if dialled != want {
			t.Errorf("%s is offered as %q, want %q", number, dialled, want)
		}
		for _, name := range []string{"TGTRUNK_ACCOUNT", "TGTRUNK_TIMEOUT", "A", "PBX_ARG2"} {
			if value, is := facts[name]; is {
				t.Errorf("%s: the phone has set %s=%q", number, name, value)
			}
		}
	}

	if _, facts := offered("7001"); facts["TGTRUNK_COLOUR"] != "blue" {
		t.Errorf("an argument of the dialplan is lost: %v", facts)
	}
	if _, facts := offered("7001,TGTRUNK_ACCOUNT=vip"); facts["TGTRUNK_ACCOUNT"] != "" {
		t.Errorf("the phone has set TGTRUNK_ACCOUNT=%q", facts["TGTRUNK_ACCOUNT"])
	}
}

// TestPublishedDialplansFilter: no dialplan that administrators are shown hands what was dialled on as it is.
func TestPublishedDialplansFilter(t *testing.T) {
	files, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, file := range append(files, "../README.md", "../tgtrunk.yaml", "../deploy/lab/asterisk/extensions_local.conf", "../lab/stage/service.go") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			_, arguments, is := strings.Cut(line, "Stasis(")
			if !is || !strings.Contains(arguments, "EXTEN") {
				continue
			}
			seen++
			if !strings.Contains(arguments, `,${FILTER(0-9a-zA-Z+*#@_.\-,${EXTEN})}`) {
				t.Errorf("%s:%d hands what was dialled on unfiltered: %s", file, i+1, line)
			}
		}
	}
	if seen < 6 {
		t.Errorf("%d lines with Stasis() were found", seen)
	}
}
