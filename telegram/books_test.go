package telegram

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/gotd/td/tg"

	"github.com/tgtrunk/tgtrunk/store"
	"github.com/tgtrunk/tgtrunk/telegram/chat"
)

// deskOf is a desk with nobody at it, and what its account logs.
func deskOf(t *testing.T, o chat.Options) (*desk, *turn, *bytes.Buffer) {
	t.Helper()
	k, lease := held(t)
	rules, err := chat.New(o)
	if err != nil {
		t.Fatal(err)
	}
	said := new(bytes.Buffer)
	a, err := New(Options{Name: "office", APIID: 1, APIHash: "h", Store: k.store.(*store.File), Chat: rules, Log: slog.New(slog.NewTextHandler(said, nil))})
	if err != nil {
		t.Fatal(err)
	}
	a.keep.under.Store(lease)
	s := &session{self: &tg.User{ID: 1}, peers: a.peers, log: a.log}
	s.config = newServerConfig(nil, a.log)
	return a.desk, &turn{session: s}, said
}

// A book that cannot be read is begun anew, the person's or the account's: nobody stays unanswered for it. Nothing of what
// is half readable counts.
func TestUnreadableBooksAreBegunAnew(t *testing.T) {
	for _, name := range []string{"500012345", bookOfTotals} {
		t.Run(name, func(t *testing.T) {
			d, turn, said := deskOf(t, chat.Options{Unmatched: chat.Unmatched{AutoAnswer: time.Hour}})
			key := d.account.keep.key("1/chat/" + name)
			if err := d.account.keep.put(t.Context(), key, []byte(`{"language":"de","lang`), rememberFor); err != nil {
				t.Fatal(err)
			}
			p := Peer{ID: 500012345, Person: true, Met: true}
			read := func() []chat.Action {
				return d.decide(t.Context(), turn, p, func(s chat.State, now time.Time) []chat.Action {
					return d.rules.Read(chat.Person{ID: p.ID}, chat.Message{ID: 1, Date: now, Text: "hello"}, s, now)
				})
			}
			if got := read(); len(got) != 1 {
				t.Fatalf("answered by %v; the log says %s", got, said)
			}
			if got := read(); len(got) != 0 {
				t.Errorf("the answer was not counted: %v", got)
			}
			if log := said.String(); strings.Count(log, "beginning a new one") != 1 || strings.Contains(log, "500012345") {
				t.Errorf("the log says %s", log)
			}
		})
	}
}
