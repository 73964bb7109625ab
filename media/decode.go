package media

import (
	"fmt"
	"time"
)

const (
	opusClock  = 48_000                // RTP clock of Opus, whatever is inside (RFC 7587 §4.1)
	opusGrain  = opusClock / 400       // 2.5 ms: what libopus conceals is a multiple of it
	maxConceal = 120 * opusClock / 1e3 // ticks; beyond it an extrapolation is noise
)

// opusToPCM decodes a phone's Opus to what a PBX speaks, straight at the PBX's rate.
type opusToPCM struct {
	direction
	pace    pacer
	decoder *OpusDecoder
	div     int64   // Opus ticks a sample
	pcm     []int16 // room for the longest packet
	length  int64   // of the newest packet, ticks; guarded by mu
}

func newOpusToPCM(to Format, out Sink, wheel *Wheel) (*opusToPCM, error) {
	decoder, err := NewOpusDecoder(to.Rate)
	if err != nil {
		return nil, err
	}
	if wheel == nil {
		return nil, fmt.Errorf("convert opus: %w", ErrNoWheel)
	}
	c := &opusToPCM{
		direction: direction{out: out, line: timeline{rate: opusClock, patience: phonePatience}},
		decoder:   decoder,
		div:       int64(opusClock / to.Rate),
		pcm:       make([]int16, longest(to.Rate)),
	}
	c.stats.Conversion = Opus.String() + "→" + to.Codec.String()
	c.pace = newPacer(to, wheel, c.turn)
	return c, nil
}

// WriteAudio decodes one packet, after what was lost before it.
func (c *opusToPCM) WriteAudio(p *Packet) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	if len(p.Payload) == 0 {
		c.line.skip(p.Sequence)
		return
	}
	info, err := InspectOpus(p.Payload)
	if err != nil {
		c.stats.Malformed++
		return
	}
	length := int64(info.Samples(opusClock))
	at, ok := c.locate(p, length, now)
	if !ok {
		return
	}
	marker := p.Marker || at.standing == resumed || at.standing == jumped
	switch {
	case at.standing == gap && at.missing <= maxConceal:
		c.conceal(p.Payload, info, at)
	case at.standing == gap:
		marker = true
		c.stats.Jumps++
		c.decoder.Reset()
	case at.standing == jumped:
		c.decoder.Reset()
	}
	c.length = length
	n, err := c.decoder.Decode(p.Payload, c.pcm)
	if err != nil { // well-formed outside, broken inside: the listener gets what a lost packet gets
		c.stats.Malformed++
		if n, err = c.decoder.Conceal(c.pcm[:length/c.div]); err != nil {
			return
		}
	}
	c.pace.put(&c.direction, c.pcm[:n], uint32(at.at/c.div), marker, now)
}

// conceal fills the time that is missing before a packet: the last lost packet from the redundancy in this one, where
// it has any, and what was lost before that by extrapolation.
func (c *opusToPCM) conceal(payload []byte, info OpusPacket, at place) {
	missing := at.missing - at.missing%opusGrain
	start := at.at - missing
	last := c.length
	if each := missing / int64(at.lost); each*int64(at.lost) == missing && each%opusGrain == 0 {
		last = each
	}
	last = min(last, missing)
	if early := missing - last; early > 0 {
		n, err := c.decoder.Conceal(c.pcm[:early/c.div])
		c.fill(n, err, start)
		start += early
	}
	if last == 0 {
		return
	}
	hole := c.pcm[:last/c.div]
	if info.Redundancy && last >= int64(info.FrameDuration*opusClock/time.Second) {
		n, err := c.decoder.DecodeFEC(payload, hole)
		if err == nil {
			c.stats.FECRecovered++
		}
		c.fill(n, err, start)
		return
	}
	n, err := c.decoder.Conceal(hole)
	c.fill(n, err, start)
}

// fill sends n samples of c.pcm in place of lost ones: their time has passed, so they go at once.
func (c *opusToPCM) fill(n int, err error, at int64) {
	if err != nil {
		return
	}
	c.stats.Concealed += time.Duration(n) * time.Second / time.Duration(c.pace.rate)
	c.pace.fill(&c.direction, c.pcm[:n], uint32(at/c.div))
}

// turn is called by the wheel when a slice is due.
func (c *opusToPCM) turn(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.pace.turn(&c.direction, now)
	}
}

func (c *opusToPCM) stop() {
	c.direction.stop()
	c.pace.wheel.Cancel(c.pace.timer)
}
