package guard

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/store"
)

// broken is a store that fails from some moment on.
type broken struct {
	Store
	err  error
	slow bool // it says nothing for a while
}

func (b *broken) Get(ctx context.Context, key string) (store.Entry, error) {
	if b.slow {
		<-ctx.Done()
		return store.Entry{}, ctx.Err()
	}
	if b.err != nil {
		return store.Entry{}, b.err
	}
	return b.Store.Get(ctx, key)
}

// What is left is said by the book that was seen last where the store fails: not as if nobody had ever been called.
func TestWhatIsLeftWhileTheStoreFails(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "tgtrunk.db"))
	defer func() { _ = s.Close() }()
	b := &broken{Store: s}
	g := load(t, b, Limits{PerDay: 10})
	admit(t, g, stranger(1), 9)
	admit(t, g, stranger(2), 8)
	b.err = errors.New("the store is away")
	left, err := g.Admit(t.Context(), stranger(3))
	if !errors.Is(err, b.err) || left != 8 {
		t.Errorf("%d are left, %v; want 8", left, err)
	}
}

// Known people are called while the store is away, and soon; strangers are not, who cannot be counted.
func TestKnownPeopleAreCalledWhileTheStoreFails(t *testing.T) {
	for name, b := range map[string]*broken{"fails": {err: errors.New("the store is away")}, "hangs": {slow: true}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, _ string, s *store.File) {
				away := &broken{Store: s}
				g := load(t, away, Defaults())
				away.err, away.slow = b.err, b.slow
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				began := time.Now()
				if _, err := g.Admit(ctx, Callee{ID: 1}); err != nil {
					t.Errorf("somebody known: %v", err)
				}
				if took := time.Since(began); took > time.Second {
					t.Errorf("it took %v", took)
				}
				if _, err := g.Admit(ctx, stranger(2)); err == nil {
					t.Error("a stranger is called uncounted")
				}
			})
		})
	}
}

// A call that has ended meanwhile is not placed.
func TestNobodyIsCalledForACallerWhoHasGone(t *testing.T) {
	bubble(t, func(t *testing.T, _ string, s *store.File) {
		b := &broken{Store: s}
		g := load(t, b, Defaults())
		b.slow = true
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := g.Admit(ctx, Callee{ID: 1}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}
