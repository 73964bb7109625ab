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
	"strings"
	"time"

	"github.com/tgtrunk/tgtrunk/routing"
	"github.com/tgtrunk/tgtrunk/store"
)

// Store is what the memory needs of a store.Store.
type Store interface {
	Get(ctx context.Context, key string) (store.Entry, error)
	Put(ctx context.Context, key string, value []byte, how store.Put) (version uint64, err error)
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
	attempts    = 10                     // to write a bucket while others do
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

// record is one remembered number. Those whose texts end alike are one value of the store, a list under
// number-memory/<link>/<tail>: a call reads one key, however much the store holds. A user who was shown in two ways that
// end alike is remembered by the later one.
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
		m.o.Log.Warn("a shown number is not remembered", "trunk", link, "error", masked(err.Error(), bucket(link, p.Number)))
	}
}

func (m *Memory) remember(ctx context.Context, link string, p routing.Presented) error {
	key := bucket(link, p.Number)
	for range attempts {
		known, version, err := m.read(ctx, key)
		if err != nil {
			return fmt.Errorf("remember number: %w", err)
		}
		now := m.o.Now()
		// Of those who were shown by the same text the last one counts, so it must be this one.
		last := slices.IndexFunc(known, func(r record) bool { return strings.EqualFold(r.Number, p.Number) })
		if last >= 0 && known[last].presented() == p && now.Sub(known[last].At) < renewAfter {
			return nil
		}
		known = slices.DeleteFunc(known, func(r record) bool { return r.UserID == p.UserID })
		known = slices.Insert(known, 0, record{p.Number, p.Own, p.Kind, p.UserID, p.Username, p.Phone, now})
		value, err := json.Marshal(known[:min(len(known), maxRecalled+1)]) // one more says that they are too many
		if err != nil {
			return fmt.Errorf("remember number: %w", err)
		}
		_, err = m.o.Store.Put(ctx, key, value, store.Put{TTL: m.o.Keep, Version: version, Create: version == 0})
		if err == nil {
			return nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return fmt.Errorf("remember number: %w", err)
		}
	}
	return fmt.Errorf("remember number: %w", errBusy)
}

// Recall returns what a link was shown that a dialled text may mean, what was shown last first. It does not wait for the
// store longer than half a second; what fails is logged, and nothing is recalled.
func (m *Memory) Recall(ctx context.Context, link, dialled string) []routing.Presented {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	key := bucket(link, dialled)
	found, _, err := m.read(ctx, key)
	if err == nil && len(found) > maxRecalled {
		err = errTooMany
	}
	if err != nil {
		m.o.Log.Warn("number memory failed", "trunk", link, "error", masked(err.Error(), key))
		return nil
	}
	out := make([]routing.Presented, len(found))
	for i, r := range found {
		out[i] = r.presented()
	}
	return out
}

var (
	errTooMany = errors.New("too many users have numbers that end alike")
	errBusy    = errors.New("too many others write it")
)

// read returns what a bucket remembers, what was shown last first, and the version of that; 0 where there is no bucket.
func (m *Memory) read(ctx context.Context, key string) (found []record, version uint64, err error) {
	e, err := m.o.Store.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	if err := json.Unmarshal(e.Value, &found); err != nil {
		m.o.Log.Warn("ignored unreadable number memory", "key", masked(key, key), "error", masked(err.Error(), key))
		return nil, e.Version, nil
	}
	now := m.o.Now()
	found = slices.DeleteFunc(found, func(r record) bool {
		return r.UserID <= 0 || r.Number == "" || now.Sub(r.At) >= m.o.Keep
	})
	slices.SortStableFunc(found, func(a, b record) int { return b.At.Compare(a.At) })
	return found, e.Version, nil
}

func (r record) presented() routing.Presented {
	return routing.Presented{Number: r.Number, Own: r.Own, Kind: r.Kind, UserID: r.UserID, Username: r.Username, Phone: r.Phone}
}

// bucket is the part of the store where everything lies that a text may mean: the texts with the same last digits, and
// where there are not so many digits the same text.
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
	return "number-memory/" + url.PathEscape(link) + "/" + url.PathEscape(tail)
}

// masked is a text without whom a bucket is of: a store names the key that it failed with, and that ends with a number's last
// digits or all of a username.
func masked(text, key string) string {
	return strings.ReplaceAll(text, key, key[:strings.LastIndexByte(key, '/')+1]+"xxx")
}
