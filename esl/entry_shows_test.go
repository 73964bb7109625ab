package esl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
)

// everyWay runs a test with each way of cutting, and with nothing, or the next frames, joined to the call's data.
func everyWay(t *testing.T, s *scene, joined []int, test func(t *testing.T, s *scene, c *caller)) {
	for _, cut := range cuttings() {
		for _, n := range joined {
			t.Run(fmt.Sprintf("%s, %d joined", cut.name, n), func(t *testing.T) {
				s := &scene{T: t, name: s.name}
				s.world, s.offers = startEntries(t, nil)
				test(t, s, dialEntry(t, s.world, s.name, cut.cut, n))
			})
		}
	}
}

// entryOffer takes the offer of a transcript's caller and checks what it says.
func (s *scene) entryOffer(c *caller) bridge.Offer {
	s.Helper()
	e := rawFrames(s.T, s.name)[0].event
	o := s.offer()
	want := map[string]string{"PBX_CHANNEL": e["Channel-Name"], "PBX_CHANNEL_ID": c.id, "PBX_CONTEXT": "public",
		"PBX_EXTEN": e["Caller-Destination-Number"], "PBX_PROTOCOL_ID": e["variable_sip_call_id"]}
	if o.Caller.Number != e["Caller-Caller-ID-Number"] || o.Caller.Name != e["Caller-Caller-ID-Name"] || o.Caller.Name == "" ||
		o.Dialled != "obasync" || !maps.Equal(o.Variables, want) {
		s.Errorf("offer %+v, want %v", o.Request, want)
	}
	return o
}

// showsEntry: a caller comes over our socket; it rings, is answered, and hangs up. FreeSWITCH lingers, still tells, and
// takes its leave: all of that is one end.
func showsEntry(t *testing.T, s *scene) {
	t.Run("answered", func(t *testing.T) {
		everyWay(t, s, []int{0, 3}, func(t *testing.T, s *scene, c *caller) {
			o := s.entryOffer(c)
			c.play(s.world, saysEvent("CHANNEL_ANSWER"))
			o.Leg.Ring()
			o.Leg.Answer()
			s.expect(o.Leg, "answered", "media")
			c.play(s.world, saysEvent("CHANNEL_HANGUP_COMPLETE"))
			c.play(s.world, saysNotice("linger"))
			c.play(s.world, nil)
			s.world.hangupAll() // with the party's channel goes its bridge
			s.expect(o.Leg, "ended NORMAL: USER_BUSY")
			_ = c.conn.Close()
			c.over()
			for _, verb := range []string{"uuid_ring_ready ", "uuid_answer ", "uuid_bridge "} {
				if got := s.world.commands(verb + c.id); len(got) != 1 {
					t.Errorf("%s%q", verb, got)
				}
			}
			if got := s.world.commands("uuid_park"); len(got) != 0 {
				t.Errorf("a caller of the socket application is parked anew: %q", got)
			}
		})
	})
	t.Run("gives up", func(t *testing.T) {
		everyWay(t, s, []int{0}, func(t *testing.T, s *scene, c *caller) {
			o := s.entryOffer(c)
			o.Leg.Ring()
			c.play(s.world, nil) // to the goodbye, all at once
			s.expect(o.Leg, "ended CANCELLED: USER_BUSY")
			c.over()
			if got := s.world.commands("uuid_kill"); len(got) != 0 {
				t.Errorf("asked %q", got)
			}
		})
	})
	t.Run("the notices come first", func(t *testing.T) {
		s := &scene{T: t, name: s.name}
		s.world, s.offers = startEntries(t, nil)
		c := dialEntry(t, s.world, s.name, cutClosely, 0)
		o := s.entryOffer(c)
		for _, f := range c.frames {
			if strings.HasPrefix(string(f.text), "Content-Type: text/disconnect-notice") {
				c.write(f.text)
			}
		}
		_ = c.conn.Close()
		c.play(s.world, nil)
		s.expect(o.Leg, "ended CANCELLED: USER_BUSY")
	})
}

