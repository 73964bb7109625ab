//go:build cgo

package media

import (
	"net"
	"testing"
	"time"
)

// benchLine is one direction of a connection under measurement: packets of a stream, one after the other for ever.
type benchLine struct {
	from, to *deskFlow
	packets  [][]byte
	step     uint32
	lose     int // every so many packets one is lost; 0: none
	n        int
	c        *Connection
	packet   Packet // the caller's, as a reader would keep it
}

func newBenchLine(tb testing.TB, from, to Format, packets [][]byte, step uint32, o Options) *benchLine {
	tb.Helper()
	if o.Wheel == nil {
		o.Wheel = NewWheel() // it does not turn: full queues are emptied by what comes next
	}
	l := &benchLine{
		from: &deskFlow{format: from}, to: &deskFlow{format: to, mute: true}, packets: packets, step: step,
	}
	c, err := Connect(l.from, l.to, o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Stop)
	// Packets follow each other faster than real time here; a moment without the CPU must not pass for a pause.
	switch d := c.ab.(type) {
	case *relay:
		d.line.patience = time.Hour
	case *opusToPCM:
		d.line.patience = time.Hour
	case *pcmToOpus:
		d.line.patience = time.Hour
	}
	l.c = c
	return l
}

func (l *benchLine) next() {
	if l.n++; l.lose > 0 && l.n%l.lose == 0 {
		l.n++
	}
	l.packet = Packet{Sequence: uint16(l.n), Timestamp: uint32(l.n) * l.step, Payload: l.packets[l.n%len(l.packets)]}
	l.from.sink.WriteAudio(&l.packet)
}

// lines are the conversions of real calls.
func lines(tb testing.TB) map[string]*benchLine {
	phone20, phone60 := speechStream(tb, Robust, 48_000, 20*ms, 100), speechStream(tb, Robust, 48_000, 60*ms, 40)
	narrow, wide := pbxStream(ulawFormat, 600, 20*ms, 50), pbxStream(wideFormat, 600, 20*ms, 50)
	l := map[string]*benchLine{
		"opus 20 ms to opus":         newBenchLine(tb, opusFormat, opusFormat, phone20, 960, Options{}),
		"opus 20 ms to PCMU":         newBenchLine(tb, opusFormat, ulawFormat, phone20, 960, Options{}),
		"opus 60 ms to PCMU":         newBenchLine(tb, opusFormat, ulawFormat, phone60, 2880, Options{}),
		"opus 60 ms to L16 16k":      newBenchLine(tb, opusFormat, wideFormat, phone60, 2880, Options{}),
		"opus to PCMU, 1 in 10 lost": newBenchLine(tb, opusFormat, ulawFormat, phone20, 960, Options{}),
		"PCMU to opus, lean":         newBenchLine(tb, ulawFormat, opusFormat, narrow, 160, Options{Profile: Lean}),
		"PCMU to opus, robust":       newBenchLine(tb, ulawFormat, opusFormat, narrow, 160, Options{Profile: Robust}),
		"L16 16k to opus, lean":      newBenchLine(tb, wideFormat, opusFormat, wide, 320, Options{Profile: Lean}),
		"PCMU to PCMU":               newBenchLine(tb, ulawFormat, ulawFormat, narrow, 160, Options{}),
		"PCMU to PCMA":               newBenchLine(tb, ulawFormat, alawFormat, narrow, 160, Options{}),
	}
	l["opus to PCMU, 1 in 10 lost"].lose = 10
	return l
}

func TestConvertersAllocateNothing(t *testing.T) {
	for name, l := range lines(t) {
		if n := testing.AllocsPerRun(200, l.next); n != 0 {
			t.Errorf("%s: %v allocations a packet", name, n)
		}
		if s := l.c.Stats().AtoB; s.Malformed+s.Jumps+s.Stale+s.Late != 0 || s.PacketsOut < 200 {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// The slices that wait are sent by the wheel; that way allocates nothing either.
func TestPacedSlicesAllocateNothing(t *testing.T) {
	w := NewWheel()
	l := newBenchLine(t, opusFormat, ulawFormat, speechStream(t, Robust, 48_000, 60*ms, 40), 2880, Options{Wheel: w, Profile: Lean})
	now := time.Now()
	if n := testing.AllocsPerRun(200, func() {
		l.next()
		for range 2 {
			now = now.Add(time.Second)
			for _, timer := range w.collect(now) {
				timer.f(now)
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations a packet", n)
	}
	if l.to.count != 3*201 {
		t.Errorf("%d slices, want %d", l.to.count, 3*201)
	}
}

func BenchmarkConvert(b *testing.B) {
	for name, l := range lines(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				l.next()
			}
		})
	}
}

func BenchmarkG711(b *testing.B) {
	pcm, codes := make([]int16, 160), make([]byte, 160)
	for i := range pcm {
		pcm[i] = int16(i * 200)
	}
	b.Run("encode", func(b *testing.B) {
		for b.Loop() {
			EncodeULaw(codes, pcm)
		}
	})
	b.Run("decode", func(b *testing.B) {
		for b.Loop() {
			DecodeULaw(pcm, codes)
		}
	})
}

func BenchmarkWheel(b *testing.B) {
	w := NewWheel()
	timers := make([]*WheelTimer, 500)
	for i := range timers {
		timers[i] = NewWheelTimer(func(time.Time) {})
	}
	now := time.Now()
	i := 0
	for b.Loop() {
		if i++; i%len(timers) == 0 {
			now = now.Add(wheelSlot)
			w.collect(now)
			w.nextTick()
		}
		w.Schedule(timers[i%len(timers)], now.Add(20*ms))
	}
}

func BenchmarkReception(b *testing.B) {
	r := Reception{Rate: 48_000}
	now := time.Now()
	n := 0
	for b.Loop() {
		n++
		r.Receive(uint16(n), uint32(n)*960, now)
	}
}

func BenchmarkRTP(b *testing.B) {
	port, err := ListenRTP(RTPOptions{Listen: "127.0.0.1:0"})
	if err != nil {
		b.Fatal(err)
	}
	defer port.Close()
	pbx, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	defer pbx.Close()
	from := pbx.LocalAddr().(*net.UDPAddr).AddrPort()
	flow, err := port.Open(from, ulawFormat, 0)
	if err != nil {
		b.Fatal(err)
	}
	flow.Attach(SinkFunc(func(*Packet) {}))
	datagram := append([]byte{0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, make([]byte, 160)...)
	b.Run("receive", func(b *testing.B) {
		b.ReportAllocs()
		now, n := time.Now(), 0
		for b.Loop() {
			n++
			datagram[2], datagram[3] = byte(n>>8), byte(n)
			port.handle(datagram, from, now)
		}
	})
	b.Run("send", func(b *testing.B) {
		b.ReportAllocs()
		p := &Packet{Payload: datagram[12:]}
		for b.Loop() {
			p.Sequence++
			flow.WriteAudio(p)
		}
	})
}
