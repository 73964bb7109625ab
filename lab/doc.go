// Package lab is what the demo and the integration tests share: a real Asterisk in a private prefix, a real FreeSWITCH
// where one is installed, SIP phones that play and record tones, and the judgement of what they heard.
//
// It does: install Asterisk 22 without root (Debian's packages, unpacked), run several of them, and of FreeSWITCH, at once
// on free loopback ports with generated configuration, place and take SIP calls with G.711 or Opus audio and RFC 4733 digits, and
// measure purity, delay and gaps of the recorded audio. Everything it starts ends with it: Asterisk and FreeSWITCH die
// with the process that started them.
//
// It does not: install FreeSWITCH, register phones, encrypt anything, leave loopback, or know Telegram, the bridge or a
// PBX adapter. Nothing of it belongs into a service that runs for real.
package lab
