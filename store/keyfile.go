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
	secret, err = LoadKey(path)
	switch {
	case err == nil:
		if err := os.Chmod(path, 0o600); err != nil {
			return "", false, fmt.Errorf("protect the store's key: %w", err)
		}
		return secret, false, nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", false, err
	}
	err = s.Scan(ctx, "", func(e Entry) error {
		sealed, err := isSealed(e.Value)
		if sealed {
			err = fmt.Errorf("%w: the key %x is missing: bring %s back from your backup, or say where the key is with store.key",
				ErrSealed, e.Value[len(sealMagic):sealHeader], path)
		}
		return err
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

// LoadKey reads the key in the file at path; fs.ErrNotExist where there is none.
func LoadKey(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the store's key: %w", err)
	}
	secret := strings.TrimSpace(string(text))
	if _, err := parseSecret(secret); err != nil {
		return "", fmt.Errorf("key file %s: %w", path, err)
	}
	return secret, nil
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
