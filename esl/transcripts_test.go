package esl

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/bridge/pbx"
	"github.com/tgtrunk/tgtrunk/routing"
)

// shows has one test for each transcript: of what that one shows, and the package makes of it. That all of them are read
// and replayed whole, whatever they show, is tested besides (replay_test.go).
var shows = map[string]func(t *testing.T, s *scene){
	"acl_rude_rejection": showsLogin("ClueCon", errRejected),
	"auth_fail":          showsLogin("wrong", errPassword),
	"auth_ok":            showsAuth,
	"cmd_errors":         showsRefusals,
	"events_json":        showsEvent,
	"events_plain":       showsEvent,
	"events_xml":         showsForeign(4),
	"log_listener":       showsForeign(1),
	"heartbeat":          showsNoCall,
	"reload":             showsNoCall,
	"filter_myevents":    showsNoCall,
	"myevents_inbound":   showsEnd("Disconnected, goodbye."),

	"in_park_answer_bridge_hangup":     showsCall("answered", "media", "ended NORMAL: NORMAL_CLEARING"),
	"dtmf":                             showsCall("answered", "media", "digit 5", "digit 7", "ended NORMAL: NORMAL_CLEARING"), // the 9 came by SIP INFO
	"hold_unhold":                      showsCall("answered", "media", "held", "resumed", "held", "resumed", "ended NORMAL: NORMAL_CLEARING"),
	"uuid_kill_bridged":                showsCall("answered", "media", "ended NORMAL: NORMAL_CLEARING"),
	"uuid_record_display":              showsCall("answered", "media", "ended NORMAL: NORMAL_CLEARING"),
	"in_caller_cancels_before_answer":  showsCancel,
	"in_reject_causes":                 showsRejections,
	"in_reject_retry_after":            showsRetryAfter,
	"blind_transfer_refer":             showsTransferAway("answered", "media"),
	"attended_transfer_refer_replaces": showsTransferAway("answered", "media", "held", "resumed"),
	"uuid_transfer":                    showsSentElsewhere(""),
	"uuid_transfer_bleg":               showsSentElsewhere("CHANNEL_PARK"),
	"inbound_conn_drop_parked":         showsDroppedConnection,
	"readopt_show_dump":                showsDump,
	"sendmsg_unicast":                  showsUnicast,
	"module_event_socket_reload_drop":  showsEnd("The system is being shut down."),
	"shutdown":                         showsShutdown,

	"orig_success":              showsDial("ringing", "answered", "media", "ended NORMAL: NORMAL_CLEARING"),
	"orig_busy":                 showsDial("ringing", "ended BUSY: USER_BUSY"),
	"orig_rejected":             showsDial("ringing", "ended DECLINED: CALL_REJECTED"),
	"orig_notfound":             showsDial("ended NO_ROUTE: UNALLOCATED_NUMBER"),
	"orig_503":                  showsDial("ended FAILURE: NORMAL_TEMPORARY_FAILURE"),
	"orig_noanswer":             showsDial("ringing", "ended NOANSWER: NO_ANSWER"),
	"orig_timeout_noresponse":   showsDial("ended FAILURE: NORMAL_TEMPORARY_FAILURE"),
	"orig_user_not_registered":  showsDial("ended UNREACHABLE: USER_NOT_REGISTERED"),
	"orig_no_gateway":           showsDial("ended NO_ROUTE: INVALID_GATEWAY"),
	"orig_cancel_by_uuid_kill":  showsDial("ringing", "ended CANCELLED: ORIGINATOR_CANCEL"),
	"orig_with_custom_job_uuid": showsJobs,

	"outbound_obasync":          showsEntry,
	"outbound_obsync":           showsStaticEntry,
	"outbound_refused_and_drop": showsDroppedEntry,
	"outbound_resume":           showsEntryClosedLater,

	"verto_direct_calls": func(t *testing.T, _ *scene) { TestVertoTranscript(t) },
}

