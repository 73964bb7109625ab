package telegram

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	gotdsession "github.com/gotd/td/session"
	"github.com/gotd/td/telegram/updates"

	"github.com/tgtrunk/tgtrunk/store"
)

const storeIn = 5 * time.Second

// keep is the account's part of the store. All keys begin with "telegram/<name>/".
type keep struct {
	store store.Store
	name  string
	under *atomic.Pointer[store.Lease] // while the account is ours; nothing is written without it
}

func (k keep) key(parts string) string { return "telegram/" + k.name + "/" + parts }

// put writes a value of the account's, unless somebody else has taken the account.
func (k keep) put(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	lease := k.under.Load()
	if lease == nil {
		return ErrLeaseLost
	}
	_, err := k.store.Put(ctx, key, value, store.Put{TTL: ttl, Under: lease})
	return err
}

// kept is a value to be written.
type kept struct {
	value []byte
	ttl   time.Duration // 0: for good
}

// putAll writes values of the account's by key, in as few updates as it can: each is done whole or not at all. It says
// which keys are written.
func (k keep) putAll(ctx context.Context, values map[string]kept) (written []string, err error) {
	for keys := range slices.Chunk(slices.Sorted(maps.Keys(values)), store.MaxChanges) {
		lease := k.under.Load()
		if lease == nil {
			return written, ErrLeaseLost
		}
		changes := make([]store.Change, len(keys))
		for i, key := range keys {
			v := values[key]
			changes[i] = store.Change{Key: key, Value: v.value, How: store.Put{TTL: v.ttl, Under: lease}}
		}
		if _, err := k.store.Update(ctx, changes); err != nil {
			return written, err
		}
		written = append(written, keys...)
	}
	return written, nil
}

// LoadSession implements gotd's session.Storage.
func (k keep) LoadSession(ctx context.Context) ([]byte, error) {
	e, err := k.store.Get(ctx, k.key("session"))
	if errors.Is(err, store.ErrNotFound) {
		return nil, gotdsession.ErrNotFound
	}
	return e.Value, err
}

// StoreSession implements gotd's session.Storage. It is not given up half-way: a key that Telegram knows and we do not
// is a login lost.
func (k keep) StoreSession(ctx context.Context, data []byte) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeIn)
	defer cancel()
	return k.put(ctx, k.key("session"), data, 0)
}

// sessionVersion changes whenever a session is stored; 0 where there is none.
func (k keep) sessionVersion(ctx context.Context) (uint64, error) {
	e, err := k.store.Get(ctx, k.key("session"))
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	return e.Version, err
}

// progress is how far the account has read its updates. It implements updates.StateStorage: the manager writes it with
// every update, so it lives in memory and is flushed now and then. What was read twice does no harm.
//
// Channels are not followed: calls do not come from them.
type progress struct {
	keep keep
	mu   sync.Mutex
	user int64
	now  updates.State
	ok   bool // there is a state
	wet  bool // not flushed
}

// load reads the state of a user; another user's is forgotten.
func (p *progress) load(ctx context.Context, user int64) error {
	e, err := p.keep.store.Get(ctx, p.keep.key(fmt.Sprintf("%d/updates", user)))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.user, p.now, p.ok, p.wet = user, updates.State{}, false, false
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(e.Value, &p.now); err != nil {
		return nil // a state that cannot be read is fetched anew
	}
	p.ok = true
	return nil
}

func (p *progress) flush(ctx context.Context) error {
	p.mu.Lock()
	state, user, wet := p.now, p.user, p.wet
	p.wet = false
	p.mu.Unlock()
	if !wet {
		return nil
	}
	raw, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("encode update state: %w", err)
	}
	if err := p.keep.put(ctx, p.keep.key(fmt.Sprintf("%d/updates", user)), raw, 0); err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.wet = p.wet || p.user == user // the next flush tries again
		return fmt.Errorf("keep update state: %w", err)
	}
	return nil
}

var errOtherUser = errors.New("no update state for this user")

func (p *progress) change(user int64, edit func(*updates.State)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if user != p.user || !p.ok {
		return errOtherUser
	}
	edit(&p.now)
	p.wet = true
	return nil
}

// GetState implements updates.StateStorage.
func (p *progress) GetState(_ context.Context, user int64) (updates.State, bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now, p.ok && p.user == user, nil
}

// SetState implements updates.StateStorage.
func (p *progress) SetState(_ context.Context, user int64, s updates.State) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if user != p.user {
		return errOtherUser
	}
	p.now, p.ok, p.wet = s, true, true
	return nil
}

// SetPts implements updates.StateStorage.
func (p *progress) SetPts(_ context.Context, user int64, pts int) error {
	return p.change(user, func(s *updates.State) { s.Pts = pts })
}

// SetQts implements updates.StateStorage.
func (p *progress) SetQts(_ context.Context, user int64, qts int) error {
	return p.change(user, func(s *updates.State) { s.Qts = qts })
}

// SetDate implements updates.StateStorage.
func (p *progress) SetDate(_ context.Context, user int64, date int) error {
	return p.change(user, func(s *updates.State) { s.Date = date })
}

// SetSeq implements updates.StateStorage.
func (p *progress) SetSeq(_ context.Context, user int64, seq int) error {
	return p.change(user, func(s *updates.State) { s.Seq = seq })
}

// SetDateSeq implements updates.StateStorage.
func (p *progress) SetDateSeq(_ context.Context, user int64, date, seq int) error {
	return p.change(user, func(s *updates.State) { s.Date, s.Seq = date, seq })
}

// GetChannelPts implements updates.StateStorage.
func (p *progress) GetChannelPts(context.Context, int64, int64) (int, bool, error) {
	return 0, false, nil
}

// SetChannelPts implements updates.StateStorage.
func (p *progress) SetChannelPts(context.Context, int64, int64, int) error { return nil }

// ForEachChannels implements updates.StateStorage.
func (p *progress) ForEachChannels(context.Context, int64, func(context.Context, int64, int) error) error {
	return nil
}
