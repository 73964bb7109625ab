package calls

import (
	"context"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/telegram/voip"
)

// shyEngine is that of a web caller whose user has yet to allow the microphone: it says a first word after a while, and
// all the rest later.
type shyEngine struct {
	*fakeEngine
	first, rest time.Duration
}

func (e *shyEngine) Run(ctx context.Context) error {
	if !sleep(ctx, e.first) {
		close(e.events)
		return nil
	}
	_ = e.config.Send([]byte("a first word")) // the call may be over
	if !sleep(ctx, e.rest) {
		close(e.events)
		return nil
	}
	return e.fakeEngine.Run(ctx)
}

// TestConnectCountsFromTheFirstWord: the time to connect begins with what the peer's engine says first, whichever side has
// called; a peer that says nothing at all is given up after the same time.
func TestConnectCountsFromTheFirstWord(t *testing.T) {
	const limit = 30 * time.Second
	for name, c := range map[string]struct {
		first, rest time.Duration
		want        time.Duration // when the call ends; 0: it connects
	}{
		"allows the microphone at 29 s":             {first: 29 * time.Second, rest: 3 * time.Second},
		"takes nearly as long again to connect":     {first: 29 * time.Second, rest: 29 * time.Second},
		"says a first word and nothing more":        {first: 29 * time.Second, rest: time.Hour, want: 29*time.Second + limit},
		"says nothing":                              {first: time.Hour, want: limit},
		"speaks at once and does not connect":       {rest: time.Hour, want: limit},
		"speaks at once and connects late, in time": {rest: 29 * time.Second},
	} {
		for _, outgoing := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				bubble(t, func(t *testing.T, x *exchange) {
					a, b := x.join(alice, atOnce), x.join(bob, atOnce)
					a.opts.Engine = func(config voip.Config) (Engine, error) {
						e, err := x.newEngine(alice, config)
						return &shyEngine{e.(*fakeEngine), c.first, c.rest}, err
					}
					var theirs, ours *Call
					if outgoing {
						ours = b.Place(to(alice))
						theirs = a.next(t)
						theirs.Accept()
					} else {
						theirs = a.Place(to(bob))
						ours = b.next(t)
						ours.Accept()
					}
					began := time.Now()
					if c.want != 0 {
						if e := ended(t, ours); e.Err == nil || e.Err.Kind != NoMedia || time.Since(began) != c.want {
							t.Errorf("ended %+v after %v, want %v", e, time.Since(began), c.want)
						}
						ended(t, theirs)
						return
					}
					for {
						e := next(t, ours)
						if end, over := e.(Ended); over {
							t.Fatalf("ended %+v after %v", end, time.Since(began))
						}
						if _, up := e.(Established); up {
							break
						}
					}
					if took := time.Since(began); took != c.first+c.rest {
						t.Errorf("connected after %v", took)
					}
					ours.Discard(Ordinary)
					ended(t, ours)
					ended(t, theirs)
				})
			})
		}
	}
}
