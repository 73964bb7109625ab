package signaling

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
)

// Marshal prints a message: keys sorted, no spaces, ids as strings (a web engine takes nothing else), and every field
// that some engine insists on. An Unknown cannot be printed.
func Marshal(m Message) ([]byte, error) {
	o, err := fields(m)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(o); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func fields(m Message) (object, error) {
	switch m := m.(type) {
	case InitialSetup:
		return object{
			"@type": "InitialSetup", "ufrag": m.UFrag, "pwd": m.Pwd, "renomination": m.Renomination,
			"fingerprints": each(m.Fingerprints, func(f Fingerprint) any {
				return object{"hash": f.Hash, "setup": f.Setup, "fingerprint": f.Fingerprint}
			}),
		}, nil
	case Candidates:
		return object{
			"@type":      "Candidates",
			"candidates": each(m.Candidates, func(c string) any { return object{"sdpString": c} }),
		}, nil
	case NegotiateChannels:
		return object{
			"@type": "NegotiateChannels", "exchangeId": m.ExchangeID,
			"contents": each(m.Contents, contentFields),
		}, nil
	case Offer:
		return object{"@type": "offer", "sdp": m.SDP}, nil
	case Answer:
		return object{"@type": "answer", "sdp": m.SDP}, nil
	case Candidate:
		return object{"@type": "candidate", "sdp": m.SDP, "mid": m.MID, "mline": m.MLine}, nil
	case MediaState:
		return object{
			"@type": "MediaState", "muted": m.Muted, "lowBattery": m.LowBattery, "videoRotation": m.VideoRotation,
			"videoState": stateOrInactive(m.VideoState), "screencastState": stateOrInactive(m.ScreencastState),
		}, nil
	}
	return nil, fmt.Errorf("%w: %T cannot be printed", ErrMessage, m)
}

func contentFields(c Content) any {
	o := object{
		"type": c.Type, "ssrc": decimal(c.SSRC),
		"rtpExtensions": each(c.Extensions, func(e Extension) any { return object{"id": e.ID, "uri": e.URI} }),
	}
	if len(c.SSRCGroups) > 0 {
		o["ssrcGroups"] = each(c.SSRCGroups, func(g SSRCGroup) any {
			return object{
				"semantics": g.Semantics,
				"ssrcs":     each(g.SSRCs, func(n uint32) any { return decimal(n) }),
			}
		})
	}
	if len(c.PayloadTypes) > 0 {
		o["payloadTypes"] = each(c.PayloadTypes, payloadTypeFields)
	}
	return o
}

func payloadTypeFields(p PayloadType) any {
	parameters := p.Parameters
	if parameters == nil {
		parameters = map[string]string{}
	}
	return object{
		"id": p.ID, "name": p.Name, "clockrate": p.ClockRate, "channels": p.Channels, "parameters": parameters,
		"feedbackTypes": each(p.Feedback, func(f Feedback) any { return object{"type": f.Type, "subtype": f.Subtype} }),
	}
}

// each maps a list to a JSON array, which is never null.
func each[T any](list []T, f func(T) any) []any {
	array := make([]any, 0, len(list))
	for _, item := range list {
		array = append(array, f(item))
	}
	return array
}

func decimal(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

func stateOrInactive(s string) string {
	if s == "" {
		return VideoInactive
	}
	return s
}
