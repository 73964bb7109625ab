package store

import (
	"context"
	"crypto/rand"
	_ "embed" // the script
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

var (
	//go:embed lua/index.lua
	luaIndex string

	scriptIndex = redis.NewScript(luaIndex)
)

// indexKeys are where the index is kept: the counter of versions, the index, its expiries, what is known of it.
func (r *Redis) indexKeys() []string {
	return []string{r.prefix + "c", r.prefix + "i", r.prefix + "e", r.prefix + "k"}
}

// index runs the script of the index, which may be repeated.
func (r *Redis) index(ctx context.Context, args ...any) ([]string, error) {
	return read(ctx, r, func(ctx context.Context) ([]string, error) {
		return scriptIndex.Run(ctx, r.client, r.indexKeys(), args...).StringSlice()
	})
}

// listIndex returns a page of the index, or says that it does not hold everything.
func (r *Redis) listIndex(ctx context.Context, from, to string) (page []string, whole bool, err error) {
	answer, err := r.index(ctx, "list", from, to, scanKeys)
	if err != nil {
		return nil, false, err
	}
	if len(answer) == 0 {
		return nil, false, fmt.Errorf("redis %s answers nothing about its index", r.addr)
	}
	return answer[1:], answer[0] == "whole", nil
}

// makeIndex looks through all keys of the server, other installations' too, which takes about a second for every million.
// It makes the index whole with what it finds, unless an older tgtrunk is writing, and returns the keys that begin with
// prefix, in order.
func (r *Redis) makeIndex(ctx context.Context, prefix string) (keys []string, err error) {
	began, err := r.index(ctx, "begin", rand.Text())
	if err != nil {
		return nil, err
	}
	if len(began) != 1 {
		return nil, fmt.Errorf("redis %s begins an index with %q", r.addr, began)
	}
	pattern, wanted := globEscape.Replace(r.valueKey(""))+"*", r.valueKey(prefix)
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
		add := []any{"add"}
		for _, k := range p.keys {
			add = append(add, k)
			if strings.HasPrefix(k, wanted) {
				keys = append(keys, strings.TrimPrefix(k, r.valueKey("")))
			}
		}
		if len(add) > 1 {
			if _, err := r.index(ctx, add...); err != nil {
				return nil, err
			}
		}
		if p.cursor == 0 {
			break
		}
	}
	if _, err := r.index(ctx, "end", began[0]); err != nil {
		return nil, err
	}
	slices.Sort(keys)
	return slices.Compact(keys), nil // the server may show a key more than once
}

var globEscape = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`)
