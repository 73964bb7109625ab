package signaling

import (
	"errors"
	"reflect"
	"testing"
)

const (
	ourSSRC   = 111111
	theirSSRC = 222222
)

func negotiator(t *testing.T, o NegotiatorOptions) *Negotiator {
	t.Helper()
	id := 1000 * uint32(o.Role)
	if o.SSRC == 0 {
		o.SSRC = ourSSRC
	}
	o.ExchangeID = func() uint32 { id++; return id }
	n, err := NewNegotiator(o)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func audio(ssrc uint32, codecs ...PayloadType) Content {
	return Content{Type: TypeAudio, SSRC: ssrc, PayloadTypes: codecs}
}

// nativeOffer is the audio of the native engine's offers.
func nativeOffer(id string) NegotiateChannels {
	opus := OpusCodec()
	opus.Feedback = []Feedback{{Type: "transport-cc"}}
	c := audio(theirSSRC, opus)
	c.Extensions = []Extension{{2, URIAbsSendTime}, {3, URITransportCC}}
	return NegotiateChannels{ExchangeID: id, Contents: []Content{c}}
}

// webOffer is the audio of a web caller's offer.
func webOffer(id string) NegotiateChannels {
	m := nativeOffer(id)
	m.Contents[0].PayloadTypes = append(m.Contents[0].PayloadTypes,
		PayloadType{ID: 63, Name: "red", ClockRate: 48000, Channels: 2}, PayloadType{ID: 9, Name: "G722", ClockRate: 8000},
		PayloadType{ID: 0, Name: "PCMU", ClockRate: 8000}, PayloadType{ID: 8, Name: "PCMA", ClockRate: 8000},
		PayloadType{ID: 13, Name: "CN", ClockRate: 8000})
	m.Contents[0].Extensions = append(m.Contents[0].Extensions, Extension{1, URIAudioLevel}, Extension{4, uriMID})
	return m
}

// TestNegotiateCall runs the four messages of a call between two Negotiators.
func TestNegotiateCall(t *testing.T) {
	caller := negotiator(t, NegotiatorOptions{Role: Caller, SSRC: 1})
	callee := negotiator(t, NegotiatorOptions{Role: Callee, SSRC: 2})
	if _, ok := callee.Offer(); ok {
		t.Fatal("the callee offers first")
	}
	offer, ok := caller.Offer()
	if !ok {
		t.Fatal("the caller does not offer")
	}
	if _, again := caller.Offer(); again {
		t.Error("the caller offers twice")
	}
	answer, reply := callee.Handle(offer)
	if !reply || !reflect.DeepEqual(answer, offer) {
		t.Fatalf("the answer is %+v", answer)
	}
	if _, reply := caller.Handle(answer); reply {
		t.Error("an answer is answered")
	}
	second, ok := callee.Offer()
	if !ok || second.ExchangeID == offer.ExchangeID || second.Contents[0].SSRC != 2 {
		t.Fatalf("the callee's offer is %+v", second)
	}
	answer, reply = caller.Handle(second)
	if !reply || !reflect.DeepEqual(answer, second) {
		t.Fatalf("the answer is %+v", answer)
	}
	if _, reply := callee.Handle(answer); reply {
		t.Error("an answer is answered")
	}
	for _, n := range []*Negotiator{caller, callee} {
		if _, ok := n.Offer(); ok {
			t.Error("there is one offer more")
		}
	}
	for _, s := range []Stream{caller.Outgoing(), callee.Incoming()} {
		if s.SSRC != 1 || !s.Accepted || !reflect.DeepEqual(s.Payload, OpusCodec()) {
			t.Errorf("caller to callee is %+v", s)
		}
	}
	for _, s := range []Stream{callee.Outgoing(), caller.Incoming()} {
		if s.SSRC != 2 || !s.Accepted || !reflect.DeepEqual(s.Payload, OpusCodec()) {
			t.Errorf("callee to caller is %+v", s)
		}
	}
}

func TestNegotiateAnswer(t *testing.T) {
	pcma, pcmu := PCMACodec(), PCMUCodec()
	numbered := func(p PayloadType, id int, name string) PayloadType {
		p.ID, p.Name = id, name
		return p
	}
	unsaid := func(p PayloadType) PayloadType {
		p.Channels = 0
		return p
	}
	video := Content{Type: TypeVideo, SSRC: 333, PayloadTypes: []PayloadType{{ID: 100, Name: "VP8", ClockRate: 90000}}}
	for _, c := range []struct {
		name     string
		options  NegotiatorOptions
		contents []Content
		want     []Content
	}{
		{"native", NegotiatorOptions{}, nativeOffer("").Contents, []Content{audio(theirSSRC, OpusCodec())}},
		{"web", NegotiatorOptions{}, webOffer("").Contents, []Content{audio(theirSSRC, OpusCodec())}},
		{"web, level", NegotiatorOptions{Extensions: []Extension{{7, URIAudioLevel}}}, webOffer("").Contents, []Content{{
			Type: TypeAudio, SSRC: theirSSRC, PayloadTypes: []PayloadType{OpusCodec()}, Extensions: []Extension{{1, URIAudioLevel}},
		}}},
		{"our preference", NegotiatorOptions{Codecs: []PayloadType{pcma, OpusCodec(), pcmu}}, webOffer("").Contents,
			[]Content{audio(theirSSRC, unsaid(pcma))}},
		{"their number and spelling", NegotiatorOptions{}, []Content{audio(theirSSRC, numbered(OpusCodec(), 109, "OPUS"))},
			[]Content{audio(theirSSRC, numbered(OpusCodec(), 109, "OPUS"))}},
		{"camera", NegotiatorOptions{}, []Content{video, audio(theirSSRC, OpusCodec())}, []Content{audio(theirSSRC, OpusCodec())}},
		{"video only", NegotiatorOptions{}, []Content{video}, nil},
		{"nothing known", NegotiatorOptions{}, []Content{audio(theirSSRC, pcmu)}, nil},
		{"other clock", NegotiatorOptions{}, []Content{audio(theirSSRC, PayloadType{ID: 111, Name: "opus", ClockRate: 16000, Channels: 2})}, nil},
		{"mono opus", NegotiatorOptions{}, []Content{audio(theirSSRC, PayloadType{ID: 111, Name: "opus", ClockRate: 48000, Channels: 1})}, nil},
		{"number of RTCP", NegotiatorOptions{}, []Content{audio(theirSSRC, numbered(OpusCodec(), 72, "opus"))}, nil},
		{"number out of range", NegotiatorOptions{}, []Content{audio(theirSSRC, numbered(OpusCodec(), 128, "opus"))}, nil},
		{"no ssrc", NegotiatorOptions{}, []Content{audio(0, OpusCodec())}, nil},
		{"no contents", NegotiatorOptions{}, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, role := range []Role{Caller, Callee} {
				c.options.Role = role
				n := negotiator(t, c.options)
				answer, reply := n.Handle(NegotiateChannels{ExchangeID: "77", Contents: c.contents})
				if want := (NegotiateChannels{ExchangeID: "77", Contents: c.want}); !reply || !reflect.DeepEqual(answer, want) {
					t.Errorf("%v answers %+v", role, answer)
				}
				in := n.Incoming()
				if in.Accepted != (c.want != nil) {
					t.Errorf("%v: incoming is %+v", role, in)
				}
				if !in.Accepted {
					continue
				}
				if in.SSRC != theirSSRC || len(c.want[0].PayloadTypes) != 1 {
					t.Errorf("%v: incoming is %+v", role, in)
				}
				p, w := in.Payload, c.want[0].PayloadTypes[0]
				if p.ID != w.ID || p.Name != w.Name || p.ClockRate != w.ClockRate || p.Channels != max(w.Channels, 1) {
					t.Errorf("%v: incoming payload is %+v", role, p)
				}
				if n.Outgoing().Accepted {
					t.Error("outgoing is accepted")
				}
			}
		})
	}
}

