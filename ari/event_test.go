package ari

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	ariapi "github.com/CyCoreSystems/ari/v6"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/media"
)

func TestDecodeEvent(t *testing.T) {
	e, err := decodeEvent([]byte(`{"type":"ChannelDestroyed","application":"a","cause":19,"cause_txt":"x","tech_cause":480,` +
		`"channel":{"id":"c","creationtime":"2026-11-22T00:00:16.340+0000"}}`))
	if err != nil || e.channel != "c" || e.cause != 19 || e.techCause != 480 || e.GetApplication() != "a" {
		t.Errorf("%+v, %v", e, err)
	}
	e, err = decodeEvent([]byte(`{"type":"ChannelHangupRequest","cause":32,"soft":true,"channel":{"id":"c"}}`))
	if err == nil && e.cause != 0 {
		t.Errorf("a soft hang-up has cause %d", e.cause)
	}
	if _, err = decodeEvent([]byte(`{"type":"ChannelVarset","channel":7}`)); !errors.Is(err, errIgnored) {
		t.Errorf("an event of no interest is decoded: %v", err)
	}
}

// FuzzDecodeEvent: no message breaks the reader; what is accepted has a type, and a channel if it is about one.
func FuzzDecodeEvent(f *testing.F) {
	channel := `"channel":{"id":"c","name":"PJSIP/x","state":"Up","creationtime":"2026-11-22T00:00:16.340+0000",` +
		`"dialplan":{"context":"a","exten":"b","priority":1},"channelvars":{"A":"b"}}`
	for _, seed := range []string{
		`{"type":"StasisStart","application":"a","args":["x"],` + channel + `,"replace_channel":{"id":"d"}}`,
		`{"type":"StasisEnd",` + channel + `}`, `{"type":"ApplicationReplaced"}`, `{"type":"ChannelHold",` + channel + `}`,
		`{"type":"Dial","peer":{"id":"p"},"dialstatus":"RINGING"}`, `{"type":"ChannelDestroyed","cause":"x",` + channel + `}`,
		`{"type":"ChannelDtmfReceived","digit":"5",` + channel + `}`, `{"type":"Nobody"}`, `[]`, `null`, `{"type":null}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := decodeEvent(data)
		if err != nil {
			return
		}
		if !json.Valid(data) || e.Event == nil || e.GetType() == "" {
			t.Fatalf("accepted %q as %+v", data, e)
		}
		if _, replaced := e.Event.(*ariapi.ApplicationReplaced); !replaced && e.channel == "" {
			t.Fatalf("accepted %q without a channel", data)
		}
	})
}

func TestFailedDial(t *testing.T) {
	rang := progress{dialled: true, status: "RINGING"}
	for _, c := range []struct {
		cause, sip int
		seen       progress
		want       bridge.Reason
	}{
		{17, 0, rang, bridge.Busy}, {17, 486, rang, bridge.Busy}, {21, 603, rang, bridge.Declined}, {19, 480, rang, bridge.NoAnswer},
		{19, 0, rang, bridge.NoAnswer}, {0, 0, progress{}, bridge.NoRoute}, {0, 0, rang, bridge.NoAnswer}, {16, 0, rang, bridge.NoAnswer},
		{34, 0, rang, bridge.Congestion}, {20, 0, rang, bridge.Unreachable}, {1, 404, rang, bridge.NoRoute},
		{0, 0, progress{true, "BUSY"}, bridge.Busy}, {16, 0, progress{true, "CONGESTION"}, bridge.Congestion},
		{0, 0, progress{true, "CHANUNAVAIL"}, bridge.NoRoute}, {127, 500, rang, bridge.Failure}, {-3, 0, rang, bridge.Failure},
		{4711, 0, rang, bridge.Failure},
	} {
		if got := failedDial(c.cause, c.sip, c.seen); got.Reason != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestLawOf(t *testing.T) {
	for formats, want := range map[string]media.Codec{
		"(ulaw)": media.PCMU, "(alaw)": media.PCMA, "(alaw|ulaw)": media.PCMA, "(ulaw|alaw)": media.PCMU, "alaw": media.PCMA,
		"(opus)": media.PCMU, "": media.PCMU, "(slin192)": media.PCMU,
	} {
		if got := lawOf(formats, media.PCMU); got != want {
			t.Errorf("%s: %v", formats, got)
		}
	}
	if lawOf("(opus)", media.PCMA) != media.PCMA {
		t.Error("the fallback is not used")
	}
}

func TestMajorVersion(t *testing.T) {
	for text, want := range map[string]int{
		"22.10.1~dfsg+~cs6": 22, "GIT-22-a1b2c3": 22, "certified/18.9-cert4": 18, "certified-20.7-cert1": 20, "16.28.0": 16,
	} {
		if got, known := majorVersion(text); !known || got != want {
			t.Errorf("%s: %d, %v", text, got, known)
		}
	}
	if _, known := majorVersion("UNKNOWN__and_probably_unsupported"); known {
		t.Error("a version that is none is known")
	}
}

// TestOptions: a mistake is named, and the password is not.
func TestOptions(t *testing.T) {
	good := Options{Name: "pbx", URL: "https://pbx.example:8089/ari/", Username: "u", Password: fakePassword}
	o, err := good.withDefaults()
	if err != nil || o.App != "tgtrunk" || o.Media.Listen != "0.0.0.0:0" || o.RequestTimeout != defaultRequestTimeout {
		t.Errorf("%+v, %v", o, err)
	}
	for what, spoil := range map[string]func(*Options){
		"name":           func(o *Options) { o.Name = "" },
		"user info":      func(o *Options) { o.URL = "http://u:" + fakePassword + "@pbx/ari" },
		"url":            func(o *Options) { o.URL = "ftp://pbx/ari" },
		"does not parse": func(o *Options) { o.URL = "http://u:" + fakePassword + "@pbx:x y/\x7f" },
		"query":          func(o *Options) { o.URL = "http://pbx/ari?api_key=u:" + fakePassword },
		"username":       func(o *Options) { o.Username = "u:v" },
		"password":       func(o *Options) { o.Password = "" },
		"app":            func(o *Options) { o.App = "a,b" },
		"context":        func(o *Options) { o.Context = "a b" },
		"dial timeout":   func(o *Options) { o.DialTimeout = 1 },
		"request":        func(o *Options) { o.RequestTimeout = -1 },
		"law":            func(o *Options) { o.Media.Law = media.Opus },
		"listen":         func(o *Options) { o.Media.Listen = "localhost:0" },
		"advertise":      func(o *Options) { o.Media.Advertise = "a b" },
	} {
		o := good
		spoil(&o)
		_, err := New(o)
		if err == nil {
			t.Errorf("%s: no error", what)
		} else if text := err.Error(); !strings.Contains(text, what) || strings.Contains(text, fakePassword) {
			t.Errorf("%s: %s", what, text)
		}
	}
}
