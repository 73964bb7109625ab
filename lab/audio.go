package lab

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/media/tone"
)

const (
	toneAmplitude = 8000 // peak of what a phone plays, about -15 dBFS
	maxBurst      = 5    // frames sent at once after a late wake-up; what is later still is left out
	digitsKept    = 256
)

// what a phone sends in a frame.
type sending uint8

const (
	sendSound   sending = iota // the tone, or silence when there is none
	sendNothing                // no packets at all
)

// Audio is the RTP side of one call of a phone: it plays a tone and records what it hears. Safe for concurrent use.
type Audio struct {
	conn *net.UDPConn
	wg   sync.WaitGroup
	stop chan struct{} // closed by close

	mu        sync.Mutex // guards everything below
	remote    netip.AddrPort
	payload   uint8
	event     uint8
	opus      opusCoding
	sender    bool // the sending goroutine runs
	tap       func(sent bool, payload []byte)
	sending   sending
	sine      *tone.Sine
	digitsOut digitSender
	out       rtpPacket // sequence, timestamp and SSRC of the next packet
	closed    bool

	reception media.Reception
	stats     media.Stats
	ssrc      uint32
	digits    []Digit
	digitCome chan struct{} // closed and replaced at every digit
	digitsIn  digitReceiver
	recorder  recorder
}

// openAudio binds a socket on loopback and begins to record.
func openAudio() (*Audio, error) {
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		return nil, fmt.Errorf("open rtp socket: %w", err)
	}
	a := &Audio{
		conn: conn, stop: make(chan struct{}), digitCome: make(chan struct{}),
		out:       rtpPacket{sequence: uint16(rand.Uint32()), timestamp: rand.Uint32(), ssrc: rand.Uint32()},
		reception: media.Reception{Rate: sampleRate},
	}
	a.wg.Go(a.receive)
	return a, nil
}

func (a *Audio) local() netip.AddrPort { return a.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// connect says where to send, as a session description told.
func (a *Audio) connect(remote netip.AddrPort, payload, event, opus uint8) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.remote, a.payload, a.event = remote, payload, event
	if opus != 0 && opus == payload {
		return a.opus.use(opus)
	}
	return nil
}

// Tap lets f see the payload of every audio packet as it is on the wire. f does not block and keeps nothing.
func (a *Audio) Tap(f func(sent bool, payload []byte)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tap = f
}

// start begins to send a packet every 20 ms. Repeated calls do nothing.
func (a *Audio) start() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.sender || a.closed {
		return
	}
	a.sender = true
	a.wg.Go(a.send)
}

// close ends sending and recording; what has been heard stays.
func (a *Audio) close() {
	a.mu.Lock()
	if a.closed {
		a.mu.Unlock()
		return
	}
	a.closed = true
	a.mu.Unlock()
	close(a.stop)
	_ = a.conn.Close()
	a.wg.Wait()
}

// PlayTone plays a continuous tone of hz, or silence for 0.
func (a *Audio) PlayTone(hz float64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sending, a.sine = sendSound, nil
	if hz > 0 {
		a.sine = tone.NewSine(sampleRate, hz, toneAmplitude)
	}
}

// Mute sends no packets at all until PlayTone, as a muted or broken phone does.
func (a *Audio) Mute() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sending = sendNothing
}

// SendDigits sends RFC 4733 events of 100 ms each and returns when the last has been sent.
func (a *Audio) SendDigits(ctx context.Context, digits string) error {
	for _, d := range digits {
		if !strings.ContainsRune(digitNames, d) {
			return fmt.Errorf("send digits: %q is no digit", d)
		}
	}
	if digits == "" {
		return nil
	}
	done := make(chan struct{})
	a.mu.Lock()
	switch {
	case a.event == 0:
		a.mu.Unlock()
		return errors.New("send digits: the other side takes no events")
	case len(a.digitsOut.queue) > 0:
		a.mu.Unlock()
		return errors.New("send digits: others are being sent")
	}
	a.digitsOut = digitSender{queue: []byte(digits), done: done}
	a.mu.Unlock()
	select {
	case <-done:
		return nil
	case <-a.stop:
		return errors.New("send digits: the call has ended")
	case <-ctx.Done():
		return fmt.Errorf("send digits: %w", ctx.Err())
	}
}

