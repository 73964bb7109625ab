package media

import (
	"log/slog"
	"time"
)

// Options are the choices of one Connection. The zero value is good where no codec is converted.
type Options struct {
	Wheel   *Wheel       // the process's wheel; needed where Opus is converted
	Profile Profile      // how to encode Opus; default Auto
	Log     *slog.Logger // default: discard
}

// Connection is two flows that hear each other, until Stop.
type Connection struct{}

// Connect joins two flows in both directions, converting where their formats differ. It returns ErrFormat where
// there is no conversion and ErrNoOpus where this build lacks it; then nothing has been attached.
func Connect(a, b Flow, o Options) (*Connection, error) { return nil, ErrFormat }

// Stop parts the flows and leaves them open. After it returned the connection delivers nothing more. It is
// idempotent, and must not be called from within a Sink.
func (c *Connection) Stop() {}

// Stats returns the counters of both directions.
func (c *Connection) Stats() ConnectionStats { return ConnectionStats{} }

// ConnectionStats are the counters of a Connection.
type ConnectionStats struct {
	AtoB, BtoA DirectionStats
}

// DirectionStats counts what one direction of a Connection did.
type DirectionStats struct {
	Conversion    string  // "opus→PCMU"; "PCMU" where packets pass untouched
	Profile       Profile // how Opus is encoded at present; Auto where it is not encoded
	PacketsIn     uint64  // packets with audio
	PacketsOut    uint64
	Concealed     time.Duration // audio made up or recovered in place of lost packets
	FECRecovered  uint64        // packets recovered from redundancy, part of Concealed
	SlicesDropped uint64        // paced slices thrown away because the source sent faster than real time
	Late          uint64        // packets that came after their place had been concealed, or twice
	Malformed     uint64        // packets that were no audio of the format
	Jumps         uint64        // breaks of the source's timestamps that were bridged
	Latency       Latency       // from arrival to departure of a packet's first slice, our processing included
}

// Latency sums up a distribution.
type Latency struct {
	Count    uint64
	P50, P99 time.Duration // upper bounds, within 20 %
}
