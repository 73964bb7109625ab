package media

import (
	"fmt"
	"log/slog"
	"time"
)

const (
	// maxOpusPayload holds any packet the profiles make, with room to spare: 60 ms at 48 kbit/s are 360 bytes.
	maxOpusPayload = 1400
	opusChunk      = 60 * time.Millisecond // the longest packet libopus encodes in one call
)

// pcmToOpus encodes what a PBX speaks for a phone: a packet in is a packet out, at once. Only lengths that Opus does
// not have (30, 50 ms) become two.
type pcmToOpus struct {
	direction
	from    Format
	shape   pcmShape
	chunks  []int // packet lengths of Opus in samples, longest first
	mul     int64 // Opus ticks a sample
	pcm     []int16
	payload []byte
	number  uint16

	encoder *OpusEncoder // guarded by mu; replaced when the profile changes
}

func newPCMToOpus(from Format, out Sink, p Profile) (*pcmToOpus, error) {
	encoder, err := NewOpusEncoder(from.Rate, p)
	if err != nil {
		return nil, err
	}
	shape, _ := shapeOf(from.Codec)
	c := &pcmToOpus{
		direction: direction{out: out, line: timeline{rate: from.Rate, patience: patienceOf(from)}},
		from:      from,
		shape:     shape,
		mul:       int64(opusClock / from.Rate),
		pcm:       make([]int16, longest(from.Rate)),
		payload:   make([]byte, maxOpusPayload),
		encoder:   encoder,
	}
	for chunk := opusChunk; chunk >= 2500*time.Microsecond; {
		c.chunks = append(c.chunks, int(chunk*time.Duration(from.Rate)/time.Second))
		if chunk == opusChunk {
			chunk = 40 * time.Millisecond
		} else {
			chunk /= 2
		}
	}
	c.stats.Conversion = from.Codec.String() + "→" + Opus.String()
	c.stats.Profile = encoder.Profile()
	return c, nil
}

// WriteAudio encodes one packet. What the PBX lost is not made up: the timestamp says it, and the phone's own
// concealment knows more of what it has played.
func (c *pcmToOpus) WriteAudio(p *Packet) {
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
	n := c.shape.samples(p.Payload)
	if n < c.chunks[len(c.chunks)-1] || n%c.chunks[len(c.chunks)-1] != 0 || n > len(c.pcm) {
		c.stats.Malformed++
		return
	}
	at, ok := c.locate(p, int64(n), now)
	if !ok {
		return
	}
	pcm := c.pcm[:n]
	c.shape.unpack(pcm, p.Payload)
	c.encode(pcm, at.at*c.mul, p.Marker || at.standing == resumed || at.standing == jumped, now)
}

// encode sends pcm in as few packets as Opus allows.
func (c *pcmToOpus) encode(pcm []int16, at int64, marker bool, entered time.Time) {
	for _, chunk := range c.chunks {
		for len(pcm) >= chunk {
			n, err := c.encoder.Encode(pcm[:chunk], c.payload)
			if err == nil {
				c.pkt = Packet{Sequence: c.number, Timestamp: uint32(at), Marker: marker, Payload: c.payload[:n]}
				c.number++
				c.send(entered)
			} else {
				c.stats.Malformed++
			}
			pcm, at, marker, entered = pcm[chunk:], at+int64(chunk)*c.mul, false, time.Time{}
		}
	}
}

// use changes the profile from the next packet on.
func (c *pcmToOpus) use(p Profile) error {
	encoder, err := NewOpusEncoder(c.from.Rate, p)
	if err != nil {
		return fmt.Errorf("change opus profile to %s: %w", p, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.encoder, c.stats.Profile = encoder, p
	return nil
}

const (
	lossPoll  = 2 * time.Second // the figure comes with the phone's receiver reports, every few seconds
	lossHigh  = 0.03            // above it redundancy pays
	lossLow   = 0.01            // below it for lossQuiet it does no longer
	lossQuiet = 30 * time.Second
)

// lossWatch chooses the profile by the loss the phone reports.
type lossWatch struct {
	robust bool
	quiet  time.Time // since when the loss has been low; zero: it is not
}

// next takes the loss of late and returns the profile to use.
func (w *lossWatch) next(loss float64, now time.Time) Profile {
	switch {
	case loss > lossHigh:
		w.robust, w.quiet = true, time.Time{}
	case loss >= lossLow:
		w.quiet = time.Time{}
	case w.quiet.IsZero():
		w.quiet = now
	case now.Sub(w.quiet) >= lossQuiet:
		w.robust = false
	}
	if w.robust {
		return Robust
	}
	return Lean
}

// adapter lets a lossWatch act on an encoder, from the wheel.
type adapter struct {
	encoder *pcmToOpus
	flow    Flow // the phone
	wheel   *Wheel
	timer   *WheelTimer
	watch   lossWatch // wheel's goroutine only
	current Profile   // wheel's goroutine only
	log     *slog.Logger
}

func newAdapter(encoder *pcmToOpus, flow Flow, wheel *Wheel, log *slog.Logger) *adapter {
	a := &adapter{encoder: encoder, flow: flow, wheel: wheel, log: log, current: Lean}
	a.timer = NewWheelTimer(a.check)
	wheel.Schedule(a.timer, time.Now().Add(lossPoll))
	return a
}

func (a *adapter) check(now time.Time) {
	loss := a.flow.Stats().RemoteLoss
	if p := a.watch.next(loss, now); p != a.current {
		if err := a.encoder.use(p); err != nil {
			a.log.Error("change opus profile", "err", err)
		} else {
			a.log.Info("opus profile changed", "profile", p.String(), "remote_loss", loss)
			a.current = p
		}
	}
	a.encoder.mu.Lock()
	defer a.encoder.mu.Unlock()
	if !a.encoder.closed { // under the lock that stop takes, or a timer could outlive the connection
		a.wheel.Schedule(a.timer, now.Add(lossPoll))
	}
}

func (a *adapter) stop() { a.wheel.Cancel(a.timer) }
