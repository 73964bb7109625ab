package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// LoadOrMakeKey reads the key in the file at path, and makes one where there is none and nothing in s has been sealed
// yet. The file is readable by its owner only.
func LoadOrMakeKey(ctx context.Context, path string, s Store) (secret string, made bool, err error) {
	text, err := os.ReadFile(path)
	switch {
	case err == nil:
		if _, err := ParseSecret(strings.TrimSpace(string(text))); err != nil {
			return "", false, fmt.Errorf("key file %s: %w", path, err)
		}
		if err := os.Chmod(path, 0o600); err != nil {
			return "", false, fmt.Errorf("protect the store's key: %w", err)
		}
		return strings.TrimSpace(string(text)), false, nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", false, fmt.Errorf("read the store's key: %w", err)
	}
	err = s.Scan(ctx, "", func(e Entry) error {
		if isSealed(e.Value) {
			return fmt.Errorf("%w: the key %x is missing: bring %s back from your backup, or say where the key is with store.key",
				ErrSealed, e.Value[len(sealMagic):sealHeader], path)
		}
		return nil
	})
	if err != nil {
		return "", false, err
	}
	secret = NewSecret()
	if err := writeNew(path, []byte(secret+"\n")); err != nil {
		return "", false, fmt.Errorf("keep the store's key: %w", err)
	}
	return secret, true, nil
}

// writeNew writes a file that must not exist, readable by its owner only, and lasting.
func writeNew(path string, text []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
