package telegram

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gotd/td/tg"
	"github.com/gotd/td/tgerr"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/routing"
)

const (
	foundFor       = 24 * time.Hour   // usernames move; resolving is limited to a few hundred a day
	missingFor     = time.Hour        // somebody may join Telegram
	resolveIn      = 15 * time.Second // for one number, all requests together
	contactsEvery  = 10 * time.Minute // contacts.getContacts for user ids that nobody knows
	importedNobody = "tgtrunk"        // first name of a contact that exists for a moment
)

// resolve finds the user that a dialled number means.
func (s *session) resolve(ctx context.Context, n routing.Number) (Peer, error) {
	ctx, cancel := context.WithTimeout(ctx, resolveIn)
	defer cancel()
	var p Peer
	var err error
	switch n.Kind {
	case routing.UserID:
		p, err = s.byID(ctx, n.UserID)
	case routing.Username:
		p, err = s.byNumber(ctx, "@"+strings.ToLower(n.Username), func(ctx context.Context) (int64, error) {
			return s.askUsername(ctx, n.Username)
		})
	case routing.Phone:
		p, err = s.byNumber(ctx, n.Phone, func(ctx context.Context) (int64, error) { return s.askPhone(ctx, n.Phone) })
	default:
		return Peer{}, verdict(bridge.BadNumber, ErrNumber)
	}
	switch {
	case err != nil:
		return Peer{}, err
	case p.ID == s.self.ID:
		return Peer{}, verdict(bridge.BadNumber, ErrSelf)
	case !p.Person:
		return Peer{}, verdict(bridge.NotFound, ErrNotUser)
	case p.AccessHash == 0:
		return Peer{}, verdict(bridge.NoDialog, ErrNoPeer)
	}
	return p, nil
}

// byID finds a user by id: only users that the account has met can be addressed so.
func (s *session) byID(ctx context.Context, id int64) (Peer, error) {
	if id == s.self.ID {
		return Peer{ID: id}, nil
	}
	if p, ok := s.peers.get(id); ok && p.AccessHash != 0 {
		return p, nil
	}
	if err := s.fetchContacts(ctx); err != nil {
		return Peer{}, err
	}
	if p, ok := s.peers.get(id); ok && p.AccessHash != 0 {
		return p, nil
	}
	// Without the hash Telegram answers only where it holds the user for well known.
	_, err := s.api.UsersGetUsers(ctx, []tg.InputUserClass{&tg.InputUser{UserID: id}})
	if err != nil && !tgerr.IsCode(err, 400) {
		return Peer{}, fmt.Errorf("get user: %w", err)
	}
	if p, ok := s.peers.get(id); ok && p.AccessHash != 0 {
		return p, nil
	}
	return Peer{}, verdict(bridge.NoDialog, ErrNoPeer)
}

// fetchContacts brings the account's contacts into memory, now and then.
func (s *session) fetchContacts(ctx context.Context) error {
	s.contactsMu.Lock()
	defer s.contactsMu.Unlock()
	if !s.contactsAt.IsZero() && time.Since(s.contactsAt) < contactsEvery {
		return nil
	}
	_, err := s.api.ContactsGetContacts(ctx, 0)
	if err != nil && !tgerr.IsCode(err, 400) {
		return fmt.Errorf("get contacts: %w", err)
	}
	s.contactsAt = time.Now()
	return nil
}

// byNumber finds a user by a username or phone number, from memory or by asking.
func (s *session) byNumber(ctx context.Context, what string, ask func(context.Context) (int64, error)) (Peer, error) {
	id, known := s.peers.lookUp(ctx, what)
	if known && id == 0 {
		return Peer{}, verdict(bridge.NotFound, ErrNotFound)
	}
	if known {
		if p, ok := s.peers.get(id); ok && p.AccessHash != 0 {
			return p, nil
		}
	}
	id, err := ask(ctx)
	if errors.Is(err, ErrNotFound) {
		s.peers.learn(ctx, what, 0)
		return Peer{}, verdict(bridge.NotFound, err)
	}
	if err != nil {
		return Peer{}, err
	}
	s.peers.learn(ctx, what, id)
	p, ok := s.peers.get(id)
	if !ok {
		return Peer{}, verdict(bridge.NotFound, ErrNotFound)
	}
	return p, nil
}

func (s *session) askUsername(ctx context.Context, name string) (int64, error) {
	found, err := s.api.ContactsResolveUsername(ctx, &tg.ContactsResolveUsernameRequest{Username: name})
	if tgerr.Is(err, "USERNAME_NOT_OCCUPIED") {
		return 0, ErrNotFound
	}
	if err != nil {
		return 0, fmt.Errorf("resolve username: %w", err)
	}
	return userIn(found)
}

// userIn is the user that a resolved name belongs to; groups and channels have names as well.
func userIn(found *tg.ContactsResolvedPeer) (int64, error) {
	if u, ok := found.Peer.(*tg.PeerUser); ok {
		return u.UserID, nil
	}
	return 0, ErrNotFound
}

func (s *session) askPhone(ctx context.Context, phone string) (int64, error) {
	found, err := s.api.ContactsResolvePhone(ctx, phone)
	if tgerr.Is(err, "PHONE_NOT_OCCUPIED") {
		return s.importPhone(ctx, phone)
	}
	if err != nil {
		return 0, fmt.Errorf("resolve phone number: %w", err)
	}
	return userIn(found)
}

// importPhone is the last resort: users who hide from contacts.resolvePhone may be found by those who have them in
// their address book. The contact is taken away again at once.
func (s *session) importPhone(ctx context.Context, phone string) (int64, error) {
	answer, err := s.api.ContactsImportContacts(ctx, []tg.InputPhoneContact{
		{ClientID: time.Now().UnixNano(), Phone: phone, FirstName: importedNobody},
	})
	if tgerr.IsCode(err, 400) {
		return 0, ErrNotFound
	}
	if err != nil {
		return 0, fmt.Errorf("import phone number: %w", err)
	}
	if len(answer.Imported) == 0 {
		return 0, ErrNotFound
	}
	id := answer.Imported[0].UserID
	s.removeContact(ctx, id)
	return id, nil
}

func (s *session) removeContact(ctx context.Context, id int64) {
	p, ok := s.peers.get(id)
	if !ok {
		return
	}
	if _, err := s.api.ContactsDeleteContacts(ctx, []tg.InputUserClass{p.input()}); err != nil {
		s.log.Warn("imported contact could not be removed", "user", id, "error", err)
		return
	}
	// A contact has the name that it was imported with; now the user has its own again.
	if _, err := s.api.UsersGetUsers(ctx, []tg.InputUserClass{p.input()}); err != nil {
		s.log.Debug("user's own name is unknown", "user", id, "error", err)
	}
}
