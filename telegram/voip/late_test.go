package voip

import (
	"bytes"
	"testing"
	"time"
)

// TestChecksOvertakeCandidates: the callee's checks arrive before its candidates, which travel through Telegram; the call does
// not wait for these longer than until the second round of checks. A busy machine may be slow, but not every time.
func TestChecksOvertakeCandidates(t *testing.T) {
	var took time.Duration
	for range 10 {
		p := newPair(t, pairOptions{servers: []Server{startTURN(t)}, prepare: func(_, b *Engine) {
			b.signal.channel = &spyChannel{Channel: b.signal.channel, drop: func(m []byte) bool {
				return bytes.Contains(m, []byte(`"Candidates"`))
			}}
		}})
		p.establish(t)
		p.exchange(t, "early")
		st := p.caller.Stats()
		if st.Local != "host" || st.Remote != "prflx" {
			t.Fatalf("pair %s-%s", st.Local, st.Remote)
		}
		if took = st.Timings.ICE.Sub(st.Timings.Signaling); took < 140*time.Millisecond {
			return
		}
	}
	t.Errorf("a pair after %v", took)
}
