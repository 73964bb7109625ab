package voip

import (
	"crypto/rand"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/tgtrunk/tgtrunk/media"
)

const (
	rtpHead    = 12
	srtpExtra  = 32   // room for the authentication tag and the SRTCP index
	maxPayload = 1200 // bytes of audio in one packet: fits every path
	earlyKept  = 8    // packets kept until the keys are there
)

// flow is the call's audio (media.Flow).
type flow struct {
	in  inbound
	out outbound

	format atomic.Pointer[media.Format] // never nil; changed once at most, before the call is established

	closed atomic.Bool
	sink   atomic.Pointer[media.Sink]
	counts counters
}

// inKeys open what comes, and outKeys seal what leaves: srtp.Context, or what takes its place. What they return may be
// a part of dst or of a buffer of their own.
type (
	inKeys interface {
		DecryptRTP(dst, b []byte, header *rtp.Header) ([]byte, error)
		DecryptRTCP(dst, b []byte, header *rtcp.Header) ([]byte, error)
	}
	outKeys interface {
		EncryptRTP(dst, b []byte, header *rtp.Header) ([]byte, error)
		EncryptRTCP(dst, b []byte, header *rtcp.Header) ([]byte, error)
	}
)

// inbound is the receiving half. Everything is guarded by mu unless said otherwise.
type inbound struct {
	mu      sync.Mutex
	keys    inKeys
	header  rtp.Header   // of the packet in hand
	packet  media.Packet // the same, as the sink gets it
	payload uint8        // type that may come
	early   [][]byte     // came before the keys
	measure media.Reception
	peer    senderReport

	ssrc atomic.Uint32 // the peer's audio; 0 until its offer is known. Read without the lock
}

// outbound is the sending half. Everything is guarded by mu unless said otherwise.
type outbound struct {
	mu      sync.Mutex
	keys    outKeys
	header  rtp.Header // of the packet in hand
	buf     [rtpHead + maxPayload + srtpExtra]byte
	ssrc    uint32 // set once
	payload uint8
	ready   bool   // the peer has accepted our offer
	offset  uint32 // set once: added to every timestamp
	number  numbering
	done    departed

	path atomic.Pointer[path] // where packets go; nil until ICE has a pair. Read without the lock
}

// departed is what sender reports tell of the packets sent.
type departed struct {
	stamp    uint32    // timestamp of the last packet with audio
	at       time.Time // when it was sent
	packets  uint32
	octets   uint32 // of audio
	reported uint32 // packets, as of the last report
}

// counters are the figures of media.Stats and Drops that are written on every packet.
type counters struct {
	received, sent, padding, lost, late atomic.Uint64
	strangers, early, unsent, reports   atomic.Uint64 // drops
	firstIn, firstOut                   atomic.Int64  // Unix nanoseconds, 0 until known
	roundTrip, jitter                   atomic.Int64  // nanoseconds
	remoteLoss                          atomic.Uint32 // in 1/256
	remoteLost                          atomic.Uint64 // packets
	remoteJitter                        atomic.Int64  // nanoseconds
}

func newFlow() *flow {
	var seed [12]byte
	rand.Read(seed[:]) // never fails
	f := &flow{}
	f.out.ssrc = max(binary.BigEndian.Uint32(seed[0:]), 1)
	f.out.offset = binary.BigEndian.Uint32(seed[4:])
	f.out.number.newest = binary.BigEndian.Uint16(seed[8:])>>1 | 1<<8 // RFC 3711 wants room before the first wrap
	f.settle(media.Format{Codec: media.Opus, Rate: 48_000})
	return f
}

// Format implements media.Flow.
func (f *flow) Format() media.Format { return *f.format.Load() }

// settle says what the flow carries.
func (f *flow) settle(format media.Format) {
	f.in.mu.Lock()
	defer f.in.mu.Unlock()
	if old := f.format.Load(); old != nil && *old == format {
		return
	}
	f.format.Store(&format)
	f.in.measure.Rate = format.Rate
}

// Attach implements media.Flow.
func (f *flow) Attach(s media.Sink) {
	if s == nil {
		f.sink.Store(nil)
		return
	}
	f.sink.Store(&s)
}

// Close implements media.Flow. It must not be called from within the attached sink.
func (f *flow) Close() error {
	f.closed.Store(true)
	f.in.mu.Lock() // wait for a delivery
	defer f.in.mu.Unlock()
	f.sink.Store(nil)
	return nil
}

