package signaling

import (
	"bytes"
	"time"
)

// SCTPTimers are the timers of the SCTP under V3 as custom parameters may set them; zero leaves our own.
type SCTPTimers struct {
	Init       time.Duration // network_sctp_t1_init_ms: until INIT is first repeated
	Cookie     time.Duration // network_sctp_t1_cookie_ms: until COOKIE ECHO is first repeated
	MaxBackoff time.Duration // network_sctp_max_backoff_ms: no wait before a repetition is longer
}

// rtoMax is the longest wait of pion before a repetition, in ms.
func (t SCTPTimers) rtoMax() float64 {
	if t.MaxBackoff > 0 {
		return float64(t.MaxBackoff.Milliseconds())
	}
	return rtoMax
}

// first returns the wait before the first repetition of a chunk; zero leaves its repetitions to pion, whose first wait
// cannot be set.
func (t SCTPTimers) first(kind byte) time.Duration {
	switch kind {
	case chunkInit:
		return t.Init
	case chunkCookieEcho:
		return t.Cookie
	}
	return 0
}

// pace repeats the INIT or COOKIE ECHO of an association in pion's place.
type pace struct {
	timers SCTPTimers
	packet []byte // what waits for its answer; nil: nothing does
	kind   byte   // of the packet in hand, or the last one
	at     time.Time
	wait   time.Duration
}

// note looks at a packet that pion sends, and reports whether it is a repetition of what is repeated here.
func (p *pace) note(packet []byte, now time.Time) (swallow bool) {
	kind, ok := firstChunk(packet)
	first := p.timers.first(kind)
	switch {
	case !ok || first == 0:
		return false
	case p.kind == kind:
		return true
	}
	p.packet, p.kind = bytes.Clone(packet), kind
	p.wait = p.capped(first)
	p.at = now.Add(p.wait)
	return false
}

// answered ends the repetitions.
func (p *pace) answered() { p.packet = nil }

// met ends the repetitions of INIT.
func (p *pace) met() {
	if p.kind == chunkInit {
		p.answered()
	}
}

// replace puts another packet of its kind in the place of the COOKIE ECHO in hand.
func (p *pace) replace(packet []byte) {
	if p.packet != nil && p.kind == chunkCookieEcho {
		p.packet = bytes.Clone(packet)
	}
}

// due returns the packet to repeat, if it is time, and plans the next repetition: there is no limit to their number.
func (p *pace) due(now time.Time) []byte {
	if p.packet == nil || now.Before(p.at) {
		return nil
	}
	p.wait = p.capped(2 * p.wait)
	p.at = now.Add(p.wait)
	return bytes.Clone(p.packet)
}

func (p *pace) capped(d time.Duration) time.Duration {
	return min(d, time.Duration(p.timers.rtoMax())*time.Millisecond)
}
