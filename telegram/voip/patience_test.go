package voip

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/telegram/voip/signaling"
)

// So many restarts at once, then one each time; a call of hours in which the phone roams has them back.
func TestPatience(t *testing.T) {
	var p patience
	now := time.Unix(1_700_000_000, 0)
	burst := func() (n int) {
		for range 3 * restartsAtOnce {
			if p.take(now) {
				n++
			}
		}
		return n
	}
	for _, c := range []struct {
		after time.Duration
		want  int
	}{{0, restartsAtOnce}, {restartEvery - 1, 0}, {1, 1}, {3*restartEvery + restartEvery/2, 3}, {restartEvery / 2, 1}, {time.Hour, restartsAtOnce}} {
		now = now.Add(c.after)
		if got := burst(); got != c.want {
			t.Errorf("%v later %d restarts are answered, want %d", c.after, got, c.want)
		}
	}
	for range 10_000 { // one a minute does not end
		if now = now.Add(time.Minute); !p.take(now) {
			t.Fatal("a phone that roams is ignored")
		}
	}
}

// lines is a log that any goroutine may write.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), what)
}

// A peer that tells new credentials without end makes us gather so many times and no more, in either dialect; that is
// said once.
func TestRestartsWithoutEnd(t *testing.T) {
	for _, version := range []string{signaling.Versions()[0], signaling.ReferenceVersions()[0]} {
		t.Run(version, func(t *testing.T) {
			said, mad := new(lines), new(atomic.Bool)
			p := newPair(t, pairOptions{version: version, prepare: func(_, b *Engine) {
				b.log = slog.New(slog.NewTextHandler(said, nil))
				b.signal.channel = &spyChannel{Channel: b.signal.channel, drop: func([]byte) bool { return mad.Load() }}
			}})
			p.establish(t)
			p.exchange(t, "before")
			mad.Store(true) // our answers are not the caller's, which has told nothing
			template := make(chan signaling.Message, 1)
			p.caller.command(func(s *session) error { template <- restartOf(s); return nil })
			restart, over := <-template, make(chan struct{})
			p.callee.command(func(s *session) error {
				defer close(over)
				for i := range 3 * restartsAtOnce {
					if err := s.dialect.take(withUFrag(restart, fmt.Sprintf("ufrag%03d", i))); err != nil {
						return err
					}
				}
				return nil
			})
			<-over
			if n := said.count(`msg="peer restarts ice"`); n != restartsAtOnce {
				t.Errorf("gathered %d times, want %d", n, restartsAtOnce)
			}
			if n := said.count("too often"); n != 1 {
				t.Errorf("that it was too often is said %d times", n)
			}
		})
	}
}

const someUFrag = "someufrag"

// restartOf is what a side would begin a restart with.
func restartOf(s *session) signaling.Message {
	switch dialect := s.dialect.(type) {
	case *descriptions:
		talk := *dialect.talk
		talk.Restart(someUFrag, "0123456789012345678901")
		d, _ := talk.Offer()
		return signaling.Offer{SDP: d.String()}
	default:
		return signaling.InitialSetup{UFrag: someUFrag, Pwd: "0123456789012345678901", Fingerprints: []signaling.Fingerprint{
			{Hash: "sha-256", Setup: "actpass", Fingerprint: s.net.identity.fingerprint},
		}}
	}
}

func withUFrag(m signaling.Message, ufrag string) signaling.Message {
	switch m := m.(type) {
	case signaling.Offer:
		m.SDP = strings.ReplaceAll(m.SDP, someUFrag, ufrag)
		return m
	case signaling.InitialSetup:
		m.UFrag = ufrag
		return m
	}
	return m
}
