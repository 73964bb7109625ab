package telegram_test

import (
	"errors"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/routing"
	"github.com/tgtrunk/tgtrunk/telegram"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/phone"
)

// questions counts what the account has asked Telegram to find somebody.
func (w *world) questions() (n int) {
	for _, method := range []string{"users.getUsers", "contacts.getContacts", "contacts.resolveUsername", "contacts.resolvePhone", "contacts.importContacts"} {
		n += w.control.Queries(trunk, method)
	}
	return n
}

// TestNoDialogAsksOnce: a user-id that nobody knows is asked for once; as soon as its user writes it can be called, and
// without asking again.
func TestNoDialogAsksOnce(t *testing.T) {
	w, o := open(t)
	w.quick(carol)
	w.listening()
	wantEnd(t, o.dial(byID(carol)), bridge.NoDialog)
	asked := w.questions()
	if asked == 0 {
		t.Fatal("nothing was asked")
	}
	for range 3 {
		wantEnd(t, o.dial(byID(carol)), bridge.NoDialog)
	}
	if n := w.questions(); n != asked {
		t.Errorf("%d questions more were asked", n-asked)
	}
	w.writes(carol, "hello")
	eventually(t, func() error {
		if !o.Knows(byID(carol)) {
			return errors.New("who has written is unknown")
		}
		return nil
	})
	leg := o.dial(byID(carol))
	next[bridge.Reached](t, leg)
	leg.Hangup(bridge.CauseOf(bridge.Cancelled))
	wantEnd(t, leg, bridge.Cancelled)
}

// TestLookupsEnd: that nobody has a name, a number or a dialogue is remembered for as long as the options say.
func TestLookupsEnd(t *testing.T) {
	const short = 3 * time.Second
	w, o := open(t, func(o *telegram.Options) {
		o.Lookups = telegram.Lookups{Found: time.Hour, Missing: short, NoDialog: short}
	})
	for _, c := range []struct {
		number routing.Number
		want   bridge.Reason
	}{
		{byName("nobody_here"), bridge.NotFound}, {byPhone("+99966159999"), bridge.NotFound}, {byID(carol), bridge.NoDialog},
	} {
		wantEnd(t, o.dial(c.number), c.want)
		asked, at := w.questions(), time.Now()
		wantEnd(t, o.dial(c.number), c.want)
		if n := w.questions(); n != asked && time.Since(at) < short {
			t.Errorf("%+v was asked for twice", c.number)
		}
		eventually(t, func() error {
			wantEnd(t, o.dial(c.number), c.want)
			if w.questions() == asked {
				return errors.New("is remembered for too long")
			}
			return nil
		})
		if took := time.Since(at); took < short-time.Second {
			t.Errorf("%+v was asked for again after %v", c.number, took)
		}
	}
}

// TestMissingNameIsMet: a name that nobody had is called as soon as somebody has written who has it now.
func TestMissingNameIsMet(t *testing.T) {
	w, o := open(t)
	w.phone(bob, phone.Behaviour{}, func(o *phone.Options) { o.Control = w.control })
	w.listening()
	wantEnd(t, o.dial(byName("bobby_tables")), bridge.NotFound)
	if err := w.control.Rename(bob, "bobby_tables"); err != nil {
		t.Fatal(err)
	}
	w.writes(bob, "hello")
	eventually(t, func() error {
		if !o.Knows(byName("bobby_tables")) {
			return errors.New("who has written is unknown")
		}
		return nil
	})
	leg := o.dial(byName("bobby_tables"))
	next[bridge.Reached](t, leg)
	leg.Hangup(bridge.CauseOf(bridge.Cancelled))
	wantEnd(t, leg, bridge.Cancelled)
}

// TestGivenUpWhileAnotherAsks: a caller who gives up while another call asks for the contacts does not wait for that.
func TestGivenUpWhileAnotherAsks(t *testing.T) {
	w, o := open(t)
	defer w.control.HoldAnswer(trunk, "contacts.getContacts")()
	first := o.dial(byID(770_001))
	eventually(t, func() error {
		if w.control.Queries(trunk, "contacts.getContacts") == 0 {
			return errors.New("not asked yet")
		}
		return nil
	})
	began := time.Now()
	second := o.dial(byID(770_002))
	for _, leg := range []bridge.Leg{second, first} {
		leg.Hangup(bridge.CauseOf(bridge.Cancelled))
		wantEnd(t, leg, bridge.Cancelled)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("they ended after %v", took)
	}
}
