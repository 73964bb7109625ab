package signaling

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"
)

// The record types of the acked framing (V2), tgcalls EncryptedConnection.cpp.
const (
	recordCustom byte = 0x7f // length, 4 bytes, and a JSON message
	recordEmpty  byte = 0xfe // only as the head of a packet
	recordAck    byte = 0xff // the sequence number is the other side's
)

const (
	recordHead     = seqSize + 1 // sequence number and type
	maxAckedPacket = 16 * 1024   // message key included
	// maxAckedMessage is the longest message that fits behind an empty head, as every repetition needs.
	maxAckedMessage = maxAckedPacket - messageKeySize - recordHead - recordHead - 4

	maxUnacked = 4096 // messages in flight, each way (engine: 65536)

	resendAfter = 5 * time.Second // since the oldest un-acked message was last sent
	resendYoung = 3 * time.Second // a message sent less long ago is not repeated by the timer
	ackAgain    = time.Second     // how long the ack of a repeated message may wait for company (engine: 5 s)
)

var (
	errSyntax   = errors.New("record structure is broken")
	errOverflow = errors.New("too many records are remembered")
)

// acked is one side of the V2 framing: numbered records with acknowledgements. It does no I/O; time comes in as an
// argument, packets go out as results. It is not safe for concurrent use.
//
// The invariant that both sides rely on: un-acked messages travel in order, in one packet, starting with the oldest
// one. The engine forgets all counters below the first message of a packet, so anything else is delivered twice there.
// This side remembers them longer, so that packets which overtake each other, or come from engines that do not keep
// the invariant, bring nothing twice either.
type acked struct {
	cipher  *Cipher
	unacked []record  // ours, oldest first
	acks    []uint32  // sequence numbers of theirs to acknowledge in the next packet
	ackAt   time.Time // when acks go out at the latest; zero: with the next packet
	known   []uint32  // counters of theirs that were acknowledged, ascending
	floor   uint32    // what is below is taken for known
	resent  uint64
}

// record is one of our messages that waits for its ack.
type record struct {
	seq  uint32
	data []byte    // sequence number, type, length, message
	sent time.Time // zero: not in any packet yet, or to be sent again at once
}

// received is what one packet brought.
type received struct {
	messages [][]byte
	packets  [][]byte // to be sent in return
	repeated int
	err      error // errSyntax or errOverflow; the rest of the packet was dropped, what is in messages is good
}

// enqueue takes a message of at most maxAckedMessage bytes; flush sends it.
func (a *acked) enqueue(message []byte) error {
	if len(message) > maxAckedMessage {
		return ErrTooLong
	}
	if len(a.unacked) >= maxUnacked {
		return ErrFull
	}
	seq, err := a.cipher.next()
	if err != nil {
		return err
	}
	seq |= seqAck
	data := make([]byte, 0, recordHead+4+len(message))
	data = appendHead(data, seq, recordCustom)
	data = binary.BigEndian.AppendUint32(data, uint32(len(message)))
	data = append(data, message...)
	a.unacked = append(a.unacked, record{seq: seq, data: data})
	return nil
}

// flush returns the packet for what was enqueued since the last call: the message itself when it is the only one
// un-acked and its counter is the latest, all un-acked messages behind an empty head otherwise.
func (a *acked) flush(now time.Time) ([]byte, error) {
	if len(a.unacked) == 1 && a.unacked[0].seq&seqCounter == a.cipher.counter {
		r := &a.unacked[0]
		r.sent = now
		return a.cipher.send.seal(a.appendAcks(slices.Clone(r.data), now)), nil
	}
	for i := range a.unacked {
		if !a.unacked[i].sent.IsZero() {
			a.resent++
		}
		a.unacked[i].sent = time.Time{}
	}
	return a.service(now)
}

// receive takes one packet. Errors of the cipher come as err of the call, broken records in the result.
func (a *acked) receive(packet []byte, now time.Time) (received, error) {
	seq, body, err := a.cipher.Open(packet)
	if err != nil {
		return received{}, err
	}
	pending, waiting := len(a.acks), len(a.unacked)
	var r received
	r.err = a.walk(seq, body, &r)
	switch {
	case len(r.messages) > 0 && len(a.acks) > 0:
		r.add(a.service(now))
	case len(a.unacked) < waiting && len(a.unacked) > 0 && a.unacked[0].sent.IsZero():
		r.add(a.service(now)) // what did not fit into a packet has room now
	case len(a.acks) > pending && a.ackAt.IsZero():
		a.ackAt = now.Add(ackAgain)
	}
	return r, nil
}

