package telegram_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/telegram"
	"github.com/tgtrunk/tgtrunk/telegram/calls"
	"github.com/tgtrunk/tgtrunk/telegram/cloud"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/phone"
	"github.com/tgtrunk/tgtrunk/telegram/voip"
	"github.com/tgtrunk/tgtrunk/telegram/voip/signaling"
)

// wiretap is what a phone's engine is told by the other side, in clear. It reads version 7.0.0, whose packets are one
// message each.
type wiretap struct {
	calls.Engine
	cipher *signaling.Cipher

	mu    sync.Mutex
	heard []string
}

func (w *wiretap) Receive(packet []byte) {
	if _, body, err := w.cipher.Open(packet); err == nil {
		w.mu.Lock()
		w.heard = append(w.heard, string(body))
		w.mu.Unlock()
	}
	w.Engine.Receive(packet)
}

func (w *wiretap) all() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.heard...)
}

// tap makes a phone's engines tell.
func tap(taps chan<- *wiretap) func(*phone.Options) {
	return func(o *phone.Options) {
		o.Engine = func(c voip.Config) (calls.Engine, error) {
			e, err := voip.New(c)
			if err != nil {
				return nil, err
			}
			w := &wiretap{Engine: e, cipher: signaling.NewCipher(c.Key, c.Role, signaling.Signaling)}
			taps <- w
			return w, nil
		}
	}
}

const (
	ours   = "127.0.0.2" // where the account's media sockets are
	relays = "127.0.0.3" // where TURN server and reflector are
)

