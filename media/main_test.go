package media

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sentPacket is a Packet that owns its bytes, and when it was sent.
type sentPacket struct {
	Packet
	at time.Time
}

// deskFlow is a Flow whose two ends are the test: what is written to it is kept, hear delivers to what is attached.
type deskFlow struct {
	format Format
	sink   Sink
	mu     sync.Mutex
	sent   []sentPacket  // guarded by mu: the wheel sends too
	loss   atomic.Uint64 // Stats().RemoteLoss, in percent; the wheel asks for it
	mute   bool          // count only, for measurements
	count  int
}

func (f *deskFlow) Format() Format { return f.format }
func (f *deskFlow) Attach(s Sink)  { f.sink = s }
func (f *deskFlow) Stats() Stats   { return Stats{RemoteLoss: float64(f.loss.Load()) / 100} }
func (f *deskFlow) Close() error   { return nil }

func (f *deskFlow) WriteAudio(p *Packet) {
	f.count++
	if f.mute {
		return
	}
	kept := *p
	kept.Payload = append([]byte(nil), p.Payload...)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent = append(f.sent, sentPacket{kept, time.Now()})
}

// packets returns what was sent so far.
func (f *deskFlow) packets() []sentPacket {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sent
}

func (f *deskFlow) hear(seq uint16, stamp uint32, payload []byte) {
	if f.sink != nil {
		f.sink.WriteAudio(&Packet{Sequence: seq, Timestamp: stamp, Payload: payload})
	}
}

var (
	opusFormat = Format{Codec: Opus, Rate: 48_000}
	ulawFormat = Format{Codec: PCMU, Rate: 8_000}
	alawFormat = Format{Codec: PCMA, Rate: 8_000}
	wideFormat = Format{Codec: L16, Rate: 16_000}
)
