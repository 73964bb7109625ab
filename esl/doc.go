// Package esl makes a FreeSWITCH a bridge.Trunk: it drives FreeSWITCH's channels over the event socket (ESL) and takes
// their audio through a leg of mod_verto with a plain RTP session description, or through unicast where that module is
// missing.
//
// It does: one event-socket connection and one WebSocket per FreeSWITCH, both with deadlines and reconnection; inbound
// calls that the dialplan parks with a mark, or sends to our own socket; outbound calls into the dialplan, with wideband audio, or to a dial
// string; DTMF, hold, transfers by the phone; re-attaching audio after a lost WebSocket; finding and hanging up what a
// crash or a lost reply left behind. Everything it creates carries a uuid that begins with "tgtrunk-" and a channel
// variable TGTRUNK_LEG.
//
// It does not: route, speak SIP, transcode, keep state on disk, or touch channels of anybody else. Reading and decoding
// of the event socket's messages is github.com/0x19/goesl's, behind a frame check (frames.go) without which a single
// "-ERR" would end the process; its commands, its server and its log are not used.
package esl
