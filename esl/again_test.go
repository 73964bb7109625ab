package esl

import (
	"strings"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/bridge/trunktest"
	"github.com/tgtrunk/tgtrunk/routing"
)

// enter lets the socket application connect for a channel, which may be in a bridge until then.
func enter(t *testing.T, w *fakeWorld, id string, replace ...string) *caller {
	t.Helper()
	const name = "outbound_obasync"
	w.mu.Lock()
	if c := w.channels[id]; c == nil {
		w.channels[id] = &fakeChannel{id: id, vars: map[string]string{}}
	} else if other := w.channels[c.bridged]; other != nil {
		c.bridged, other.bridged = "", "" // the transfer has taken it out
	}
	w.mu.Unlock()
	return dialEntry(t, w, name, cutClosely, 0, append(replace, rawFrames(t, name)[0].event["Unique-ID"], id)...)
}

// served checks that an offer is the call of a connection, and brings it up and to its end.
func served(t *testing.T, w *fakeWorld, c *caller, id string, offers <-chan bridge.Offer) {
	t.Helper()
	o := nextOffer(t, offers)
	if o.Dialled != "obasync" || o.Variables["PBX_CHANNEL_ID"] != id {
		t.Errorf("offer %+v", o.Request)
	}
	w.mu.Lock()
	vars := w.channels[id].vars
	if vars["TGTRUNK_LEG"] != o.Leg.ID() || vars[varTaken] != "tgtrunk" || vars[varFree] != "" {
		t.Errorf("the channel has %v", vars)
	}
	w.mu.Unlock()
	o.Leg.Answer()
	nextEvent[bridge.Media](t, o.Leg)
	select {
	case <-c.ended:
		t.Error("our side has closed the connection")
	default:
	}
	o.Leg.Hangup(bridge.CauseOf(bridge.Normal))
	nextEvent[bridge.Ended](t, o.Leg)
	c.over()
}

// TestSentToSocket: a channel that is in a call and is sent to our socket is another call; the first has ended.
func TestSentToSocket(t *testing.T) {
	for name, begin := range map[string]func(t *testing.T, w *fakeWorld, offers chan bridge.Offer) (leg bridge.Leg, id string, want bridge.Reason){
		"who was parked, while it rings": func(t *testing.T, w *fakeWorld, offers chan bridge.Offer) (bridge.Leg, string, bridge.Reason) {
			if _, err := w.Call(t.Context()); err != nil {
				t.Fatal(err)
			}
			o := nextOffer(t, offers)
			o.Leg.Ring()
			id := o.Variables["PBX_CHANNEL_ID"]
			w.mu.Lock()
			w.event("CHANNEL_UNPARK", w.channels[id])
			w.mu.Unlock()
			return o.Leg, id, bridge.Cancelled
		},
		"who came by the socket, while it rings": func(t *testing.T, w *fakeWorld, offers chan bridge.Offer) (bridge.Leg, string, bridge.Reason) {
			c := enter(t, w, "anna")
			o := nextOffer(t, offers)
			o.Leg.Ring()
			t.Cleanup(c.over)
			return o.Leg, "anna", bridge.Cancelled
		},
		"who was answered": func(t *testing.T, w *fakeWorld, offers chan bridge.Offer) (bridge.Leg, string, bridge.Reason) {
			leg, far := answeredCall(t, w, offers)
			return leg, far.channel.id, bridge.Normal
		},
		"whom we had called": func(t *testing.T, w *fakeWorld, _ chan bridge.Offer) (bridge.Leg, string, bridge.Reason) {
			p := w.newParty(trunktest.Answers)
			w.parties.Store(p.number, p)
			leg := w.link.Dial(t.Context(), routing.Target{Endpoint: "fake/" + p.number})
			nextEvent[bridge.Media](t, leg)
			return leg, leg.ID() + "-out", bridge.Normal
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, offers := startEntries(t, nil)
			leg, id, want := begin(t, w, offers)
			c := enter(t, w, id)
			if end := nextEvent[bridge.Ended](t, leg); end.Cause.Reason != want || end.Err != nil {
				t.Errorf("the first call ends with %v, %v", end.Cause, end.Err)
			}
			served(t, w, c, id, offers)
			for _, verb := range []string{"uuid_kill " + id + " NORMAL_TEMPORARY", "uuid_transfer " + id} {
				if got := w.commands(verb); len(got) != 0 {
					t.Errorf("asked %q", got)
				}
			}
		})
	}
}

