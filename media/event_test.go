package media

import "testing"

// While a PBX sends digits as events, or comfort noise, it sends no audio: the other side must not take that for loss, which
// it would conceal, and report.
func TestEventsAmongAudioAreNoLoss(t *testing.T) {
	port := listen(t, RTPOptions{})
	s := newPBXSocket(t, port)
	flow := open(t, port, s, ulawFormat, 0)
	sink, heard := collector()
	r := newRelay(ulawFormat, alawFormat, sink)
	flow.Attach(r)
	audio := make([]byte, 160)
	s.send(audio)
	first := next(t, heard)
	s.PayloadType = 101
	for range 3 {
		s.send([]byte{5, 10, 0, 160})
	}
	s.PayloadType = 13
	s.send([]byte{60})
	s.PayloadType = 0
	s.send(audio)
	second := next(t, heard)
	if second.Sequence != first.Sequence+1 {
		t.Errorf("%d packets seem to be lost", second.Sequence-first.Sequence-1)
	}
	if second.Timestamp != first.Timestamp+5*160 {
		t.Errorf("the pause lasts %d samples, want 800", second.Timestamp-first.Timestamp)
	}
	s.SequenceNumber++ // this one is lost
	s.send(audio)
	if third := next(t, heard); third.Sequence != second.Sequence+2 {
		t.Errorf("a lost packet shows as %d", third.Sequence-second.Sequence-1)
	}
}
