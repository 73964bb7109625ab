package telegram

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/tg"
	"github.com/gotd/td/tgerr"

	"github.com/tgtrunk/tgtrunk/store"
)

// owner is the account as Telegram knows it: privacy settings that a login of less than a day may not change.
type owner struct {
	mu     sync.Mutex
	login  time.Time
	open   map[string]bool // by type of the key: everybody, else nobody
	reads  int
	sets   int  // that were carried out
	denied int  // sets that were refused
	blind  bool // the list of devices cannot be had
}

func (o *owner) Invoke(_ context.Context, in bin.Encoder, out bin.Decoder) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch q := in.(type) {
	case *tg.AccountGetPrivacyRequest:
		o.reads++
		*out.(*tg.AccountPrivacyRules) = o.rules(q.Key)
	case *tg.AccountSetPrivacyRequest:
		if time.Since(o.login) < 24*time.Hour {
			o.denied++
			return tgerr.New(406, "FRESH_RESET_AUTHORISATION_FORBIDDEN")
		}
		o.sets++
		_, all := q.Rules[len(q.Rules)-1].(*tg.InputPrivacyValueAllowAll)
		o.open[q.Key.TypeName()] = all
		*out.(*tg.AccountPrivacyRules) = o.rules(q.Key)
	case *tg.AccountGetAuthorizationsRequest:
		if o.blind {
			return errors.New("no answer")
		}
		*out.(*tg.AccountAuthorizations) = tg.AccountAuthorizations{Authorizations: []tg.Authorization{
			{Hash: 1, DateCreated: int(o.login.Add(-1000 * time.Hour).Unix())},
			{Current: true, DateCreated: int(o.login.Unix())},
		}}
	default:
		return fmt.Errorf("%T is not expected", in)
	}
	return nil
}

func (o *owner) rules(key tg.InputPrivacyKeyClass) tg.AccountPrivacyRules {
	if o.open[key.TypeName()] {
		return tg.AccountPrivacyRules{Rules: []tg.PrivacyRuleClass{&tg.PrivacyValueAllowAll{}}}
	}
	return tg.AccountPrivacyRules{Rules: []tg.PrivacyRuleClass{&tg.PrivacyValueDisallowAll{}}}
}

// everybody lets everybody do something, as the account's owner would.
func (o *owner) everybody(key string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open[key] = true
}

// counts are the requests since the last look.
func (o *owner) counts() [3]int {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer func() { o.reads, o.sets, o.denied = 0, 0, 0 }()
	return [3]int{o.reads, o.sets, o.denied}
}

// keeping runs what keeps the preset, as one run of the service does, until stop.
func keeping(t *testing.T, s *store.File, o *owner) (stop func()) {
	t.Helper()
	a, err := New(Options{Name: "office", APIID: 1, APIHash: "h", Store: s, Privacy: PrivacyGateway})
	if err != nil {
		t.Fatal(err)
	}
	lease, err := s.Acquire(t.Context(), a.keep.key("lease"), a.owner, 1000*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	a.keep.under.Store(&lease)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { a.keepPrivacy(ctx, &session{api: tg.NewClient(o), self: &tg.User{ID: 5000}}) })
	return func() {
		cancel()
		running.Wait()
		if err := s.Release(context.Background(), lease); err != nil {
			t.Error(err)
		}
	}
}

// Telegram lets no login of less than a day change privacy. The preset is applied when that day has passed, not asked for
// before, over any number of restarts; and what is so already is never set again.
func TestPrivacyIsAppliedWhenTheLoginIsADayOld(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tgtrunk.db")
	synctest.Test(t, func(t *testing.T) {
		s, err := store.OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		invite := (&tg.InputPrivacyKeyChatInvite{}).TypeName()
		o := &owner{login: time.Now(), open: map[string]bool{invite: true}}
		want := func(what string, reads, sets, denied int) {
			t.Helper()
			synctest.Wait()
			if got := o.counts(); got != [3]int{reads, sets, denied} {
				t.Errorf("%s: %v requests (reads, sets, refused), want %v", what, got, [3]int{reads, sets, denied})
			}
		}
		time.Sleep(time.Hour)
		stop := keeping(t, s, o)
		want("a fresh login", 1, 0, 1)
		for range 3 { // restarts
			time.Sleep(5 * time.Hour)
			stop()
			stop = keeping(t, s, o)
		}
		time.Sleep(8*time.Hour + 30*time.Second) // the login is 24 h old
		want("before it is due", 0, 0, 0)
		time.Sleep(time.Minute)
		want("when it is due", 3, 3, 0)
		if o.open[invite] || len(o.open) != 3 {
			t.Errorf("the settings are %v", o.open)
		}
		stop()
		stop = keeping(t, s, o)
		want("a restart looks", 3, 0, 0)
		time.Sleep(23 * time.Hour)
		want("that day", 0, 0, 0)
		o.everybody(invite)
		time.Sleep(2 * time.Hour)
		want("the next day", 3, 1, 0)
		stop()
	})
}

// What came due while the service was down is done at the start; where the login's age cannot be had, it is tried every
// hour; and a due time that a clock far in the future has left is not waited for.
func TestPrivacyThatIsOverdue(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tgtrunk.db")
	synctest.Test(t, func(t *testing.T) {
		s, err := store.OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		o := &owner{login: time.Now(), open: map[string]bool{}}
		stop := keeping(t, s, o)
		synctest.Wait()
		stop()
		o.counts()
		time.Sleep(30 * time.Hour)
		stop = keeping(t, s, o)
		synctest.Wait()
		if got := o.counts(); got != [3]int{3, 2, 0} { // nobody invites it already
			t.Errorf("a day later: %v", got)
		}
		stop()

		o.login, o.blind, o.open = time.Now(), true, map[string]bool{}
		stop = keeping(t, s, o)
		time.Sleep(24*time.Hour + time.Minute)
		synctest.Wait()
		if got := o.counts(); got != [3]int{24 + 3, 2, 24} {
			t.Errorf("every hour: %v", got)
		}
		stop()

		o.open = map[string]bool{}
		key := fmt.Sprintf("telegram/office/%d/privacy", 5000)
		if _, err := s.Put(t.Context(), key, []byte(`{"next":"2099-01-01T00:00:00Z","why":"x"}`), store.Put{}); err != nil {
			t.Fatal(err)
		}
		stop = keeping(t, s, o)
		synctest.Wait()
		if got := o.counts(); got != [3]int{3, 2, 0} {
			t.Errorf("a due time in 2099: %v", got)
		}
		stop()
	})
}