// TestP2P: with p2p never, nothing that the account says carries an address of ours, and the other side's engine meets
// relays only, whatever Telegram allows. With p2p auto the same account does tell its address, where it may.
func TestP2P(t *testing.T) {
	for _, c := range []struct {
		name     string
		mode     telegram.P2PMode
		all      bool // telegram allows it, whatever we say
		version  string
		incoming bool
		relay    cloud.Relay
		allowed  bool // p2p_allowed that comes of it
		relayed  bool // what the other side meets
	}{
		{name: "never, allowed all the same", mode: telegram.P2PNever, all: true, version: "7.0.0", relay: cloud.Relay{TURN: true, Reflector: true}, allowed: true, relayed: true},
		{name: "never, called", mode: telegram.P2PNever, all: true, version: "7.0.0", incoming: true, relay: cloud.Relay{TURN: true}, allowed: true, relayed: true},
		{name: "never, a reflector only", mode: telegram.P2PNever, all: true, version: "7.0.0", relay: cloud.Relay{Reflector: true}, allowed: true, relayed: true},
		{name: "never, telegram listens", mode: telegram.P2PNever, version: "7.0.0", incoming: true, relay: cloud.Relay{TURN: true, Reflector: true}, relayed: true},
		{name: "never, newest version", mode: telegram.P2PNever, all: true, version: "13.0.0", relay: cloud.Relay{TURN: true, Reflector: true}, allowed: true, relayed: true},
		{name: "auto", mode: telegram.P2PAuto, version: "7.0.0", relay: cloud.Relay{TURN: true, Reflector: true}, allowed: true},
		{name: "auto, called", version: "7.0.0", incoming: true, relay: cloud.Relay{TURN: true}, allowed: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.relay.Listen, c.relay.ReflectorListen = relays+":0", relays+":0"
			sockets, err := voip.ListenNet(voip.NetOptions{Listen: ours + ":0", Loopback: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(sockets.Close)
			w, o := openIn(t, func(o *cloud.Options) { o.AllP2P, o.Relay = c.all, c.relay }, func(o *telegram.Options) {
				o.Calls.P2P, o.Net = c.mode, sockets
			})
			taps := make(chan *wiretap, 1)
			p := w.phone(alice, phone.Behaviour{Voice: voice(t, 1000)}, tap(taps), func(o *phone.Options) { o.Versions, o.Control = []string{c.version}, w.control })
			call, flow := w.converse(o, p, c.incoming)
			heard := newEar(t)
			flow.Attach(heard)
			hum(t, flow, 440)
			heard.hears(t, 1000)
			phoneHears(t, call, 440)

			theirs := <-taps
			if c.version == "7.0.0" {
				if err := tells(theirs.all(), !c.relayed); err != nil {
					t.Error(err)
				}
			}
			if got := theirs.Stats().Remote; (got == "relay") != c.relayed {
				t.Errorf("the phone meets a candidate of type %q", got)
			}
			if got := w.lastCall(); got.P2P != c.allowed || got.Version != c.version {
				t.Errorf("telegram saw %+v", got)
			}
			call.Hangup()
			w.noCalls()
		})
	}
}

// converse brings up a call between the account and a phone that talks.
func (w *world) converse(o *office, p *phone.Phone, called bool) (*phone.Call, media.Flow) {
	w.t.Helper()
	if called {
		call := w.calls(p, phone.Behaviour{Voice: voice(w.t, 1000)})
		leg := o.offer().Leg
		leg.Answer()
		return call, up(w.t, leg)
	}
	n := p.Received()
	leg := o.dial(byName("alice_a"))
	flow := up(w.t, leg)
	return incoming(w.t, p, n), flow
}

// tells checks what a side has said: at least one candidate, and addresses of ours or not.
func tells(messages []string, wantOurs bool) error {
	candidates, told := 0, false
	for _, m := range messages {
		told = told || strings.Contains(m, ours)
		var message struct {
			Candidates []struct {
				SDP string `json:"sdpString"`
			} `json:"candidates"`
		}
		if err := json.Unmarshal([]byte(m), &message); err != nil {
			return fmt.Errorf("message %q: %w", m, err)
		}
		for _, c := range message.Candidates {
			candidates++
			f := strings.Fields(c.SDP)
			if len(f) < 8 {
				return fmt.Errorf("candidate %q", c.SDP)
			}
			if wantOurs {
				continue
			}
			if f[7] != "relay" {
				return fmt.Errorf("candidate %q is no relay's", c.SDP)
			}
			if ip, err := netip.ParseAddr(f[4]); err == nil && ip.String() != relays {
				return fmt.Errorf("candidate %q tells an address that is no relay's", c.SDP)
			} else if err != nil && !strings.HasSuffix(f[4], ".reflector") {
				return fmt.Errorf("candidate %q", c.SDP)
			}
			if i := strings.Index(c.SDP, "raddr "); i >= 0 && !strings.HasPrefix(c.SDP[i:], "raddr 0.0.0.0 rport 0") {
				return fmt.Errorf("candidate %q tells a related address", c.SDP)
			}
		}
	}
	switch {
	case candidates == 0:
		return fmt.Errorf("no candidate among %q", messages)
	case told != wantOurs:
		return fmt.Errorf("address %s told: %v, in %q", ours, told, messages)
	}
	return nil
}

// TestP2PNeverWithoutRelay: there is no way to talk that does not tell our address, so there is no call.
func TestP2PNeverWithoutRelay(t *testing.T) {
	w, o := openIn(t, func(o *cloud.Options) { o.AllP2P = true; o.Config.ConnectMs = 1500 }, func(o *telegram.Options) { o.Calls.P2P = telegram.P2PNever })
	taps := make(chan *wiretap, 1)
	w.phone(alice, phone.Behaviour{}, tap(taps), func(o *phone.Options) { o.Versions, o.Control = []string{"7.0.0"}, w.control })
	began := time.Now()
	wantEnd(t, o.dial(byName("alice_a")), bridge.MediaFailed)
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("ended after %v", took)
	}
	for _, m := range (<-taps).all() {
		if strings.Contains(m, "typ ") {
			t.Errorf("the account said %q", m)
		}
	}
	w.noCalls()
}
