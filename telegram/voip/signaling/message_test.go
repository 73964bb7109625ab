package signaling

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		text string
		want Message
	}{
		{`{"@type":"InitialSetup","ufrag":"abcd","pwd":"p","fingerprints":[]}`, InitialSetup{UFrag: "abcd", Pwd: "p"}},
		{`{"@type":"InitialSetup","ufrag":"a","pwd":"p","renomination":true,"fingerprints":[{"hash":"sha-256","setup":"active","fingerprint":"AA"}],"more":{}}`,
			InitialSetup{UFrag: "a", Pwd: "p", Renomination: true, Fingerprints: []Fingerprint{{"sha-256", "active", "AA"}}}},
		{`{"@type":"InitialSetup","ufrag":"a","pwd":"p","renomination":"yes","fingerprints":[]}`, InitialSetup{UFrag: "a", Pwd: "p"}},
		{`{"@type":"Candidates","candidates":[]}`, Candidates{}},
		{`{"@type":"Candidates","candidates":[{"sdpString":"candidate:1","sdpMid":"0","sdpMLineIndex":0},{"sdpString":""},{"sdpString":"a\r\nb"},{"sdpString":"candidate:2\r\n"}]}`,
			Candidates{Candidates: []string{"candidate:1", "candidate:2"}}},
		{`{"@type":"NegotiateChannels","exchangeId":"7"}`, NegotiateChannels{ExchangeID: "7"}},
		{`{"@type":"NegotiateChannels","exchangeId":4294967295,"contents":[{"type":"audio","ssrc":12}]}`,
			NegotiateChannels{ExchangeID: "4294967295", Contents: []Content{{Type: TypeAudio, SSRC: 12}}}},
		{`{"@type":"NegotiateChannels","exchangeId":"7","contents":[{"type":"video","ssrc":"4294967295","ssrcGroups":[{"semantics":"FID","ssrcs":["1",2]}],
			"payloadTypes":[{"id":100,"name":"VP8","clockrate":9.0e4,"feedbackTypes":[{"type":"nack","subtype":"pli"}],"parameters":{"a":"b"}}],
			"rtpExtensions":[{"id":3,"uri":"urn:x"}]}]}`,
			NegotiateChannels{ExchangeID: "7", Contents: []Content{{
				Type: TypeVideo, SSRC: 4294967295, SSRCGroups: []SSRCGroup{{"FID", []uint32{1, 2}}},
				PayloadTypes: []PayloadType{{
					ID: 100, Name: "VP8", ClockRate: 90000, Feedback: []Feedback{{"nack", "pli"}}, Parameters: map[string]string{"a": "b"},
				}},
				Extensions: []Extension{{3, "urn:x"}},
			}}}},
		{`{"@type":"MediaState"}`, MediaState{VideoState: VideoInactive, ScreencastState: VideoInactive}},
		{`{"@type":"MediaState","muted":true,"lowBattery":true,"videoState":"active","screencastState":"suspended","videoRotation":270}`,
			MediaState{Muted: true, LowBattery: true, VideoState: VideoActive, ScreencastState: VideoSuspended, VideoRotation: 270}},
		{`{"@type":"MediaState","videoState":"flying","videoRotation":45}`, MediaState{VideoState: VideoInactive, ScreencastState: VideoInactive}},
		{`{"@type":"offer","sdp":"v=0\r\n"}`, Offer{SDP: "v=0\r\n"}},
		{`{"@type":"answer","sdp":""}`, Answer{}},
		{`{"@type":"candidate","sdp":"candidate:1 \r\n","mid":"2","mline":1}`, Candidate{SDP: "candidate:1", MID: "2", MLine: 1}},
		{`{"@type":"candidate","sdp":"","mid":"","mline":0}`, Candidate{}},
		{`{"@type":"pranswer","sdp":"v=0"}`, Unknown{Type: "pranswer"}},
	} {
		got, err := Parse([]byte(c.text))
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s\n is %+v, %v", c.text, got, err)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, text := range []string{
		``, `null`, `[]`, `"x"`, `{`, `{} {}`, `{"@type":1}`, `{"@TYPE":"Candidates","candidates":[]}`,
		`{"@type":"InitialSetup","pwd":"p","fingerprints":[]}`,
		`{"@type":"InitialSetup","ufrag":"a","fingerprints":[]}`,
		`{"@type":"InitialSetup","ufrag":"a","pwd":"p"}`,
		`{"@type":"InitialSetup","ufrag":"a","pwd":"p","fingerprints":{}}`,
		`{"@type":"InitialSetup","ufrag":"a","pwd":"p","fingerprints":["x"]}`,
		`{"@type":"InitialSetup","ufrag":"a","pwd":"p","fingerprints":[{"hash":"x","setup":"y"}]}`,
		`{"@type":"InitialSetup","ufrag":"a\r\nb","pwd":"p","fingerprints":[]}`,
		`{"@type":"offer"}`, `{"@type":"answer","sdp":1}`, `{"@type":"offer","sdp":"v=0\u0000"}`, `{"@type":"answer","sdp":"a\tb"}`,
		`{"@type":"candidate","sdp":"x","mid":"0"}`, `{"@type":"candidate","sdp":"x","mline":0}`, `{"@type":"candidate","mid":"0","mline":0}`,
		`{"@type":"candidate","sdp":"a\nb","mid":"0","mline":0}`, `{"@type":"candidate","sdp":"a\u0007b","mid":"0","mline":0}`,
		`{"@type":"Candidates"}`, `{"@type":"Candidates","candidates":null}`, `{"@type":"Candidates","candidates":[{}]}`,
		`{"@type":"NegotiateChannels","contents":[]}`,
		`{"@type":"NegotiateChannels","exchangeId":"","contents":[]}`,
		`{"@type":"NegotiateChannels","exchangeId":1.5,"contents":[]}`,
		`{"@type":"NegotiateChannels","exchangeId":4294967296,"contents":[]}`,
		`{"@type":"NegotiateChannels","exchangeId":"1","contents":{}}`,
		`{"@type":"NegotiateChannels","exchangeId":"1","contents":[{"type":"text","ssrc":"1"}]}`,
		`{"@type":"NegotiateChannels","exchangeId":"1","contents":[{"type":"audio"}]}`,
		`{"@type":"NegotiateChannels","exchangeId":"1","contents":[{"type":"audio","ssrc":"-1"}]}`,
		`{"@type":"NegotiateChannels","exchangeId":"1","contents":[{"type":"audio","ssrc":true}]}`,
		`{"@type":"NegotiateChannels","exchangeId":"1","contents":[{"type":"audio","ssrc":"1","ssrcGroups":[{"semantics":"FID"}]}]}`,
		`{"@type":"NegotiateChannels","exchangeId":"1","contents":[{"type":"audio","ssrc":"1","payloadTypes":[{"id":111,"name":"opus"}]}]}`,
		`{"@type":"NegotiateChannels","exchangeId":"1","contents":[{"type":"audio","ssrc":"1","payloadTypes":[{"id":"111","name":"opus","clockrate":48000}]}]}`,
		`{"@type":"NegotiateChannels","exchangeId":"1","contents":[{"type":"audio","ssrc":"1","payloadTypes":[{"id":111,"name":"opus","clockrate":48000,"channels":"2"}]}]}`,
		`{"@type":"NegotiateChannels","exchangeId":"1","contents":[{"type":"audio","ssrc":"1","payloadTypes":[{"id":111,"name":"opus","clockrate":48000,"feedbackTypes":[{"type":"transport-cc"}]}]}]}`,
		`{"@type":"NegotiateChannels","exchangeId":"1","contents":[{"type":"audio","ssrc":"1","payloadTypes":[{"id":111,"name":"opus","clockrate":48000,"parameters":{"a":1}}]}]}`,
		`{"@type":"NegotiateChannels","exchangeId":"1","contents":[{"type":"audio","ssrc":"1","payloadTypes":[{"id":111,"name":"opus\r\na=x","clockrate":48000}]}]}`,
		`{"@type":"NegotiateChannels","exchangeId":"1","contents":[{"type":"audio","ssrc":"1","payloadTypes":[{"id":1e300,"name":"opus","clockrate":48000}]}]}`,
		`{"@type":"NegotiateChannels","exchangeId":"1","contents":[{"type":"audio","ssrc":"1","rtpExtensions":[{"id":1}]}]}`,
		`{"@type":"MediaState","muted":"no"}`, `{"@type":"MediaState","videoState":1}`,
	} {
		if m, err := Parse([]byte(text)); !errors.Is(err, ErrMessage) {
			t.Errorf("%s\n is %+v, %v", text, m, err)
		}
	}
}

