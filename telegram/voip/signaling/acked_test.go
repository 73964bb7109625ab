package signaling

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// ackedPair is both ends of V2 without a network between.
func ackedPair() (caller, callee *acked) {
	return &acked{cipher: NewCipher(vectorKey(), Caller, Signaling)}, &acked{cipher: NewCipher(vectorKey(), Callee, Signaling)}
}

// records prints what a packet of the caller holds: E for an empty head, A for an ack, M for a message, each with its
// counter.
func records(t *testing.T, packet []byte) string {
	t.Helper()
	plain, ok := newDirection(vectorKey(), 128).open(packet)
	if !ok {
		t.Fatal("packet is not the caller's")
	}
	var list []string
	for len(plain) > 0 {
		seq, kind := binary.BigEndian.Uint32(plain), plain[4]
		plain = plain[recordHead:]
		name := map[byte]string{recordEmpty: "E", recordAck: "A", recordCustom: "M"}[kind]
		if kind == recordCustom {
			plain = plain[4+binary.BigEndian.Uint32(plain):]
		}
		if (kind == recordCustom || kind == recordAck) != (seq&seqAck != 0) || seq&seqSingle != 0 {
			t.Errorf("record %s has flags %08x", name, seq)
		}
		list = append(list, fmt.Sprintf("%s%d", name, seq&seqCounter))
	}
	return strings.Join(list, " ")
}

func (a *acked) say(t *testing.T, now time.Time, messages ...string) []byte {
	t.Helper()
	for _, m := range messages {
		if err := a.enqueue([]byte(m)); err != nil {
			t.Fatal(err)
		}
	}
	packet, err := a.flush(now)
	if err != nil {
		t.Fatal(err)
	}
	return packet
}

func (a *acked) hear(t *testing.T, packet []byte, now time.Time) received {
	t.Helper()
	r, err := a.receive(packet, now)
	if err != nil || r.err != nil {
		t.Fatal(err, r.err)
	}
	return r
}

func wantRecords(t *testing.T, packet []byte, want string) {
	t.Helper()
	if got := records(t, packet); got != want {
		t.Errorf("packet holds %s, want %s", got, want)
	}
}

// TestAckedInvariant: what is not acknowledged travels in order behind an empty head.
func TestAckedInvariant(t *testing.T) {
	now := time.Now()
	caller, callee := ackedPair()
	first := caller.say(t, now, "a")
	wantRecords(t, first, "M1")
	wantRecords(t, caller.say(t, now, "b"), "E3 M1 M2")
	third := caller.say(t, now, "c", "d")
	wantRecords(t, third, "E6 M1 M2 M4 M5")

	// The callee gets only the third packet, then the late first one.
	r := callee.hear(t, third, now)
	if got := string(slices.Concat(r.messages...)); got != "abcd" || len(r.packets) != 1 {
		t.Fatalf("callee gets %q and sends %d packets", got, len(r.packets))
	}
	if late := callee.hear(t, first, now); len(late.messages) != 0 || late.repeated != 1 || len(late.packets) != 0 {
		t.Errorf("the late packet brings %+v", late)
	}
	if at, ok := callee.deadline(); !ok || at.Sub(now) != ackAgain {
		t.Errorf("the repeated message is acknowledged in %v, %v", at.Sub(now), ok)
	}

	// The acks leave nothing to repeat, and the next message goes alone.
	caller.hear(t, r.packets[0], now)
	if _, ok := caller.deadline(); ok || len(caller.unacked) != 0 {
		t.Errorf("%d messages are not acknowledged", len(caller.unacked))
	}
	wantRecords(t, caller.say(t, now, "e"), "M7")
}

func TestAckedResend(t *testing.T) {
	start := time.Now()
	caller, callee := ackedPair()
	caller.say(t, start, "a")
	now := start.Add(4 * time.Second)
	if p, _ := caller.tick(now); p != nil {
		t.Errorf("resends after 4 s: %s", records(t, p))
	}
	caller.say(t, now, "b") // repeats a as well
	if p, _ := caller.tick(start.Add(5 * time.Second)); p != nil {
		t.Errorf("resends 1 s after the last packet: %s", records(t, p))
	}
	now = now.Add(resendAfter)
	p, err := caller.tick(now)
	if err != nil {
		t.Fatal(err)
	}
	wantRecords(t, p, "E4 M1 M2")
	if p, _ := caller.tick(now.Add(time.Second)); p != nil {
		t.Errorf("resends again after 1 s: %s", records(t, p))
	}

	// Acks go at once with what is due; a message sent less than 3 s ago stays out, and all behind it.
	r := caller.hear(t, callee.say(t, now, "x"), now.Add(2*time.Second))
	wantRecords(t, r.packets[0], "E5 A1")
	r = caller.hear(t, callee.say(t, now, "y"), now.Add(4*time.Second))
	wantRecords(t, r.packets[0], "E6 A1 A2 M1 M2")
	if caller.resent != 5 {
		t.Errorf("%d messages were resent", caller.resent)
	}
}