// showsStaticEntry: without async FreeSWITCH could not bridge the channel: the call is let go at once, and nothing is done
// to it.
func showsStaticEntry(t *testing.T, s *scene) {
	everyWay(t, s, []int{0}, func(t *testing.T, s *scene, c *caller) {
		c.over()
		if len(s.offers) != 0 || len(s.world.commands(c.id)) != 0 {
			t.Errorf("%d offers, asked %q", len(s.offers), s.world.commands(c.id))
		}
	})
}

// showsDroppedEntry: one side drops the connection, and the dialplan goes on with its next action.
func showsDroppedEntry(t *testing.T, s *scene) {
	t.Run("ours, because the call fails", func(t *testing.T) {
		everyWay(t, s, []int{0, 1}, func(t *testing.T, s *scene, c *caller) {
			o := s.entryOffer(c)
			o.Leg.Hangup(bridge.CauseOf(bridge.Busy))
			s.expect(o.Leg, "ended BUSY: ")
			c.over()
			s.world.mu.Lock()
			vars := s.world.channels[c.id].vars
			s.world.mu.Unlock()
			if vars["TGTRUNK_STATUS"] != "BUSY" || vars["TGTRUNK_REASON"] != "BUSY" || vars["TGTRUNK_CAUSE"] != "17" || vars[varHangup] != "USER_BUSY" {
				t.Errorf("the dialplan knows %v", vars)
			}
			for _, verb := range []string{"uuid_kill", "uuid_transfer", "uuid_park", "uuid_answer"} {
				if got := s.world.commands(verb); len(got) != 0 {
					t.Errorf("asked %q", got)
				}
			}
		})
	})
	t.Run("FreeSWITCH's, while it rings", func(t *testing.T) {
		everyWay(t, s, []int{1}, func(t *testing.T, s *scene, c *caller) {
			o := s.entryOffer(c)
			o.Leg.Ring()
			_ = c.conn.Close()
			<-c.ended
			s.expect(o.Leg, "ended CANCELLED: ")
			s.world.mu.Lock()
			lives := s.world.channels[c.id] != nil
			s.world.mu.Unlock()
			for _, verb := range []string{"uuid_kill", "uuid_transfer", "uuid_answer", "uuid_bridge"} {
				if got := s.world.commands(verb); len(got) != 0 || !lives {
					t.Errorf("the dialplan has the caller (%v), but asked %q", lives, got)
				}
			}
		})
	})
	t.Run("and the dialplan tries again", func(t *testing.T) {
		s := &scene{T: t, name: s.name}
		s.world, s.offers = startEntries(t, nil)
		for range 5 {
			c := dialEntry(t, s.world, s.name, cutClosely, 1)
			o := s.entryOffer(c)
			o.Leg.Hangup(bridge.CauseOf(bridge.Busy))
			c.over() // the next connection may come before the leg has told its end
			nextEvent[bridge.Ended](t, o.Leg)
		}
		if got := s.world.commands("uuid_park"); len(got) != 0 {
			t.Errorf("asked %q", got)
		}
	})
}

// showsEntryClosedLater: a call that is up stays so when FreeSWITCH closes the connection, as it does when it bridges.
func showsEntryClosedLater(t *testing.T, s *scene) {
	everyWay(t, s, []int{0, 2}, func(t *testing.T, s *scene, c *caller) {
		o := s.entryOffer(c)
		o.Leg.Answer()
		s.expect(o.Leg, "answered", "media")
		_ = c.conn.Close()
		c.over()
		s.world.mu.Lock()
		s.world.event("DTMF", s.world.channels[c.id], "DTMF-Digit", "5")
		s.world.mu.Unlock()
		s.expect(o.Leg, "digit 5")
		o.Leg.Hangup(bridge.CauseOf(bridge.Normal))
		s.expect(o.Leg, "ended NORMAL: ")
		if got := s.world.commands("uuid_kill " + c.id + " NORMAL_CLEARING"); len(got) != 1 {
			t.Errorf("asked %q", got)
		}
	})
}

