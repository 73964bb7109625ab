package main

import (
	"slices"

	"github.com/tgtrunk/tgtrunk/config"
	"github.com/tgtrunk/tgtrunk/media"
)

// pbxCodec returns the G.711 law that the other side of an account's calls speaks, where it is certain to speak G.711:
// every trunk that routes connect the account with is a link whose legs carry nothing else. It returns 0 otherwise: then
// G.711 towards Telegram would take from calls the wideband that the other side has.
//
// The law is a guess where there are both, and with Asterisk, whose link picks that of the channel later: from one law to
// the other is a table.
func pbxCodec(cfg *config.Config, account string) media.Codec {
	var codecs []media.Codec
	for _, trunk := range connectedWith(cfg, account) {
		codecs = append(codecs, legCodec(cfg, trunk))
	}
	switch {
	case len(codecs) == 0 || slices.Contains(codecs, 0):
		return 0
	case slices.Contains(codecs, media.PCMU):
		return media.PCMU
	}
	return media.PCMA
}

// connectedWith returns the trunks that routes bring calls to from a trunk, or from to it; some more than once.
func connectedWith(cfg *config.Config, trunk string) (others []string) {
	for _, r := range cfg.Routes {
		for _, t := range append([]config.Target{r.Target}, r.Otherwise...) {
			if r.From == trunk {
				others = append(others, t.To...)
			}
			if slices.Contains(t.To, trunk) {
				others = append(others, r.From)
			}
		}
	}
	return others
}

// legCodec returns the law of a link whose legs are all G.711; 0 for every other trunk.
func legCodec(cfg *config.Config, trunk string) media.Codec {
	for _, p := range cfg.PBX {
		switch {
		case p.Name != trunk:
		case p.Asterisk != nil, p.FreeSWITCH != nil && p.FreeSWITCH.Codec == "pcmu":
			return media.PCMU
		case p.FreeSWITCH != nil && p.FreeSWITCH.Codec == "pcma":
			return media.PCMA
		}
	}
	return 0
}
