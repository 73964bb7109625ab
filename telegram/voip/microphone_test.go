package voip

import (
	"errors"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/telegram/voip/signaling"
)

// A web caller is silent until its user has allowed the microphone, which takes as long as the user likes: the two tests
// are the two ends of that. We are the callee.

// webCallee is a pair of which only the callee runs, which takes the caller for a web client; said is what it has said.
func webCallee(t *testing.T, times func(callee *timeouts)) (p *pair, said func() []string) {
	t.Helper()
	p = newPair(t, pairOptions{delayed: true, prepare: func(_, callee *Engine) {
		markWeb(callee)
		times(&callee.times)
		said = spy(callee)
	}})
	p.callee.start(t)
	awaitState(t, p.callee.Engine, 5*time.Second, Connecting)
	return p, said
}

// TestWebCallerSpeaksLate: the call comes up although its caller has been silent for longer than connecting may take,
// which begins with the first word.
func TestWebCallerSpeaksLate(t *testing.T) {
	const silent, connect = 4 * time.Second, 3 * time.Second
	p, said := webCallee(t, func(callee *timeouts) { callee.peer, callee.connect = silent+15*time.Second, connect })
	select {
	case <-time.After(silent):
	case err := <-p.callee.done:
		p.callee.done <- nil
		t.Fatalf("the call has not waited for the microphone: %v", err)
	}
	if got := said(); len(got) > 0 {
		t.Errorf("a caller that has not spoken is told %q", got)
	}
	p.caller.start(t)
	p.establish(t)
	p.exchange(t, "late")
}

// TestWebCallerSpeaksTooLate: the call ends when its time is over, whatever the caller has said before it could have
// opened the microphone, and is not revived by what comes then.
func TestWebCallerSpeaksTooLate(t *testing.T) {
	const patience = 500 * time.Millisecond
	begun := time.Now()
	p, said := webCallee(t, func(callee *timeouts) { callee.peer = patience })
	state, err := signaling.Marshal(signaling.MediaState{Muted: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, early := range []string{
		`{"@type":"Candidates","candidates":[{"sdpString":"candidate:1 1 udp 2122194687 127.0.0.1 9 typ host generation 0 ufrag c46D"}]}`,
		webOffer("5"), string(state),
	} {
		p.callee.signal.deliver([]byte(early))
	}
	awaitState(t, p.callee.Engine, 10*time.Second, Failed)
	if took := time.Since(begun); took < patience {
		t.Errorf("the call has ended after %v, of %v", took, patience)
	}
	if err := <-p.callee.done; !errors.Is(err, ErrNoPeer) {
		t.Errorf("run returned %v", err)
	}
	p.callee.done <- nil
	p.caller.times.peer = 500 * time.Millisecond
	p.caller.start(t)
	awaitState(t, p.caller.Engine, 10*time.Second, Failed)
	if err := <-p.caller.done; !errors.Is(err, ErrNoPeer) {
		t.Errorf("the caller who speaks too late: %v", err)
	}
	p.caller.done <- nil
	if got := said(); len(got) > 0 {
		t.Errorf("a caller without a microphone is told %q", got)
	}
}