// TestNegotiateLater: camera on and off are answered with audio, and change nothing in our direction.
func TestNegotiateLater(t *testing.T) {
	n := negotiator(t, NegotiatorOptions{Role: Callee})
	n.Handle(nativeOffer("1"))
	offer, _ := n.Offer()
	n.Handle(NegotiateChannels{ExchangeID: offer.ExchangeID, Contents: []Content{audio(ourSSRC, OpusCodec())}})
	camera := nativeOffer("2")
	camera.Contents = append(camera.Contents, Content{Type: TypeVideo, SSRC: 5})
	if answer, reply := n.Handle(camera); !reply || answer.ExchangeID != "2" || len(answer.Contents) != 1 || answer.Contents[0].SSRC != theirSSRC {
		t.Errorf("the answer is %+v, %v", answer, reply)
	}
	if answer, reply := n.Handle(nativeOffer("3")); !reply || answer.ExchangeID != "3" {
		t.Errorf("the answer is %+v, %v", answer, reply)
	}
	if _, ok := n.Offer(); ok || !n.Outgoing().Accepted || !n.Incoming().Accepted {
		t.Errorf("outgoing %+v, incoming %+v", n.Outgoing(), n.Incoming())
	}
}

func TestNegotiateGlare(t *testing.T) {
	caller := negotiator(t, NegotiatorOptions{Role: Caller, SSRC: 1})
	own, _ := caller.Offer()
	if _, reply := caller.Handle(nativeOffer("5")); reply || caller.Incoming().Accepted {
		t.Error("the caller answers before it is answered")
	}
	caller.Handle(NegotiateChannels{ExchangeID: own.ExchangeID, Contents: []Content{audio(1, OpusCodec())}})
	if !caller.Outgoing().Accepted {
		t.Error("the caller's offer is lost")
	}
	if _, reply := caller.Handle(nativeOffer("6")); !reply {
		t.Error("the second offer is not answered")
	}

	callee := negotiator(t, NegotiatorOptions{Role: Callee, SSRC: 2})
	callee.Handle(nativeOffer("7"))
	first, _ := callee.Offer()
	answer, reply := callee.Handle(nativeOffer("8"))
	if !reply || answer.ExchangeID != "8" {
		t.Error("the callee does not give way")
	}
	second, ok := callee.Offer()
	if !ok || second.ExchangeID == first.ExchangeID {
		t.Errorf("the callee's second offer is %+v, %v", second, ok)
	}
	// A caller that queued the first offer answers it late, and then the second.
	for _, id := range []string{first.ExchangeID, second.ExchangeID} {
		if _, reply := callee.Handle(NegotiateChannels{ExchangeID: id, Contents: []Content{audio(2, OpusCodec())}}); reply {
			t.Error("an answer is answered")
		}
	}
	if out := callee.Outgoing(); !out.Accepted || callee.Incoming().SSRC != theirSSRC {
		t.Errorf("outgoing %+v, incoming %+v", out, callee.Incoming())
	}
}

