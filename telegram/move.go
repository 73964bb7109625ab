package telegram

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tgtrunk/tgtrunk/store"
)

// ErrHasSession says that an import would write over a session.
var ErrHasSession = errors.New("account has a session already")

const leaseKey, sessionKey = "lease", "session"

// Export collects all that the store has of the account and hands it to save. With move the store forgets the account
// once save has returned without an error. It fails with a *store.HeldError while a process has the account, and with
// ErrLoggedOut where there is no session.
func (a *Account) Export(ctx context.Context, move bool, save func(store.Export) error) error {
	err := a.whileHeld(ctx, a.owner+", export", func(ctx context.Context, _ *fence) error {
		e := store.Export{Account: a.opts.Name, Made: time.Now().UTC()}
		err := a.opts.Store.Scan(ctx, a.keep.key(""), func(found store.Entry) error {
			e.Records = append(e.Records, store.ExportedValue{
				Key: strings.TrimPrefix(found.Key, a.keep.key("")), Value: found.Value, Expires: found.Expires})
			return nil
		})
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(e.Records, func(r store.ExportedValue) bool { return r.Key == sessionKey }) {
			return ErrLoggedOut
		}
		if err := save(e); err != nil || !move {
			return err
		}
		return a.forget(ctx, e)
	})
	if err != nil {
		return fmt.Errorf("export account %q: %w", a.opts.Name, err)
	}
	return nil
}

// forget removes what was exported, the session first: what is left without it does no harm.
func (a *Account) forget(ctx context.Context, e store.Export) error {
	var changes []store.Change
	for _, r := range e.Records {
		changes = append(changes, store.Change{Key: a.keep.key(r.Key), Remove: true})
	}
	slices.SortStableFunc(changes, func(x, y store.Change) int { return a.sessionFirst(x) - a.sessionFirst(y) })
	return a.update(ctx, changes)
}

func (a *Account) sessionFirst(c store.Change) int {
	if c.Key == a.keep.key(sessionKey) {
		return 0
	}
	return 1
}

// Import takes what Export has collected, over what the store has of the account. Unless replace is said, it
// fails with ErrHasSession where there is a session.
func (a *Account) Import(ctx context.Context, e store.Export, replace bool) error {
	err := a.whileHeld(ctx, a.owner+", import", func(ctx context.Context, _ *fence) error {
		if !slices.ContainsFunc(e.Records, func(r store.ExportedValue) bool { return r.Key == sessionKey }) {
			return fmt.Errorf("%w: the export has no session", ErrLoggedOut)
		}
		version, err := a.keep.sessionVersion(ctx)
		if err != nil {
			return err
		}
		if version != 0 && !replace {
			return ErrHasSession
		}
		return a.take(ctx, e)
	})
	if err != nil {
		return fmt.Errorf("import account %q: %w", a.opts.Name, err)
	}
	return nil
}

// take writes the records, the session last: an account that was taken half-way is not logged in.
func (a *Account) take(ctx context.Context, e store.Export) error {
	changes := []store.Change{{Key: a.keep.key(sessionKey), Remove: true}}
	var session store.Change
	for _, r := range e.Records {
		c := store.Change{Key: a.keep.key(r.Key), Value: r.Value}
		if !r.Expires.IsZero() {
			if c.How.TTL = time.Until(r.Expires); c.How.TTL <= 0 {
				continue
			}
		}
		switch r.Key {
		case leaseKey: // nobody writes one there
		case sessionKey:
			session = c
		default:
			changes = append(changes, c)
		}
	}
	if err := a.update(ctx, changes); err != nil {
		return err
	}
	return a.update(ctx, []store.Change{session})
}

// update makes many changes under the account's lease, as many at once as the store takes.
func (a *Account) update(ctx context.Context, changes []store.Change) error {
	for some := range slices.Chunk(changes, store.MaxChanges) {
		lease := a.keep.under.Load()
		if lease == nil {
			return ErrLeaseLost
		}
		for i := range some {
			some[i].How.Under = lease
		}
		if _, err := a.opts.Store.Update(ctx, some); err != nil {
			return err
		}
	}
	return nil
}