// TestAckedFit: messages that do not fit wait for the acks of the first ones.
func TestAckedFit(t *testing.T) {
	now := time.Now()
	caller, callee := ackedPair()
	big := strings.Repeat("x", 6000)
	packet := caller.say(t, now, big, big, big, "small")
	wantRecords(t, packet, "E5 M1 M2")
	if len(packet) > maxAckedPacket {
		t.Errorf("packet has %d bytes", len(packet))
	}
	r := callee.hear(t, packet, now)
	r = caller.hear(t, r.packets[0], now)
	if len(r.packets) != 1 {
		t.Fatalf("%d packets follow", len(r.packets))
	}
	wantRecords(t, r.packets[0], "E6 M3 M4")
	r = callee.hear(t, r.packets[0], now)
	if len(r.messages) != 2 || string(r.messages[1]) != "small" {
		t.Errorf("%d messages came", len(r.messages))
	}
	if err := caller.enqueue(make([]byte, maxAckedMessage+1)); err != ErrTooLong {
		t.Errorf("too long a message gives %v", err)
	}
}

// TestAckedForeign: an engine that sends every message alone and repeats nothing is understood in any order.
func TestAckedForeign(t *testing.T) {
	now := time.Now()
	var packets [][]byte
	d := newDirection(vectorKey(), 128)
	for i := range uint32(5) {
		plain := appendHead(nil, seqAck|(i+1), recordCustom)
		plain = append(binary.BigEndian.AppendUint32(plain, 1), byte('a'+i))
		packets = append(packets, d.seal(plain))
	}
	_, callee := ackedPair()
	var got []byte
	for _, i := range []int{0, 3, 1, 2, 4} {
		r := callee.hear(t, packets[i], now)
		got = append(got, slices.Concat(r.messages...)...)
		if len(r.packets) != 1 {
			t.Errorf("packet %d is not acknowledged", i)
		}
	}
	if string(got) != "adbce" {
		t.Errorf("got %q", got)
	}
}

func TestAckedSyntax(t *testing.T) {
	message := func(seq uint32, text string) []byte {
		b := binary.BigEndian.AppendUint32(appendHead(nil, seq, recordCustom), uint32(len(text)))
		return append(b, text...)
	}
	empty := appendHead(nil, 9, recordEmpty)
	for name, c := range map[string]struct {
		plain []byte
		got   string
		ok    bool
	}{
		"single message":           {message(9|seqSingle, "a"), "a", true},
		"without ack":              {slices.Concat(empty, message(10, "a"), message(11, "b")), "ab", true},
		"without ack, repeated":    {slices.Concat(empty, message(10, "a"), message(10, "a")), "a", true},
		"empty message":            {message(9|seqAck, ""), "", true},
		"unknown type":             {appendHead(nil, 9, 3), "", false},
		"ack first":                {appendHead(nil, 9, recordAck), "", false},
		"empty later":              {slices.Concat(empty, appendHead(nil, 10, recordEmpty)), "", false},
		"single, then more":        {slices.Concat(message(9|seqSingle, "a"), message(10, "b")), "a", false},
		"single later":             {slices.Concat(empty, message(10|seqSingle, "a")), "", false},
		"rest too short":           {append(message(9|seqAck, "a"), 1, 2, 3, 4), "a", false},
		"message too long":         {binary.BigEndian.AppendUint32(appendHead(nil, 9, recordCustom), 1), "", false},
		"message huge":             {binary.BigEndian.AppendUint32(appendHead(nil, 9, recordCustom), 1<<32-1), "", false},
		"no length":                {append(appendHead(nil, 9, recordCustom), 0, 0), "", false},
		"good, then unknown type":  {slices.Concat(empty, message(10|seqAck, "a"), appendHead(nil, 11, 7)), "a", false},
		"ack of nothing":           {slices.Concat(empty, appendHead(nil, 77|seqAck, recordAck)), "", true},
		"repeated in one packet":   {slices.Concat(empty, message(10|seqAck, "a"), message(10|seqAck, "a")), "a", true},
		"in the wrong order, once": {slices.Concat(empty, message(11|seqAck, "b"), message(10|seqAck, "a")), "ba", true},
	} {
		t.Run(name, func(t *testing.T) {
			_, callee := ackedPair()
			r, err := callee.receive(newDirection(vectorKey(), 128).seal(c.plain), time.Now())
			if got := string(slices.Concat(r.messages...)); err != nil || got != c.got || (r.err == nil) != c.ok {
				t.Errorf("gives %q, %v, %v", got, err, r.err)
			}
		})
	}
}

// TestAckedBounds: neither a flood of messages nor of acks grows without end.
func TestAckedBounds(t *testing.T) {
	now := time.Now()
	caller, callee := ackedPair()
	d := newDirection(vectorKey(), 128)
	for i := range uint32(3 * maxUnacked) {
		plain := binary.BigEndian.AppendUint32(appendHead(nil, seqAck|(i+1), recordCustom), 0)
		callee.hear(t, d.seal(plain), now)
	}
	if len(callee.known) > maxUnacked || callee.floor == 0 || len(callee.acks) > maxUnacked {
		t.Errorf("%d counters and %d acks are remembered", len(callee.known), len(callee.acks))
	}
	plain := appendHead(nil, 3*maxUnacked+1, recordEmpty)
	for i := range uint32(2 * maxUnacked) {
		plain = binary.BigEndian.AppendUint32(appendHead(plain, seqAck|(3*maxUnacked+2+i), recordCustom), 0)
	}
	if r, err := callee.receive(d.seal(plain), now); err != nil || r.err != errOverflow || len(r.messages) != maxUnacked {
		t.Errorf("%d messages, %v, %v", len(r.messages), err, r.err)
	}
	for range maxUnacked {
		if err := caller.enqueue(nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := caller.enqueue(nil); err != ErrFull {
		t.Errorf("one message more gives %v", err)
	}
	caller.cipher.counter = seqCounter
	if _, err := caller.cipher.next(); err != ErrExhausted {
		t.Errorf("one counter more gives %v", err)
	}
}
