package media

import "time"

const (
	defaultSlice = 20 * time.Millisecond
	maxPaced     = 120 * time.Millisecond // audio that may wait for its time
)

// pacer cuts samples into packets of the size the far end wants. The first of a burst goes out at once, the others
// when real time has come so far, from the wheel. Everything is guarded by the owning converter's lock.
type pacer struct {
	shape pcmShape
	rate  int
	exact bool // the far end wants packets of just this size: shorter ones wait for the rest
	wheel *Wheel
	timer *WheelTimer

	part   []int16 // the slice being filled; its length is the slice size
	filled int
	partAt uint32 // timestamp of the slice being filled
	marker bool   // of the slice being filled

	payload []byte  // what is sent at once
	queue   []slice // ring
	head    int
	waiting int
	due     time.Time // when the slice at head is due
	number  uint16    // sequence number of the next packet
}

// slice is a packet that waits.
type slice struct {
	payload []byte // of full capacity; size bytes are in use
	size    int
	at      uint32
	marker  bool
	entered time.Time
}

func newPacer(to Format, wheel *Wheel, fire func(time.Time)) pacer {
	shape, _ := shapeOf(to.Codec)
	length := defaultSlice
	if to.Ptime >= 10*time.Millisecond && to.Ptime <= maxPaced {
		length = to.Ptime
	}
	size := int(length * time.Duration(to.Rate) / time.Second)
	p := pacer{
		shape: shape, rate: to.Rate, exact: to.Ptime == length,
		wheel: wheel, timer: NewWheelTimer(fire),
		part: make([]int16, size), payload: make([]byte, size*shape.bytes),
		queue: make([]slice, max(int(maxPaced/length), 1)),
	}
	for i := range p.queue {
		p.queue[i].payload = make([]byte, size*shape.bytes)
	}
	return p
}

// put takes the samples of one packet that arrived at entered and belong at the timestamp at. Urgent ones are overdue
// and go out at once, and so does everything before them.
func (p *pacer) put(d *direction, pcm []int16, at uint32, marker, urgent bool, entered time.Time) {
	if urgent {
		p.flush(d)
	}
	if p.filled > 0 && (marker || at != p.partAt+uint32(p.filled)) {
		p.filled = 0 // the rest of a slice waits for what joins on; its moment is past
	}
	for first := true; len(pcm) > 0; {
		if p.filled == 0 {
			p.partAt, p.marker = at, marker
			marker = false
		}
		n := copy(p.part[p.filled:], pcm)
		p.filled, pcm, at = p.filled+n, pcm[n:], at+uint32(n)
		if p.filled < len(p.part) && p.exact {
			return
		}
		if first && p.waiting == 0 {
			p.due = entered
		}
		p.finish(d, urgent || first && p.waiting == 0, entered)
		first, entered = false, time.Time{}
	}
}

// finish closes the slice being filled and sends it, now or in its turn.
func (p *pacer) finish(d *direction, now bool, entered time.Time) {
	pcm := p.part[:p.filled]
	p.filled = 0
	size := len(pcm) * p.shape.bytes
	if now {
		p.shape.pack(p.payload[:size], pcm)
		p.emit(d, Packet{Timestamp: p.partAt, Marker: p.marker, Payload: p.payload[:size]}, entered)
		return
	}
	if p.waiting == len(p.queue) {
		p.drop(d)
	}
	s := &p.queue[(p.head+p.waiting)%len(p.queue)]
	s.size, s.at, s.marker, s.entered = size, p.partAt, p.marker, entered
	p.shape.pack(s.payload[:size], pcm)
	if p.waiting++; p.waiting == 1 {
		p.wheel.Schedule(p.timer, p.due)
	}
}

// emit sends a packet; what comes after it is due when it has been played.
func (p *pacer) emit(d *direction, pkt Packet, entered time.Time) {
	pkt.Sequence = p.number
	p.number++
	samples := len(pkt.Payload) / p.shape.bytes
	p.due = p.due.Add(time.Duration(samples) * time.Second / time.Duration(p.rate))
	d.pkt = pkt
	d.send(entered)
}

// turn sends what is due at now, and sets the timer for what is not.
func (p *pacer) turn(d *direction, now time.Time) {
	for p.waiting > 0 && !p.due.After(now) {
		p.pop(d)
	}
	if p.waiting > 0 {
		p.wheel.Schedule(p.timer, p.due)
	}
}

// flush sends all that waits.
func (p *pacer) flush(d *direction) {
	for p.waiting > 0 {
		p.pop(d)
	}
}

func (p *pacer) pop(d *direction) {
	s := &p.queue[p.head]
	p.head, p.waiting = (p.head+1)%len(p.queue), p.waiting-1
	p.emit(d, Packet{Timestamp: s.at, Marker: s.marker, Payload: s.payload[:s.size]}, s.entered)
}

// drop throws the oldest slice away, and its time with it.
func (p *pacer) drop(d *direction) {
	p.head, p.waiting = (p.head+1)%len(p.queue), p.waiting-1
	d.stats.SlicesDropped++
}
