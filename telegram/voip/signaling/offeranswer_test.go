package signaling

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func newOfferAnswer(t testing.TB, role Role, ssrc uint32) *OfferAnswer {
	t.Helper()
	n, err := NewOfferAnswer(OfferAnswerOptions{Role: role, SSRC: ssrc, CName: "name", Endpoint: Endpoint{
		UFrag: fmt.Sprintf("%v0", role), Pwd: "abcdefghijklmnopqrstuvwx", Fingerprint: Fingerprint{Hash: "sha-256", Fingerprint: "AB:CD"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// through prints and reads a description, as the wire does.
func through(t testing.TB, d Description) Description {
	t.Helper()
	read, err := ParseDescription(d.String())
	if err != nil {
		t.Fatalf("%v in\n%s", err, d)
	}
	return read
}

// exchange lets b answer the offer of a that is due.
func exchange(t *testing.T, a, b *OfferAnswer) (restartedA, restartedB bool) {
	t.Helper()
	offer, ok := a.Offer()
	if !ok {
		t.Fatal("no offer is due")
	}
	return answer(t, a, b, offer)
}

func answer(t *testing.T, a, b *OfferAnswer, offer Description) (restartedA, restartedB bool) {
	t.Helper()
	restartedB, err := b.TakeOffer(through(t, offer))
	if err != nil {
		t.Fatal(err)
	}
	reply, ok := b.Answer()
	if !ok {
		t.Fatal("no answer")
	}
	restartedA, err = a.TakeAnswer(through(t, reply))
	if err != nil {
		t.Fatal(err)
	}
	return restartedA, restartedB
}

// agree checks that audio flows both ways, and that nothing is left to be said.
func agree(t *testing.T, a, b *OfferAnswer) {
	t.Helper()
	for _, n := range []*OfferAnswer{a, b} {
		other := map[*OfferAnswer]*OfferAnswer{a: b, b: a}[n]
		in, out := n.Incoming(), n.Outgoing()
		if !in.Accepted || !out.Accepted || in.SSRC != other.o.SSRC || out.SSRC != n.o.SSRC || in.Payload.ID != 111 || out.Payload.ID != 111 {
			t.Errorf("%v: incoming %+v, outgoing %+v", n.o.Role, in, out)
		}
		if d, ok := n.Offer(); ok {
			t.Errorf("%v offers\n%s", n.o.Role, d)
		}
		if n.Peer().UFrag != other.ours.told.ufrag {
			t.Errorf("%v: peer's credentials are %q, not %q", n.o.Role, n.Peer().UFrag, other.ours.told.ufrag)
		}
	}
	if a.Client() == b.Client() {
		t.Error("both or none are the dtls client")
	}
}

// talked are two that have come to an agreement.
func talked(t *testing.T) (caller, callee *OfferAnswer) {
	t.Helper()
	caller, callee = newOfferAnswer(t, Caller, 1), newOfferAnswer(t, Callee, 2)
	if _, ok := callee.Offer(); ok {
		t.Fatal("callee offers first")
	}
	exchange(t, caller, callee)
	if in := caller.Incoming(); in.Accepted || !caller.Outgoing().Accepted {
		t.Fatalf("caller hears %+v before the callee's offer", in)
	}
	exchange(t, callee, caller)
	agree(t, caller, callee)
	return caller, callee
}

func TestOfferAnswer(t *testing.T) {
	caller, callee := talked(t)
	if caller.Client() {
		t.Error("caller is the dtls client")
	}
	if _, err := caller.TakeAnswer(Description{}); !errors.Is(err, ErrUnexpected) {
		t.Errorf("answer to nothing: %v", err)
	}
	if _, ok := callee.Answer(); ok {
		t.Error("answers nothing")
	}
}

// descriptions lists the offers or answers that a side of a capture sent.
func (c *capture) descriptions(t testing.TB, from, kind string) (list []Description) {
	t.Helper()
	for _, text := range c.recorded(t, from) {
		m, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		var sdp string
		switch m := m.(type) {
		case Offer:
			sdp = m.SDP
		case Answer:
			sdp = m.SDP
		}
		if sdp == "" || !strings.Contains(string(text), `"`+kind+`"`) {
			continue
		}
		d, err := ParseDescription(sdp)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, d)
	}
	return list
}

// TestRecordedOffers plays either side of the recorded calls to an OfferAnswer, and compares what it says with what the
// engine of its side said.
func TestRecordedOffers(t *testing.T) {
	same := func(t *testing.T, got, want Description) {
		t.Helper()
		if !slices.Equal(got.Bundle, want.Bundle) || len(got.Sections) != len(want.Sections) {
			t.Fatalf("got\n%s\nwant\n%s", got, want)
		}
		for i, g := range got.Sections {
			w := want.Sections[i]
			if g.Kind != w.Kind || g.MID != w.MID || g.Direction != w.Direction || g.Protocol != w.Protocol || g.RTCPMux != w.RTCPMux ||
				g.Endpoint.Fingerprint.Setup != w.Endpoint.Fingerprint.Setup || (g.SSRC == 0) != (w.SSRC == 0) || g.MSID != w.MSID ||
				g.SCTPPort != w.SCTPPort || g.MaxMessage != w.MaxMessage {
				t.Errorf("section %d is\n%+v\nwant\n%+v", i, g, w)
			}
		}
	}
	for _, c := range captures(t) {
		if !slices.Contains(ReferenceVersions(), c.Version) {
			continue
		}
		callerOffers, callerAnswers := c.descriptions(t, "caller", "offer"), c.descriptions(t, "caller", "answer")
		calleeOffers, calleeAnswers := c.descriptions(t, "callee", "offer"), c.descriptions(t, "callee", "answer")
		t.Run(c.name+"/caller", func(t *testing.T) {
			n := newOfferAnswer(t, Caller, 9)
			offer, _ := n.Offer()
			same(t, through(t, offer), callerOffers[0])
			if _, err := n.TakeAnswer(calleeAnswers[0]); err != nil {
				t.Fatal(err)
			}
			if _, err := n.TakeOffer(calleeOffers[0]); err != nil {
				t.Fatal(err)
			}
			reply, _ := n.Answer()
			same(t, through(t, reply), callerAnswers[0])
			if in := n.Incoming(); n.Client() || !n.Outgoing().Accepted || in.SSRC != calleeOffers[0].Sections[2].SSRC || in.Payload.ID != 111 {
				t.Errorf("incoming %+v, client %v", in, n.Client())
			}
		})
		t.Run(c.name+"/callee", func(t *testing.T) {
			n := newOfferAnswer(t, Callee, 9)
			if _, err := n.TakeOffer(callerOffers[0]); err != nil {
				t.Fatal(err)
			}
			reply, _ := n.Answer()
			same(t, through(t, reply), calleeAnswers[0])
			offer, ok := n.Offer()
			if !ok {
				t.Fatal("no offer")
			}
			same(t, through(t, offer), calleeOffers[0])
			// The caller's second offer comes too late.
			if _, err := n.TakeOffer(callerOffers[1]); !errors.Is(err, ErrGlare) {
				t.Errorf("second offer: %v", err)
			}
			if _, err := n.TakeAnswer(callerAnswers[0]); err != nil {
				t.Fatal(err)
			}
			if in := n.Incoming(); !n.Client() || !n.Outgoing().Accepted || in.SSRC != callerOffers[0].Sections[0].SSRC {
				t.Errorf("incoming %+v, client %v", in, n.Client())
			}
		})
	}
}

// TestTwoFirstOffers: the caller's second offer comes before the callee has offered.
func TestTwoFirstOffers(t *testing.T) {
	for _, c := range captures(t) {
		if c.name != "11.0.0-p2p" {
			continue
		}
		n := newOfferAnswer(t, Callee, 9)
		for _, offer := range c.descriptions(t, "caller", "offer") {
			if restarted, err := n.TakeOffer(offer); restarted || err != nil {
				t.Fatalf("restarted %v, %v", restarted, err)
			}
			if reply, ok := n.Answer(); !ok || reply.Sections[0].Direction != RecvOnly {
				t.Fatalf("answer is\n%s", reply)
			}
		}
		if offer, ok := n.Offer(); !ok || len(offer.Sections) != 3 {
			t.Errorf("offer is\n%s", offer)
		}
	}
}

func TestOfferAnswerRestart(t *testing.T) {
	for _, starter := range []Role{Caller, Callee} {
		caller, callee := talked(t)
		a, b := caller, callee
		if starter == Callee {
			a, b = callee, caller
		}
		a.Restart("new", "abcdefghijklmnopqrstuvwx")
		offer, ok := a.Offer()
		if !ok || offer.Endpoint().UFrag != "new" {
			t.Fatalf("%v offers\n%s", starter, offer)
		}
		restarted, err := b.TakeOffer(through(t, offer))
		if !restarted || err != nil {
			t.Fatal(restarted, err)
		}
		b.Restart("newer", "abcdefghijklmnopqrstuvwx")
		reply, _ := b.Answer()
		if restarted, err := a.TakeAnswer(through(t, reply)); !restarted || err != nil {
			t.Fatal(restarted, err)
		}
		if b.ours.told.ufrag != "newer" {
			t.Errorf("answer with %q", b.ours.told.ufrag)
		}
		agree(t, caller, callee)
	}
}

// TestRestartsCollide: both offer a restart; the callee's wins, and one is enough.
func TestRestartsCollide(t *testing.T) {
	caller, callee := talked(t)
	caller.Restart("c1", "abcdefghijklmnopqrstuvwx")
	callee.Restart("d1", "abcdefghijklmnopqrstuvwx")
	lost, _ := caller.Offer()
	won, _ := callee.Offer()
	if _, err := callee.TakeOffer(through(t, lost)); !errors.Is(err, ErrGlare) {
		t.Fatalf("callee: %v", err)
	}
	if r1, r2 := answer(t, callee, caller, won); !r1 || !r2 {
		t.Error("no restart")
	}
	agree(t, caller, callee)
}

// TestRestartCollidesWithOffer: the caller's restart crosses the callee's first offer, which is answered with the
// credentials that the callee knows; the restart is offered again.
func TestRestartCollidesWithOffer(t *testing.T) {
	caller, callee := newOfferAnswer(t, Caller, 1), newOfferAnswer(t, Callee, 2)
	exchange(t, caller, callee)
	old := caller.ours.told
	caller.Restart("c1", "abcdefghijklmnopqrstuvwx")
	lost, _ := caller.Offer()
	won, _ := callee.Offer()
	if _, err := callee.TakeOffer(through(t, lost)); !errors.Is(err, ErrGlare) {
		t.Fatalf("callee: %v", err)
	}
	if r1, r2 := answer(t, callee, caller, won); r1 || r2 || callee.Peer().UFrag != old.ufrag {
		t.Errorf("restarted %v, %v, with %q", r1, r2, callee.Peer().UFrag)
	}
	if r1, r2 := exchange(t, caller, callee); !r1 || !r2 {
		t.Error("no restart")
	}
	callee.ours.next = callee.ours.told
	agree(t, caller, callee)
}

const videoSection = "m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:caller0\r\n" +
	"a=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=fingerprint:sha-256 AB:CD\r\na=setup:actpass\r\na=mid:9\r\na=sendrecv\r\na=rtcp-mux\r\n" +
	"a=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\na=ssrc-group:FID 5 6\r\na=ssrc:5 cname:x\r\n"

// TestVideoOffers: a camera goes on and off; audio goes on, video is rejected, and so it stays in our own offers.
func TestVideoOffers(t *testing.T) {
	for _, when := range []string{"first", "later"} {
		caller, callee := newOfferAnswer(t, Caller, 1), newOfferAnswer(t, Callee, 2)
		if when == "later" {
			caller, callee = talked(t)
			caller.Restart("caller0", "other")
		}
		offer, _ := caller.Offer()
		text := offer.String() + videoSection
		text = strings.Replace(text, "BUNDLE "+strings.Join(offer.Bundle, " "), "BUNDLE "+strings.Join(append(offer.Bundle, "9"), " "), 1)
		caller.proposed = append(caller.proposed, slot{kind: KindVideo, mid: "9"}) // as an engine with a camera
		d, err := ParseDescription(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := callee.TakeOffer(d); err != nil {
			t.Fatal(err)
		}
		if when == "later" {
			callee.Restart("callee1", "other")
		}
		reply, _ := callee.Answer()
		last := reply.Sections[len(reply.Sections)-1]
		if !last.Rejected || last.Direction != Inactive || slices.Contains(reply.Bundle, "9") || !slices.Equal(last.Formats, []string{"96", "97"}) {
			t.Errorf("video is answered %+v", last)
		}
		if _, err := caller.TakeAnswer(through(t, reply)); err != nil {
			t.Fatal(err)
		}
		if when == "first" {
			exchange(t, callee, caller)
		} else {
			callee.Restart("callee2", "other")
			exchange(t, callee, caller)
			caller.ours.next = caller.ours.told
		}
		agree(t, caller, callee)
		if s := callee.agreed[slices.IndexFunc(callee.agreed, func(s slot) bool { return s.kind == KindVideo })]; !s.rejected {
			t.Error("video has come back")
		}
	}
}

// TestAnswerThatSends: a callee that sends in the caller's own section, as others than the reference engine do.
func TestAnswerThatSends(t *testing.T) {
	n := newOfferAnswer(t, Caller, 1)
	offer, _ := n.Offer()
	callee := newOfferAnswer(t, Callee, 2)
	if _, err := callee.TakeOffer(through(t, offer)); err != nil {
		t.Fatal(err)
	}
	reply, _ := callee.Answer()
	reply.Sections[0] = callee.sending(reply.Sections[0])
	reply.Sections[0].Direction = SendRecv
	if _, err := n.TakeAnswer(through(t, reply)); err != nil {
		t.Fatal(err)
	}
	if in := n.Incoming(); !in.Accepted || in.SSRC != 2 || !n.Outgoing().Accepted {
		t.Errorf("incoming %+v, outgoing %+v", in, n.Outgoing())
	}
}

// TestUnusableDescriptions: errors change nothing.
func TestUnusableDescriptions(t *testing.T) {
	edit := func(d Description, f func(*Description)) Description {
		d.Sections = slices.Clone(d.Sections)
		f(&d)
		return d
	}
	caller, callee := newOfferAnswer(t, Caller, 1), newOfferAnswer(t, Callee, 2)
	offer, _ := caller.Offer()
	for name, bad := range map[string]func(*Description){
		"no bundle":      func(d *Description) { d.Bundle = nil },
		"no credentials": func(d *Description) { d.Sections[0].Endpoint.UFrag = "" },
		"no fingerprint": func(d *Description) { d.Sections[0].Endpoint.Fingerprint.Fingerprint = "" },
		"all rejected":   func(d *Description) { d.Sections[0].Rejected, d.Sections[1].Rejected = true, true },
	} {
		if _, err := callee.TakeOffer(edit(offer, bad)); !errors.Is(err, ErrUnusable) {
			t.Errorf("offer with %s: %v", name, err)
		}
	}
	if _, err := callee.TakeOffer(offer); err != nil {
		t.Fatal(err)
	}
	reply, _ := callee.Answer()
	for name, bad := range map[string]func(*Description){
		"a section less": func(d *Description) { d.Sections = d.Sections[:1] },
		"a section more": func(d *Description) { d.Sections = append(d.Sections, dataSection("7")) },
		"other mid":      func(d *Description) { d.Sections[0].MID, d.Bundle = "7", []string{"7"} },
		"other kind":     func(d *Description) { d.Sections[1].Kind = KindVideo },
		"actpass":        func(d *Description) { d.Sections[0].Endpoint.Fingerprint.Setup = "actpass" },
	} {
		if _, err := caller.TakeAnswer(edit(reply, bad)); !errors.Is(err, ErrUnusable) {
			t.Errorf("answer with %s: %v", name, err)
		}
	}
	if _, err := caller.TakeAnswer(reply); err != nil {
		t.Fatal(err)
	}
	next, _ := callee.Offer()
	for name, bad := range map[string]func(*Description){
		"fewer sections": func(d *Description) { d.Sections = d.Sections[:1] },
		"moved section":  func(d *Description) { d.Sections[0], d.Sections[1] = d.Sections[1], d.Sections[0] },
	} {
		if _, err := caller.TakeOffer(edit(next, bad)); !errors.Is(err, ErrUnusable) {
			t.Errorf("offer with %s: %v", name, err)
		}
	}
	answer(t, callee, caller, next)
	agree(t, caller, callee)
}

// TestRefusedAudio: no codec in common, or no rtcp-mux, is no audio; the call's other section is taken.
func TestRefusedAudio(t *testing.T) {
	for name, spoil := range map[string]func(*Section){
		"codec": func(s *Section) { s.Codecs = []PayloadType{{ID: 0, Name: "PCMU", ClockRate: 8000}} },
		"mux":   func(s *Section) { s.RTCPMux = false },
		"rtp":   func(s *Section) { s.Protocol = "RTP/AVP" },
	} {
		caller, callee := newOfferAnswer(t, Caller, 1), newOfferAnswer(t, Callee, 2)
		offer, _ := caller.Offer()
		spoil(&offer.Sections[0])
		answer(t, caller, callee, offer)
		if caller.Outgoing().Accepted || callee.Incoming().Accepted || !caller.agreed[0].rejected || caller.agreed[1].rejected {
			t.Errorf("%s: %+v", name, caller.agreed)
		}
		exchange(t, callee, caller)
		if !caller.Incoming().Accepted || !callee.Outgoing().Accepted {
			t.Errorf("%s: the callee is not heard", name)
		}
		if _, ok := caller.Offer(); ok {
			t.Errorf("%s: caller offers what was refused", name)
		}
	}
}

// TestOtherNumbers: a caller that has another number for Opus keeps it in all sections.
func TestOtherNumbers(t *testing.T) {
	caller, callee := newOfferAnswer(t, Caller, 1), newOfferAnswer(t, Callee, 2)
	caller.codecs = clonePayloads(caller.codecs)
	caller.codecs[0].ID = 109
	exchange(t, caller, callee)
	offer, _ := callee.Offer()
	for _, s := range offer.Sections {
		if s.Kind == KindAudio && (s.Formats[0] != "109" || s.Codecs[0].ID != 109) {
			t.Errorf("section %+v", s)
		}
	}
	answer(t, callee, caller, offer)
	if in, out := callee.Incoming(), callee.Outgoing(); in.Payload.ID != 109 || out.Payload.ID != 109 {
		t.Errorf("incoming %+v, outgoing %+v", in, out)
	}
}

func TestOfferAnswerOptions(t *testing.T) {
	for _, o := range []OfferAnswerOptions{{}, {Role: Caller, SSRC: 1, CName: "x"}, {Role: 9, SSRC: 1, CName: "x", Endpoint: Endpoint{"a", "b", Fingerprint{Fingerprint: "x"}}}} {
		if _, err := NewOfferAnswer(o); !errors.Is(err, ErrNegotiator) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// FuzzOfferAnswer: whatever is offered and answered, what we say can be read and fits what was offered.
func FuzzOfferAnswer(f *testing.F) {
	list := described(f)
	for _, text := range list[:4] {
		f.Add(text, list[4], uint8(0))
		f.Add(list[4], text, uint8(7))
	}
	f.Add(shortDescription+videoSection, shortDescription, uint8(3))
	f.Fuzz(func(t *testing.T, one, two string, turn uint8) {
		n := newOfferAnswer(t, Caller+Role(turn&1), 77)
		for i, text := range []string{one, two, one} {
			if offer, ok := n.Offer(); ok {
				through(t, offer)
			}
			d, err := ParseDescription(text)
			if err != nil {
				return
			}
			if turn>>(i+1)&1 == 1 {
				_, _ = n.TakeAnswer(d)
				continue
			}
			if _, err := n.TakeOffer(d); err != nil {
				continue
			}
			reply, ok := n.Answer()
			if !ok || len(reply.Sections) != len(d.Sections) {
				t.Fatalf("answer is %v\n%s", ok, reply)
			}
			for j, s := range through(t, reply).Sections {
				theirs := d.Sections[j]
				if s.MID != theirs.MID || s.Kind != theirs.Kind || !s.Rejected && theirs.Rejected ||
					s.Direction.Sends() && !theirs.Direction.Receives() && s.Kind == KindAudio {
					t.Errorf("section %d of\n%s\nis answered\n%s", j, text, reply)
				}
			}
			if in := n.Incoming(); in.Accepted && in.SSRC == 0 {
				t.Error("audio without ssrc")
			}
			n.Restart(fmt.Sprint("restart", i), "abcdefghijklmnopqrstuvwx")
		}
	})
}
