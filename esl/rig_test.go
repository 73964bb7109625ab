package esl_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/esl"
)

// rig is a link that runs towards a FreeSWITCH.
type rig struct {
	t      *testing.T
	fs     *freeswitch
	link   *esl.Link
	offers chan bridge.Offer
	stop   func() // ends Run and waits for it
}

// newRig runs a link. When the test ends it ends the link and counts what is left in FreeSWITCH.
func newRig(t *testing.T, fs *freeswitch) *rig { return newRigWith(t, fs, fs.options()) }

func newRigWith(t *testing.T, fs *freeswitch, o esl.Options) *rig {
	t.Helper()
	r := startRig(t, fs, o)
	t.Cleanup(func() {
		r.stop()
		r.nothingLeft()
	})
	return r
}

func startRig(t *testing.T, fs *freeswitch, o esl.Options) *rig {
	t.Helper()
	r := runRig(t, fs, o)
	eventually(t, "connected", r.link.Connected)
	return r
}

// standBy is newRigWith for a link that another process does not let in.
func standBy(t *testing.T, fs *freeswitch, o esl.Options) *rig {
	t.Helper()
	r := runRig(t, fs, o)
	t.Cleanup(func() {
		r.stop()
		r.nothingLeft()
	})
	return r
}

func runRig(t *testing.T, fs *freeswitch, o esl.Options) *rig {
	t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	link, err := esl.New(o)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, fs: fs, link: link, offers: make(chan bridge.Offer, 100)}
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
	return r
}

func (r *rig) api(command string) string {
	r.t.Helper()
	out, err := r.fs.api(command)
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

func (r *rig) fsChannels() string { return r.api("show channels") }

// noted waits until the dialplan has noted something under a name, and returns it.
func (r *rig) noted(name string) (value string) {
	r.t.Helper()
	eventually(r.t, "note "+name, func() bool {
		value = r.api("hash select/end/" + name)
		return value != "" && !strings.HasPrefix(value, "-")
	})
	r.api("hash delete/end/" + name)
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

// nothingLeft fails the test when channels remain.
func (r *rig) nothingLeft() {
	r.t.Helper()
	left := ""
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if left = r.api("show channels"); strings.HasPrefix(left, "0 total") {
			return
		}
	}
	r.t.Errorf("channels are left:\n%s", left)
}

// next returns the next event of a leg, which must be of type E.
func next[E bridge.Event](t testing.TB, leg bridge.Leg) E {
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
func ended(t testing.TB, leg bridge.Leg, want bridge.Reason) bridge.Ended {
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
