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

	part    partial
	payload []byte // what is sent at once
	queue   sliceQueue
	due     time.Time // when the next slice is due
	number  uint16    // sequence number of the next packet
}

// partial is the slice that is being filled.
type partial struct {
	pcm    []int16 // its length is the slice size
	filled int
	at     uint32 // timestamp
	marker bool
}

// slice is a packet that waits.
type slice struct {
	payload []byte // of full capacity; size bytes are in use
	size    int
	at      uint32
	marker  bool
	entered time.Time
}

// sliceQueue is a ring of slices.
type sliceQueue struct {
	slots   []slice
	head    int
	waiting int
}

func (q *sliceQueue) full() bool { return q.waiting == len(q.slots) }

// push returns the slot behind the last; there must be one.
func (q *sliceQueue) push() *slice {
	s := &q.slots[(q.head+q.waiting)%len(q.slots)]
	q.waiting++
	return s
}

// pop returns the oldest slice, valid until the next push; there must be one.
func (q *sliceQueue) pop() *slice {
	s := &q.slots[q.head]
	q.head, q.waiting = (q.head+1)%len(q.slots), q.waiting-1
	return s
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
		part: partial{pcm: make([]int16, size)}, payload: make([]byte, size*shape.bytes),
		queue: sliceQueue{slots: make([]slice, max(int(maxPaced/length), 1))},
	}
	for i := range p.queue.slots {
		p.queue.slots[i].payload = make([]byte, size*shape.bytes)
	}
	return p
}

// put takes the samples of one packet that arrived at entered and belong at the timestamp at. Urgent ones are overdue
// and go out at once, and so does everything before them.
func (p *pacer) put(d *direction, pcm []int16, at uint32, marker, urgent bool, entered time.Time) {
	if urgent {
		p.flush(d)
	}
	part := &p.part
	if part.filled > 0 && (marker || at != part.at+uint32(part.filled)) {
		part.filled = 0 // the rest of a slice waits for what joins on; its moment is past
	}
	for first := true; len(pcm) > 0; {
		if part.filled == 0 {
			part.at, part.marker = at, marker
			marker = false
		}
		n := copy(part.pcm[part.filled:], pcm)
		part.filled, pcm, at = part.filled+n, pcm[n:], at+uint32(n)
		if part.filled < len(part.pcm) && p.exact {
			return
		}
		free := first && p.queue.waiting == 0
		if free {
			p.due = entered
		}
		p.finish(d, urgent || free, entered)
		first, entered = false, time.Time{}
	}
}

// finish closes the slice being filled and sends it, now or in its turn.
func (p *pacer) finish(d *direction, now bool, entered time.Time) {
	pcm := p.part.pcm[:p.part.filled]
	p.part.filled = 0
	size := len(pcm) * p.shape.bytes
	if now {
		p.shape.pack(p.payload[:size], pcm)
		p.emit(d, Packet{Timestamp: p.part.at, Marker: p.part.marker, Payload: p.payload[:size]}, entered)
		return
	}
	if p.queue.full() {
		p.queue.pop() // its time goes with it, so that the others catch up
		d.stats.SlicesDropped++
	}
	s := p.queue.push()
	s.size, s.at, s.marker, s.entered = size, p.part.at, p.part.marker, entered
	p.shape.pack(s.payload[:size], pcm)
	if p.queue.waiting == 1 {
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
	for p.queue.waiting > 0 && !p.due.After(now) {
		p.emitNext(d)
	}
	if p.queue.waiting > 0 {
		p.wheel.Schedule(p.timer, p.due)
	}
}

// flush sends all that waits.
func (p *pacer) flush(d *direction) {
	for p.queue.waiting > 0 {
		p.emitNext(d)
	}
}

func (p *pacer) emitNext(d *direction) {
	s := p.queue.pop()
	p.emit(d, Packet{Timestamp: s.at, Marker: s.marker, Payload: s.payload[:s.size]}, s.entered)
}