// Stats implements media.Flow.
func (f *flow) Stats() media.Stats {
	c := &f.counts
	return media.Stats{
		PacketsReceived: c.received.Load(),
		PacketsSent:     c.sent.Load(),
		PacketsLost:     c.lost.Load(),
		PacketsLate:     c.late.Load(),
		PaddingOnly:     c.padding.Load(),
		Strangers:       c.strangers.Load(),
		Jitter:          time.Duration(c.jitter.Load()),
		RoundTrip:       time.Duration(c.roundTrip.Load()),
		RemoteLoss:      float64(c.remoteLoss.Load()) / 256,
		RemoteLost:      c.remoteLost.Load(),
		RemoteJitter:    time.Duration(c.remoteJitter.Load()),
		FirstReceived:   moment(c.firstIn.Load()),
		FirstSent:       moment(c.firstOut.Load()),
	}
}

func moment(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}

func (f *flow) stranger() { f.counts.strangers.Add(1) }

// knows says whether a packet is RTP of this call's peer, by its SSRC.
func (f *flow) knows(b []byte) bool {
	return len(b) >= rtpHead && !isRTCP(b) && binary.BigEndian.Uint32(b[8:]) == f.in.ssrc.Load()
}

// isRTCP tells RTCP from RTP, RFC 5761 section 4.
func isRTCP(b []byte) bool { return len(b) > 1 && b[1] >= 192 && b[1] <= 223 }

// receive takes an SRTP or SRTCP packet, decrypts it where it lies and delivers the audio. It reports whether the
// packet was authentic.
func (f *flow) receive(b []byte) bool {
	f.in.mu.Lock()
	defer f.in.mu.Unlock()
	if f.closed.Load() {
		return false
	}
	if isRTCP(b) {
		return f.receiveReport(b)
	}
	switch {
	case !f.knows(b):
		if f.in.ssrc.Load() == 0 {
			f.counts.early.Add(1)
		} else {
			f.stranger()
		}
		return false
	case f.in.keys == nil:
		if len(f.in.early) < earlyKept {
			f.in.early = append(f.in.early, append([]byte(nil), b...))
		} else {
			f.counts.early.Add(1)
		}
		return false
	}
	return f.receiveAudio(b)
}

// receiveAudio is receive for RTP of the peer's SSRC. Guarded by in.mu.
func (f *flow) receiveAudio(b []byte) bool {
	in := &f.in
	plain, err := in.keys.DecryptRTP(b[:0], b, &in.header)
	if err != nil {
		f.stranger()
		return false
	}
	payload, ok := payloadOf(plain)
	if !ok || in.header.PayloadType != in.payload {
		f.stranger()
		return true
	}
	now := time.Now()
	if len(payload) == 0 {
		in.measure.Skip(in.header.SequenceNumber)
		f.counts.padding.Add(1)
	} else {
		in.measure.Receive(in.header.SequenceNumber, in.header.Timestamp, now)
		if f.counts.firstIn.Load() == 0 {
			f.counts.firstIn.Store(now.UnixNano())
		}
	}
	f.counts.received.Add(1)
	f.counts.lost.Store(in.measure.Lost())
	f.counts.late.Store(in.measure.Late())
	f.counts.jitter.Store(int64(in.measure.Jitter()))
	if s := f.sink.Load(); s != nil {
		in.packet = media.Packet{
			Sequence:  in.header.SequenceNumber,
			Timestamp: in.header.Timestamp,
			Marker:    in.header.Marker,
			Payload:   payload,
		}
		(*s).WriteAudio(&in.packet)
	}
	return true
}

// payloadOf returns what is between header and padding, RFC 3550 sections 5.1 and 5.3.1; ok is false where the
// packet contradicts itself.
func payloadOf(b []byte) (payload []byte, ok bool) {
	if len(b) < rtpHead {
		return nil, false
	}
	start := rtpHead + 4*int(b[0]&15)
	if b[0]&0x10 != 0 {
		if len(b) < start+4 {
			return nil, false
		}
		start += 4 + 4*int(binary.BigEndian.Uint16(b[start+2:]))
	}
	end := len(b)
	if b[0]&0x20 != 0 {
		padding := int(b[end-1])
		if padding == 0 {
			return nil, false
		}
		end -= padding
	}
	if start > end {
		return nil, false
	}
	return b[start:end], true
}

