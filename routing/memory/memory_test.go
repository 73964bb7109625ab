package memory

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tgtrunk/tgtrunk/routing"
	"github.com/tgtrunk/tgtrunk/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func opened(t *testing.T) store.Store {
	t.Helper()
	s, err := store.OpenFile(filepath.Join(t.TempDir(), "x.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// counted counts the writes.
type counted struct {
	store.Store
	puts int
	ttl  time.Duration
}

func (c *counted) Put(ctx context.Context, key string, value []byte, how store.Put) (uint64, error) {
	c.puts++
	c.ttl = how.TTL
	return c.Store.Put(ctx, key, value, how)
}

func id(number, own string, user int64) routing.Presented {
	return routing.Presented{Number: number, Own: own, Kind: routing.UserID, UserID: user}
}

func TestRecallsByTail(t *testing.T) {
	m := New(Options{Store: opened(t)})
	anna := id("*5000000201", "5000000201", 5000000201)
	anna.Username, anna.Phone = "anna", "+4930123456"
	m.Remember(t.Context(), "office", anna)
	for _, text := range []string{"*5000000201", "5000000201", "+75000000201", "005000000201"} {
		got := m.Recall(t.Context(), "office", text)
		if len(got) != 1 || got[0] != anna {
			t.Errorf("%q recalls %+v", text, got)
		}
	}
	for _, text := range []string{"5000000202", "", "201", "anna"} {
		if got := m.Recall(t.Context(), "office", text); len(got) != 0 {
			t.Errorf("%q recalls %+v", text, got)
		}
	}
	if got := m.Recall(t.Context(), "branch", "*5000000201"); len(got) != 0 {
		t.Errorf("another link recalls %+v", got)
	}
}

func TestRecallsNames(t *testing.T) {
	m := New(Options{Store: opened(t)})
	anna := routing.Presented{Number: "tg-Anna", Kind: routing.Username, UserID: 7000001, Username: "Anna"}
	m.Remember(t.Context(), "office/1", anna)
	if got := m.Recall(t.Context(), "office/1", "TG-ANNA"); len(got) != 1 || got[0] != anna {
		t.Errorf("%+v", got)
	}
	if got := m.Recall(t.Context(), "office", "1/tg-anna"); len(got) != 0 {
		t.Errorf("a link whose name begins alike recalls %+v", got)
	}
}

func TestTheLastShownComesFirst(t *testing.T) {
	now := time.Now()
	m := New(Options{Store: opened(t), Now: func() time.Time { return now }})
	m.Remember(t.Context(), "office", id("*1234567", "1234567", 1234567))
	now = now.Add(time.Second)
	m.Remember(t.Context(), "office", id("*91234567", "91234567", 91234567))
	got := m.Recall(t.Context(), "office", "34567")
	if len(got) != 2 || got[0].UserID != 91234567 {
		t.Errorf("%+v", got)
	}
	// Shown in another way, the same user has the later one only.
	now = now.Add(time.Second)
	m.Remember(t.Context(), "office", id("01234567", "1234567", 1234567))
	got = m.Recall(t.Context(), "office", "34567")
	if len(got) != 2 || got[0].Number != "01234567" {
		t.Errorf("%+v", got)
	}
}

// A username that goes from one user to another and back, all on one day, is the one's who was shown by it last.
func TestTheLastOfOneTextComesFirst(t *testing.T) {
	now := time.Now()
	m := New(Options{Store: opened(t), Now: func() time.Time { return now }})
	anna := routing.Presented{Number: "support", Kind: routing.Username, UserID: 7000001, Username: "support"}
	boris := anna
	boris.UserID = 7000002
	for _, p := range []routing.Presented{anna, boris, anna} {
		now = now.Add(time.Hour)
		m.Remember(t.Context(), "office", p)
	}
	if got := m.Recall(t.Context(), "office", "support"); len(got) != 2 || got[0] != anna {
		t.Errorf("%+v", got)
	}
}

func TestWritesOncePerDay(t *testing.T) {
	now := time.Now()
	s := &counted{Store: opened(t)}
	m := New(Options{Store: s, Now: func() time.Time { return now }})
	for range 3 {
		m.Remember(t.Context(), "office", id("*1234567", "1234567", 1234567))
		now = now.Add(time.Hour)
	}
	if s.puts != 1 || s.ttl != DefaultKeep {
		t.Errorf("%d writes, for %v", s.puts, s.ttl)
	}
	now = now.Add(renewAfter)
	m.Remember(t.Context(), "office", id("*1234567", "1234567", 1234567))
	if s.puts != 2 {
		t.Errorf("%d writes after a day", s.puts)
	}
}

func TestTooManyAlikeRecallNobody(t *testing.T) {
	m := New(Options{Store: opened(t)})
	for i := range int64(maxRecalled + 1) {
		user := (i+1)*100000 + 12345
		m.Remember(t.Context(), "office", id("*"+strconv.FormatInt(user, 10), strconv.FormatInt(user, 10), user))
	}
	if got := m.Recall(t.Context(), "office", "12345"); len(got) != 0 {
		t.Errorf("%d are recalled", len(got))
	}
}

// stuck is a store that answers when its context ends.
type stuck struct{ store.Store }

func (stuck) Get(ctx context.Context, _ string) (store.Entry, error) {
	<-ctx.Done()
	return store.Entry{}, ctx.Err()
}

func TestAStoreThatHangsHoldsNobody(t *testing.T) {
	m := New(Options{Store: stuck{}})
	begin := time.Now()
	m.Remember(t.Context(), "office", id("*1234567", "1234567", 1234567))
	if got := m.Recall(t.Context(), "office", "1234567"); got != nil {
		t.Errorf("%+v", got)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestGarbageIsIgnored(t *testing.T) {
	s := opened(t)
	m := New(Options{Store: s})
	for _, text := range []string{"", "{", `[{"number":"*1"}]`, `[null]`, `{"number":"*12345","user_id":12345}`} {
		if _, err := s.Put(t.Context(), bucket("office", "12345"), []byte(text), store.Put{}); err != nil {
			t.Fatal(err)
		}
		if got := m.Recall(t.Context(), "office", "12345"); len(got) != 0 {
			t.Errorf("%q: %+v", text, got)
		}
		m.Remember(t.Context(), "office", id("*12345", "12345", 12345))
		if got := m.Recall(t.Context(), "office", "12345"); len(got) != 1 {
			t.Errorf("after %q nobody is remembered any more", text)
		}
	}
}

func TestForgets(t *testing.T) {
	now := time.Now()
	m := New(Options{Store: opened(t), Now: func() time.Time { return now }})
	m.Remember(t.Context(), "office", id("*91234567", "91234567", 91234567))
	now = now.Add(DefaultKeep - time.Hour)
	m.Remember(t.Context(), "office", id("*1234567", "1234567", 1234567)) // the same bucket: it lives on
	now = now.Add(2 * time.Hour)
	if got := m.Recall(t.Context(), "office", "34567"); len(got) != 1 || got[0].UserID != 1234567 {
		t.Errorf("%+v", got)
	}
}

// A call must not look through the store: a store on Redis then looks at every key of the server.
func TestACallReadsOneKey(t *testing.T) {
	s := opened(t)
	m := New(Options{Store: getOnly{s}})
	m.Remember(t.Context(), "office", id("*1234567", "1234567", 1234567))
	if got := m.Recall(t.Context(), "office", "1234567"); len(got) != 1 {
		t.Errorf("%+v", got)
	}
}

// getOnly has no other way to read than by key.
type getOnly struct{ s store.Store }

func (g getOnly) Get(ctx context.Context, key string) (store.Entry, error) { return g.s.Get(ctx, key) }

func (g getOnly) Put(ctx context.Context, key string, value []byte, how store.Put) (uint64, error) {
	return g.s.Put(ctx, key, value, how)
}

func TestNobodyIsForgottenForAnother(t *testing.T) {
	m := New(Options{Store: opened(t)})
	var calls sync.WaitGroup
	for i := range int64(5) {
		calls.Go(func() {
			user := (i+1)*100000 + 12345
			if err := m.remember(t.Context(), "office", id("*"+strconv.FormatInt(user, 10), strconv.FormatInt(user, 10), user)); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	if got := m.Recall(t.Context(), "office", "12345"); len(got) != 5 {
		t.Errorf("%d of 5 are remembered", len(got))
	}
}

// racing is a store where somebody else always writes between Get and Put.
type racing struct{ store.Store }

func (racing) Put(context.Context, string, []byte, store.Put) (uint64, error) {
	return 0, store.ErrConflict
}

func TestConflictsEnd(t *testing.T) {
	m := New(Options{Store: racing{opened(t)}})
	if err := m.remember(t.Context(), "office", id("*1234567", "1234567", 1234567)); !errors.Is(err, errBusy) {
		t.Error(err)
	}
	m = New(Options{Store: stuck{}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.remember(ctx, "office", id("*1", "1", 1)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
