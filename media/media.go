package media

import "time"

// Codec names an audio coding by the name SDP gives it.
type Codec uint8

// The codecs a Flow can carry.
const (
	Opus Codec = iota + 1 // RFC 7587, RTP clock always 48 kHz
	PCMU                  // G.711 µ-law, static payload type 0
	PCMA                  // G.711 A-law, static payload type 8
	L16                   // linear PCM, 16 bit big endian
)

// String returns the codec's SDP encoding name.
func (c Codec) String() string {
	switch c {
	case Opus:
		return "opus"
	case PCMU:
		return "PCMU"
	case PCMA:
		return "PCMA"
	case L16:
		return "L16"
	}
	return "unknown"
}

// Format is the shape of the audio of one Flow.
type Format struct {
	Codec Codec
	Rate  int           // RTP clock in Hz; for PCMU, PCMA and L16 also the sample rate
	Ptime time.Duration // duration of the packets the far end wants to be sent; 0 means any
}

// Packet is one RTP packet's worth of audio on its way from a Flow to a Sink.
//
// The bytes belong to the caller of WriteAudio and are valid only until it returns.
type Packet struct {
	Sequence  uint16 // as received; a sink that is a Flow numbers what it sends by itself
	Timestamp uint32 // in ticks of the source's Format.Rate, any origin
	Marker    bool   // first packet after a pause or a jump of the timestamp
	Payload   []byte // empty: a padding-only packet, which takes a sequence number and is neither audio nor loss
}

// Sink takes audio. WriteAudio never blocks and keeps nothing of p.
// One Sink is called by one goroutine at a time.
type Sink interface{ WriteAudio(p *Packet) }

// SinkFunc makes a Sink of a function.
type SinkFunc func(p *Packet)

// WriteAudio calls f.
func (f SinkFunc) WriteAudio(p *Packet) { f(p) }

// Flow is the duplex audio of one leg.
type Flow interface {
	Format() Format
	Sink           // audio out of this leg, safe for calls from several goroutines; timestamps in Format().Rate
	Attach(s Sink) // where audio that arrives on this leg goes; swapped atomically, nil drops
	Stats() Stats
	Close() error // idempotent; no packet is delivered to the attached sink after it returns
}

// Stats counts what one Flow has seen since it began.
type Stats struct {
	PacketsReceived uint64
	PacketsSent     uint64
	PacketsLost     uint64        // missing sequence numbers on the receiving side
	PacketsLate     uint64        // behind the newest sequence number, or repeated
	PaddingOnly     uint64        // received packets without audio
	Strangers       uint64        // packets dropped because source, SSRC, payload type or authentication were wrong
	Jitter          time.Duration // interarrival jitter, RFC 3550 §6.4.1
	RoundTrip       time.Duration // from RTCP; 0 until known
	RemoteLoss      float64       // fraction of our packets the far end reports lost lately, 0..1
	RemoteLost      uint64        // our packets that the far end reports lost since it began
	RemoteJitter    time.Duration // interarrival jitter that the far end reports of our packets
	FirstReceived   time.Time     // arrival of the first audio packet; zero until then
	FirstSent       time.Time     // departure of the first audio packet; zero until then
}
