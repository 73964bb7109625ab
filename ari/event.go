package ari

import (
	"encoding/json"
	"errors"
	"fmt"

	ariapi "github.com/CyCoreSystems/ari/v6"
)

// event is one message of the event socket: the library's decoding, and what that leaves out.
type event struct {
	ariapi.Event
	channel   string // id of the channel it is about; "" for none
	by        string // Dial: id of the channel that dials; "" where nobody does
	cause     int    // Q.850; 0 where the event has none
	techCause int    // SIP status of the failed PJSIP leg (Asterisk 22.7 and later); 0 where unknown
}

// errIgnored says that an event is of a type nobody here waits for.
var errIgnored = errors.New("event of no interest")

// decodeEvent reads one message. Types of no interest are not decoded any further than their name; a message whose
// type is known but whose content is not what Asterisk's events.json says is an error.
func decodeEvent(data []byte) (event, error) {
	var head struct {
		Type      string `json:"type"`
		Cause     int    `json:"cause"`
		TechCause int    `json:"tech_cause"`
		Soft      bool   `json:"soft"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return event{}, fmt.Errorf("decode event: %w", err)
	}
	switch head.Type {
	case "":
		return event{}, errors.New("decode event: no type")
	case ariapi.Events.StasisStart, ariapi.Events.StasisEnd, ariapi.Events.ApplicationReplaced, ariapi.Events.Dial,
		ariapi.Events.ChannelDestroyed, ariapi.Events.ChannelHangupRequest, ariapi.Events.ChannelDtmfReceived,
		ariapi.Events.ChannelHold, ariapi.Events.ChannelUnhold,
		ariapi.Events.ChannelConnectedLine:
	default:
		return event{}, errIgnored
	}
	decoded, err := ariapi.DecodeEvent(data)
	if err != nil {
		return event{}, fmt.Errorf("decode %s: %w", head.Type, err)
	}
	e := event{Event: decoded, channel: channelOf(decoded), techCause: head.TechCause}
	if dial, ok := decoded.(*ariapi.Dial); ok {
		e.by = dial.Caller.GetID()
	}
	// A soft hang-up carries flags of Asterisk's own in place of a cause.
	if !head.Soft {
		e.cause = head.Cause
	}
	if e.channel == "" && head.Type != ariapi.Events.ApplicationReplaced {
		return event{}, fmt.Errorf("decode %s: no channel", head.Type)
	}
	return e, nil
}

// channelOf returns the id of the channel an event is about. For Dial that is the channel being dialled.
func channelOf(e ariapi.Event) string {
	switch e := e.(type) {
	case *ariapi.StasisStart:
		return e.Channel.GetID()
	case *ariapi.StasisEnd:
		return e.Channel.GetID()
	case *ariapi.Dial:
		return e.Peer.GetID()
	case *ariapi.ChannelDestroyed:
		return e.Channel.GetID()
	case *ariapi.ChannelHangupRequest:
		return e.Channel.GetID()
	case *ariapi.ChannelDtmfReceived:
		return e.Channel.GetID()
	case *ariapi.ChannelHold:
		return e.Channel.GetID()
	case *ariapi.ChannelConnectedLine:
		return e.Channel.GetID()
	case *ariapi.ChannelUnhold:
		return e.Channel.GetID()
	}
	return ""
}
