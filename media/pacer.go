package media

import "time"

const (
	defaultSlice = 20 * time.Millisecond
	maxPaced     = 120 * time.Millisecond // the longest packet there is
	// clockRelax is the part of a packet's lateness by which the schedule gives way: within seconds it follows a path
	// that has become longer, or a sender whose clock is slow.
	clockRelax = 64
)

// pacer cuts samples into packets of the size the far end wants and sends each when real time has come so far.
//
// The schedule is that of the packets that came through fastest. A packet that was held up goes out at once with all
// its slices that are overdue, and delays nothing behind it: no packet waits here for another, delay never builds up,
// and nothing is thrown away. Everything is guarded by the owning converter's lock.
type pacer struct {
	shape pcmShape
	rate  int
	exact bool // the far end wants packets of just this size: shorter ones wait for the rest
	wheel *Wheel
	timer *WheelTimer

	part    partial
	payload []byte // what is sent at once
	queue   sliceQueue
	clock   schedule
	number  uint16 // sequence number of the next packet
}

// schedule says when a timestamp is due.
type schedule struct {
	rate     int
	origin   time.Time // when originAt is due; zero before the first packet
	originAt uint32
}

func (s *schedule) due(at uint32) time.Time {
	return s.origin.Add(time.Duration(int32(at-s.originAt)) * time.Second / time.Duration(s.rate))
}

// follow moves the schedule to a packet that arrived at entered.
func (s *schedule) follow(at uint32, restart bool, entered time.Time) {
	due := s.due(at)
	if late := entered.Sub(due); restart || s.origin.IsZero() || late < 0 {
		due = entered
	} else {
		due = due.Add(late / clockRelax)
	}
	s.origin, s.originAt = due, at
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
	due     time.Time
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

// first returns the oldest slice; there must be one.
func (q *sliceQueue) first() *slice { return &q.slots[q.head] }

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
		clock: schedule{rate: to.Rate},
		part:  partial{pcm: make([]int16, size)}, payload: make([]byte, size*shape.bytes),
		queue: sliceQueue{slots: make([]slice, max(int(maxPaced/length), 1))},
	}
	for i := range p.queue.slots {
		p.queue.slots[i].payload = make([]byte, size*shape.bytes)
	}
	return p
}

// put takes the samples of one packet that arrived at entered and belong at the timestamp at. Their arrival means that
// everything before them is overdue.
func (p *pacer) put(d *direction, pcm []int16, at uint32, marker bool, entered time.Time) {
	p.flush(d)
	p.clock.follow(at, marker, entered)
	p.cut(d, pcm, at, marker, entered)
}

// fill takes samples in place of lost ones. Their time has passed.
func (p *pacer) fill(d *direction, pcm []int16, at uint32) {
	p.flush(d)
	p.cut(d, pcm, at, false, time.Time{})
}

// cut makes slices and sends those that are due at now, all of them where now is zero. The delay of a first slice
// counts from now.
func (p *pacer) cut(d *direction, pcm []int16, at uint32, marker bool, now time.Time) {
	part := &p.part
	if part.filled > 0 && (marker || at != part.at+uint32(part.filled)) {
		part.filled = 0 // the rest of a slice waits for what joins on; its moment is past
	}
	for entered := now; len(pcm) > 0; entered = (time.Time{}) {
		if part.filled == 0 {
			part.at, part.marker = at, marker
			marker = false
		}
		n := copy(part.pcm[part.filled:], pcm)
		part.filled, pcm, at = part.filled+n, pcm[n:], at+uint32(n)
		if part.filled < len(part.pcm) && p.exact {
			return
		}
		p.finish(d, now, entered)
	}
}

// finish closes the slice being filled and sends it if it is due at now, or now is zero; else in its turn.
func (p *pacer) finish(d *direction, now, entered time.Time) {
	pcm := p.part.pcm[:p.part.filled]
	p.part.filled = 0
	size := len(pcm) * p.shape.bytes
	due := p.clock.due(p.part.at)
	if now.IsZero() || !due.After(now) || p.queue.full() {
		p.flush(d)
		p.shape.pack(p.payload[:size], pcm)
		p.emit(d, Packet{Timestamp: p.part.at, Marker: p.part.marker, Payload: p.payload[:size]}, entered)
		return
	}
	s := p.queue.push()
	s.size, s.at, s.marker, s.due = size, p.part.at, p.part.marker, due
	p.shape.pack(s.payload[:size], pcm)
	if p.queue.waiting == 1 {
		p.wheel.Schedule(p.timer, due)
	}
}

func (p *pacer) emit(d *direction, pkt Packet, entered time.Time) {
	pkt.Sequence = p.number
	p.number++
	d.pkt = pkt
	d.send(entered)
}

// turn sends what is due at now, and sets the timer for what is not.
func (p *pacer) turn(d *direction, now time.Time) {
	for p.queue.waiting > 0 && !p.queue.first().due.After(now) {
		p.pop(d)
	}
	if p.queue.waiting > 0 {
		p.wheel.Schedule(p.timer, p.queue.first().due)
	}
}

// flush sends all that waits.
func (p *pacer) flush(d *direction) {
	for p.queue.waiting > 0 {
		p.pop(d)
	}
}

func (p *pacer) pop(d *direction) {
	s := p.queue.pop()
	p.emit(d, Packet{Timestamp: s.at, Marker: s.marker, Payload: s.payload[:s.size]}, time.Time{})
}