func TestMarshal(t *testing.T) {
	for _, c := range []struct {
		m    Message
		want string
	}{
		{InitialSetup{UFrag: "u", Pwd: "p<&>", Renomination: true, Fingerprints: []Fingerprint{{"sha-256", "actpass", "AA:BB"}}},
			`{"@type":"InitialSetup","fingerprints":[{"fingerprint":"AA:BB","hash":"sha-256","setup":"actpass"}],"pwd":"p<&>","renomination":true,"ufrag":"u"}`},
		{Candidates{}, `{"@type":"Candidates","candidates":[]}`},
		{Candidates{Candidates: []string{"candidate:1"}}, `{"@type":"Candidates","candidates":[{"sdpString":"candidate:1"}]}`},
		{NegotiateChannels{ExchangeID: "9"}, `{"@type":"NegotiateChannels","contents":[],"exchangeId":"9"}`},
		{NegotiateChannels{ExchangeID: "9", Contents: []Content{{Type: TypeAudio, SSRC: 4294967295, PayloadTypes: []PayloadType{OpusCodec()}}}},
			`{"@type":"NegotiateChannels","contents":[{"payloadTypes":[{"channels":2,"clockrate":48000,"feedbackTypes":[],"id":111,"name":"opus","parameters":{"minptime":"10","useinbandfec":"1"}}],"rtpExtensions":[],"ssrc":"4294967295","type":"audio"}],"exchangeId":"9"}`},
		{MediaState{Muted: true},
			`{"@type":"MediaState","lowBattery":false,"muted":true,"screencastState":"inactive","videoRotation":0,"videoState":"inactive"}`},
	} {
		got, err := Marshal(c.m)
		if err != nil || string(got) != c.want {
			t.Errorf("%+v\n is %s, %v", c.m, got, err)
		}
	}
	if b, err := Marshal(Unknown{Type: "x"}); !errors.Is(err, ErrMessage) || !strings.Contains(err.Error(), "Unknown") {
		t.Errorf("Unknown is %s, %v", b, err)
	}
}