func (r *received) add(packet []byte, err error) {
	if err == nil {
		r.packets = append(r.packets, packet)
	}
}

// walk goes through the records of a packet.
func (a *acked) walk(seq uint32, body []byte, r *received) error {
	for first := true; ; first = false {
		single := seq&seqSingle != 0
		if single && !first || len(body) == 0 {
			return errSyntax
		}
		kind := body[0]
		body = body[1:]
		switch {
		case kind == recordEmpty && first:
		case kind == recordAck && !first:
			a.acknowledge(seq)
		case kind == recordCustom:
			message, rest, ok := cutMessage(body)
			if !ok {
				return errSyntax
			}
			body = rest
			fresh, err := a.register(seq, first)
			if err != nil {
				return err
			}
			if fresh {
				r.messages = append(r.messages, message)
			} else {
				r.repeated++
			}
		default:
			return errSyntax
		}
		if len(body) == 0 {
			return nil
		}
		if single || len(body) < recordHead {
			return errSyntax
		}
		seq, body = binary.BigEndian.Uint32(body), body[seqSize:]
	}
}

// cutMessage cuts length and message off the records.
func cutMessage(b []byte) (message, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n := binary.BigEndian.Uint32(b)
	b = b[4:]
	if uint64(n) > uint64(len(b)) {
		return nil, nil, false
	}
	return b[:n:n], b[n:], true
}

// register notes a received message and its ack, and reports whether it is new.
func (a *acked) register(seq uint32, first bool) (fresh bool, err error) {
	counter := seq & seqCounter
	if seq&seqAck == 0 {
		return first || a.cipher.seen.register(counter), nil
	}
	if !slices.Contains(a.acks, seq) {
		if len(a.acks) >= maxUnacked {
			return false, errOverflow
		}
		a.acks = append(a.acks, seq)
	}
	i, known := slices.BinarySearch(a.known, counter)
	if known || counter < a.floor {
		return false, nil
	}
	a.known = slices.Insert(a.known, i, counter)
	if len(a.known) > maxUnacked {
		a.known = slices.Delete(a.known, 0, maxUnacked/2)
		a.floor = a.known[0]
	}
	return true, nil
}

// acknowledge forgets the message with the acknowledged sequence number, flags included.
func (a *acked) acknowledge(seq uint32) {
	a.unacked = slices.DeleteFunc(a.unacked, func(r record) bool { return r.seq == seq })
}

// deadline returns when tick is to be called; ok is false when nothing is waiting.
func (a *acked) deadline() (at time.Time, ok bool) {
	if len(a.unacked) > 0 {
		at, ok = a.unacked[0].sent.Add(resendAfter), true
	}
	if !a.ackAt.IsZero() && (!ok || a.ackAt.Before(at)) {
		at, ok = a.ackAt, true
	}
	return at, ok
}

// tick returns the packet that is due at now, or nil.
func (a *acked) tick(now time.Time) ([]byte, error) {
	at, ok := a.deadline()
	if !ok || now.Before(at) {
		return nil, nil
	}
	return a.service(now)
}

// service makes a packet of an empty head, the pending acks and the un-acked messages that are due. Repeating a
// record at the head of a packet instead would fail: its counter is in the receiver's replay window.
func (a *acked) service(now time.Time) ([]byte, error) {
	seq, err := a.cipher.next()
	if err != nil {
		return nil, err
	}
	packet := a.appendAcks(appendHead(nil, seq, recordEmpty), now)
	for i := range a.unacked {
		r := &a.unacked[i]
		if !r.sent.IsZero() && now.Sub(r.sent) < resendYoung || messageKeySize+len(packet)+len(r.data) > maxAckedPacket {
			break
		}
		if !r.sent.IsZero() {
			a.resent++
		}
		packet = append(packet, r.data...)
		r.sent = now
	}
	return a.cipher.send.seal(packet), nil
}

// appendAcks appends the pending acks as far as they fit; the rest is due at once.
func (a *acked) appendAcks(packet []byte, now time.Time) []byte {
	n := min(len(a.acks), (maxAckedPacket-messageKeySize-len(packet))/recordHead)
	for _, seq := range a.acks[:n] {
		packet = appendHead(packet, seq, recordAck)
	}
	a.acks = slices.Delete(a.acks, 0, n)
	a.ackAt = time.Time{}
	if len(a.acks) > 0 {
		a.ackAt = now
	}
	return packet
}

func appendHead(b []byte, seq uint32, kind byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, seq), kind)
}
