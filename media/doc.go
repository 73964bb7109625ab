// Package media carries the audio of a call between its two legs.
//
// It does: the shapes every leg speaks ([Packet], [Sink], [Flow]); [Connect], which joins two flows and converts
// between Opus, G.711 and linear PCM where they differ; concealment of lost packets, slicing of long packets and
// their pacing on one shared [Wheel]; RTP over one shared UDP socket towards a PBX ([ListenRTP]); the receiver
// statistics of RFC 3550 ([Reception]); a thin binding on libopus.
//
// It does not: signal, negotiate codecs, encrypt, run ICE, resample, mix, or buffer against jitter. Timestamps are
// kept, so the buffer that stands at the listener's ear, in the phone or in the PBX, does that work once.
//
// Nothing in the path of a packet allocates, starts a goroutine or sets a timer of its own. A packet is handled to
// the end in the goroutine that read it; only the later slices of a long packet leave from the wheel.
//
// Building without cgo leaves out libopus: then Opus passes through untouched or not at all ([ErrNoOpus]).
// The build tag opus_static links libopus.a, opus_pkgconfig asks pkg-config where libopus is.
package media
