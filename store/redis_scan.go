package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

const (
	scanKeys   = 1000 // keys the server names, or looks at, with one request
	scanValues = 64   // values fetched with one request: 256 MB at the very most
)

// Scan implements Store. The server has no order of its keys, but an index of ours.
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

// keys returns the keys that begin with prefix, in order; some may have expired.
func (r *Redis) keys(ctx context.Context, prefix string) (keys []string, err error) {
	from, to := "["+r.valueKey(prefix), "("+after(r.valueKey(prefix))
	for {
		page, whole, err := r.listIndex(ctx, from, to)
		switch {
		case err != nil:
			return nil, err
		case !whole:
			return r.makeIndex(ctx, prefix)
		}
		for _, k := range page {
			keys = append(keys, strings.TrimPrefix(k, r.valueKey("")))
		}
		if len(page) < scanKeys {
			return keys, nil
		}
		from = "(" + page[len(page)-1]
	}
}

// after returns the first text that comes after all that begin with prefix, in which not every byte is 0xff.
func after(prefix string) string {
	text := []byte(prefix)
	for text[len(text)-1] == 0xff {
		text = text[:len(text)-1]
	}
	text[len(text)-1]++
	return string(text)
}

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
