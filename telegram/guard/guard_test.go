package guard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/tgtrunk/tgtrunk/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const prefix = "telegram/sales/5000/guard/"

// wait is the error of a Telegram that wants the account to wait.
type wait time.Duration

func (w wait) Error() string { return "FLOOD_WAIT_" + fmt.Sprint(int(time.Duration(w).Seconds())) }

var errPeerFlood = errors.New("PEER_FLOOD")

func read(err error) Signal {
	var w wait
	errors.As(err, &w)
	return Signal{Wait: time.Duration(w), PeerFlood: errors.Is(err, errPeerFlood)}
}

func open(t *testing.T, path string) *store.File {
	t.Helper()
	s, err := store.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// bubble runs a test with a clock of its own, and a store.
func bubble(t *testing.T, test func(t *testing.T, path string, s *store.File)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tgtrunk.db")
	synctest.Test(t, func(t *testing.T) {
		s := open(t, path)
		defer func() { _ = s.Close() }()
		test(t, path, s)
	})
}

func load(t *testing.T, s Store, l Limits, log ...*slog.Logger) *Guard {
	t.Helper()
	o := Options{Store: s, Read: read, Limits: l}
	if len(log) > 0 {
		o.Log = log[0]
	}
	g := New(o)
	if err := g.Load(t.Context(), prefix); err != nil {
		t.Fatal(err)
	}
	return g
}

// api answers one request after the other; nil is a good answer.
type api struct {
	answers []error
	asked   int
}

func (a *api) request(context.Context) error {
	a.asked++
	if len(a.answers) == 0 {
		return nil
	}
	first := a.answers[0]
	a.answers = a.answers[1:]
	return first
}

func refused(t *testing.T, err error, why Why, wait time.Duration) {
	t.Helper()
	var r *Refusal
	if !errors.As(err, &r) || r.Why != why || r.Wait.Round(time.Second) != wait {
		t.Errorf("got %v, want %v for %v", err, why, wait)
	}
}

func TestShortFloodIsSatThroughOnce(t *testing.T) {
	bubble(t, func(t *testing.T, _ string, s *store.File) {
		g := load(t, s, Defaults())
		a := &api{answers: []error{wait(5 * time.Second)}}
		began := time.Now()
		if err := g.Do(t.Context(), t.Context(), "m", a.request); err != nil || a.asked != 2 {
			t.Errorf("%v after %d requests", err, a.asked)
		}
		if took := time.Since(began); took < 5*time.Second || took > 5*time.Second+jitter {
			t.Errorf("it took %v", took)
		}
		if n := g.Status().Retries["m"]; n != 1 {
			t.Errorf("%d retries are counted", n)
		}
		a = &api{answers: []error{wait(3 * time.Second), wait(4 * time.Second)}}
		refused(t, g.Do(t.Context(), t.Context(), "m", a.request), Flood, 4*time.Second)
		if a.asked != 2 {
			t.Errorf("%d requests", a.asked)
		}
	})
}

func TestShortFloodEndsWithTheCaller(t *testing.T) {
	bubble(t, func(t *testing.T, _ string, s *store.File) {
		g := load(t, s, Defaults())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		a := &api{answers: []error{wait(5 * time.Second)}}
		began := time.Now()
		if err := g.Do(t.Context(), ctx, "m", a.request); err == nil || a.asked != 1 || time.Since(began) != time.Second {
			t.Errorf("%v after %d requests and %v", err, a.asked, time.Since(began))
		}
		if g.Flooded("m") != 0 {
			t.Error("a short wait is remembered")
		}
	})
}

// A long wait is remembered for its method, over a restart, and costs no request until it has passed.
func TestLongFloodIsRemembered(t *testing.T) {
	bubble(t, func(t *testing.T, path string, s *store.File) {
		g := load(t, s, Defaults())
		a := &api{answers: []error{wait(time.Minute)}}
		err := g.Do(t.Context(), t.Context(), "contacts.resolveUsername", a.request)
		refused(t, err, Flood, time.Minute)
		var w wait
		if !errors.As(err, &w) {
			t.Error("Telegram's own error is lost")
		}
		time.Sleep(20 * time.Second)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, path)
		defer func() { _ = s.Close() }()
		g = load(t, s, Defaults())
		refused(t, g.Do(t.Context(), t.Context(), "contacts.resolveUsername", a.request), Flood, 40*time.Second)
		if a.asked != 1 {
			t.Errorf("telegram was asked %d times", a.asked)
		}
		if bans := g.Status().Bans; len(bans) != 1 || bans[0].Method != "contacts.resolveUsername" || bans[0].Why != Flood {
			t.Errorf("bans are %+v", bans)
		}
		if err := g.Do(t.Context(), t.Context(), "phone.requestCall", a.request); err != nil {
			t.Errorf("another method: %v", err)
		}
		time.Sleep(40 * time.Second)
		if err := g.Do(t.Context(), t.Context(), "contacts.resolveUsername", a.request); err != nil {
			t.Errorf("after the wait: %v", err)
		}
		if len(g.Status().Bans) != 0 {
			t.Errorf("bans are left: %+v", g.Status().Bans)
		}
	})
}