// TestNegotiateOvertaken: the callee's offer comes before its answer to ours, and is the last that is heard of the callee.
func TestNegotiateOvertaken(t *testing.T) {
	caller, callee := negotiator(t, NegotiatorOptions{Role: Caller, SSRC: 1, Unordered: true}), negotiator(t, NegotiatorOptions{Role: Callee, SSRC: 2})
	offer, _ := caller.Offer()
	answer, _ := callee.Handle(offer)
	theirs, _ := callee.Offer()
	if _, reply := caller.Handle(theirs); reply {
		t.Error("the caller answers before it is answered")
	}
	late, reply := caller.Handle(answer)
	if !reply || late.ExchangeID != theirs.ExchangeID {
		t.Fatalf("the offer that came too early is answered with %+v, %v", late, reply)
	}
	callee.Handle(late)
	for name, n := range map[string]*Negotiator{"caller": caller, "callee": callee} {
		if !n.Outgoing().Accepted || !n.Incoming().Accepted {
			t.Errorf("%s: outgoing %+v, incoming %+v", name, n.Outgoing(), n.Incoming())
		}
		if _, again := n.Offer(); again {
			t.Errorf("%s offers again", name)
		}
	}
	if _, reply := caller.Handle(theirs); reply {
		t.Error("the offer is answered twice")
	}
}

