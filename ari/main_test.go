package ari_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tgtrunk/tgtrunk/ari"
	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/lab"
)

// dialplan is what the tests need besides the lab's own extensions. Calls to context in enter the application; what the
// application says of their end is kept in a global variable of the dialled number.
const dialplan = `
[in]
include => lab
exten => _X.,1,Stasis(tgtrunk,${EXTEN},second)
 same => n,Set(GLOBAL(END_${EXTEN})=${TGTRUNK_STATUS}/${TGTRUNK_REASON}/${TGTRUNK_CAUSE}/${TGTRUNK_RETRY_AFTER}/${STASISSTATUS})
 same => n,Hangup(${TGTRUNK_CAUSE})
exten => h,1,Set(GLOBAL(H_${TGTRUNK_LEG})=${TGTRUNK_STATUS}/${TGTRUNK_REASON})
[far]
exten => _X.,1,Stasis(far,${EXTEN})
 same => n,Hangup(${TGTRUNK_CAUSE})
[bare]
exten => _X.,1,Stasis(tgtrunk)
[answered]
exten => _X.,1,Answer()
 same => n,Stasis(tgtrunk,${EXTEN})
 same => n,Set(GLOBAL(END_${EXTEN})=${TGTRUNK_STATUS})
[ivr]
exten => _X.,1,Answer()
 same => n,Wait(0.1)
 same => n,Dial(PJSIP/alice,30,b(agent^s^1))
[agent]
exten => s,1,Set(CALLERID(all)=Anna <201>)
 same => n,Return()
[facts]
exten => _X.,1,Set(GLOBAL(FACTS)=${CALLERID(num)}/${CALLERID(name)}/${TGTRUNK_USER_ID}/${TGTRUNK_NAME}/${COLOUR}/${TGTRUNK_LEG})
 same => n,Answer()
 same => n,Wait(600)
[readpin]
exten => 1,1,Answer()
 same => n,Read(PIN,,4,,1,5)
 same => n,Set(GLOBAL(PIN_READ)=${PIN})
 same => n,Hangup(16)
[desk]
exten => _X.,1,Dial(PJSIP/alice,30)
[record]
exten => _X.,1,Set(CDR(userfield)=${COLOUR})
 same => n,Set(GLOBAL(RECORD)=${CHANNEL(language)}/${CDR(userfield)})
 same => n,Answer()
 same => n,Wait(600)
[slow]
exten => _X.,1,Ringing()
 same => n,Wait(0.5)
 same => n,Answer()
 same => n,Echo()
`

// shared is the Asterisk that most tests use; those that break one start their own.
var shared = sync.OnceValues(func() (*lab.Asterisk, error) { return startAsterisk(&sharedDir) })

var sharedDir string // set once by shared, removed by TestMain

func startAsterisk(dir *string, phones ...lab.SIPEndpoint) (*lab.Asterisk, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute) // the first run installs it
	defer cancel()
	var err error
	if *dir, err = os.MkdirTemp("", "ari"); err != nil {
		return nil, err
	}
	return lab.StartAsterisk(ctx, lab.AsteriskOptions{Dir: filepath.Join(*dir, "a"), Dialplan: dialplan, Endpoints: phones,
		ChannelVars: []string{"COLOUR"}})
}

