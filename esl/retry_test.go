package esl

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tgtrunk/tgtrunk/bridge"
)

// TestRetryAfterIsOfThisAttempt: a dialplan that tries again on the same channel does not read the seconds, nor answer
// with the header, of the attempt before.
func TestRetryAfterIsOfThisAttempt(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	f := newFakeFS(t)
	s := f.serveWith(t, nil)
	soonTrue(t, "connected", s.Connected)
	f.caller("anna")
	o := s.offered(t)
	o.Leg.Hangup(bridge.CauseOf(bridge.Flood).WithRetryAfter(30 * time.Second))
	endOf(t, o.Leg)
	for _, name := range []string{"TGTRUNK_RETRY_AFTER", "sip_rh_Retry-After"} {
		if got := f.variable("anna", name); got != "30" {
			t.Errorf("%s is %q after the first attempt", name, got)
		}
	}
	f.set("anna", varApp, "tgtrunk") // the dialplan, at "again"
	f.mu.Lock()
	f.park(f.channels["anna"])
	f.mu.Unlock()
	o = s.offered(t)
	o.Leg.Hangup(bridge.CauseOf(bridge.Busy))
	endOf(t, o.Leg)
	if got := f.variable("anna", "TGTRUNK_REASON"); got != "BUSY" {
		t.Errorf("reason %q after the second attempt", got)
	}
	for _, name := range []string{"TGTRUNK_RETRY_AFTER", "sip_rh_Retry-After"} {
		if got := f.variable("anna", name); got != "" {
			t.Errorf("%s is %q after the second attempt", name, got)
		}
	}
}

func (f *fakeFS) set(id, name, value string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.channels[id].vars[name] = value
}

func (f *fakeFS) variable(id, name string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.channels[id]; c != nil {
		return c.vars[name]
	}
	return "no channel"
}
