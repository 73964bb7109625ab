package guard

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/tgtrunk/tgtrunk/store"
)

// broken is a store that fails from some moment on.
type broken struct {
	Store
	err error
}

func (b *broken) Get(ctx context.Context, key string) (store.Entry, error) {
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