func TestNegotiateRefused(t *testing.T) {
	for name, contents := range map[string][]Content{
		"nothing": nil, "foreign ssrc": {audio(9, OpusCodec())}, "no codec": {audio(ourSSRC)},
		"as video": {{Type: TypeVideo, SSRC: ourSSRC, PayloadTypes: []PayloadType{OpusCodec()}}},
		"not ours": {audio(ourSSRC, PayloadType{ID: 111, Name: "PCMU", ClockRate: 8000})},
	} {
		n := negotiator(t, NegotiatorOptions{Role: Caller})
		offer, _ := n.Offer()
		if _, reply := n.Handle(NegotiateChannels{ExchangeID: offer.ExchangeID, Contents: contents}); reply {
			t.Errorf("%s: the answer is answered", name)
		}
		if _, again := n.Offer(); again || n.Outgoing().Accepted || n.Outgoing().SSRC != ourSSRC {
			t.Errorf("%s: %+v, offers again: %v", name, n.Outgoing(), again)
		}
	}
}

// TestNegotiateStray: what nobody waits for is not answered, because the native engine would take that for an offer.
func TestNegotiateStray(t *testing.T) {
	n := negotiator(t, NegotiatorOptions{Role: Callee})
	if _, reply := n.Handle(nativeOffer("1")); !reply {
		t.Error("the offer is not answered")
	}
	if _, reply := n.Handle(nativeOffer("1")); reply {
		t.Error("the offer is answered twice")
	}
	if _, reply := n.Handle(NegotiateChannels{ExchangeID: "2", Contents: []Content{audio(ourSSRC, OpusCodec())}}); reply {
		t.Error("an answer to nothing is answered")
	}
	if n.Incoming().SSRC != theirSSRC {
		t.Errorf("incoming is %+v", n.Incoming())
	}
	offer, _ := n.Offer()
	n.Handle(offer) // the echo is the answer
	if _, reply := n.Handle(NegotiateChannels{ExchangeID: offer.ExchangeID}); reply || !n.Outgoing().Accepted {
		t.Error("a second answer is answered, or counts")
	}
}

func TestNegotiatorOptions(t *testing.T) {
	opus := OpusCodec()
	for name, o := range map[string]NegotiatorOptions{
		"no role":          {SSRC: 1},
		"no ssrc":          {Role: Caller},
		"equal numbers":    {Role: Caller, SSRC: 1, Codecs: []PayloadType{opus, opus}},
		"number of RTCP":   {Role: Caller, SSRC: 1, Codecs: []PayloadType{{ID: 80, Name: "x", ClockRate: 1}}},
		"no name":          {Role: Caller, SSRC: 1, Codecs: []PayloadType{{ID: 8, ClockRate: 1}}},
		"mid":              {Role: Caller, SSRC: 1, Extensions: []Extension{{4, uriMID}}},
		"extension 15":     {Role: Caller, SSRC: 1, Extensions: []Extension{{15, URIAudioLevel}}},
		"equal extensions": {Role: Caller, SSRC: 1, Extensions: []Extension{{1, "a"}, {1, "b"}}},
	} {
		if _, err := NewNegotiator(o); !errors.Is(err, ErrNegotiator) {
			t.Errorf("%s: %v", name, err)
		}
	}
	n, err := NewNegotiator(NegotiatorOptions{Role: Caller, SSRC: 1})
	if err != nil {
		t.Fatal(err)
	}
	offer, ok := n.Offer()
	if m, err := Marshal(offer); !ok || err != nil || len(offer.ExchangeID) == 0 {
		t.Errorf("%s, %v", m, err)
	}
}

// g711 is what is preferred towards a web client.
func g711() []PayloadType { return []PayloadType{PCMUCodec(), PCMACodec(), OpusCodec()} }

func names(c []Content) (list []string) {
	for _, p := range c[0].PayloadTypes {
		list = append(list, p.Name)
	}
	return list
}

