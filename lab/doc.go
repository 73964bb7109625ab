// Package lab is what the demo and the integration tests share: a real Asterisk in a private prefix, SIP phones that
// play and record tones, and the judgement of what they heard.
//
// It does: install Asterisk 22 without root (Debian's packages, unpacked), run several of them at once on free
// loopback ports with generated configuration, place and take SIP calls with G.711 audio and RFC 4733 digits, and
// measure purity, delay and gaps of the recorded audio. Everything it starts ends with it: Asterisk dies with the
// process that started it.
//
// It does not: register phones, encrypt anything, leave loopback, or know Telegram, the bridge or a PBX adapter. Nothing
// of it belongs into a service that runs for real.
package lab
