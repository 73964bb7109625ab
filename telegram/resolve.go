package telegram

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/gotd/td/tg"
	"github.com/gotd/td/tgerr"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/routing"
)

const (
	resolveIn      = 15 * time.Second // for one number, all requests together
	contactsEvery  = 10 * time.Minute // contacts.getContacts for user ids that nobody knows
	importedNobody = "tgtrunk"        // first name of a contact that exists for a moment
	importAgain    = time.Hour        // Telegram does not say when
)

// find finds the user that a target means: by its number, and where the account does not know that, in another way to the
// same person that the target or the account has on file. Names and phone numbers move: who is found by them has to be
// who was meant by id.
func (s *session) find(ctx context.Context, t routing.Target) (Peer, error) {
	p, err := s.resolve(ctx, t.Number)
	if !unknownHere(err) {
		return p, err
	}
	for _, n := range append(t.Others[:len(t.Others):len(t.Others)], s.onFile(t.Number)...) {
		if n.Key() == t.Number.Key() {
			continue
		}
		other, otherErr := s.resolve(ctx, n)
		switch {
		case otherErr == nil && (t.Number.Kind != routing.UserID || other.ID == t.Number.UserID):
			s.log.Info("callee found in another way", "dialled_as", t.Number.Kind, "found_by", n.Kind)
			return other, nil
		case otherErr != nil && !unknownHere(otherErr):
			return p, otherErr // a flood wait, a lost connection: no use in asking on
		}
	}
	return p, err
}

// unknownHere reports whether the account has no way to the number it was asked for.
func unknownHere(err error) bool {
	if err == nil {
		return false
	}
	why := bridge.CauseFromError(err).Reason
	return why == bridge.NoDialog || why == bridge.NotFound
}

// onFile returns how a user-id that cannot be called could be called otherwise.
func (s *session) onFile(n routing.Number) (others []routing.Number) {
	p, ok := s.peers.get(n.UserID)
	if n.Kind != routing.UserID || !ok {
		return nil
	}
	if p.Username != "" {
		others = append(others, routing.Number{Kind: routing.Username, Username: p.Username})
	}
	if p.Phone != "" {
		others = append(others, routing.Number{Kind: routing.Phone, Phone: p.Phone})
	}
	return others
}