// Before Load the guard works from memory: the account is not known yet.
func TestBeforeLoad(t *testing.T) {
	g := New(Options{Read: read, Limits: Defaults()})
	a := &api{answers: []error{wait(time.Minute)}}
	refused(t, g.Do(t.Context(), t.Context(), "m", a.request), Flood, time.Minute)
	refused(t, g.Do(t.Context(), t.Context(), "m", a.request), Flood, time.Minute)
	if _, err := g.Admit(t.Context(), Callee{ID: 1, Stranger: true}); err == nil {
		t.Error("a stranger is called uncounted")
	}
}

func stranger(id int64) Callee { return Callee{ID: id, Stranger: true} }

func admit(t *testing.T, g *Guard, c Callee, left int) {
	t.Helper()
	if got, err := g.Admit(t.Context(), c); err != nil || got != left {
		t.Errorf("admitted %d with %d left, %v; want %d", c.ID, got, err, left)
	}
}

func TestBudgetRolls(t *testing.T) {
	bubble(t, func(t *testing.T, path string, s *store.File) {
		l := Limits{PerDay: 3}
		g := load(t, s, l)
		for i := range int64(3) {
			admit(t, g, stranger(i), 2-int(i))
			time.Sleep(time.Hour)
		}
		_, err := g.Admit(t.Context(), stranger(9))
		refused(t, err, Budget, 21*time.Hour)
		admit(t, g, Callee{ID: 7}, 0) // somebody known
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, path)
		defer func() { _ = s.Close() }()
		g = load(t, s, l)
		if st := g.Status(); st.Left != 0 || st.Allowed != 3 {
			t.Errorf("after a restart %+v", st)
		}
		_, err = g.Admit(t.Context(), stranger(9))
		refused(t, err, Budget, 21*time.Hour)
		time.Sleep(21 * time.Hour)
		admit(t, g, stranger(9), 0)
		_, err = g.Admit(t.Context(), stranger(10))
		refused(t, err, Budget, time.Hour)
		g.GiveBack(t.Context(), stranger(9))
		if left := g.Status().Left; left != 1 {
			t.Errorf("%d are left after one was given back", left)
		}
		admit(t, g, stranger(10), 0)
	})
}

func TestNoStrangersAndAnyNumber(t *testing.T) {
	bubble(t, func(t *testing.T, _ string, s *store.File) {
		_, err := load(t, s, Limits{}).Admit(t.Context(), stranger(1))
		refused(t, err, Budget, 0)
		g := load(t, s, Limits{PerDay: -1})
		for i := range int64(50) {
			admit(t, g, stranger(i), -1)
		}
	})
}

func TestWarmUp(t *testing.T) {
	since := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	l := Limits{PerDay: 30, WarmUp: 14}
	for days, want := range map[int]int{0: 3, 1: 5, 6: 15, 13: 30, 14: 30, 400: 30} {
		if got := l.allowed(book{Since: since}, since.Add(time.Duration(days)*day+time.Hour)); got != want {
			t.Errorf("day %d: %d, want %d", days, got, want)
		}
	}
	if got := (Limits{PerDay: 1, WarmUp: 14}).allowed(book{Since: since}, since); got != 1 {
		t.Errorf("%d on the first day", got)
	}
}

