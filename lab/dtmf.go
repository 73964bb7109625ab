package lab

import (
	"encoding/binary"
	"strings"
	"time"
)

// digitNames gives the digit of each event code (RFC 4733 §3.2).
const digitNames = "0123456789*#ABCD"

// Digit is one received DTMF digit.
type Digit struct {
	Digit    byte
	At       time.Time     // arrival of its first packet
	Duration time.Duration // as its sender says
}

// digitReceiver makes digits of RFC 4733 packets. It belongs to the reading goroutine.
type digitReceiver struct {
	timestamp uint32
	active    bool // a digit has begun and its end has not been seen
	known     bool // timestamp is that of a digit, ended or not
	last      Digit
}

// receive takes one event packet. ok says that a digit has just ended.
func (r *digitReceiver) receive(p rtpPacket, now time.Time) (d Digit, ok bool) {
	if len(p.data) < 4 || int(p.data[0]) >= len(digitNames) {
		return Digit{}, false
	}
	if !r.known || p.timestamp != r.timestamp {
		// The end packets of a digit before may all have been lost: that digit counts when the next begins.
		d, ok = r.last, r.active
		r.known, r.active, r.timestamp = true, true, p.timestamp
		r.last = Digit{Digit: digitNames[p.data[0]], At: now}
	}
	if !r.active {
		return d, ok // a repeated end packet
	}
	r.last.Duration = time.Duration(binary.BigEndian.Uint16(p.data[2:])) * time.Second / sampleRate
	if p.data[1]&0x80 != 0 && !ok {
		r.active = false
		return r.last, true
	}
	return d, ok
}

const (
	digitSteps = 5 // event packets of a digit, 20 ms each
	digitEnds  = 3 // times the end packet is sent, RFC 4733 §2.5.1.4
	digitPause = 4 // frames of audio between two digits
)

// digitSender plays a queue of digits, one step a frame. Its owner guards it.
type digitSender struct {
	queue []byte
	step  int    // of the current digit; 0 means that it has not begun
	start uint32 // timestamp of the current digit
	pause int    // frames of audio to go before the next digit
	done  chan struct{}
}

// next returns the event payload to send in place of this frame, or nil when audio is to be sent.
func (s *digitSender) next(timestamp uint32) (payload []byte, start uint32, first bool) {
	if len(s.queue) == 0 {
		return nil, 0, false
	}
	if s.pause > 0 {
		s.pause--
		return nil, 0, false
	}
	if s.step == 0 {
		s.start = timestamp
	}
	s.step++
	event := byte(strings.IndexByte(digitNames, s.queue[0]))
	duration := min(s.step, digitSteps) * frameSamples
	flags := byte(10) // volume, -dBm0
	if s.step > digitSteps {
		flags |= 0x80
	}
	payload = binary.BigEndian.AppendUint16([]byte{event, flags}, uint16(duration))
	start, first = s.start, s.step == 1
	if s.step == digitSteps+digitEnds {
		s.queue, s.step, s.pause = s.queue[1:], 0, digitPause
		if len(s.queue) == 0 && s.done != nil {
			close(s.done)
			s.done = nil
		}
	}
	return payload, start, first
}
