package telegram

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gotd/td/tg"

	"github.com/tgtrunk/tgtrunk/store"
)

// Contacts that were imported for a moment, to find a user by a phone number, are noted in the store until they are
// gone again, so that a crash or a flood leaves none behind.

const (
	returnIn    = 10 * time.Second
	borrowedFor = 90 * 24 * time.Hour // an account that was logged out for longer has other worries
)

func (s *peers) borrowedKey(rest string) string {
	return s.keep.key(fmt.Sprintf("%d/borrowed/%s", s.selfID(), rest))
}

// borrow notes that a user is a contact only for now, and no acquaintance.
func (s *peers) borrow(ctx context.Context, id int64) {
	key := s.borrowedKey(strconv.FormatInt(id, 10))
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeIn)
	defer cancel()
	if _, err := s.keep.store.Put(ctx, key, []byte("imported"), store.Put{TTL: borrowedFor}); err != nil {
		s.log.Warn("an imported contact may stay in the address book", "user", masked(id), "error", err)
	}
	s.setBorrowed(id, true)
}

func (s *peers) setBorrowed(id int64, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !on {
		delete(s.borrowed, id)
		return
	}
	s.borrowed[id] = true
	if p, ok := s.known[id]; ok && p.Contact {
		p.Contact = false
		s.set(p)
		s.touch(p)
	}
}

// returnContact takes an imported contact out of the account's address book, whatever becomes of the caller.
func (s *session) returnContact(ctx context.Context, id int64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), returnIn)
	defer cancel()
	stop := context.AfterFunc(s.ctx, cancel)
	defer stop()
	p, ok := s.peers.get(id)
	if !ok {
		return
	}
	if _, err := s.api.ContactsDeleteContacts(ctx, []tg.InputUserClass{p.input()}); err != nil {
		s.log.Warn("imported contact could not be removed, the next start tries again", "user", masked(id), "error", err)
		return
	}
	err := s.peers.keep.store.Delete(ctx, s.peers.borrowedKey(strconv.FormatInt(id, 10)))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		s.log.Debug("imported contact will be removed twice", "user", masked(id), "error", err)
	}
	s.peers.setBorrowed(id, false)
	// A contact has the name that it was imported with; now the user has its own again.
	if _, err := s.api.UsersGetUsers(ctx, []tg.InputUserClass{p.input()}); err != nil {
		s.log.Debug("user's own name is unknown", "user", masked(id), "error", err)
	}
}

// returnContacts removes the imported contacts that an earlier run has left.
func (s *session) returnContacts(ctx context.Context) {
	prefix := s.peers.borrowedKey("")
	var left []int64
	err := s.peers.keep.store.Scan(ctx, prefix, func(e store.Entry) error {
		if id, err := strconv.ParseInt(strings.TrimPrefix(e.Key, prefix), 10, 64); err == nil {
			left = append(left, id)
			s.peers.setBorrowed(id, true)
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		s.log.Warn("looking for imported contacts failed", "error", err)
	}
	for _, id := range left {
		if ctx.Err() != nil {
			return
		}
		s.returnContact(ctx, id)
	}
}
