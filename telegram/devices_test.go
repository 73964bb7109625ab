package telegram_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/store"
	"github.com/tgtrunk/tgtrunk/telegram"
	"github.com/tgtrunk/tgtrunk/telegram/cloud"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/phone"
)

// lines keeps what is logged.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) has(part string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !strings.Contains(l.text.String(), part) {
		return fmt.Errorf("the log lacks %q: %s", part, l.text.String())
	}
	return nil
}

// Another phone of the account rings, too, until its calls are stopped; then the calls are the PBX's.
func TestCallsAreStoppedOnOtherDevices(t *testing.T) {
	var said lines
	w, options := loginOnce(t)
	options.Log = slog.New(slog.NewTextHandler(&said, nil))
	w.phone(trunk, phone.Behaviour{})
	o := w.run(newAccount(t, options))
	eventually(t, func() error { return said.has("calls ring on other devices") })

	devices, changed, err := o.StopCalls(t.Context())
	if err != nil || len(devices) != 2 || len(changed) != 1 || changed[0].Current || changed[0].Rings {
		t.Fatalf("%+v, changed %+v, %v", devices, changed, err)
	}
	if _, changed, err = o.StopCalls(t.Context()); err != nil || len(changed) != 0 {
		t.Errorf("again: changed %+v, %v", changed, err)
	}
	devices, err = o.Devices(t.Context())
	if err != nil || len(devices) != 2 {
		t.Fatalf("%+v, %v", devices, err)
	}
	for _, d := range devices {
		if d.Rings != d.Current || d.Name == "" || d.Country == "" || d.Active.IsZero() {
			t.Errorf("%+v", d)
		}
	}
	// The other phone would have answered at once.
	caller := w.phone(alice, phone.Behaviour{})
	call, err := caller.CallUsername(t.Context(), "office", phone.Behaviour{})
	if err != nil {
		t.Fatal(err)
	}
	defer call.Hangup()
	offer := o.offer()
	offer.Leg.Answer()
	next[bridge.Media](t, offer.Leg)
	offer.Leg.Hangup(bridge.CauseOf(bridge.Normal))
}

// Who took a call from the PBX is said in the leg's report, as far as it is known.
func TestAnsweredElsewhereNamesTheDevices(t *testing.T) {
	var said lines
	w, options := loginOnce(t)
	options.Log = slog.New(slog.NewTextHandler(&said, nil))
	w.phone(trunk, phone.Behaviour{After: 300 * time.Millisecond})
	o := w.run(newAccount(t, options))
	eventually(t, func() error { return said.has("calls ring on other devices") })
	call, err := w.phone(alice, phone.Behaviour{}).CallUsername(t.Context(), "office", phone.Behaviour{})
	if err != nil {
		t.Fatal(err)
	}
	defer call.Hangup()
	leg := o.offer().Leg
	for e := range leg.Events() {
		end, ok := e.(bridge.Ended)
		if !ok {
			continue
		}
		r := end.Report
		if end.Cause.Reason != bridge.Elsewhere || !strings.Contains(r.Note, "--stop-calls") || r.CallID == "" || r.Kind != bridge.Telegram {
			t.Errorf("%+v", end)
		}
		if r.Party.UserID != alice || r.Said == "" {
			t.Errorf("%+v", r)
		}
	}
}

// A device that logs in while the account runs is seen at once: the log names it, the figures count it, and
// `account devices` lists it. Nobody waits for the next hourly look.
func TestLoginOfAnotherDevice(t *testing.T) {
	var said lines
	w, options := loginOnce(t)
	options.Log = slog.New(slog.NewTextHandler(&said, nil))
	a := newAccount(t, options)
	if n := a.Ringing(); n != -1 {
		t.Errorf("%d devices ring before anybody has looked", n)
	}
	o := w.run(a)
	w.listening()
	ringing := func(want int) {
		t.Helper()
		eventually(t, func() error {
			if n := o.Ringing(); n != want {
				return fmt.Errorf("%d devices ring, want %d", n, want)
			}
			return nil
		})
	}
	ringing(0)
	if said.has("calls ring on other devices") == nil || said.has("another device has logged in") == nil {
		t.Error("the log knows of another device")
	}
	w.phone(trunk, phone.Behaviour{})
	ringing(1)
	for _, part := range []string{"another device has logged in to the account", "calls ring on other devices"} {
		if err := said.has(part); err != nil {
			eventually(t, func() error { return said.has(part) })
		}
	}
	devices, err := o.Devices(t.Context())
	if err != nil || len(devices) != 2 || devices[0].Current == devices[1].Current {
		t.Errorf("%+v, %v", devices, err)
	}
	if _, changed, err := o.StopCalls(t.Context()); err != nil || len(changed) != 1 {
		t.Fatalf("changed %+v, %v", changed, err)
	}
	ringing(0)
}

// What the command does while no service runs; and that it may not while one does, in another process.
func TestDevicesOfAnAccountThatDoesNotRun(t *testing.T) {
	_, o := loginOnce(t)
	a := newAccount(t, o)
	devices, err := a.Devices(t.Context())
	if err != nil || len(devices) != 1 || !devices[0].Current || !devices[0].Rings {
		t.Fatalf("%+v, %v", devices, err)
	}
	if _, err := o.Store.Acquire(t.Context(), "telegram/office/lease", "another process", time.Minute); err != nil {
		t.Fatal(err)
	}
	var held *store.HeldError
	if _, err := a.Devices(t.Context()); !errors.As(err, &held) || held.Owner != "another process" {
		t.Errorf("%v", err)
	}
	if _, err := a.ApplyPrivacy(t.Context()); !errors.As(err, &held) {
		t.Errorf("%v", err)
	}
}

func TestPrivacyPreset(t *testing.T) {
	w, o := loginOnce(t)
	w.control.SetPrivacy(trunk, cloud.Privacy{Calls: cloud.Contacts})
	o.Calls.P2P = telegram.P2PNever
	a := newAccount(t, o)
	done, err := a.ApplyPrivacy(t.Context())
	if err != nil || len(done) != 3 {
		t.Fatalf("%+v, %v", done, err)
	}
	for _, d := range done {
		if !d.Changed {
			t.Errorf("%q was so already", d.Name)
		}
	}
	if done, err = a.ApplyPrivacy(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, d := range done {
		if d.Changed {
			t.Errorf("%q was changed twice", d.Name)
		}
	}
}

// A login of less than a day is refused, which is remembered over a restart and tried again in time.
func TestPrivacyOfAFreshLogin(t *testing.T) {
	w, o := loginOnce(t, func(o *cloud.Options) { o.Fresh = 1000 * time.Hour })
	w.control.SetPrivacy(trunk, cloud.Privacy{Calls: cloud.Nobody})
	var said lines
	o.Privacy, o.Log = telegram.PrivacyGateway, slog.New(slog.NewTextHandler(&said, nil))
	a := newAccount(t, o)
	if _, err := a.ApplyPrivacy(t.Context()); !errors.Is(err, telegram.ErrTooFresh) {
		t.Errorf("%v", err)
	}
	running := w.run(a)
	eventually(t, func() error { return said.has("privacy settings are not what a gateway needs") })
	key := fmt.Sprintf("telegram/office/%d/privacy", trunk)
	eventually(t, func() error { _, err := o.Store.Get(t.Context(), key); return err })
	running.stop()
}
