package cloud

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gotd/td/session"
	"github.com/gotd/td/tg"
)

// seen collects what a hook was told.
type seen[T any] struct {
	mu  sync.Mutex
	all []T
}

func (s *seen[T]) add(one T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, one)
}

func (s *seen[T]) has(t *testing.T, what string, like func(T) bool) {
	t.Helper()
	retry(t, func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !slices.ContainsFunc(s.all, like) {
			return fmt.Errorf("%s is not seen: %+v", what, s.all)
		}
		return nil
	})
}

// Every query is seen with who asked, what came of it, and when; those before the watch are not.
func TestWatchQueries(t *testing.T) {
	s, _ := startServer(t, Options{})
	control := s.Control()
	a := loggedIn(t, s, alice)
	var queries seen[Query]
	began := time.Now()
	control.WatchQueries(queries.add)
	to := a.user("bob_b")
	queries.has(t, "a good query", func(q Query) bool {
		return q.User == alice && q.Method == "contacts.resolveUsername" && q.Err == nil && q.Wait == 0 && !q.At.Before(began.Add(-time.Second))
	})
	control.FailNext(alice, "messages.sendMessage", 400, "PEER_FLOOD")
	if _, err := a.say(to, "hello", 1); err == nil {
		t.Error("the query has not failed")
	}
	queries.has(t, "a query that fails", func(q Query) bool {
		return q.User == alice && q.Method == "messages.sendMessage" && q.Err != nil && strings.Contains(q.Err.Error(), "PEER_FLOOD") && q.Wait == 0
	})
	control.FloodNext(alice, "messages.sendMessage", 40)
	if _, err := a.say(to, "hello", 2); err == nil {
		t.Error("the query has not failed")
	}
	queries.has(t, "a flood wait", func(q Query) bool { return q.Err != nil && q.Wait == 40*time.Second })
	nobody := connect(t, s, clientOptions{})
	if _, err := nobody.api.HelpGetNearestDC(ctxOf(t)); err != nil {
		t.Fatal(err)
	}
	queries.has(t, "a query of nobody", func(q Query) bool { return q.User == 0 && q.Method == "help.getNearestDc" && q.Err == nil })
	queries.mu.Lock()
	defer queries.mu.Unlock()
	for _, q := range queries.all {
		if q.Method == "updates.getState" {
			t.Error("a query from before the watch is seen")
		}
	}
}

// A login that a second program uses as well shows, and so does its loss.
func TestWatchLinks(t *testing.T) {
	s, _ := startServer(t, Options{})
	control := s.Control()
	type link struct {
		key  int64
		live int
	}
	var links seen[link]
	control.WatchLinks(func(key int64, live int) { links.add(link{key, live}) })
	storage := new(session.StorageMemory)
	if err := control.LogIn(alice, storage); err != nil {
		t.Fatal(err)
	}
	key := control.Keys(alice)
	if len(key) != 1 {
		t.Fatalf("keys are %v", key)
	}
	is := func(live int) func(link) bool { return func(l link) bool { return l == link{key[0], live} } }
	first := connect(t, s, clientOptions{storage: storage})
	ask := func(c *client) {
		t.Helper()
		if _, err := c.api.UpdatesGetState(ctxOf(t)); err != nil {
			t.Fatal(err)
		}
	}
	ask(first)
	links.has(t, "the connection", is(1))
	second := connect(t, s, clientOptions{storage: storage})
	ask(second)
	links.has(t, "the second program", is(2))
	second.stop()
	first.stop()
	links.has(t, "the end", is(0))
	links.mu.Lock()
	defer links.mu.Unlock()
	for _, l := range links.all {
		if l.key != key[0] || l.live < 0 || l.live > 2 {
			t.Errorf("seen is %+v", l)
		}
	}
}

// The other devices of a user hear of a login, and of nobody else's.
func TestLoginIsToldToOtherDevices(t *testing.T) {
	s, _ := startServer(t, Options{})
	a, b := loggedIn(t, s, alice), loggedIn(t, s, bob)
	second := loggedIn(t, s, alice)
	u := await[*tg.UpdateNewAuthorization](a, nil)
	if date, ok := u.GetDate(); u.Hash == 0 || !u.Unconfirmed || !ok || date == 0 {
		t.Errorf("the update is %+v", u)
	}
	all, err := a.api.AccountGetAuthorizations(ctxOf(t))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(all.Authorizations, func(one tg.Authorization) bool { return one.Hash == u.Hash && !one.Current }) {
		t.Errorf("the login %d is not in %+v", u.Hash, all.Authorizations)
	}
	// Whatever comes after it has come.
	to := a.user("bob_b")
	if _, err := a.say(to, "hello", 1); err != nil {
		t.Fatal(err)
	}
	await[*tg.UpdateNewMessage](b, nil)
	await[*tg.UpdateNewMessage](second, nil)
	for _, c := range []*client{b, second} {
		for _, u := range c.pending {
			if _, ok := u.(*tg.UpdateNewAuthorization); ok {
				t.Error("a login is told to whom it does not concern")
			}
		}
	}
}
