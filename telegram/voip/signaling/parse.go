package signaling

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// ErrMessage is the base of what Parse and Marshal return.
var ErrMessage = errors.New("bad signaling message")

// Parse reads one JSON message as leniently as the native engine does (tgcalls v2/Signaling.cpp): ids may be strings
// or numbers, unknown fields are ignored, a type that is not known gives Unknown. A missing mandatory field or one of
// the wrong type makes an error of the whole message. Stricter than the engine, it refuses control characters, so that
// strings are safe in session descriptions and logs; candidates that contain them, or nothing, are left out.
func Parse(b []byte) (Message, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var o object
	if err := d.Decode(&o); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: text behind the object", ErrMessage)
	}
	r := &reader{}
	m := r.message(o)
	if r.err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMessage, r.err)
	}
	return m, nil
}

type object map[string]any

// reader reads fields and keeps the first error.
type reader struct{ err error }

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

func (r *reader) message(o object) Message {
	switch kind := r.text(o, "@type"); kind {
	case "InitialSetup":
		return r.initialSetup(o)
	case "Candidates":
		return r.candidates(o)
	case "NegotiateChannels":
		return r.negotiateChannels(o)
	case "MediaState":
		return r.mediaState(o)
	case "offer":
		return Offer{SDP: r.lines(o, "sdp")}
	case "answer":
		return Answer{SDP: r.lines(o, "sdp")}
	case "candidate":
		sdp := r.plain(strings.TrimSpace(r.lines(o, "sdp")), "sdp")
		return Candidate{SDP: sdp, MID: r.text(o, "mid"), MLine: r.integer(o, "mline")}
	default:
		return Unknown{Type: kind}
	}
}

func (r *reader) initialSetup(o object) InitialSetup {
	m := InitialSetup{UFrag: r.text(o, "ufrag"), Pwd: r.text(o, "pwd")}
	m.Renomination, _ = o["renomination"].(bool)
	if _, ok := o["fingerprints"]; !ok {
		r.fail("fingerprints is missing")
	}
	for f := range r.objects(o, "fingerprints") {
		m.Fingerprints = append(m.Fingerprints, Fingerprint{
			Hash: r.text(f, "hash"), Setup: r.text(f, "setup"), Fingerprint: r.text(f, "fingerprint"),
		})
	}
	return m
}

func (r *reader) candidates(o object) Candidates {
	var m Candidates
	if _, ok := o["candidates"]; !ok {
		r.fail("candidates is missing")
	}
	for c := range r.objects(o, "candidates") {
		s, ok := c["sdpString"].(string)
		if !ok {
			r.fail("sdpString is not a string")
		}
		if s = strings.TrimSpace(s); s != "" && !strings.ContainsFunc(s, unicode.IsControl) {
			m.Candidates = append(m.Candidates, s)
		}
	}
	return m
}

func (r *reader) negotiateChannels(o object) NegotiateChannels {
	var m NegotiateChannels
	switch id := o["exchangeId"].(type) {
	case string:
		m.ExchangeID = r.text(o, "exchangeId")
		if id == "" {
			r.fail("exchangeId is empty")
		}
	default:
		m.ExchangeID = strconv.FormatUint(uint64(r.unsigned(id, "exchangeId")), 10)
	}
	for c := range r.objects(o, "contents") {
		m.Contents = append(m.Contents, r.content(c))
	}
	return m
}

func (r *reader) content(o object) Content {
	c := Content{Type: r.text(o, "type"), SSRC: r.unsigned(o["ssrc"], "ssrc")}
	if c.Type != TypeAudio && c.Type != TypeVideo {
		r.fail("content type %q is neither audio nor video", c.Type)
	}
	for g := range r.objects(o, "ssrcGroups") {
		c.SSRCGroups = append(c.SSRCGroups, r.ssrcGroup(g))
	}
	for p := range r.objects(o, "payloadTypes") {
		c.PayloadTypes = append(c.PayloadTypes, r.payloadType(p))
	}
	for e := range r.objects(o, "rtpExtensions") {
		c.Extensions = append(c.Extensions, Extension{ID: r.integer(e, "id"), URI: r.text(e, "uri")})
	}
	return c
}

func (r *reader) ssrcGroup(o object) SSRCGroup {
	g := SSRCGroup{Semantics: r.text(o, "semantics")}
	list, ok := o["ssrcs"].([]any)
	if !ok {
		r.fail("ssrcs is not an array")
	}
	for _, v := range list {
		g.SSRCs = append(g.SSRCs, r.unsigned(v, "ssrcs item"))
	}
	return g
}

