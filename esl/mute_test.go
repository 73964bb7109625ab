package esl

import (
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/bridge/trunktest"
)

// fakeConn is a connection of the fake's event socket.
type fakeConn struct {
	net.Conn
	silent atomic.Bool // what is written is lost
}

func (c *fakeConn) Write(p []byte) (int, error) {
	if c.silent.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// mute lets the event sockets that are open say nothing any more, and do nothing: TCP keeps them, as where a firewall has
// forgotten them or FreeSWITCH's thread hangs. New ones are as good as ever.
func (f *fakeFS) mute() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		c.(*fakeConn).silent.Store(true)
	}
}

// TestMuteSocket: an event socket that says nothing any more, though nothing has closed it, is given up within one beat and
// the time an answer may take. Calls go on over the next one, and what happened meanwhile is made up for.
func TestMuteSocket(t *testing.T) {
	const answer = 500 * time.Millisecond
	w, offers := startWorldWith(t, func(o *Options) { o.RequestTimeout = answer })
	leg, far := answeredCall(t, w, offers)
	gone, late := answeredCall(t, w, offers)
	target, called, err := w.Target(trunktest.Answers)
	if err != nil {
		t.Fatal(err)
	}
	dialled := w.link.Dial(t.Context(), target)
	nextEvent[bridge.Media](t, dialled)
	before, err := w.link.current()
	if err != nil {
		t.Fatal(err)
	}

	w.mute()
	began := time.Now()
	w.caller("meanwhile") // nobody hears of these two
	if err := late.Hangup(); err != nil {
		t.Fatal(err)
	}
	until(t, "the socket is given up", func() bool { c, _ := w.link.current(); return c != before })
	if took, limit := time.Since(began), w.link.timing.beat+answer; took > limit+2*time.Second {
		t.Errorf("the socket was given up after %v, not %v", took, limit)
	}
	if err := before.reason(); !errors.Is(err, ErrNotConnected) {
		t.Error(err)
	}
	until(t, "connected again", w.link.Connected)

	w.mu.Lock()
	for digit, c := range map[string]*fakeChannel{"4": far.channel, "7": called.(*fakeParty).channel} {
		w.event("DTMF", c, "DTMF-Digit", digit)
	}
	w.mu.Unlock()
	for digit, leg := range map[byte]bridge.Leg{'4': leg, '7': dialled} {
		if d := nextEvent[bridge.Digit](t, leg); d.Digit != digit {
			t.Errorf("digit %c, want %c", d.Digit, digit)
		}
	}
	nextEvent[bridge.Ended](t, gone)
	nextOffer(t, offers).Leg.Hangup(bridge.CauseOf(bridge.Busy))
	until(t, "the caller of meanwhile is told", func() bool { return !w.has("meanwhile") })
	for leg, party := range map[bridge.Leg]string{leg: far.channel.id, dialled: called.(*fakeParty).channel.id} {
		leg.Hangup(bridge.CauseOf(bridge.Normal))
		if end := nextEvent[bridge.Ended](t, leg); end.Cause.Reason != bridge.Normal || end.Err != nil {
			t.Errorf("ended with %v, %v", end.Cause, end.Err)
		}
		until(t, "the party is hung up", func() bool { return !w.has(party) })
	}
}
