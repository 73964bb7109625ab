package signaling

import (
	"encoding/binary"
	"time"
)

const (
	skipAfter = 3 * time.Second // how long DATA of a web engine waits for what is missing before it
	maxEarly  = 256             // DATA chunks that wait for one that is missing
)

// straight numbers the DATA of a web engine anew, so that it suits a strict receiver. The web engine never retransmits
// and ignores what is acknowledged, so a lost chunk would hold up all later ones for ever; and when an association
// begins anew it goes on with its stream sequence numbers, where a receiver expects 0. Its messages are never
// fragmented, so that chunks can be left out.
type straight struct {
	next  uint32 // TSN that is expected
	tsn   uint32 // TSN the next chunk gets
	ssn   uint16 // stream sequence number the next chunk gets
	early map[uint32]sctpChunk
	since time.Time // when the first of early came
}

// newStraight starts with the TSN of an INIT or INIT ACK.
func newStraight(tsn uint32) *straight {
	return &straight{next: tsn, tsn: tsn, early: map[uint32]sctpChunk{}}
}

// add takes a DATA chunk and returns what is to go on.
func (s *straight) add(c sctpChunk) []sctpChunk {
	const whole = 3 // the flags B and E
	ahead := int32(c.tsn() - s.next)
	switch {
	case ahead < 0, c[1]&whole != whole, ahead > 0 && len(s.early) >= maxEarly:
		return nil
	case ahead > 0:
		if len(s.early) == 0 {
			s.since = time.Now()
		}
		s.early[c.tsn()] = append(sctpChunk{}, c...)
		return nil
	}
	return s.run(c)
}

// run numbers a chunk and those that waited for it.
func (s *straight) run(c sctpChunk) (chunks []sctpChunk) {
	for ; c != nil; c = s.early[s.next] {
		delete(s.early, c.tsn())
		s.next = c.tsn() + 1
		c = append(sctpChunk{}, c...)
		binary.BigEndian.PutUint32(c[4:], s.tsn)
		binary.BigEndian.PutUint16(c[10:], s.ssn)
		s.tsn++
		s.ssn++
		chunks = append(chunks, c)
	}
	s.since = time.Now()
	return chunks
}

// deadline returns when skip is due; ok is false while nothing is missing.
func (s *straight) deadline() (at time.Time, ok bool) {
	return s.since.Add(skipAfter), len(s.early) > 0
}

// skip gives up what is missing.
func (s *straight) skip() []sctpChunk {
	var first sctpChunk
	for tsn, c := range s.early {
		if first == nil || int32(tsn-first.tsn()) < 0 {
			first = c
		}
	}
	return s.run(first)
}
