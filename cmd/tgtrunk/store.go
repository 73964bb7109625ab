package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
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
	secret := cfg.Store.Key.Reveal()
	if secret == "" {
		path := keyFile(cfg.Store)
		var made bool
		if secret, made, err = store.LoadOrMakeKey(ctx, path, plain); err != nil {
			return nil, err
		}
		if made {
			log.Warn("the store's key was made: keep a copy, but not beside copies of the store", "file", path)
		}
	}
	ring, err := keyring(cfg, secret)
	if err != nil {
		return nil, err
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

// keyring is the key of the configuration, or of its key file, and the old ones.
func keyring(cfg *config.Config, secret string) (*store.Keyring, error) {
	secrets := []string{secret}
	for _, old := range cfg.Store.OldKeys {
		secrets = append(secrets, old.Reveal())
	}
	ring, err := store.NewKeyring(secrets...)
	if err != nil {
		return nil, fmt.Errorf("store.key: %w", err)
	}
	return ring, nil
}

var errNoStore = errors.New("nothing has been stored")

// openStoreToRead opens the store for a command that only looks, also while the service runs: of a store in a directory
// it is a copy. Nothing is made or sealed; errNoStore where nothing is there yet.
func openStoreToRead(ctx context.Context, cfg *config.Config) (_ store.Store, err error) {
	var plain store.Store
	if cfg.Store.Redis != nil {
		plain, err = openPlain(ctx, cfg.Store, slog.New(slog.DiscardHandler))
	} else {
		plain, err = store.OpenFileCopy(ctx, storeFile(cfg.Store))
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: %s is not there yet", errNoStore, storeFile(cfg.Store))
	case err != nil:
		return nil, err
	}
	secret := cfg.Store.Key.Reveal()
	if secret == "" {
		secret, err = store.LoadKey(keyFile(cfg.Store))
	}
	var ring *store.Keyring
	if err == nil {
		ring, err = keyring(cfg, secret)
	}
	if err != nil {
		return nil, errors.Join(err, plain.Close())
	}
	keep := store.Sealed(plain, ring)
	// With the wrong key nothing would seem to be there: better look at once.
	if err := keep.Scan(ctx, "", func(store.Entry) error { return nil }); err != nil {
		return nil, errors.Join(err, keep.Close())
	}
	return keep, nil
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

// keyFile is where such a store keeps its own key.
func keyFile(s config.Store) string { return filepath.Join(s.Path, "tgtrunk.key") }
