package esl_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/esl"
)

// TestTwoLinksOneAppOnFreeSWITCH: while one process has a call, another with the same app lets it be and takes no
// caller; when the first ends, the second takes over at once, and the callers who wait.
func TestTwoLinksOneAppOnFreeSWITCH(t *testing.T) {
	fs := sharedFreeSWITCH(t)
	o := fs.options()
	first := startRig(t, fs, o)
	leg, flow := first.dialEcho()
	s := speak(t, flow, 700)
	s.hears(t, 700)

	o.Log = slog.New(slog.NewTextHandler(t.Output(), nil)).With("process", 2)
	link, err := esl.New(o)
	if err != nil {
		t.Fatal(err)
	}
	second := &rig{t: t, fs: fs, link: link, offers: make(chan bridge.Offer, 10)}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = link.Run(ctx, func(o bridge.Offer) { second.offers <- o }) })
	second.stop = func() { cancel(); running.Wait() }
	t.Cleanup(second.stop)

	time.Sleep(12 * time.Second) // a sweep and more; nothing tells that it does nothing
	if link.Connected() {
		t.Error("the second serves the application beside the first")
	}
	s.forget()
	s.hears(t, 700)
	const caller = "bgapi originate {originate_timeout=20,ignore_early_media=true}loopback/5001/in/XML &park()"
	first.api(caller)
	offer := first.offer()
	if n := len(second.offers); n != 0 {
		t.Errorf("the second was offered %d calls of the first's", n)
	}
	offer.Leg.Hangup(bridge.CauseOf(bridge.Busy))
	ended(t, offer.Leg, bridge.Busy)

	first.stop()
	ended(t, leg, bridge.Normal)
	began := time.Now()
	eventually(t, "second takes over", link.Connected)
	t.Logf("taken over after %v", time.Since(began))
	second.api(caller)
	offer = second.offer()
	offer.Leg.Hangup(bridge.CauseOf(bridge.Busy))
	ended(t, offer.Leg, bridge.Busy)
	second.stop()
	if owner := second.api("global_getvar tgtrunk_owner_tgtrunk"); owner != "free" {
		t.Errorf("the application is left to %q", owner)
	}
	second.nothingLeft()
}