// expect says what the peer will send, as negotiated.
func (f *flow) expect(ssrc uint32, payload uint8) {
	f.in.mu.Lock()
	defer f.in.mu.Unlock()
	f.in.payload = payload
	if f.in.ssrc.Swap(ssrc) == ssrc {
		return
	}
	f.in.early = nil
	f.in.peer = senderReport{}
	f.in.measure.Restart()
}

// permit says that the peer accepts our audio, with a payload type.
func (f *flow) permit(payload uint8) {
	f.out.mu.Lock()
	defer f.out.mu.Unlock()
	f.out.payload, f.out.ready = payload, true
}

// open gives the flow the keys of what comes before those of what leaves.
func (f *flow) open(in inKeys) {
	f.in.mu.Lock()
	defer f.in.mu.Unlock()
	f.in.keys = in
}

// secure gives the flow its keys. Packets that came too early are received now.
func (f *flow) secure(in inKeys, out outKeys) {
	f.out.mu.Lock()
	f.out.keys = out
	f.out.mu.Unlock()
	f.in.mu.Lock()
	defer f.in.mu.Unlock()
	f.in.keys = in
	for _, b := range f.in.early {
		if f.knows(b) && !f.closed.Load() {
			f.receiveAudio(b)
		}
	}
	f.in.early = nil
}

// WriteAudio implements media.Flow. Small gaps and reordering in p.Sequence are passed on, for the peer to see loss as
// loss. A packet without payload is skipped: it is no audio, and we number what we send.
func (f *flow) WriteAudio(p *media.Packet) {
	if len(p.Payload) == 0 {
		return
	}
	f.out.mu.Lock()
	defer f.out.mu.Unlock()
	o := &f.out
	if !f.mayWrite() || len(p.Payload) > maxPayload {
		f.counts.unsent.Add(1)
		return
	}
	stamp := p.Timestamp + o.offset
	number, ok := o.number.next(p, int32(stamp-o.done.stamp) > 0)
	if !ok {
		f.counts.unsent.Add(1)
		return
	}
	n := o.begin(number, stamp, p.Marker, false)
	n += copy(o.buf[n:], p.Payload)
	if !f.finish(n) {
		return
	}
	if number == o.number.newest {
		o.done.stamp, o.done.at = stamp, time.Now()
	}
	o.done.octets += uint32(len(p.Payload))
	if f.counts.firstOut.Load() == 0 {
		f.counts.firstOut.Store(o.done.at.UnixNano())
	}
}

// WritePadding sends a packet of n bytes of padding (1..255) and no audio, as native engines do to probe for
// bandwidth.
func (f *flow) WritePadding(n int) {
	f.out.mu.Lock()
	defer f.out.mu.Unlock()
	o := &f.out
	if !f.mayWrite() || n < 1 || n > 255 {
		f.counts.unsent.Add(1)
		return
	}
	at := o.begin(o.number.skip(), o.done.stamp, false, true)
	clear(o.buf[at : at+n])
	o.buf[at+n-1] = byte(n)
	f.finish(at + n)
}

// mayWrite says whether a packet can leave. Guarded by out.mu.
func (f *flow) mayWrite() bool {
	return !f.closed.Load() && f.out.ready && f.out.keys != nil && f.out.path.Load() != nil
}

// begin writes the RTP header, RFC 3550 section 5.1, and returns its length. Guarded by out.mu.
func (o *outbound) begin(number uint16, stamp uint32, marker, padding bool) int {
	o.buf[0] = 2 << 6
	if padding {
		o.buf[0] |= 0x20
	}
	o.buf[1] = o.payload & 127
	if marker {
		o.buf[1] |= 0x80
	}
	binary.BigEndian.PutUint16(o.buf[2:], number)
	binary.BigEndian.PutUint32(o.buf[4:], stamp)
	binary.BigEndian.PutUint32(o.buf[8:], o.ssrc)
	return rtpHead
}

// finish encrypts and sends the n bytes in buf. Guarded by out.mu.
func (f *flow) finish(n int) bool {
	o := &f.out
	sealed, err := o.keys.EncryptRTP(o.buf[:0], o.buf[:n], &o.header)
	if err != nil {
		f.counts.unsent.Add(1)
		return false
	}
	o.done.packets++
	f.counts.sent.Add(1)
	o.path.Load().write(sealed)
	return true
}