// The age of an account is that of its first Load, over restarts.
func TestWarmUpGoesByTheStore(t *testing.T) {
	bubble(t, func(t *testing.T, _ string, s *store.File) {
		l := Limits{PerDay: 10, WarmUp: 10}
		if a := load(t, s, l).Status().Allowed; a != 1 {
			t.Errorf("%d on the first day", a)
		}
		time.Sleep(5 * day)
		if a := load(t, s, l).Status().Allowed; a != 6 {
			t.Errorf("%d on the sixth day", a)
		}
	})
}

func TestGap(t *testing.T) {
	bubble(t, func(t *testing.T, _ string, s *store.File) {
		l := Limits{PerDay: 10, Gap: 10 * time.Second, Retry: 5 * time.Second}
		g := load(t, s, l)
		admit(t, g, stranger(1), 9)
		time.Sleep(2 * time.Second)
		_, err := g.Admit(t.Context(), stranger(2))
		refused(t, err, Gap, 8*time.Second)
		time.Sleep(4 * time.Second)
		began := time.Now()
		admit(t, g, stranger(2), 8) // the rest is short enough to wait for
		if took := time.Since(began); took != 4*time.Second {
			t.Errorf("it took %v", took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.Sleep(6 * time.Second)
		cancel()
		if _, err := g.Admit(ctx, stranger(3)); err == nil {
			t.Error("a caller who has gone is admitted")
		}
	})
}

// Two processes that share a store never exceed the budget together.
func TestBudgetIsCountedTogether(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "tgtrunk.db"))
	defer func() { _ = s.Close() }()
	l := Limits{PerDay: 25}
	guards := []*Guard{load(t, s, l), load(t, s, l)}
	var admitted atomic.Int64
	var calling sync.WaitGroup
	for i := range int64(60) {
		calling.Go(func() {
			if _, err := guards[i%2].Admit(t.Context(), stranger(i)); err == nil {
				admitted.Add(1)
			} else if r := new(Refusal); !errors.As(err, &r) || r.Why != Budget {
				t.Errorf("refused with %v", err)
			}
		})
	}
	calling.Wait()
	if n := admitted.Load(); n != 25 {
		t.Errorf("%d strangers were admitted", n)
	}
}

// contested is a store where somebody else writes between our reading and our writing.
type contested struct {
	Store
	others func()
}

func (c *contested) Put(ctx context.Context, key string, value []byte, how store.Put) (uint64, error) {
	if others := c.others; others != nil {
		c.others = nil
		others()
	}
	return c.Store.Put(ctx, key, value, how)
}

func TestLostRaceIsTriedAgain(t *testing.T) {
	bubble(t, func(t *testing.T, _ string, s *store.File) {
		c := &contested{Store: s}
		g, other := load(t, c, Limits{PerDay: 1}), load(t, s, Limits{PerDay: 1})
		c.others = func() { admit(t, other, stranger(1), 0) }
		_, err := g.Admit(t.Context(), stranger(2))
		refused(t, err, Budget, day)
	})
}

