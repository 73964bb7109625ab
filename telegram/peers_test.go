package telegram

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gotd/td/telegram/updates"
	"github.com/gotd/td/tg"

	"github.com/tgtrunk/tgtrunk/store"
)

// held is the part of a store that an account has, while it has it.
func held(t *testing.T) (keep, *store.Lease) {
	t.Helper()
	s, err := store.OpenFile(filepath.Join(t.TempDir(), "x.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	lease, err := s.Acquire(t.Context(), "office", "test", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	k := keep{store: s, name: "office", under: new(atomic.Pointer[store.Lease])}
	k.under.Store(&lease)
	return k, &lease
}

// An account that comes back from another process brings what that one has learned, and loses nothing of its own.
func TestPeersOfAnotherProcess(t *testing.T) {
	k, _ := held(t)
	here, there := newPeers(k, slog.New(slog.DiscardHandler)), newPeers(k, slog.New(slog.DiscardHandler))
	load := func(p *peers) {
		t.Helper()
		if err := p.load(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	flush := func(p *peers) {
		t.Helper()
		if err := p.flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	load(here)
	here.remember([]tg.UserClass{&tg.User{ID: 2, FirstName: "Alice"}, &tg.User{ID: 3, FirstName: "Bob"}})
	flush(here)
	load(there)
	there.meet(2)
	there.meet(3)
	flush(there)
	here.remember([]tg.UserClass{&tg.User{ID: 3, FirstName: "Robert"}}) // not written yet
	load(here)
	if p, _ := here.get(2); !p.Met {
		t.Error("who was met by the other process is a stranger")
	}
	if p, _ := here.get(3); !p.Met || p.First != "Robert" {
		t.Errorf("of the other is known %+v", p)
	}
	if err := here.load(t.Context(), 9); err != nil {
		t.Fatal(err)
	}
	if _, ok := here.get(2); ok || len(here.seen)+len(here.wet)+len(here.borrowed) != 0 {
		t.Error("another user inherits what was known")
	}
}

// writes counts the writes of a store, and fails one.
type writes struct {
	store.Store
	puts, updates, fail int
}

func (w *writes) Put(ctx context.Context, key string, value []byte, how store.Put) (uint64, error) {
	w.puts++
	return w.Store.Put(ctx, key, value, how)
}

func (w *writes) Update(ctx context.Context, changes []store.Change) ([]uint64, error) {
	if w.updates++; w.updates == w.fail {
		return nil, store.ErrAway
	}
	return w.Store.Update(ctx, changes)
}

// Peers are written many at once; what could not be written is written the next time, and nothing else is.
func TestPeersAreWrittenTogether(t *testing.T) {
	const people = 2*store.MaxChanges + 10
	k, lease := held(t)
	w := &writes{Store: k.store, fail: 2}
	k.store = w
	p := newPeers(k, slog.New(slog.DiscardHandler))
	if err := p.load(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	var users []tg.UserClass
	for i := range people {
		users = append(users, &tg.User{ID: int64(1000 + i), FirstName: "Somebody"})
	}
	p.remember(users)
	stored := func() (n int) {
		t.Helper()
		if err := w.Scan(t.Context(), p.prefix(1), func(store.Entry) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if err := p.flush(t.Context()); !errors.Is(err, store.ErrAway) || stored() != store.MaxChanges || len(p.wet) != people-store.MaxChanges {
		t.Fatalf("%v: %d are stored, %d wait", err, stored(), len(p.wet))
	}
	if err := p.flush(t.Context()); err != nil || stored() != people || len(p.wet) != 0 {
		t.Fatalf("%v: %d are stored, %d wait", err, stored(), len(p.wet))
	}
	if w.puts != 0 || w.updates != 4 {
		t.Errorf("%d puts and %d updates, one of which failed, for %d people", w.puts, w.updates, people)
	}
	if err := p.flush(t.Context()); err != nil || w.updates != 4 {
		t.Errorf("nothing new, and %d updates, %v", w.updates, err)
	}
	p.meet(1000)
	if err := k.store.Release(t.Context(), *lease); err != nil {
		t.Fatal(err)
	}
	if err := p.flush(t.Context()); !errors.Is(err, store.ErrFenced) || len(p.wet) != 1 {
		t.Errorf("without the account: %v, %d wait", err, len(p.wet))
	}
}

// An update state that could not be written is written later.
func TestProgressIsWrittenLater(t *testing.T) {
	k, lease := held(t)
	p := &progress{keep: k}
	if err := p.load(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := p.SetState(t.Context(), 1, updates.State{Pts: 7}); err != nil {
		t.Fatal(err)
	}
	k.under.Store(nil)
	if err := p.flush(t.Context()); err == nil {
		t.Fatal("it was written without a lease")
	}
	k.under.Store(lease)
	if err := p.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := &progress{keep: k}
	if err := again.load(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if s, ok, _ := again.GetState(t.Context(), 1); !ok || s.Pts != 7 {
		t.Errorf("the store has %+v, %v", s, ok)
	}
}