func (r *reader) payloadType(o object) PayloadType {
	p := PayloadType{ID: r.integer(o, "id"), Name: r.text(o, "name"), ClockRate: r.integer(o, "clockrate")}
	if _, ok := o["channels"]; ok {
		p.Channels = r.integer(o, "channels")
	}
	for f := range r.objects(o, "feedbackTypes") {
		p.Feedback = append(p.Feedback, Feedback{Type: r.text(f, "type"), Subtype: r.text(f, "subtype")})
	}
	parameters, present := o["parameters"]
	list, ok := parameters.(map[string]any)
	if present && !ok {
		r.fail("parameters is not an object")
	}
	for name, v := range list {
		value, ok := v.(string)
		if !ok {
			r.fail("parameter %q is not a string", name)
		}
		r.plain(name, "parameter name")
		r.plain(value, "parameter value")
		if p.Parameters == nil {
			p.Parameters = map[string]string{}
		}
		p.Parameters[name] = value
	}
	return p
}

func (r *reader) mediaState(o object) MediaState {
	m := MediaState{Muted: r.flag(o, "muted"), LowBattery: r.flag(o, "lowBattery")}
	m.VideoState = r.videoState(o, "videoState")
	m.ScreencastState = r.videoState(o, "screencastState")
	if _, ok := o["videoRotation"]; ok {
		if n := r.integer(o, "videoRotation"); slices.Contains([]int{90, 180, 270}, n) {
			m.VideoRotation = n
		}
	}
	return m
}

// videoState reads an optional state; one that is not known means inactive.
func (r *reader) videoState(o object, name string) string {
	if _, ok := o[name]; !ok {
		return VideoInactive
	}
	if s := r.text(o, name); s == VideoSuspended || s == VideoActive {
		return s
	}
	return VideoInactive
}

// text reads a mandatory string without control characters.
func (r *reader) text(o object, name string) string {
	s, ok := o[name].(string)
	if !ok {
		r.fail("%s is not a string", name)
	}
	return r.plain(s, name)
}

// lines reads a mandatory string of several lines without other control characters.
func (r *reader) lines(o object, name string) string {
	s, ok := o[name].(string)
	if !ok {
		r.fail("%s is not a string", name)
	}
	r.plain(strings.NewReplacer("\r", "", "\n", "").Replace(s), name)
	return s
}

func (r *reader) plain(s, name string) string {
	if strings.ContainsFunc(s, unicode.IsControl) {
		r.fail("%s has a control character", name)
	}
	return s
}

// flag reads an optional bool.
func (r *reader) flag(o object, name string) bool {
	v, present := o[name]
	b, ok := v.(bool)
	if present && !ok {
		r.fail("%s is not a bool", name)
	}
	return b
}

// integer reads a mandatory whole number of 32 bits.
func (r *reader) integer(o object, name string) int {
	n, ok := whole(o[name])
	if !ok || n < math.MinInt32 || n > math.MaxInt32 {
		r.fail("%s is not a whole number", name)
		return 0
	}
	return int(n)
}

// unsigned reads a mandatory number of 32 bits without sign, which may be in a string.
func (r *reader) unsigned(v any, name string) uint32 {
	if s, ok := v.(string); ok {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			r.fail("%s is not a 32 bit number", name)
		}
		return uint32(n)
	}
	n, ok := whole(v)
	if !ok || n < 0 || n > math.MaxUint32 {
		r.fail("%s is not a 32 bit number", name)
		return 0
	}
	return uint32(n)
}

// whole converts a JSON number that has no fraction, however it is written.
func whole(v any) (int64, bool) {
	number, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	if n, err := strconv.ParseInt(string(number), 10, 64); err == nil {
		return n, true
	}
	f, err := number.Float64()
	if err != nil || f != math.Trunc(f) || math.Abs(f) > math.MaxUint32 {
		return 0, false
	}
	return int64(f), true
}

// objects reads an optional array of objects.
func (r *reader) objects(o object, name string) func(yield func(object) bool) {
	return func(yield func(object) bool) {
		v, present := o[name]
		list, ok := v.([]any)
		if present && !ok {
			r.fail("%s is not an array", name)
		}
		for _, item := range list {
			m, ok := item.(map[string]any)
			if !ok {
				r.fail("an item of %s is not an object", name)
			}
			if r.err != nil || !yield(m) {
				return
			}
		}
	}
}