// TestEntryRefused: who may not come in, or says nonsense, is let go at once, and nothing is done to a channel.
func TestEntryRefused(t *testing.T) {
	const name = "outbound_obasync"
	secret := func(o *Options) { o.Socket.Password = "sesame" }
	for _, c := range []struct {
		name    string
		change  func(*Options)
		replace []string
	}{
		{"no password", secret, nil},
		{"another password", secret, []string{"variable_socket_host: 127.0.0.1", "variable_tgtrunk_password: open"}},
		{"another address", func(o *Options) { o.Socket.Allow = []string{"192.0.2.0/24"} }, nil},
		{"no uuid", nil, []string{"Unique-ID: ", "Unique-Id: "}},
		{"a uuid that is a command", nil, []string{"Unique-ID: fa0db8ab", "Unique-ID: x%0Aapi%20fsctl%20shutdown"}},
		{"a line that is none", nil, []string{"Caller-Source: mod_sofia", "Caller-Source mod_sofia"}},
		{"a refusal", nil, []string{"Event-Name: CHANNEL_DATA\n", "Content-Type: text/rude-rejection\n\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, offers := startEntries(t, c.change)
			e := dialEntry(t, w, name, cutClosely, 0, c.replace...)
			select {
			case <-e.ended:
			case <-time.After(10 * time.Second):
				t.Fatal("the connection is kept")
			}
			if len(offers) != 0 || len(w.commands(e.id)) != 0 {
				t.Errorf("%d offers, asked %q", len(offers), w.commands(e.id))
			}
		})
	}
	t.Run("the password", func(t *testing.T) {
		w, offers := startEntries(t, secret)
		dialEntry(t, w, name, cutClosely, 0, "variable_socket_host: 127.0.0.1", "variable_tgtrunk_password: sesame")
		o := <-offers
		o.Leg.Hangup(bridge.CauseOf(bridge.Busy))
		nextEvent[bridge.Ended](t, o.Leg)
	})
	t.Run("says nothing", func(t *testing.T) {
		w, _ := startEntries(t, func(o *Options) { o.RequestTimeout = 300 * time.Millisecond })
		conn, err := net.Dial("tcp", w.link.opt.Socket.Listen)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		if text, err := io.ReadAll(conn); err != nil || string(text) != "connect\n\n" {
			t.Errorf("%q, %v", text, err)
		}
	})
	t.Run("while FreeSWITCH is away", func(t *testing.T) {
		w, offers := startEntries(t, nil)
		_ = w.listener.Close()
		w.dropSockets()
		eventuallyTrue(t, "disconnected", func() bool { return !w.link.Connected() })
		dialEntry(t, w, name, cutClosely, 0).over()
		if len(offers) != 0 {
			t.Error("a call is offered")
		}
	})
}

// TestEntryHeldBySocket: the park of the socket application is no second call, and does not make the caller leave it.
func TestEntryHeldBySocket(t *testing.T) {
	w, offers := startEntries(t, nil)
	frames := rawFrames(t, "outbound_obasync")
	for _, f := range frames {
		if f.event["Event-Name"] == "CHANNEL_PARK" {
			f.event["variable_"+varApp] = "tgtrunk"
			w.mu.Lock()
			w.sendHeader(f.event, "")
			w.mu.Unlock()
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	conn, err := w.link.current()
	if err == nil {
		_, err = conn.api(ctx, "version") // the event has been heard
	}
	if err != nil || errors.Is(ctx.Err(), context.DeadlineExceeded) || len(offers) != 0 || len(w.commands("uuid_")) != 0 {
		t.Errorf("%v, %d offers, asked %q", err, len(offers), w.commands("uuid_"))
	}
}
