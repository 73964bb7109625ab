// Package voip is the transport and the media of one Telegram 1:1 call.
//
// It does: gather, signal and check ICE candidates (host, server reflexive, peer reflexive, TURN relay, MTProto
// reflector over UDP and TCP); the DTLS 1.2 handshake with both certificates checked against the signalled
// fingerprints; SRTP and SRTCP in both directions, or what the custom parameter network_use_mtproto puts in the place of
// both, the encryption with the call's own key; sender and receiver reports; the data channel with the peer's mute
// state; and the exchange of signalling messages that makes these work (package signaling).
//
// It does not: know a Telegram account, a PBX or a bridge, agree on the call's key, encode or decode audio, buffer or
// reorder packets. It speaks no library version below 7.0.0.
//
// There are two dialects of signalling, one session under both: channels, which production engines speak, and descriptions,
// the offers and answers of the reference engines 10.0.0 and 11.0.0.
//
// Audio takes the shortest way there is: the goroutine that reads the socket decrypts a packet where it lies and hands
// it to the attached media.Sink; a packet to send is encrypted in a buffer of the call and written to the socket by the
// goroutine that brings it. Neither way allocates, but for one AES key a packet under network_use_mtproto. Through a
// reflector it is the same; only its TCP connections have a queue.
//
// Reflectors are no relays that an ICE agent knows. Each one is shown to it as a TURN server on a connection that never
// leaves the process, with made-up addresses for both ends, so that it gets a relay candidate with a relay's priority:
// direct ways win where they are allowed. Checks pass through that, media does not.
//
// Wire details were checked against the official engine tgcalls (24876eb, November 2025) and the engines of Telegram
// Web A and Web K (2026).
package voip