// TestComesAgain: a phone that we had called, and that was sent elsewhere, is a caller like any other when it is sent to us
// later; a channel of ours that was not given up is none.
func TestComesAgain(t *testing.T) {
	w, offers := startEntries(t, nil)
	id := w.link.ids.next() + "-out"
	w.mu.Lock()
	c := &fakeChannel{id: id, vars: map[string]string{varApp: "tgtrunk", varFree: "true"}}
	w.channels[id] = c
	w.park(c)
	w.mu.Unlock()
	o := nextOffer(t, offers)
	o.Leg.Hangup(bridge.CauseOf(bridge.Busy))
	nextEvent[bridge.Ended](t, o.Leg)
	other := w.link.ids.next() + "-out"
	w.mu.Lock()
	w.channels[other] = &fakeChannel{id: other, vars: map[string]string{}}
	w.mu.Unlock()
	enter(t, w, other).over()
	if len(offers) != 0 {
		t.Error("a channel that is no caller's is offered")
	}
	free := w.link.ids.next() + "-out"
	w.mu.Lock()
	w.channels[free] = &fakeChannel{id: free, vars: map[string]string{varFree: "true"}}
	w.mu.Unlock()
	served(t, w, enter(t, w, free, "Event-Name: CHANNEL_DATA\n", "Event-Name: CHANNEL_DATA\nvariable_"+varFree+": true\n"), free, offers)
}

// TestNotGivenUp: a connection whose channel another call does not give up is closed, so that the dialplan goes on.
func TestNotGivenUp(t *testing.T) {
	w, offers := startEntries(t, func(o *Options) { o.RequestTimeout = 300 * time.Millisecond })
	leg := w.link.newLeg(t.Context(), "inbound")
	if !w.link.legs.Add(leg) {
		t.Fatal("the link is closing")
	}
	defer w.link.legs.Remove(leg)
	w.link.legs.Own("anna", leg)
	enter(t, w, "anna").over()
	if len(offers) != 0 {
		t.Error("a call is offered")
	}
}

// TestTransferredIntoTelegram: the phone at the other end sends the Telegram user on to an extension that calls Telegram. The
// channel that speaks for the user is sent there by way of another one, and the call goes on without the phone.
func TestTransferredIntoTelegram(t *testing.T) {
	for name, arrive := range map[string]func(t *testing.T, w *fakeWorld, id string){
		"by a park": func(_ *testing.T, w *fakeWorld, id string) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.channels[id].vars[varApp] = "tgtrunk"
			w.event("CHANNEL_PARK", w.channels[id], "Channel-State", "CS_EXECUTE", "Caller-Context", "lab", "Caller-Profile-Index", "3")
		},
		"by the socket": func(t *testing.T, w *fakeWorld, id string) {
			w.mu.Lock()
			w.event("CHANNEL_PARK", w.channels[id], "Channel-State", "CS_EXECUTE", "variable_current_application", "socket")
			w.mu.Unlock()
			c := enter(t, w, id, "Caller-Destination-Number: obasync", "Caller-Destination-Number: 5001", "Caller-Context: public", "Caller-Context: lab")
			t.Cleanup(func() { _ = c.conn.Close(); c.over() })
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, offers := startEntries(t, nil)
			leg, far := answeredCall(t, w, offers)
			w.mu.Lock()
			id := far.channel.bridged
			w.channels[id].bridged, far.channel.bridged = "", ""
			w.hangup(far.channel, "BLIND_TRANSFER")
			w.mu.Unlock()
			arrive(t, w, id)
			want := "uuid_transfer " + id + " m:;:bridge:{loopback_bowout=false,loopback_bowout_on_execute=false}loopback/5001/lab/XML inline"
			until(t, "the channel is sent on", func() bool { return len(w.commands(want)) == 1 })
			w.mu.Lock()
			if vars := w.channels[id].vars; vars[varApp] != "" || vars["hangup_after_bridge"] != "true" {
				t.Errorf("the channel has %v", vars)
			}
			other := &fakeChannel{id: "loopback-a", vars: map[string]string{}, answered: true, bridged: id}
			w.channels[other.id], w.channels[id].bridged = other, other.id
			w.event("CHANNEL_BRIDGE", w.channels[id])
			w.event("DTMF", other, "DTMF-Digit", "7")
			w.mu.Unlock()
			if d := nextEvent[bridge.Digit](t, leg); d.Digit != '7' {
				t.Errorf("digit %c", d.Digit)
			}
			if got := w.commands("uuid_transfer"); len(got) != 1 {
				t.Errorf("asked %s", strings.Join(got, "\n"))
			}
			w.mu.Lock()
			w.hangup(other, "NORMAL_CLEARING") // and with it what was bridged
			w.mu.Unlock()
			if end := nextEvent[bridge.Ended](t, leg); end.Cause.Reason != bridge.Normal {
				t.Errorf("ended with %v", end.Cause)
			}
		})
	}
}