// TestNegotiateG711 follows the offers and answers of web and native engines, as captured, where we prefer G.711.
func TestNegotiateG711(t *testing.T) {
	echo := func(offer NegotiateChannels, codecs ...PayloadType) NegotiateChannels {
		return NegotiateChannels{ExchangeID: offer.ExchangeID, Contents: []Content{audio(offer.Contents[0].SSRC, codecs...)}}
	}
	t.Run("web caller", func(t *testing.T) {
		n := negotiator(t, NegotiatorOptions{Role: Callee})
		if err := n.Prefer(g711()); err != nil {
			t.Fatal(err)
		}
		answer, _ := n.Handle(webOffer("1"))
		offer, _ := n.Offer()
		if !reflect.DeepEqual(names(answer.Contents), []string{"PCMU"}) || !reflect.DeepEqual(names(offer.Contents), []string{"PCMU"}) {
			t.Fatalf("answer %+v, offer %+v", answer, offer)
		}
		n.Handle(echo(offer, PCMUCodec()))
		if out := n.Outgoing(); !out.Accepted || out.Payload.ID != 0 || n.Incoming().Payload.ID != 0 {
			t.Errorf("outgoing %+v, incoming %+v", out, n.Incoming())
		}
	})
	for name, c := range map[string]struct {
		answer []PayloadType // to our offer
		offer  NegotiateChannels
		want   string
	}{
		"web callee":                {g711(), webOffer("2"), "PCMU"},
		"web callee, Opus first":    {[]PayloadType{OpusCodec(), PCMACodec(), PCMUCodec()}, webOffer("2"), "PCMU"},
		"web callee without mu-law": {[]PayloadType{OpusCodec(), PCMACodec()}, webOffer("2"), "PCMA"},
		"native callee":             {[]PayloadType{OpusCodec()}, nativeOffer("2"), "opus"},
		"Opus answer, web offer":    {[]PayloadType{OpusCodec()}, webOffer("2"), "opus"},
	} {
		t.Run(name, func(t *testing.T) {
			n := negotiator(t, NegotiatorOptions{Role: Caller, Codecs: g711()})
			offer, _ := n.Offer()
			if !reflect.DeepEqual(names(offer.Contents), []string{"PCMU", "PCMA", "opus"}) {
				t.Fatalf("offer %+v", offer)
			}
			if _, ok := n.Codec(); ok {
				t.Error("decided without an answer")
			}
			n.Handle(echo(offer, c.answer...))
			answer, _ := n.Handle(c.offer)
			codec, ok := n.Codec()
			if !ok || codec.Name != c.want || !reflect.DeepEqual(names(answer.Contents), []string{c.want}) {
				t.Errorf("decided %t for %+v, answer %+v", ok, codec, answer)
			}
			if out, in := n.Outgoing(), n.Incoming(); out.Payload.Name != c.want || in.Payload.Name != c.want {
				t.Errorf("outgoing %+v, incoming %+v", out, in)
			}
		})
	}
}

func TestNegotiatorPrefer(t *testing.T) {
	n := negotiator(t, NegotiatorOptions{Role: Caller})
	if err := n.Prefer(nil); !errors.Is(err, ErrNegotiator) {
		t.Errorf("no codec: %v", err)
	}
	if err := n.Prefer([]PayloadType{PCMUCodec(), PCMUCodec()}); !errors.Is(err, ErrNegotiator) {
		t.Errorf("twice the same: %v", err)
	}
	offer, _ := n.Offer()
	if err := n.Prefer(g711()); err != nil {
		t.Fatal(err)
	}
	all := NegotiateChannels{ExchangeID: offer.ExchangeID, Contents: []Content{audio(ourSSRC, g711()...)}}
	if n.Handle(all); n.Outgoing().Payload.Name != "opus" {
		t.Errorf("%+v is sent, which was not offered", n.Outgoing().Payload)
	}

	n = negotiator(t, NegotiatorOptions{Role: Caller, Codecs: g711()})
	offer, _ = n.Offer()
	n.Settle()
	all.ExchangeID = offer.ExchangeID
	if n.Handle(all); n.Outgoing().Payload.Name != "opus" {
		t.Errorf("%+v is sent after Opus was settled", n.Outgoing().Payload)
	}
}
