package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

const (
	scanKeys   = 1000 // keys the server looks at with one request
	scanValues = 64   // values fetched with one request: 256 MB at the very most
)

// Scan implements Store. Redis has no order of its keys: the server looks through all of them, other installations'
// too, so that this takes about a second for every million keys that the server holds. It is for starting up.
func (r *Redis) Scan(ctx context.Context, prefix string, each func(Entry) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("scan %q: %w", prefix, err)
	}
	keys, err := r.keys(ctx, prefix)
	if err != nil {
		return fmt.Errorf("scan %q: %w", prefix, err)
	}
	for some := range slices.Chunk(keys, scanValues) {
		entries, err := r.entries(ctx, some)
		if err != nil {
			return fmt.Errorf("scan %q: %w", prefix, err)
		}
		for _, e := range entries {
			if err := each(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// keys returns the keys that begin with prefix, in order. The server may show a key more than once.
func (r *Redis) keys(ctx context.Context, prefix string) (keys []string, err error) {
	pattern := globEscape.Replace(r.valueKey(prefix)) + "*"
	type page struct {
		keys   []string
		cursor uint64
	}
	var p page
	for {
		at := p.cursor
		p, err = read(ctx, r, func(ctx context.Context) (p page, err error) {
			p.keys, p.cursor, err = r.client.Scan(ctx, at, pattern, scanKeys).Result()
			return p, err
		})
		if err != nil {
			return nil, err
		}
		for _, k := range p.keys {
			keys = append(keys, strings.TrimPrefix(k, r.valueKey("")))
		}
		if p.cursor == 0 {
			slices.Sort(keys)
			return slices.Compact(keys), nil
		}
	}
}

var globEscape = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`)

// entries fetches the values of keys; those that have gone meanwhile are left out.
func (r *Redis) entries(ctx context.Context, keys []string) ([]Entry, error) {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = r.valueKey(k)
	}
	values, err := read(ctx, r, func(ctx context.Context) ([]any, error) { return r.client.MGet(ctx, names...).Result() })
	if err != nil {
		return nil, err
	}
	if len(values) != len(keys) {
		return nil, errors.New("redis answers MGET with fewer values than keys")
	}
	entries := make([]Entry, 0, len(keys))
	for i, v := range values {
		raw, ok := v.(string)
		if !ok {
			continue
		}
		e, err := parseEntry(keys[i], raw)
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}
