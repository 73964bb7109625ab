package voip

import (
	"fmt"

	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/telegram/voip/signaling"
)

// Preference says in which codec a call's audio is wanted. Every peer speaks Opus; web clients also speak G.711, which
// a PBX takes as it is. The codec is the same in both directions.
type Preference uint8

// The preferences.
const (
	PreferAuto Preference = iota // G.711 with web clients where the other leg of the call speaks it, else Opus
	PreferOpus                   // Opus
	PreferG711                   // G.711 with everybody who takes it, else Opus
)

// String returns the preference's name in configuration and logs.
func (p Preference) String() string {
	switch p {
	case PreferAuto:
		return "auto"
	case PreferOpus:
		return "opus"
	case PreferG711:
		return "g711"
	}
	return "unknown"
}

// ParsePreference is the inverse of String; "" is PreferAuto.
func ParsePreference(s string) (Preference, error) {
	switch s {
	case "", "auto":
		return PreferAuto, nil
	case "opus":
		return PreferOpus, nil
	case "g711":
		return PreferG711, nil
	}
	return PreferAuto, fmt.Errorf("parse codec preference %q: want auto, opus or g711", s)
}

// codecs lists what is offered to a kind of peer and accepted from it, best first. other is what the other leg of the
// call speaks. Opus is always the last one.
func (p Preference) codecs(other media.Codec, peer signaling.Peer) []signaling.PayloadType {
	opus := signaling.OpusCodec()
	g711 := other == media.PCMU || other == media.PCMA
	if p == PreferOpus || p == PreferAuto && (!g711 || peer != signaling.PeerWeb) {
		return []signaling.PayloadType{opus}
	}
	if other == media.PCMA {
		return []signaling.PayloadType{signaling.PCMACodec(), signaling.PCMUCodec(), opus}
	}
	return []signaling.PayloadType{signaling.PCMUCodec(), signaling.PCMACodec(), opus}
}

// formatOf is what a flow of a negotiated codec carries.
func formatOf(c signaling.PayloadType) media.Format {
	switch c.Name {
	case signaling.PCMUCodec().Name:
		return media.Format{Codec: media.PCMU, Rate: c.ClockRate}
	case signaling.PCMACodec().Name:
		return media.Format{Codec: media.PCMA, Rate: c.ClockRate}
	}
	return media.Format{Codec: media.Opus, Rate: c.ClockRate}
}

// prefer tells the negotiation which codecs we want, as far as the peer is known by now.
func (s *channels) prefer() {
	list := s.c.Prefer.codecs(s.c.Other, s.signal.channel.Peer())
	if err := s.talk.Prefer(list); err != nil {
		s.log.Error("codecs cannot be negotiated", "error", err)
	}
}

// decided tells the flow which codec it has, once that is certain. It comes before the flow may send and receive.
func (s *channels) decided() {
	if codec, ok := s.talk.Codec(); ok {
		s.flow.settle(formatOf(codec))
	}
}

// agreed implements dialect. Where G.711 is wanted, and signalling is slower than ICE and DTLS, it waits a little for the
// answer, and else decides for Opus.
func (s *channels) agreed() bool {
	s.prefer()
	if s.talk.Open() && !s.phase.hurried {
		if !s.phase.agreeing {
			s.phase.agreeing = true
			s.timers.codec.Reset(s.times.codec)
		}
		return false
	}
	s.phase.agreeing = false
	s.talk.Settle()
	s.decided()
	return true
}
