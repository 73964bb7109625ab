package telegram_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/telegram"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/phone"
)

// TestNoServer: nobody answers at the server's address; that is waited for, and given up at once.
func TestNoServer(t *testing.T) {
	w, opts := loginOnce(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	opts.Server.Addr = l.Addr().String()
	for _, name := range []string{"silent", "closed"} {
		if name == "closed" {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
		o := w.start(newAccount(t, opts))
		wantEnd(t, o.dial(byName("alice_a")), bridge.AccountDown)
		began := time.Now()
		o.stop()
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s: the account ended after %v", name, took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		if err := newAccount(t, opts).Login(ctx, &person{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: login: %v", name, err)
		}
		cancel()
	}
}

// TestVisitGivenUp: who gives up waiting for the account's devices or privacy is told so, and not that there are none.
func TestVisitGivenUp(t *testing.T) {
	_, opts := loginOnce(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.(*net.TCPListener).SetDeadline(time.Now().Add(soon)); err != nil {
		t.Fatal(err)
	}
	opts.Server.Addr = l.Addr().String()
	for name, visit := range map[string]func(context.Context, *telegram.Account) error{
		"devices":    func(ctx context.Context, a *telegram.Account) error { _, err := a.Devices(ctx); return err },
		"stop calls": func(ctx context.Context, a *telegram.Account) error { _, _, err := a.StopCalls(ctx); return err },
		"privacy":    func(ctx context.Context, a *telegram.Account) error { _, err := a.ApplyPrivacy(ctx); return err },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), soon)
		var answering sync.WaitGroup
		answering.Go(func() {
			if c, err := l.Accept(); err == nil {
				cancel() // the visitor has begun, and nobody answers
				_ = c.Close()
			}
		})
		if err := visit(ctx, newAccount(t, opts)); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
		answering.Wait()
		cancel()
	}
}

// TestLostWhileItComesUp: the connection is lost while the account asks who it is, and its question has been heard. The
// account is down, and says so, until the next connection.
func TestLostWhileItComesUp(t *testing.T) {
	said := new(lines)
	w, opts := loginOnce(t)
	opts.Log = slog.New(slog.NewTextHandler(said, nil))
	for range 2 { // the client asks by itself, too
		defer w.control.HoldAnswer(trunk, "users.getUsers")()
	}
	o := w.start(newAccount(t, opts))
	eventually(t, func() error {
		if n := w.control.Queries(trunk, "users.getUsers"); n < 2 {
			return fmt.Errorf("%d questions", n)
		}
		return nil
	})
	w.control.DropConnections(trunk)
	eventually(t, func() error { return said.has("account is down, trying again") })
	if err := o.Health(); err == nil {
		t.Error("an account that is down seems to be up")
	}
	if said.has("error=<nil>") == nil {
		t.Error("the log does not say why it is down")
	}
	o.waitUp()
}

// TestConnectionLost: a call lives on while the connection to Telegram is made anew, and its end arrives after that.
func TestConnectionLost(t *testing.T) {
	w, o := open(t)
	p := w.phone(alice, phone.Behaviour{Voice: voice(t, 1000), After: 300 * time.Millisecond})
	leg := o.dial(byName("alice_a"))
	next[bridge.Reached](t, leg)
	next[bridge.Ringing](t, leg)
	next[bridge.Answered](t, leg)
	flow := next[bridge.Media](t, leg).Flow
	heard := newEar(t)
	flow.Attach(heard)
	for range 3 {
		if n := w.control.DropConnections(trunk); n == 0 {
			t.Fatal("there was no connection")
		}
		heard.hears(t, 1000)
		eventually(t, func() error {
			if w.control.Online(trunk) == 0 {
				return errors.New("not connected")
			}
			return nil
		})
	}
	o.waitUp()
	// The end comes while nobody is connected: it is found in the difference.
	w.control.DropUpdates(trunk, true)
	incoming(t, p, 0).Hangup()
	w.noCalls()
	select {
	case e := <-leg.Events():
		t.Fatalf("event %T", e)
	case <-time.After(200 * time.Millisecond):
	}
	w.control.DropUpdates(trunk, false)
	w.control.DropConnections(trunk)
	wantEnd(t, leg, bridge.Normal)
}

// TestGap: a call that came while updates were lost is offered once they are found.
func TestGap(t *testing.T) {
	w, o := open(t)
	p := w.phone(alice, phone.Behaviour{})
	w.control.DropUpdates(trunk, true)
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	call, err := p.CallUsername(ctx, "office", phone.Behaviour{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.control.SendMessage(alice, trunk, "I am calling you"); err != nil {
		t.Fatal(err)
	}
	w.control.DropUpdates(trunk, false)
	if err := w.control.SendMessage(alice, trunk, "Hello?"); err != nil { // leaves a gap before it
		t.Fatal(err)
	}
	offer := o.offer()
	w.control.RedeliverLast(trunk)
	offer.Leg.Answer()
	next[bridge.Media](t, offer.Leg)
	if len(o.offers) != 0 {
		t.Error("the call was offered twice")
	}
	call.Hangup()
	wantEnd(t, offer.Leg, bridge.Normal)
}
