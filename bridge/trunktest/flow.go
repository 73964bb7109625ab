package trunktest

import (
	"log/slog"
	"sync"
	"time"

	"github.com/tgtrunk/tgtrunk/media"
)

// Flow is a media.Flow whose far end is the test: Hear gives it what the party says, its Stats count both ways.
type Flow struct {
	mu     sync.Mutex // guards what follows
	sink   media.Sink
	stats  media.Stats
	closed bool
}

// NewFlow returns an open flow.
func NewFlow() *Flow { return &Flow{} }

// Format is 8 kHz µ-law, which every PBX has.
func (f *Flow) Format() media.Format {
	return media.Format{Codec: media.PCMU, Rate: 8000, Ptime: 20 * time.Millisecond}
}

// WriteAudio counts what is sent to the party.
func (f *Flow) WriteAudio(*media.Packet) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.stats.PacketsSent++
	}
}

// Attach sets where Hear delivers.
func (f *Flow) Attach(s media.Sink) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sink = s
}

// Hear delivers one packet from the party to the attached sink.
func (f *Flow) Hear(p *media.Packet) {
	f.mu.Lock()
	sink := f.sink
	if f.closed {
		sink = nil
	} else {
		f.stats.PacketsReceived++
	}
	f.mu.Unlock()
	if sink != nil {
		sink.WriteAudio(p)
	}
}

// Stats returns the counters, after Close too.
func (f *Flow) Stats() media.Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stats
}

// Close ends the flow.
func (f *Flow) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	return nil
}

// Attached reports whether audio from the party goes anywhere.
func (f *Flow) Attached() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sink != nil
}

// Cross connects two flows of one format, as Options.Connect of a bridge.Exchange under test.
func Cross(_ *slog.Logger, a, b media.Flow) (stop func(), err error) {
	a.Attach(b)
	b.Attach(a)
	return func() { a.Attach(nil); b.Attach(nil) }, nil
}