// resolve finds the user that a dialled number means.
func (s *session) resolve(ctx context.Context, n routing.Number) (Peer, error) {
	ctx, cancel := context.WithTimeout(ctx, resolveIn)
	defer cancel()
	var p Peer
	var err error
	switch n.Kind {
	case routing.UserID:
		if p, err = s.byID(ctx, n.UserID); err == nil && p.ID != s.self.ID {
			p = s.refresh(ctx, p)
		}
	case routing.Username:
		p, err = s.byUsername(ctx, n.Username)
	case routing.Phone:
		p, err = s.byPhone(ctx, n.Phone)
	default:
		return Peer{}, verdict(bridge.BadNumber, ErrNumber)
	}
	switch {
	case err != nil:
		return Peer{}, err
	case p.ID == s.self.ID:
		return Peer{}, verdict(bridge.Self, ErrSelf)
	case !p.Person:
		return Peer{}, verdict(bridge.NotFound, ErrNotUser)
	case p.AccessHash == 0:
		return Peer{}, verdict(bridge.NoDialog, ErrNoPeer)
	}
	s.peers.use(p.ID)
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
	// Whoever becomes known meanwhile, by a message or as a contact, is found above.
	if _, asked := s.peers.lookUp(ctx, idKey(id)); asked {
		return Peer{}, verdict(bridge.NoDialog, ErrNoPeer)
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
	s.peers.learnFor(ctx, idKey(id), 0, s.peers.lookups.NoDialog)
	return Peer{}, verdict(bridge.NoDialog, ErrNoPeer)
}

// idKey is what it is remembered by that the account has no way to a user-id. It is no username and no phone number.
func idKey(id int64) string { return "id" + strconv.FormatInt(id, 10) }

// fetchContacts brings the account's contacts into memory, now and then.
func (s *session) fetchContacts(ctx context.Context) error {
	select {
	case s.asking <- struct{}{}:
		defer func() { <-s.asking }()
	case <-ctx.Done():
		return fmt.Errorf("get contacts: %w", ctx.Err())
	}
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

// byUsername finds a user by a username. One that is remembered is looked at again: usernames move.
func (s *session) byUsername(ctx context.Context, name string) (Peer, error) {
	what := usernameKey(name)
	p, known, err := s.remembered(ctx, what, ErrNotFound)
	if err != nil { // nobody had it; somebody may have been met by it since
		if p, known = s.peers.find(routing.Number{Kind: routing.Username, Username: name}); !known || p.AccessHash == 0 {
			return Peer{}, err
		}
	}
	if known {
		if p = s.refresh(ctx, p); p.called(name) {
			return p, nil
		}
		s.log.Info("username has moved, asking for its owner", "user", masked(p.ID))
	}
	id, err := s.askUsername(ctx, name)
	return s.learned(ctx, what, id, err)
}

// byPhone finds a user by a phone number.
func (s *session) byPhone(ctx context.Context, phone string) (Peer, error) {
	if p, ok := s.peers.find(routing.Number{Kind: routing.Phone, Phone: phone}); ok && p.AccessHash != 0 {
		if p = s.refresh(ctx, p); p.Phone == phone {
			return p, nil // it is visible to the account
		}
		s.log.Info("phone number is not the user's any more, asking for its owner", "user", masked(p.ID))
	}
	p, known, err := s.remembered(ctx, phone, ErrNoNumber)
	if err != nil {
		return Peer{}, err
	}
	if known {
		return s.refresh(ctx, p), nil
	}
	id, err := s.askPhone(ctx, phone)
	return s.learned(ctx, phone, id, err)
}

// remembered returns the user that a username or phone number was resolved to lately; nobody is an error.
func (s *session) remembered(ctx context.Context, what string, nobody error) (p Peer, known bool, err error) {
	id, known := s.peers.lookUp(ctx, what)
	switch {
	case !known:
		return Peer{}, false, nil
	case id == 0:
		return Peer{}, false, verdict(bridge.NotFound, nobody)
	}
	p, ok := s.peers.get(id)
	return p, ok && p.AccessHash != 0, nil
}

// learned remembers what asking has brought: a user, that there is none, or an error that says nothing.
func (s *session) learned(ctx context.Context, what string, id int64, err error) (Peer, error) {
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrNoNumber) {
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
		if s.noImport {
			return 0, ErrNoNumber
		}
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
	// A contact of the account's own must not be taken for one of ours, and removed.
	if err := s.fetchContacts(ctx); err != nil {
		return 0, err
	}
	if p, ok := s.peers.find(routing.Number{Kind: routing.Phone, Phone: phone}); ok && p.Contact {
		return p.ID, nil
	}
	answer, err := s.api.ContactsImportContacts(ctx, []tg.InputPhoneContact{
		{ClientID: time.Now().UnixNano(), Phone: phone, FirstName: importedNobody},
	})
	switch {
	case tgerr.Is(err, "PEER_FLOOD"):
		return 0, fmt.Errorf("import phone number: %w", err)
	case tgerr.IsCode(err, 400):
		return 0, ErrNoNumber
	case err != nil:
		return 0, fmt.Errorf("import phone number: %w", err)
	case len(answer.RetryContacts) > 0: // too many were imported lately
		return 0, &Error{cause: bridge.CauseOf(bridge.Flood).WithRetryAfter(importAgain), err: ErrImports}
	case len(answer.Imported) == 0:
		return 0, ErrNoNumber
	}
	id := answer.Imported[0].UserID
	s.peers.borrow(ctx, id)
	s.returnContact(ctx, id)
	return id, nil
}