// Digits returns what digits have come so far.
func (a *Audio) Digits() []Digit {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.digits)
}

// WaitDigits waits until n digits have come and returns all of them.
func (a *Audio) WaitDigits(ctx context.Context, n int) (string, error) {
	for {
		a.mu.Lock()
		var all []byte
		for _, d := range a.digits {
			all = append(all, d.Digit)
		}
		come := a.digitCome
		a.mu.Unlock()
		if len(all) >= n {
			return string(all), nil
		}
		select {
		case <-come:
		case <-a.stop:
			return string(all), fmt.Errorf("wait for %d digits, have %q: the call has ended", n, all)
		case <-ctx.Done():
			return string(all), fmt.Errorf("wait for %d digits, have %q: %w", n, all, ctx.Err())
		}
	}
}

// Heard returns a copy of what has been recorded so far, ten minutes at most.
func (a *Audio) Heard() Recording {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.recorder.recording
	return Recording{PCM: slices.Clone(r.PCM), arrivals: slices.Clone(r.arrivals)}
}

// Forget drops what has been recorded; a new recording begins with the next packet.
func (a *Audio) Forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.recorder = recorder{}
}

// WaitTone waits until the newest length (at least 100 ms) of what has come since the call is a clear tone of hz without
// a gap, and returns the judgement of that part. When ctx or the call ends first, the error tells what was heard.
func (a *Audio) WaitTone(ctx context.Context, hz float64, length time.Duration) (ToneResult, error) {
	length = max(length, 5*frameTime)
	a.mu.Lock()
	from := len(a.recorder.recording.PCM)
	a.mu.Unlock()
	tick := time.NewTicker(5 * frameTime)
	defer tick.Stop()
	for {
		newest := a.judge(from, length, hz)
		if newest.Clear() && len(newest.Gaps) == 0 && newest.Last-newest.First >= length-2*frameTime {
			return newest, nil
		}
		select {
		case <-tick.C:
			continue
		case <-a.stop:
			all := a.judge(from, 0, hz)
			return all, fmt.Errorf("wait for a tone of %.0f Hz: the call has ended; heard %s", hz, all)
		case <-ctx.Done():
			all := a.judge(from, 0, hz)
			return all, fmt.Errorf("wait for a tone of %.0f Hz: %w; heard %s", hz, ctx.Err(), all)
		}
	}
}

// judge analyses the newest length of the recording behind sample from; 0 means all of it.
func (a *Audio) judge(from int, length time.Duration, hz float64) ToneResult {
	a.mu.Lock()
	all := a.recorder.recording.PCM
	pcm := all[min(from, len(all)):]
	if n := int(length * sampleRate / time.Second); n > 0 && n < len(pcm) {
		pcm = pcm[len(pcm)-n:]
	}
	pcm = slices.Clone(pcm)
	a.mu.Unlock()
	return AnalyseTone(pcm, sampleRate, hz)
}

// Stats returns the counts of the stream in both directions.
func (a *Audio) Stats() media.Stats {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.stats
	s.PacketsLost, s.PacketsLate, s.Jitter = a.reception.Lost(), a.reception.Late(), a.reception.Jitter()
	return s
}

// receive records until the socket is closed.
func (a *Audio) receive() {
	buf := make([]byte, 2048)
	pcm := make([]int16, len(buf))
	for {
		n, from, err := a.conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an ICMP error of a port that has closed
		}
		now := time.Now()
		p, err := parseRTP(buf[:n])
		a.mu.Lock()
		if err != nil || a.remote.IsValid() && from != a.remote {
			a.stats.Strangers++
		} else {
			a.take(p, pcm, now)
		}
		a.mu.Unlock()
	}
}

