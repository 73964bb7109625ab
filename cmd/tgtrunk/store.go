package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/tgtrunk/tgtrunk/config"
	"github.com/tgtrunk/tgtrunk/store"
)

// openStore opens the store that the configuration names, with its values sealed.
func openStore(ctx context.Context, cfg *config.Config, log *slog.Logger) (_ store.Store, err error) {
	plain, err := openPlain(ctx, cfg.Store, log)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, plain.Close())
		}
	}()
	secrets := []string{cfg.Store.Key.Reveal()}
	if secrets[0] == "" {
		path := filepath.Join(cfg.Store.Path, "tgtrunk.key")
		var made bool
		if secrets[0], made, err = store.LoadOrMakeKey(ctx, path, plain); err != nil {
			return nil, err
		}
		if made {
			log.Warn("the store's key was made: keep a copy, but not beside copies of the store", "file", path)
		}
	}
	for _, old := range cfg.Store.OldKeys {
		secrets = append(secrets, old.Reveal())
	}
	ring, err := store.NewKeyring(secrets...)
	if err != nil {
		return nil, fmt.Errorf("store.key: %w", err)
	}
	n, err := store.Reseal(ctx, plain, ring)
	if err != nil {
		return nil, err
	}
	if n > 0 {
		log.Info("records were sealed with the store's key", "records", n, "key", ring.ID())
	}
	return store.Sealed(plain, ring), nil
}

func openPlain(ctx context.Context, s config.Store, log *slog.Logger) (store.Store, error) {
	if r := s.Redis; r != nil {
		store.QuietRedis()
		return store.OpenRedis(ctx, store.RedisOptions{
			URL: r.URL, Username: r.Username, Password: r.Password.Reveal(), Prefix: r.Prefix, CAFile: r.CA, Timeout: r.Timeout, Log: log,
		})
	}
	f, err := store.OpenFile(storeFile(s))
	if errors.Is(err, store.ErrLocked) {
		return nil, fmt.Errorf("%w: stop it first; only a store on Redis (store.redis) serves several processes", err)
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// storeFile is where a store in a directory keeps what it knows.
func storeFile(s config.Store) string { return filepath.Join(s.Path, "tgtrunk.db") }
