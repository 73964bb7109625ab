package telegram

import (
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