// take handles one packet of the other side. Called with mu held.
func (a *Audio) take(p rtpPacket, pcm []int16, now time.Time) {
	if p.ssrc != a.ssrc && a.stats.PacketsReceived > 0 {
		a.reception.Restart()
	}
	samples := len(p.data)
	switch {
	case p.payload == payloadULaw && len(p.data) > 0:
		media.DecodeULaw(pcm[:len(p.data)], p.data)
	case p.payload == payloadALaw && len(p.data) > 0:
		media.DecodeALaw(pcm[:len(p.data)], p.data)
	case p.payload == a.opus.payload && p.payload != 0 && len(p.data) > 0:
		n, err := a.opus.decoder.Decode(p.data, pcm)
		if err != nil {
			a.stats.Strangers++
			return
		}
		samples, p.timestamp = n, a.opus.clock(p)
	case a.event != 0 && p.payload == a.event:
		a.ssrc = p.ssrc
		a.stats.PacketsReceived++
		a.reception.Skip(p.sequence)
		if d, ok := a.digitsIn.receive(p, now); ok && len(a.digits) < digitsKept {
			a.digits = append(a.digits, d)
			close(a.digitCome)
			a.digitCome = make(chan struct{})
		}
		return
	default:
		a.stats.Strangers++
		return
	}
	a.ssrc = p.ssrc
	a.stats.PacketsReceived++
	if a.stats.FirstReceived.IsZero() {
		a.stats.FirstReceived = now
	}
	if a.reception.Receive(p.sequence, p.timestamp, now) {
		a.recorder.write(p, pcm[:samples], now)
	}
	if a.tap != nil {
		a.tap(false, p.data)
	}
}

// send sends a frame every 20 ms by the wall clock until close.
func (a *Audio) send() {
	tick := time.NewTicker(frameTime)
	defer tick.Stop()
	next := time.Now()
	pcm := make([]int16, frameSamples)
	law := make([]byte, frameSamples)
	packet := make([]byte, 0, rtpHeaderSize+frameSamples)
	for first := true; ; first = false {
		// A late wake-up is made up for, so that the other side hears no gap and no drift.
		due := 1 + int(time.Since(next)/frameTime)
		if due > maxBurst {
			a.skip(due - maxBurst)
			next = next.Add(time.Duration(due-maxBurst) * frameTime)
			due = maxBurst
		}
		for range due {
			a.sendFrame(pcm, law, packet, first)
			next = next.Add(frameTime)
		}
		select {
		case <-tick.C:
		case <-a.stop:
			return
		}
	}
}

// skip leaves frames out: their time passes without packets.
func (a *Audio) skip(frames int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.out.timestamp += uint32(frames) * frameSamples
}

func (a *Audio) sendFrame(pcm []int16, law, packet []byte, first bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.out
	a.out.timestamp += frameSamples
	if a.sine != nil {
		a.sine.Fill(pcm)
	} else {
		clear(pcm)
	}
	if payload, start, begins := a.digitsOut.next(p.timestamp); payload != nil {
		p.payload, p.data, p.timestamp, p.marker = a.event, payload, start, begins
	} else if a.sending == sendNothing {
		return
	} else {
		p.payload, p.data, p.marker = a.payload, law, first
		switch a.payload {
		case payloadULaw:
			media.EncodeULaw(law, pcm)
		case payloadALaw:
			media.EncodeALaw(law, pcm)
		default:
			p.data = a.opus.encode(pcm)
		}
		if a.tap != nil {
			a.tap(true, p.data)
		}
	}
	if a.payload == a.opus.payload && a.payload != 0 {
		p.timestamp *= opusRate / sampleRate
	}
	a.out.sequence++
	now := time.Now() // before the packet leaves: its echo comes back within the same call
	if _, err := a.conn.WriteToUDPAddrPort(p.append(packet[:0]), a.remote); err != nil {
		return // the other side has closed its port: the signalling will tell
	}
	a.stats.PacketsSent++
	if a.stats.FirstSent.IsZero() {
		a.stats.FirstSent = now
	}
}