// TestTranscripts: each transcript has its test, and each test its transcript.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/transcripts/*")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, file := range files {
		name, _, _ := strings.Cut(filepath.Base(file), ".")
		if found[name] = true; shows[name] == nil {
			t.Errorf("%s: no test uses it", file)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(shows)) {
		if !found[name] {
			t.Errorf("%s: no such transcript", name)
			continue
		}
		t.Run(name, func(t *testing.T) { shows[name](t, &scene{T: t, name: name}) })
	}
}

// scene is a transcript on the stage: a link that hears its events, and a fake FreeSWITCH that has its channels.
type scene struct {
	*testing.T
	name   string
	world  *fakeWorld
	offers chan bridge.Offer
	rest   []message         // what has not been played
	actual map[string]string // our ids in the place of recorded ones
}

// messages returns what FreeSWITCH said in the transcript, after the login.
func (s *scene) messages() []message {
	s.Helper()
	return heardFrom(s.T, afterLogin(s.T, unpacked(s.T, s.name+".in.txt")), 1<<16, &frameCounts{})
}

// begin starts the link.
func (s *scene) begin() {
	s.Helper()
	s.world, s.offers = startWorld(s.T)
	s.rest, s.actual = s.messages(), map[string]string{}
}

// until cuts off what comes before the first event that is meant, which it returns.
func (s *scene) until(what string, meant func(e event) bool) event {
	s.Helper()
	for len(s.rest) > 0 {
		e := newEvent(s.rest[0].header)
		if s.rest = s.rest[1:]; meant(e) {
			return e
		}
	}
	s.Fatalf("the transcript has no %s", what)
	return event{}
}

func named(name string) func(event) bool { return func(e event) bool { return e.name == name } }

func ofParty(name string) func(event) bool {
	return func(e event) bool { return e.name == name && !strings.HasPrefix(e.header["Channel-Name"], "verto") }
}

// park lets the transcript's caller arrive, and returns the offer.
func (s *scene) park() (event, bridge.Offer) {
	s.Helper()
	e := s.until("caller", ofParty("CHANNEL_PARK"))
	header := maps.Clone(e.header)
	header["variable_"+varApp] = "tgtrunk"
	w := s.world
	w.mu.Lock()
	w.channels[e.id] = &fakeChannel{id: e.id, vars: map[string]string{varApp: "tgtrunk"}, parked: true}
	w.sendHeader(header, "")
	w.mu.Unlock()
	o := s.offer()
	if o.Caller.Number != e.header["Caller-Caller-ID-Number"] || o.Caller.Name != e.header["Caller-Caller-ID-Name"] || o.Caller.Number == "" ||
		o.Dialled != e.header["Caller-Destination-Number"] || o.Variables["PBX_CHANNEL_ID"] != e.id {
		s.Errorf("offer %+v of %s from %s", o.Request, e.header["Caller-Destination-Number"], e.header["Caller-Caller-ID-Number"])
	}
	return e, o
}

func (s *scene) offer() bridge.Offer {
	s.Helper()
	select {
	case o := <-s.offers:
		return o
	case <-time.After(10 * time.Second):
		s.Fatal("no call is offered")
	}
	panic("unreachable")
}

// sendHeader sends an event of a transcript. f.mu is held.
func (f *fakeFS) sendHeader(header map[string]string, body string) {
	e := map[string]any{}
	for name, value := range header {
		e[name] = value
	}
	e["Core-UUID"] = f.core
	if body != "" {
		e["_body"] = body
	}
	f.send(e)
}

// play sends the transcript's events, our ids in them, up to one that is meant, or all. The fake's channels follow.
func (s *scene) play(stop func(event) bool) {
	for len(s.rest) > 0 {
		m := s.rest[0]
		e := newEvent(m.header)
		if stop != nil && stop(e) {
			return
		}
		if s.rest = s.rest[1:]; m.kind != typeEvent || !strings.Contains(" "+subscription+" ", " "+e.name+" ") {
			continue // FreeSWITCH would not have sent it to us
		}
		s.say(m)
	}
}

