package telegram

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/gotd/td/tg"

	"github.com/tgtrunk/tgtrunk/store"
)

func tidyNow(s *peers) {
	s.tidied = time.Time{}
	s.tidy()
}

// crowd is n users as a large group shows them.
func crowd(first int64, n int) []tg.UserClass {
	users := make([]tg.UserClass, n)
	for i := range users {
		id := first + int64(i)
		u := &tg.User{ID: id, FirstName: "Somebody", Username: fmt.Sprintf("user_%d", id)}
		u.SetAccessHash(id)
		u.SetStatus(&tg.UserStatusRecently{})
		users[i] = u
	}
	return users
}

// TestCrowdIsForgotten: however many users come along, what is kept of them is bounded; those who matter stay.
func TestCrowdIsForgotten(t *testing.T) {
	k, _ := held(t)
	s := newPeers(k, slog.New(slog.DiscardHandler))
	if err := s.load(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	friend := &tg.User{ID: 2, FirstName: "Friend", Contact: true}
	s.remember([]tg.UserClass{friend, &tg.User{ID: 3, FirstName: "Writer"}, &tg.User{ID: 1, FirstName: "Self"}})
	s.meet(3)
	for i := range 15 {
		s.remember(crowd(1000+int64(i)*1000, 1000))
		s.use(1000) // somebody who is called again and again
		tidyNow(s)
	}
	if len(s.known) != mostPassing+3 || len(s.index) != mostPassing || len(s.until) != mostPassing ||
		len(s.wet) != mostPassing+3 || len(s.seen) > mostPassing+3 {
		t.Errorf("%d known, %d by name, %d pass, %d to write, %d presences", len(s.known), len(s.index), len(s.until), len(s.wet), len(s.seen))
	}
	for id := int64(1); id <= 3; id++ {
		if _, ok := s.get(id); !ok {
			t.Errorf("user %d, who matters, is forgotten", id)
		}
	}
	if _, ok := s.get(1000); !ok {
		t.Error("who is called is forgotten")
	}
	if _, ok := s.get(15_999); !ok {
		t.Error("who was seen last is forgotten")
	}
	for id, p := range s.seen {
		p.seen = p.seen.Add(-presenceFor)
		s.seen[id] = p
	}
	tidyNow(s)
	if len(s.seen) != 0 {
		t.Errorf("%d presences are kept that are too old to be told", len(s.seen))
	}
	for id := range s.until {
		s.until[id] = time.Now()
	}
	tidyNow(s)
	if len(s.known) != 3 || len(s.index)+len(s.until) != 0 {
		t.Errorf("%d users are known when all have passed", len(s.known))
	}
}

// TestStoreForgetsWhoPasses: what is written of users who were only seen ends by itself, later where they are seen again;
// of others it does not. Records without an end, of an earlier version, get one.
func TestStoreForgetsWhoPasses(t *testing.T) {
	k, _ := held(t)
	s := newPeers(k, slog.New(slog.DiscardHandler))
	left := func(id int64) time.Duration {
		t.Helper()
		e, err := k.store.Get(t.Context(), fmt.Sprintf("%s%d", s.prefix(1), id))
		if err != nil {
			t.Fatal(err)
		}
		if e.Expires.IsZero() {
			return 0
		}
		return time.Until(e.Expires).Round(time.Hour)
	}
	flush := func() {
		t.Helper()
		if err := s.flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for id, text := range map[int64]string{7: `{"id":7,"hash":7,"person":true}`, 8: `{"id":8,"hash":8,"met":true}`} {
		if _, err := k.store.Put(t.Context(), fmt.Sprintf("%s%d", s.prefix(1), id), []byte(text), store.Put{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.load(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	s.remember(crowd(20, 2))
	s.remember([]tg.UserClass{&tg.User{ID: 30, FirstName: "Friend", Contact: true}})
	flush()
	for id, want := range map[int64]time.Duration{7: passingFor, 8: 0, 20: passingFor, 21: passingFor, 30: 0} {
		if id == 8 {
			if _, wet := s.wet[8]; wet {
				t.Error("somebody who was met is written again for nothing")
			}
		}
		if got := left(id); got != want {
			t.Errorf("user %d is kept for %v, want %v", id, got, want)
		}
	}
	s.until[20], s.until[21] = time.Now().Add(48*time.Hour), time.Now().Add(48*time.Hour)
	s.remember(crowd(20, 1))
	s.meet(21)
	flush()
	if got := left(20); got != passingFor {
		t.Errorf("who is seen again is kept for %v", got)
	}
	if got := left(21); got != 0 {
		t.Errorf("who has written is kept for %v", got)
	}
	again := newPeers(k, slog.New(slog.DiscardHandler))
	if err := again.load(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if len(again.known) != 5 || len(again.wet) != 0 || len(again.until) != 2 {
		t.Errorf("read back: %d known, %d to write, %d pass", len(again.known), len(again.wet), len(again.until))
	}
}
