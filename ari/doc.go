// Package ari makes an Asterisk a bridge.Trunk: it drives Asterisk's channels over the REST interface (ARI) and takes
// their audio through external media channels (RTP, G.711).
//
// It does: one event socket and one REST client per Asterisk, both with deadlines; inbound calls that enter its Stasis
// application; outbound calls into the dialplan or to an endpoint; DTMF, hold, blind transfers by the phone; finding and
// hanging up what a crash or a lost reply left behind. Everything it creates carries an id that begins with "tgtrunk-"
// and a channel variable TGTRUNK_LEG.
//
// It does not: route, speak SIP, transcode, keep state on disk, or touch channels and bridges of anybody else. Event
// types and their decoding come from github.com/CyCoreSystems/ari/v6; its client is not used, because that has no
// deadlines, hides lost connections and drops events silently.
package ari
