// Package signaling is how the two engines of a Telegram 1:1 call exchange JSON messages through
// phone.sendSignalingData and updatePhoneCallSignalingData.
//
// It does: the encryption of the packets with the call's key, and of the media packets of network_use_mtproto; the
// three framings V1 (raw), V2 (acknowledged) and V3 (gzip over SCTP) of library versions 7.0.0 to 13.0.0; parsing and
// printing of the messages; and the negotiation of the audio streams as a state machine without I/O: Negotiator, and for
// the session descriptions (SDP) of the reference engines 10.0.0 and 11.0.0 OfferAnswer.
//
// It does not: talk to Telegram, derive the call's key, know anything of ICE, DTLS or RTP, or decide when to send
// what. It does not speak the binary messages of 2.7.7 and 5.0.0.
//
// Wire details were checked against the source of the official engine tgcalls (ca532c5), against captures of two of its
// peers (24876eb, November 2025), and against source and captures of the engines of Telegram Web A and Web K (2026).
package signaling
