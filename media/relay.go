package media

import "time"

// relay passes packets between two flows of the same clock: untouched, or recoded from one G.711 law or linear PCM
// to another.
type relay struct {
	direction
	length func(payload []byte) int64        // ticks; 0: malformed
	recode func(out, payload []byte) (n int) // nil: pass the payload itself
	buffer []byte                            // what recode writes to
	shift  uint16                            // guarded by mu: output sequence number = input + shift
	last   uint16                            // the newest output sequence number
}

// newRelay returns nil if the two formats need more than a table.
func newRelay(from, to Format, out Sink) *relay {
	r := &relay{direction: direction{out: out, line: timeline{rate: from.Rate, patience: patienceOf(from)}}}
	r.stats.Conversion = from.Codec.String()
	if from.Codec == Opus && to.Codec == Opus {
		r.length = opusTicks
		return r
	}
	a, okA := shapeOf(from.Codec)
	b, okB := shapeOf(to.Codec)
	if !okA || !okB || from.Rate != to.Rate {
		return nil
	}
	r.length = func(payload []byte) int64 { return int64(a.samples(payload)) }
	if from.Codec == to.Codec {
		return r
	}
	r.stats.Conversion = from.Codec.String() + "→" + to.Codec.String()
	r.buffer = make([]byte, longest(from.Rate)*b.bytes)
	switch {
	case from.Codec == PCMU && to.Codec == PCMA:
		r.recode = recodeLaw(ulawToALaw)
	case from.Codec == PCMA && to.Codec == PCMU:
		r.recode = recodeLaw(alawToULaw)
	default:
		pcm := make([]int16, longest(from.Rate))
		r.recode = func(out, payload []byte) int {
			n := a.samples(payload)
			a.unpack(pcm[:n], payload)
			b.pack(out[:n*b.bytes], pcm[:n])
			return n * b.bytes
		}
	}
	return r
}

func recodeLaw(table *[256]byte) func(out, payload []byte) int {
	return func(out, payload []byte) int {
		for i, c := range payload {
			out[i] = table[c]
		}
		return len(payload)
	}
}

// WriteAudio passes one packet on. Gaps in the sequence stay gaps, so that the far end can tell loss from a pause
// and use the redundancy of what follows; packets without audio are taken out of the numbering.
func (r *relay) WriteAudio(p *Packet) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	if len(p.Payload) == 0 {
		r.line.skip(p.Sequence)
		return
	}
	length := r.length(p.Payload)
	if length <= 0 || r.recode != nil && length > int64(longest(r.line.rate)) {
		r.stats.Malformed++
		return
	}
	at, ok := r.locate(p, length, now)
	if !ok && at.standing != late { // the far end has a buffer in which a late packet may still find its place
		return
	}
	if ok {
		r.shift = r.last + 1 + uint16(at.lost) - p.Sequence
	}
	r.pkt = Packet{
		Sequence:  p.Sequence + r.shift,
		Timestamp: uint32(at.at),
		Marker:    p.Marker || at.standing == resumed || at.standing == jumped,
		Payload:   p.Payload,
	}
	if !ok {
		r.pkt.Marker = false
	} else {
		r.last = r.pkt.Sequence
	}
	if r.recode != nil {
		r.pkt.Payload = r.buffer[:r.recode(r.buffer, p.Payload)]
	}
	r.send(now)
	r.pkt.Payload = nil // it is not ours
}

func opusTicks(payload []byte) int64 {
	info, err := InspectOpus(payload)
	if err != nil {
		return 0
	}
	return int64(info.Samples(opusClock))
}
