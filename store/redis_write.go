package store

import (
	"context"
	_ "embed" // the scripts
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

var (
	//go:embed lua/begin.lua
	luaBegin string
	//go:embed lua/update.lua
	luaUpdate string
	//go:embed lua/lease.lua
	luaLease string

	scriptUpdate = redis.NewScript(luaBegin + luaUpdate)
	scriptLease  = redis.NewScript(luaBegin + luaLease)
)

// Put implements Store.
func (r *Redis) Put(ctx context.Context, key string, value []byte, how Put) (uint64, error) {
	versions, err := r.change(ctx, "", []Change{{Key: key, Value: value, How: how}})
	if err != nil {
		return 0, fmt.Errorf("put %w", err)
	}
	return versions[0], nil
}

// Update implements Store.
func (r *Redis) Update(ctx context.Context, changes []Change) ([]uint64, error) {
	versions, err := r.change(ctx, "", changes)
	if err != nil {
		return nil, fmt.Errorf("update %w", err)
	}
	return versions, nil
}

// Delete implements Store.
func (r *Redis) Delete(ctx context.Context, key string) error {
	if _, err := r.change(ctx, "delete", []Change{{Key: key}}); err != nil {
		return fmt.Errorf("delete %w", err)
	}
	return nil
}

// change does all changes in one script; what is what to do with them all, if it is said. Its errors begin with the key.
func (r *Redis) change(ctx context.Context, what string, changes []Change) ([]uint64, error) {
	if err := checkChanges(ctx, changes); err != nil {
		return nil, fmt.Errorf("%s: %w", first(changes), err)
	}
	if len(changes) == 0 {
		return nil, nil
	}
	keys, args := r.indexKeys(), []any{}
	for _, c := range changes {
		lease, token, do := r.leaseKey("none"), "", what
		if c.How.Under != nil {
			lease, token = r.leaseKey(c.How.Under.Name), strconv.FormatUint(c.How.Under.Token, 10)
		}
		switch {
		case c.Remove:
			do = "remove"
		case c.How.Create:
			do = "create"
		}
		keys = append(keys, r.valueKey(c.Key), lease)
		args = append(args, c.Value, milliseconds(c.How.TTL), c.How.Version, do, token)
	}
	words, err := r.write(ctx, scriptUpdate, keys, args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", first(changes), err)
	}
	return versions(words, changes)
}

// versions reads the outcome of an update.
func versions(words []string, changes []Change) ([]uint64, error) {
	if words[0] == "ok" && len(words) == 1+len(changes) {
		versions := make([]uint64, len(changes))
		for i, word := range words[1:] {
			var err error
			if versions[i], err = strconv.ParseUint(word, 10, 64); err != nil {
				return nil, fmt.Errorf("%s: redis numbers the version %q", first(changes), word)
			}
		}
		return versions, nil
	}
	refused, known := map[string]error{"conflict": ErrConflict, "fenced": ErrFenced, "missing": ErrNotFound}[words[0]]
	if known && len(words) == 2 {
		if i, err := strconv.Atoi(words[1]); err == nil && i >= 1 && i <= len(changes) {
			return nil, fmt.Errorf("%q: %w", changes[i-1].Key, refused)
		}
	}
	return nil, fmt.Errorf("%s: redis answers an update with %q", first(changes), words)
}

func first(changes []Change) string {
	if len(changes) == 0 {
		return "nothing"
	}
	return strconv.Quote(changes[0].Key)
}

// milliseconds rounds up: what shall live for a moment must not live for ever.
func milliseconds(d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return int64((d + time.Millisecond - 1) / time.Millisecond)
}

// Acquire implements Store.
func (r *Redis) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (Lease, error) {
	return r.lease(ctx, "acquire", Lease{Name: name, Owner: owner}, ttl)
}

// Renew implements Store.
func (r *Redis) Renew(ctx context.Context, l Lease, ttl time.Duration) (Lease, error) {
	return r.lease(ctx, "renew", l, ttl)
}

// Release implements Store.
func (r *Redis) Release(ctx context.Context, l Lease) error {
	_, err := r.lease(ctx, "release", l, 0)
	return err
}

func (r *Redis) lease(ctx context.Context, what string, l Lease, ttl time.Duration) (Lease, error) {
	began := time.Now()
	words, err := []string(nil), checkChanges(ctx, []Change{{Key: l.Name}})
	if err == nil {
		words, err = r.write(ctx, scriptLease, []string{r.leaseKey(l.Name)}, what, strconv.FormatUint(l.Token, 10), l.Owner, ttl.Microseconds())
	}
	if err == nil {
		err = refusal(words, l.Name)
	}
	next := l
	if err == nil {
		next.Expires = began.Add(ttl) // each attempt asks for ttl from when it is got to
		next.Token, err = strconv.ParseUint(words[1], 10, 64)
	}
	if err != nil {
		return l, fmt.Errorf("%s lease %q: %w", what, l.Name, err)
	}
	return next, nil
}

// refusal is the error that an outcome of the lease script stands for.
func refusal(words []string, name string) error {
	switch {
	case words[0] == "ok" && len(words) == 2:
		return nil
	case words[0] == "fenced":
		return ErrFenced
	case words[0] == "held" && len(words) >= 3:
		left, err := strconv.ParseInt(words[1], 10, 64)
		if err != nil {
			return fmt.Errorf("redis says the lease is held for %q", words[1])
		}
		return &HeldError{Name: name, Owner: strings.Join(words[2:], " "), Expires: time.Now().Add(time.Duration(left) * time.Microsecond)}
	}
	return fmt.Errorf("redis answers about a lease with %q", words)
}
