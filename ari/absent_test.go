package ari_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/lab"
)

// TestPhoneWithoutService: with the dialplan that we publish, a phone that calls while no service is there sees 503, before
// one has ever connected and after it has gone; one that is there still says why a call fails.
func TestPhoneWithoutService(t *testing.T) {
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
	a, err := lab.StartAsterisk(t.Context(), lab.AsteriskOptions{Dir: filepath.Join(dir, "a"), Dialplan: publishedDialplan(t),
		Endpoints: []lab.SIPEndpoint{{Name: "alice", ContactPort: phone.Port()}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Stop)
	phone.SetServer(a.SIPAddr())
	sees := func(when string, c *lab.PhoneCall, status int) {
		t.Helper()
		if o, err := c.WaitOver(soon(t)); err != nil || o.Status != status {
			t.Errorf("%s the phone sees %d (%v), want %d", when, o.Status, err, status)
		}
	}
	sees("before a service has connected", call(t, phone, "*5000201"), 503)

	r := newRig(t, a)
	c := call(t, phone, "*5000201")
	leg := r.offer().Leg
	leg.Hangup(bridge.CauseOf(bridge.Busy))
	ended(t, leg, bridge.Busy)
	sees("of somebody busy", c, 486)

	r.stop()
	sees("after the service has gone", call(t, phone, "*5000201"), 503)
}
