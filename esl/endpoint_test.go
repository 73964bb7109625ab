package esl_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/lab"
	"github.com/tgtrunk/tgtrunk/routing"
)

// reconfigure changes the configuration of a FreeSWITCH that runs: pairs of what is there, and what is to be.
func reconfigure(t *testing.T, fs *freeswitch, pairs ...string) {
	t.Helper()
	file := filepath.Join(fs.dir, "conf", "freeswitch.xml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(string(text), pairs[i]) {
			t.Fatalf("the configuration has no %s", pairs[i])
		}
	}
	if err := os.WriteFile(file, []byte(strings.NewReplacer(pairs...).Replace(string(text))), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"load mod_spandsp", "reloadxml", "sofia profile internal rescan"} { // G.722 is mod_spandsp's
		if out, err := fs.api(command); err != nil || strings.Contains(out, "-ERR") {
			t.Fatal(command, out, err)
		}
	}
}

// TestEndpoints: every kind of dial string reaches the phone with who calls, rings it no longer than it may, and says why
// it fails.
func TestEndpoints(t *testing.T) {
	fs := ownFreeSWITCH(t, true)
	phone, err := lab.NewPhone(lab.PhoneOptions{Name: "alice", Tone: 600, Answer: lab.AnswerAfter(200 * time.Millisecond)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(phone.Close)
	reconfigure(t, fs, "<gateways/>", `<gateways><gateway name="line"><param name="proxy" value="`+phone.Addr()+`"/><param name="register" value="false"/>`+
		`<param name="username" value="u"/><param name="password" value="p"/><param name="caller-id-in-from" value="true"/></gateway></gateways>`,
		"<users>", `<users><user id="alice"><params><param name="dial-string" value="sofia/internal/alice@`+phone.Addr()+`"/></params></user>`)
	r := newRig(t, fs)
	eventually(t, "gateway", func() bool { return !strings.Contains(r.api("sofia status gateway line"), "Invalid") })
	for _, endpoint := range []string{
		"user/alice@lab.local", "sofia/gateway/line/100", "sofia/internal/alice@" + phone.Addr(),
	} {
		t.Run(endpoint, func(t *testing.T) {
			target := routing.Target{Endpoint: endpoint, Timeout: 5 * time.Second, Caller: routing.Party{Number: "+4930123", Name: "Zoë “Zed” O’Neill 李 🎉"}}
			leg := r.link.Dial(t.Context(), target)
			next[bridge.Ringing](t, leg)
			c, err := phone.NextCall(soon(t))
			if err != nil {
				t.Fatal(err)
			}
			if c.Number() != target.Caller.Number || c.Name() != target.Caller.Name {
				t.Errorf("phone shows %q %q", c.Number(), c.Name())
			}
			next[bridge.Answered](t, leg)
			s := speak(t, next[bridge.Media](t, leg).Flow, 900)
			s.hears(t, 600)
			phoneHears(t, c, 900)
			c.Hangup()
			ended(t, leg, bridge.Normal)
			phone.SetAnswer(lab.Refuse(486, 0))
			ended(t, r.link.Dial(t.Context(), target), bridge.Busy)
			phone.SetAnswer(lab.RingForever())
			target.Timeout = time.Second
			ended(t, r.link.Dial(t.Context(), target), bridge.NoAnswer)
			for range 2 { // the one that was refused, and the one that was not answered
				if _, err := phone.NextCall(soon(t)); err != nil {
					t.Fatal(err)
				}
			}
			phone.SetAnswer(lab.AnswerAfter(200 * time.Millisecond))
		})
	}
}
