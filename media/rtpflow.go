package media

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"
)

const (
	rtpHeaderSize = 12
	rtpMaxPayload = 8192 // bytes a packet we send may carry: 80 ms of L16 at 48 kHz
	rtpMaxGap     = 100  // sequence numbers that are passed on as lost
)

// rtpFlow is the audio of one call on an RTPPort.
type rtpFlow struct {
	port    *RTPPort
	remote  netip.AddrPort
	format  Format
	payload uint8 // payload type
	sink    atomic.Pointer[attached]
	ended   atomic.Int64 // when it was closed, ns of Unix time; 0: open

	in  rtpReceiver
	out rtpSender
}

// attached is a Sink in a box of one type, for atomic.Pointer.
type attached struct{ Sink }

// rtpReceiver is what the reader keeps of a flow. Its lock is held while a packet is delivered, so that Close can wait
// for it.
type rtpReceiver struct {
	mu        sync.Mutex
	ssrc      uint32
	known     bool // ssrc is valid
	changed   bool // the next audio packet is the first of another SSRC
	reception Reception
	received  uint64
	padding   uint64
	foreign   uint64
	first     time.Time
}

// rtpSender numbers and sends.
type rtpSender struct {
	mu      sync.Mutex
	started bool
	ssrc    uint32
	offset  uint32 // added to every timestamp
	number  uint16 // of the newest packet sent
	source  uint16 // the same as its sender numbered it
	sent    uint64
	first   time.Time
	buffer  []byte // as long as the longest packet so far
}

func newRTPFlow(p *RTPPort, remote netip.AddrPort, f Format, payloadType uint8) *rtpFlow {
	return &rtpFlow{
		port: p, remote: remote, format: f, payload: payloadType,
		in: rtpReceiver{reception: Reception{Rate: f.Rate}},
		out: rtpSender{
			ssrc: rand.Uint32(), offset: rand.Uint32(), number: uint16(rand.Uint32()),
		},
	}
}

// Format returns the format the flow was opened with.
func (f *rtpFlow) Format() Format { return f.format }

// Attach sets where the PBX's audio goes.
func (f *rtpFlow) Attach(s Sink) {
	if s == nil {
		f.sink.Store(nil)
		return
	}
	f.sink.Store(&attached{s})
}

// WriteAudio sends one packet, with our SSRC, sequence number and timestamp origin. Small gaps and reordering in
// p.Sequence are passed on, for the far end to see loss as loss.
func (f *rtpFlow) WriteAudio(p *Packet) {
	if len(p.Payload) == 0 || len(p.Payload) > rtpMaxPayload {
		return
	}
	o := &f.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if f.ended.Load() != 0 {
		return
	}
	header := rtp.Header{
		Version: 2, Marker: p.Marker, PayloadType: f.payload,
		SequenceNumber: o.count(p), Timestamp: p.Timestamp + o.offset, SSRC: o.ssrc,
	}
	if size := rtpHeaderSize + len(p.Payload); size > len(o.buffer) {
		o.buffer = make([]byte, size)
	}
	n, err := header.MarshalTo(o.buffer)
	if err != nil {
		return
	}
	n += copy(o.buffer[n:], p.Payload)
	if _, err := f.port.conn.WriteToUDPAddrPort(o.buffer[:n], f.remote); err != nil {
		return // as good as lost on the way; the sequence number tells
	}
	if o.sent++; o.sent == 1 {
		o.first = time.Now()
	}
}

// count returns the sequence number to send p with.
func (o *rtpSender) count(p *Packet) uint16 {
	step := int(int16(p.Sequence - o.source))
	switch {
	case !o.started || p.Marker || step == 0 || step > rtpMaxGap || step < -rtpMaxGap:
		step = 1 // another source, or one that does not number
	case step < 0:
		return o.number + uint16(step)
	}
	o.started = true
	o.source = p.Sequence
	o.number += uint16(step)
	return o.number
}

// receive takes a packet from the flow's remote; audio is the reader's scratch.
func (f *rtpFlow) receive(packet *rtp.Packet, audio *Packet, now time.Time) {
	r := &f.in
	r.mu.Lock()
	defer r.mu.Unlock()
	if f.ended.Load() != 0 {
		return
	}
	if !r.known || packet.SSRC != r.ssrc {
		r.changed = r.known
		if r.known {
			r.reception.Restart()
		}
		r.ssrc, r.known = packet.SSRC, true
	}
	payload := packet.Payload
	switch {
	case packet.PayloadType != f.payload:
		r.foreign++
		r.reception.Skip(packet.SequenceNumber)
		payload = nil // events and comfort noise are no audio, but take part in the numbering: nothing is lost there
	case len(payload) == 0:
		r.padding++
		r.reception.Skip(packet.SequenceNumber)
	default:
		if r.received++; r.received == 1 {
			r.first = now
		}
		r.reception.Receive(packet.SequenceNumber, packet.Timestamp, now)
	}
	*audio = Packet{
		Sequence: packet.SequenceNumber, Timestamp: packet.Timestamp,
		Marker: packet.Marker || r.changed, Payload: payload,
	}
	if len(payload) > 0 {
		r.changed = false
	}
	if s := f.sink.Load(); s != nil {
		s.WriteAudio(audio)
	}
}

// Stats returns the flow's counters.
func (f *rtpFlow) Stats() Stats {
	f.in.mu.Lock()
	r := &f.in
	s := Stats{
		PacketsReceived: r.received, PacketsLost: r.reception.Lost(), PacketsLate: r.reception.Late(),
		PaddingOnly: r.padding, Strangers: r.foreign, Jitter: r.reception.Jitter(), FirstReceived: r.first,
	}
	f.in.mu.Unlock()
	f.out.mu.Lock()
	defer f.out.mu.Unlock()
	s.PacketsSent, s.FirstSent = f.out.sent, f.out.first
	return s
}

// Close ends the flow and waits for a packet that is just being delivered; it must not be called from within a Sink.
func (f *rtpFlow) Close() error {
	f.end()
	return nil
}

// end reports whether the flow was open until now. When it returns nothing is being delivered or sent any more.
func (f *rtpFlow) end() bool {
	first := f.ended.CompareAndSwap(0, time.Now().UnixNano())
	f.sink.Store(nil)
	f.in.mu.Lock()
	f.in.mu.Unlock() //nolint:staticcheck // waits for the reader
	f.out.mu.Lock()
	f.out.mu.Unlock() //nolint:staticcheck // waits for a sender
	return first
}

// endedFor returns how long ago the flow was closed; 0 if it is open.
func (f *rtpFlow) endedFor(now time.Time) time.Duration {
	at := f.ended.Load()
	if at == 0 {
		return 0
	}
	return time.Duration(now.UnixNano() - at)
}