// say sends one event.
func (s *scene) say(m message) {
	header := maps.Clone(m.header)
	for name, value := range header {
		for recorded, ours := range s.actual {
			value = strings.ReplaceAll(value, recorded, ours)
		}
		header[name] = value
	}
	w, e := s.world, newEvent(header)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch c := w.channels[e.id]; {
	case e.id == "":
	case e.name == "CHANNEL_HANGUP_COMPLETE":
		delete(w.channels, e.id)
	case c == nil:
		w.channels[e.id] = &fakeChannel{id: e.id, vars: map[string]string{}, answered: e.answered()}
	case e.name == "CHANNEL_UNBRIDGE":
		c.bridged = ""
	}
	w.sendHeader(header, m.body)
}

// call brings the transcript's caller to where audio flows, and the transcript to behind that.
func (s *scene) call() bridge.Leg {
	s.Helper()
	party, o := s.park()
	o.Leg.Ring()
	o.Leg.Answer()
	w := s.world
	for !w.isBridged(party.id) {
		if !pbx.Sleep(s.Context(), time.Millisecond) {
			s.Fatal("the call is not bridged")
		}
	}
	for _, m := range s.rest {
		if e := newEvent(m.header); strings.HasPrefix(e.header["Channel-Name"], "verto") {
			w.mu.Lock()
			s.actual[e.id] = w.channels[party.id].bridged
			w.mu.Unlock()
		}
	}
	if s.name == "dtmf" || s.name == "uuid_record_display" {
		return o.Leg // no event tells of a bridge there
	}
	for newEvent(s.rest[0].header).name != "CHANNEL_BRIDGE" {
		s.rest = s.rest[1:]
	}
	s.say(s.rest[0]) // once more: the fake's own says less
	s.rest = s.rest[1:]
	return o.Leg
}

func (f *fakeFS) isBridged(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.channels[id] != nil && f.channels[id].bridged != ""
}

// hangupAll ends every channel that is left.
func (f *fakeFS) hangupAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.channels {
		f.hangup(c, "NORMAL_CLEARING")
	}
}

// commands returns what FreeSWITCH was asked that holds text.
func (f *fakeFS) commands(text string) (found []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, line := range f.asked {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

// told says an event of a leg in words.
func told(e bridge.Event) string {
	switch e := e.(type) {
	case bridge.Ringing:
		return "ringing"
	case bridge.Answered:
		return "answered"
	case bridge.Media:
		return "media"
	case bridge.Digit:
		return "digit " + string(e.Digit)
	case bridge.Held:
		if e.On {
			return "held"
		}
		return "resumed"
	case bridge.Ended:
		return fmt.Sprintf("ended %s: %s", e.Cause.Reason, e.Report.Said)
	}
	return fmt.Sprintf("%T", e)
}

// expect reads the events of a leg, which must be these.
func (s *scene) expect(leg bridge.Leg, want ...string) {
	s.Helper()
	for _, w := range want {
		select {
		case e, open := <-leg.Events():
			if !open || told(e) != w {
				s.Fatalf("the leg says %q (%v), want %q", told(e), open, w)
			}
		case <-time.After(10 * time.Second):
			s.Fatalf("the leg says nothing, want %q", w)
		}
	}
}

// dial places a call in the place of the transcript's, whose ids become ours.
func (s *scene) dial() bridge.Leg {
	s.Helper()
	w := s.world
	p := &fakeParty{scripted: true, number: "1", rings: make(chan struct{}), up: make(chan struct{}), over: make(chan struct{})}
	w.parties.Store(p.number, p)
	leg := w.link.Dial(s.Context(), routing.Target{Endpoint: "fake/1", Timeout: 20 * time.Second})
	select {
	case <-p.rings:
	case <-time.After(10 * time.Second):
		s.Fatal("nobody is called")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range s.rest {
		if e := newEvent(m.header); e.name == "CHANNEL_CREATE" {
			s.actual[e.id] = leg.ID() + "-out"
		}
		if job := m.header["Job-UUID"]; job != "" {
			s.actual[job] = w.dialJob
		}
	}
	return leg
}