func TestPeerFloodPausesStrangersOnly(t *testing.T) {
	bubble(t, func(t *testing.T, path string, s *store.File) {
		var log bytes.Buffer
		g := load(t, s, Defaults(), slog.New(slog.NewTextHandler(&log, nil)))
		for range 2 { // said once
			a := &api{answers: []error{errPeerFlood}}
			if err := g.Do(t.Context(), t.Context(), "phone.requestCall", a.request); !errors.Is(err, errPeerFlood) {
				t.Errorf("got %v", err)
			}
		}
		_, err := g.Admit(t.Context(), stranger(1))
		refused(t, err, PeerFlood, day)
		if _, err := g.Admit(t.Context(), Callee{ID: 2}); err != nil {
			t.Errorf("somebody known: %v", err)
		}
		if n := strings.Count(log.String(), "@SpamBot"); n != 1 {
			t.Errorf("the administrator is told %d times:\n%s", n, &log)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		s = open(t, path)
		defer func() { _ = s.Close() }()
		g = load(t, s, Defaults())
		_, err = g.Admit(t.Context(), stranger(1))
		refused(t, err, PeerFlood, 23*time.Hour)
		if st := g.Status(); st.Left != 0 || len(st.Bans) != 1 || st.Bans[0].Why != PeerFlood {
			t.Errorf("status %+v", st)
		}
		time.Sleep(23 * time.Hour)
		if _, err = g.Admit(t.Context(), stranger(1)); err != nil {
			t.Errorf("a day later: %v", err)
		}
	})
}

func TestBreaker(t *testing.T) {
	bubble(t, func(t *testing.T, _ string, s *store.File) {
		l := Limits{PerDay: -1, Breaker: Breaker{Declines: 3, Within: time.Hour, Pause: 6 * time.Hour}}
		g := load(t, s, l)
		decline := func(n int, after time.Duration) {
			for range n {
				g.Declined(t.Context(), stranger(1), after)
			}
		}
		decline(2, time.Second)
		decline(5, time.Minute)                             // after a look at the phone
		g.Declined(t.Context(), Callee{ID: 2}, time.Second) // by somebody known
		admit(t, g, stranger(4), -1)
		g.Answered(t.Context(), stranger(4))
		decline(2, time.Second)
		time.Sleep(2 * time.Hour) // long ago
		decline(2, time.Second)
		admit(t, g, stranger(5), -1)
		decline(1, time.Second)
		_, err := g.Admit(t.Context(), stranger(6))
		refused(t, err, Declines, 6*time.Hour)
		admit(t, g, Callee{ID: 2}, 0)
		time.Sleep(6 * time.Hour)
		admit(t, g, stranger(6), -1)
	})
}

func TestPrivacyIsRemembered(t *testing.T) {
	bubble(t, func(t *testing.T, _ string, s *store.File) {
		g := load(t, s, Defaults())
		g.Restricted(t.Context(), 7)
		time.Sleep(10 * time.Minute)
		for _, c := range []Callee{{ID: 7}, stranger(7)} {
			_, err := g.Admit(t.Context(), c)
			refused(t, err, Private, 50*time.Minute)
		}
		if n := len(g.book.Calls); n != 0 {
			t.Errorf("%d calls are counted that were not made", n)
		}
		if _, err := g.Admit(t.Context(), stranger(8)); err != nil {
			t.Error(err)
		}
		time.Sleep(50 * time.Minute)
		if _, err := g.Admit(t.Context(), stranger(7)); err != nil {
			t.Errorf("an hour later: %v", err)
		}
	})
}

// What cannot be read is begun anew; what cannot be counted is not called.
func TestBrokenStore(t *testing.T) {
	bubble(t, func(t *testing.T, _ string, s *store.File) {
		for key, value := range map[string]string{bookKey: "{", floodKeys + "m": "tomorrow"} {
			if _, err := s.Put(t.Context(), prefix+key, []byte(value), store.Put{}); err != nil {
				t.Fatal(err)
			}
		}
		g := load(t, s, Limits{PerDay: 2})
		admit(t, g, stranger(1), 1)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		_, err := g.Admit(t.Context(), stranger(2))
		if r := new(Refusal); err == nil || errors.As(err, &r) {
			t.Errorf("without a store: %v", err)
		}
	})
}

// Status is asked for beside everything else: it must leave the book, whose slices it shares with those who write it, alone.
func TestLookingChangesNothing(t *testing.T) {
	now := time.Now()
	b := book{Since: now, Calls: []entry{{At: now.Add(-2 * day), ID: 1}, {At: now, ID: 2}}, Declines: []time.Time{now, now}}
	if left := Defaults().left(b, now); left != 2 { // 3 on the first day
		t.Errorf("%d strangers are left", left)
	}
	if b.Calls[0].ID != 1 || b.Declines[0].IsZero() || b.Declines[1].IsZero() {
		t.Errorf("the book is now %+v", b)
	}
}

func TestAClockThatWasSetBackIsNoLicence(t *testing.T) {
	now := time.Now()
	if allowed := Defaults().allowed(book{Since: now.Add(5 * day)}, now); allowed != 3 {
		t.Errorf("%d strangers are allowed, want those of the first day", allowed)
	}
}

func TestFloodWaitEndsWithTheSession(t *testing.T) {
	bubble(t, func(t *testing.T, _ string, s *store.File) {
		g := load(t, s, Defaults())
		a := &api{answers: []error{wait(5 * time.Second)}}
		session, end := context.WithTimeout(t.Context(), time.Second)
		defer end()
		began := time.Now()
		err := g.Do(session, t.Context(), "m", a.request)
		if took := time.Since(began); err == nil || a.asked != 1 || took > time.Second {
			t.Errorf("%v after %d requests and %v", err, a.asked, took)
		}
	})
}
