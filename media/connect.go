package media

import (
	"fmt"
	"log/slog"
	"time"
)

const (
	// A phone's packets may be held up in a radio network, and its timestamps stand still while it is muted.
	phonePatience = time.Second
	// A PBX is on the same network.
	pbxPatience = 400 * time.Millisecond
)

// Options are the choices of one Connection. The zero value is good where no codec is converted.
type Options struct {
	Wheel   *Wheel       // the process's wheel; needed where Opus is converted
	Profile Profile      // how to encode Opus; default Auto
	Log     *slog.Logger // default: discard
}

// Connection is two flows that hear each other, until Stop.
type Connection struct {
	a, b    Flow
	ab, ba  converter
	adapter *adapter // nil where no profile is chosen by loss
}

// Connect joins two flows in both directions, converting where their formats differ; what is found out, it finds out
// once, here. Timestamps are kept; every flow's Ptime is honoured for G.711 and L16 (0: 20 ms slices and whatever is
// shorter) and ignored for Opus, which leaves in packets as long as they came.
//
// It returns ErrFormat where there is no conversion, ErrNoOpus where this build lacks it, ErrNoWheel where Options
// lack it; then nothing has been attached. A flow takes part in one Connection at a time.
func Connect(a, b Flow, o Options) (*Connection, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if a == nil || b == nil {
		return nil, fmt.Errorf("connect audio: %w: a flow is missing", ErrFormat)
	}
	ab, err := newConverter(a.Format(), b, o)
	if err != nil {
		return nil, fmt.Errorf("connect audio: %w", err)
	}
	ba, err := newConverter(b.Format(), a, o)
	if err != nil {
		return nil, fmt.Errorf("connect audio: %w", err)
	}
	c := &Connection{a: a, b: b, ab: ab, ba: ba}
	if o.Profile == Auto && o.Wheel != nil {
		if encoder, ok := ab.(*pcmToOpus); ok {
			c.adapter = newAdapter(encoder, b, o.Wheel, o.Log)
		} else if encoder, ok := ba.(*pcmToOpus); ok {
			c.adapter = newAdapter(encoder, a, o.Wheel, o.Log)
		}
	}
	a.Attach(ab)
	b.Attach(ba)
	return c, nil
}

// Stop parts the flows and leaves them open. After it returned the connection delivers nothing more. It is
// idempotent, and must not be called from within a Sink.
func (c *Connection) Stop() {
	c.a.Attach(nil)
	c.b.Attach(nil)
	c.ab.stop()
	c.ba.stop()
	if c.adapter != nil {
		c.adapter.stop()
	}
}

// Stats returns the counters of both directions. It may be called at any time, after Stop too.
func (c *Connection) Stats() ConnectionStats {
	return ConnectionStats{AtoB: c.ab.snapshot(), BtoA: c.ba.snapshot()}
}

// ConnectionStats are the counters of a Connection.
type ConnectionStats struct {
	AtoB, BtoA DirectionStats
}

// DirectionStats counts what one direction of a Connection did.
type DirectionStats struct {
	Conversion   string  // "opus→PCMU"; "PCMU" where packets pass untouched
	Profile      Profile // how Opus is encoded at present; Auto where it is not encoded
	PacketsIn    uint64  // packets with audio
	PacketsOut   uint64
	Concealed    time.Duration // audio made up or recovered in place of lost packets
	FECRecovered uint64        // packets recovered from redundancy, part of Concealed
	Late         uint64        // packets behind a newer one, or repeated
	Stale        uint64        // packets dropped because a stall held them back, or because they belong to no stream
	Malformed    uint64        // packets that were no audio of the format
	Jumps        uint64        // breaks of the source's clock that were bridged, and gaps too long to conceal
	Latency      Latency       // from arrival to departure of a packet's first slice, our processing included
}

// Latency sums up a distribution.
type Latency struct {
	Count    uint64
	P50, P99 time.Duration // upper bounds, within 25 %
}

// newConverter returns what turns from's audio into what out speaks.
func newConverter(from Format, out Flow, o Options) (converter, error) {
	to := out.Format()
	if err := checkFormat(from); err != nil {
		return nil, err
	}
	if err := checkFormat(to); err != nil {
		return nil, err
	}
	switch {
	case from.Codec == Opus && to.Codec != Opus:
		return newOpusToPCM(to, out, o.Wheel)
	case from.Codec != Opus && to.Codec == Opus:
		return newPCMToOpus(from, out, o.Profile)
	}
	if r := newRelay(from, to, out); r != nil {
		return r, nil
	}
	return nil, fmt.Errorf("%w: %s/%d to %s/%d needs a resampler",
		ErrFormat, from.Codec, from.Rate, to.Codec, to.Rate)
}

func checkFormat(f Format) error {
	ok := false
	switch f.Codec {
	case Opus:
		ok = f.Rate == opusClock
	case PCMU, PCMA:
		ok = f.Rate == 8_000
	case L16:
		ok = opusRate(f.Rate)
	}
	if !ok {
		return fmt.Errorf("%w: %s/%d", ErrFormat, f.Codec, f.Rate)
	}
	return nil
}

func patienceOf(f Format) time.Duration {
	if f.Codec == Opus {
		return phonePatience
	}
	return pbxPatience
}