func TestMain(m *testing.M) {
	code := m.Run()
	if sharedDir != "" {
		if a, err := shared(); err == nil {
			a.Stop()
		}
		os.RemoveAll(sharedDir)
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func sharedAsterisk(t *testing.T) *lab.Asterisk {
	t.Helper()
	a, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// ownAsterisk starts one for a test that stops or kills it.
func ownAsterisk(t *testing.T, phones ...lab.SIPEndpoint) *lab.Asterisk {
	t.Helper()
	var dir string
	a, err := startAsterisk(&dir, phones...)
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Stop)
	return a
}

// rig is a link that runs towards an Asterisk.
type rig struct {
	t      *testing.T
	a      *lab.Asterisk
	link   *ari.Link
	offers chan bridge.Offer
	stop   func() // ends Run and waits for it
}

func options(a *lab.Asterisk) ari.Options {
	return ari.Options{Name: "pbx", URL: a.ARIURL(), Username: a.ARIUser(), Password: a.ARIPassword()}
}

// newRig runs a link. When the test ends it ends the link and counts what is left in Asterisk.
func newRig(t *testing.T, a *lab.Asterisk) *rig { return newRigWith(t, a, options(a)) }

func newRigWith(t *testing.T, a *lab.Asterisk, o ari.Options) *rig {
	t.Helper()
	r := startRig(t, a, o)
	t.Cleanup(func() {
		r.stop()
		r.nothingLeft()
		if t.Failed() {
			r.dumpLog()
		}
	})
	return r
}

func startRig(t *testing.T, a *lab.Asterisk, o ari.Options) *rig {
	t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	link, err := ari.New(o)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, a: a, link: link, offers: make(chan bridge.Offer, 100)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- link.Run(ctx, func(o bridge.Offer) { r.offers <- o }) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("run: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("run does not end")
		}
	})
	t.Cleanup(r.stop)
	r.until("connected", link.Connected)
	return r
}

// until waits for a condition of Asterisk or the link that no event announces.
func (r *rig) until(what string, holds func() bool) {
	r.t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			r.t.Fatalf("waited in vain: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (r *rig) cli(command string) string {
	r.t.Helper()
	out, err := r.a.CLI(context.Background(), command)
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

// global waits until the dialplan has set a global variable, and returns it.
func (r *rig) global(name string) (value string) {
	r.t.Helper()
	r.until("global variable "+name, func() bool {
		for line := range strings.Lines(r.cli("dialplan show globals")) {
			if v, ok := strings.CutPrefix(strings.TrimSpace(line), name+"="); ok {
				value = v
				return true
			}
		}
		return false
	})
	return value
}

func (r *rig) offer() bridge.Offer {
	r.t.Helper()
	select {
	case o := <-r.offers:
		return o
	case <-time.After(10 * time.Second):
		r.t.Fatal("no call was offered")
	}
	panic("unreachable")
}

// nothingLeft fails the test when channels or bridges remain.
func (r *rig) nothingLeft() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := r.a.WaitChannels(ctx, 0); err != nil {
		r.t.Errorf("%v\n%s\n%s", err, r.cli("core show channels concise"), r.cli("bridge show all"))
	}
	r.noBridges()
}

func (r *rig) noBridges() {
	r.t.Helper()
	r.until("no bridges", func() bool { return !strings.Contains(r.cli("bridge show all"), "tgtrunk-") })
}

func (r *rig) dumpLog() {
	var text strings.Builder
	if r.a.WriteLogTail(&text, 4000) == nil {
		r.t.Log(text.String())
	}
}

// next returns the next event of a leg, which must be of type E.
func next[E bridge.Event](t *testing.T, leg bridge.Leg) E {
	t.Helper()
	select {
	case e, open := <-leg.Events():
		if !open {
			t.Fatalf("events of %s are over, want %T", leg.ID(), *new(E))
		}
		if want, ok := e.(E); ok {
			return want
		}
		if _, name := e.(bridge.Identified); name {
			return next[E](t, leg) // of no interest to the test
		}
		t.Fatalf("event %#v, want %T", e, *new(E))
	case <-time.After(15 * time.Second):
		t.Fatalf("no event, want %T", *new(E))
	}
	panic("unreachable")
}

// ended waits for the last event of a leg, skipping others, and checks its reason.
func ended(t *testing.T, leg bridge.Leg, want bridge.Reason) bridge.Ended {
	t.Helper()
	for {
		select {
		case e, open := <-leg.Events():
			if !open {
				t.Fatal("events are over without Ended")
			}
			end, ok := e.(bridge.Ended)
			if !ok {
				continue
			}
			if end.Cause.Reason != want {
				t.Errorf("ended with %v (%v), want %v", end.Cause, end.Err, want)
			}
			if _, open := <-leg.Events(); open {
				t.Error("something comes after Ended")
			}
			return end
		case <-time.After(40 * time.Second):
			t.Fatal("leg does not end")
		}
	}
}
