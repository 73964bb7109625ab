package ari

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/routing"
)

// TestAnsweredUnheard: a dialled channel whose answer was sent into a dead socket is found in the application, and its media
// channel too; one in our bridge is ours whatever it runs.
func TestAnsweredUnheard(t *testing.T) {
	f := newFake(t)
	b := newBench(t, f, fakeOptions(f))
	b.link.timing.sweep = 20 * time.Millisecond
	lists := func(app string, ids ...string) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.channels = nil
		for _, id := range ids {
			f.channels = append(f.channels, channelJSON(id, app, "tgtrunk"))
		}
	}
	var id atomic.Value // of the leg
	id.Store("none")
	f.on("GET /bridges", func(w http.ResponseWriter, _ *http.Request) {
		leg := id.Load().(string)
		reply(w, 200, `[{"id":"`+leg+`-bridge","channels":["`+leg+`-out","`+leg+`-media"]}]`)
	})
	f.on("POST /channels", func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, `{}`) })
	f.on("POST /channels/externalMedia", func(w http.ResponseWriter, _ *http.Request) {
		lists("Stasis", id.Load().(string)+"-out", id.Load().(string)+"-media")
		reply(w, 200, `{"id":"x","channelvars":{"UNICASTRTP_LOCAL_ADDRESS":"127.0.0.1","UNICASTRTP_LOCAL_PORT":"40000"}}`)
	})
	b.run(t)
	eventually(t, "connected", b.link.Connected)
	out := b.link.ids.instance + "1-out"
	lists("AppDial2", out)
	leg := b.link.Dial(t.Context(), routing.Target{Endpoint: "PJSIP/alice"})
	id.Store(leg.ID())
	if leg.ID()+"-out" != out {
		t.Fatalf("the leg is %s", leg.ID())
	}
	looks := len(b.asked("GET /bridges"))
	b.waitAsked(t, "GET /bridges", looks+4)
	if n := len(b.asked("POST /bridges")); n != 0 {
		t.Fatal("it counts as answered while it is dialled")
	}
	lists("Stasis", out)
	for _, want := range []string{"Answered", "Media"} {
		select {
		case e := <-leg.Events():
			if got := kindOf(e); got != want {
				t.Fatalf("event %#v, want %s", e, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("no %s", want)
		}
	}
	lists("Wait", out, leg.ID()+"-media")
	looks = len(b.asked("GET /bridges"))
	b.waitAsked(t, "GET /bridges", looks+4)
	select {
	case e := <-leg.Events():
		t.Errorf("event %#v of a channel that is in our bridge", e)
	default:
	}
	leg.Hangup(bridge.CauseOf(bridge.Normal))
	ended(t, leg, bridge.Normal)
}
