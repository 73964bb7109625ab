package telegram

import (
	"context"
	"regexp"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/store"
)

// discreet is the account's store with errors that can be logged: a store names the key that it failed with, and keys name
// people whole, by user-id, username or phone number.
type discreet struct{ store.Store }

// Get implements store.Store.
func (d discreet) Get(ctx context.Context, key string) (store.Entry, error) {
	e, err := d.Store.Get(ctx, key)
	return e, maskError(err)
}

// Put implements store.Store.
func (d discreet) Put(ctx context.Context, key string, value []byte, how store.Put) (uint64, error) {
	version, err := d.Store.Put(ctx, key, value, how)
	return version, maskError(err)
}

// Update implements store.Store.
func (d discreet) Update(ctx context.Context, changes []store.Change) ([]uint64, error) {
	versions, err := d.Store.Update(ctx, changes)
	return versions, maskError(err)
}

// Delete implements store.Store.
func (d discreet) Delete(ctx context.Context, key string) error {
	return maskError(d.Store.Delete(ctx, key))
}

// Scan implements store.Store.
func (d discreet) Scan(ctx context.Context, prefix string, each func(store.Entry) error) error {
	return maskError(d.Store.Scan(ctx, prefix, each))
}

// ofPeople are the keys that name somebody, by what stands before the name.
var ofPeople = regexp.MustCompile(`(telegram/[^"\s]*/(?:peer|number|private|chat|borrowed|replies)/)([^"\s]+)`)

// maskKeys hides whom the keys in a text name, as bridge.Mask does.
func maskKeys(text string) string {
	return ofPeople.ReplaceAllStringFunc(text, func(key string) string {
		parts := ofPeople.FindStringSubmatch(key)
		return parts[1] + bridge.Mask(parts[2])
	})
}

// maskedError says what another error says, but not about whom.
type maskedError struct {
	text string
	err  error
}

func maskError(err error) error {
	if err == nil {
		return nil
	}
	text := maskKeys(err.Error())
	if text == err.Error() {
		return err
	}
	return &maskedError{text, err}
}

// Error implements error.
func (e *maskedError) Error() string { return e.text }

// Unwrap returns the error as the store gave it.
func (e *maskedError) Unwrap() error { return e.err }
