package memory

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tgtrunk/tgtrunk/routing"
	"github.com/tgtrunk/tgtrunk/store"
)

// Store is what the memory needs of a store.Store.
type Store interface {
	Get(ctx context.Context, key string) (store.Entry, error)
	Put(ctx context.Context, key string, value []byte, how store.Put) (version uint64, err error)
	Scan(ctx context.Context, prefix string, each func(store.Entry) error) error
}

// Options are what a Memory is made of. Store is needed, the rest has defaults.
type Options struct {
	Store Store
	Keep  time.Duration    // since a number was shown last; 90 days
	Now   func() time.Time // time.Now
	Log   *slog.Logger     // nil discards
}

// Defaults and limits.
const (
	DefaultKeep = 90 * 24 * time.Hour
	renewAfter  = 24 * time.Hour         // what is shown again within is not written again
	patience    = 500 * time.Millisecond // for the store; a call waits for it
	tailDigits  = 5                      // the least a user's own digits have (routing.Presented)
	maxRecalled = 64                     // users whose numbers end alike; more cannot be told apart anyway
)

// Memory is safe for concurrent use, also by several processes over one store.
type Memory struct{ o Options }

// New returns a memory over a store.
func New(o Options) *Memory {
	o.Keep = cmp.Or(o.Keep, DefaultKeep)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Memory{o}
}

// record is one remembered number. Its key is number-memory/<link>/<tail>/<user-id>: a user who was shown in two ways
// that end alike is remembered by the later one.
type record struct {
	Number   string             `json:"number"`
	Own      string             `json:"own,omitempty"`
	Kind     routing.NumberKind `json:"kind"`
	UserID   int64              `json:"user_id"`
	Username string             `json:"username,omitempty"`
	Phone    string             `json:"phone,omitempty"`
	At       time.Time          `json:"at"`
}

// Remember notes what a link was shown. It does not wait for the store longer than half a second; a number that is lost
// so is logged.
func (m *Memory) Remember(ctx context.Context, link string, p routing.Presented) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if err := m.remember(ctx, link, p); err != nil {
		m.o.Log.Warn("a shown number is not remembered", "trunk", link, "user", p.UserID, "error", err)
	}
}

func (m *Memory) remember(ctx context.Context, link string, p routing.Presented) error {
	key := bucket(link, p.Number) + strconv.FormatInt(p.UserID, 10)
	how := store.Put{TTL: m.o.Keep, Create: true}
	old, err := m.o.Store.Get(ctx, key)
	switch {
	case err == nil:
		known, ok := read(old)
		if ok && known.presented() == p && m.o.Now().Sub(known.At) < renewAfter {
			return nil
		}
		how.Create, how.Version = false, old.Version
	case !errors.Is(err, store.ErrNotFound):
		return fmt.Errorf("remember number: %w", err)
	}
	value, err := json.Marshal(record{p.Number, p.Own, p.Kind, p.UserID, p.Username, p.Phone, m.o.Now()})
	if err != nil {
		return fmt.Errorf("remember number: %w", err)
	}
	_, err = m.o.Store.Put(ctx, key, value, how)
	if errors.Is(err, store.ErrConflict) {
		return nil // another call of the same user was faster, this very moment
	}
	if err != nil {
		return fmt.Errorf("remember number: %w", err)
	}
	return nil
}

// Recall returns what a link was shown that a dialled text may mean, what was shown last first. It does not wait for the
// store longer than half a second; what fails is logged, and nothing is recalled.
func (m *Memory) Recall(ctx context.Context, link, dialled string) []routing.Presented {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var found []record
	err := m.o.Store.Scan(ctx, bucket(link, dialled), func(e store.Entry) error {
		r, ok := read(e)
		if !ok {
			m.o.Log.Warn("ignored unreadable number memory", "key", e.Key)
			return nil
		}
		found = append(found, r)
		if len(found) > maxRecalled {
			return errTooMany
		}
		return nil
	})
	if err != nil {
		m.o.Log.Warn("number memory failed", "trunk", link, "error", err)
		return nil
	}
	slices.SortStableFunc(found, func(a, b record) int { return b.At.Compare(a.At) })
	out := make([]routing.Presented, len(found))
	for i, r := range found {
		out[i] = r.presented()
	}
	return out
}

var errTooMany = errors.New("too many users have numbers that end alike")

func (r record) presented() routing.Presented {
	return routing.Presented{Number: r.Number, Own: r.Own, Kind: r.Kind, UserID: r.UserID, Username: r.Username, Phone: r.Phone}
}

func read(e store.Entry) (record, bool) {
	var r record
	err := json.Unmarshal(e.Value, &r)
	return r, err == nil && r.UserID > 0 && r.Number != ""
}

// bucket is the part of the store where everything lies that a text may mean: the texts with the same last digits, and
// where there are not so many digits the same text. It ends in "/".
func bucket(link, text string) string {
	tail := strings.Map(func(r rune) rune {
		if '0' <= r && r <= '9' {
			return r
		}
		return -1
	}, text)
	if len(tail) < tailDigits {
		tail = strings.ToLower(text)
	} else {
		tail = tail[len(tail)-tailDigits:]
	}
	return "number-memory/" + url.PathEscape(link) + "/" + url.PathEscape(tail) + "/"
}
