package telegram

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gotd/td/tg"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/routing"
	"github.com/tgtrunk/tgtrunk/store"
)

// Peer is a Telegram user as the account knows it.
type Peer struct {
	ID         int64  `json:"id"`
	AccessHash int64  `json:"hash,omitempty"` // 0: the account may not address the user
	Username   string `json:"username,omitempty"`
	Aliases    string `json:"aliases,omitempty"` // further usernames, with spaces between
	Phone      string `json:"phone,omitempty"`   // E.164 with '+'; only where the user shows it
	First      string `json:"first,omitempty"`
	Last       string `json:"last,omitempty"`
	Language   string `json:"language,omitempty"`
	Contact    bool   `json:"contact,omitempty"`
	Premium    bool   `json:"premium,omitempty"`
	Person     bool   `json:"person,omitempty"` // neither a bot nor deleted
	Met        bool   `json:"met,omitempty"`    // has written to the account, called it, or taken its call
}

// Party is the peer as routes and the PBX see it.
func (p Peer) Party() routing.Party {
	return routing.Party{
		UserID: p.ID, Username: p.Username, Phone: p.Phone,
		Name: strings.TrimSpace(p.First + " " + p.Last), First: p.First, Last: p.Last,
	}
}

// facts are the channel variables that say what is known of the peer.
func (p Peer) facts() map[string]string {
	facts := map[string]string{"TGTRUNK_USERID": strconv.FormatInt(p.ID, 10)}
	for name, value := range map[string]string{
		"TGTRUNK_USERNAME": p.Username, "TGTRUNK_PHONE": p.Phone, "TGTRUNK_FIRST": p.First, "TGTRUNK_LAST": p.Last,
		"TGTRUNK_LANG": p.Language,
	} {
		if value != "" {
			facts[name] = value
		}
	}
	for name, yes := range map[string]bool{"TGTRUNK_CONTACT": p.Contact, "TGTRUNK_PREMIUM": p.Premium} {
		if yes {
			facts[name] = "1"
		}
	}
	return facts
}

// masked is a user-id as the log shows it.
func masked(id int64) string { return bridge.Mask(strconv.FormatInt(id, 10)) }

func (p Peer) input() *tg.InputUser { return &tg.InputUser{UserID: p.ID, AccessHash: p.AccessHash} }

// peers is what the account knows of users. Access hashes are good for this account only and for ever, so a hash is kept
// as long as its user matters: it is what allows a call by user id.
type peers struct {
	keep    keep
	log     *slog.Logger
	lookups Lookups

	mu    sync.Mutex
	self  int64
	known map[int64]Peer
	index map[string]int64 // whose a username or phone number is, by indexKeys
	seen  map[int64]presence
	wet   map[int64]bool // not flushed

	fading
	borrowed map[int64]bool // contacts only for a moment, see borrow
}

func newPeers(k keep, log *slog.Logger) *peers {
	s := &peers{
		keep: k, log: log, known: map[int64]Peer{}, index: map[string]int64{}, seen: map[int64]presence{},
		borrowed: map[int64]bool{}, wet: map[int64]bool{}, fading: fading{until: map[int64]time.Time{}},
	}
	s.lookups.setDefaults()
	return s
}

func (s *peers) prefix(self int64) string { return s.keep.key(fmt.Sprintf("%d/peer/", self)) }

// load reads what was known when the account was last here.
func (s *peers) load(ctx context.Context, self int64) error {
	known, until := map[int64]Peer{}, map[int64]time.Time{}
	err := s.keep.store.Scan(ctx, s.prefix(self), func(e store.Entry) error {
		var p Peer
		if err := json.Unmarshal(e.Value, &p); err != nil || p.ID == 0 {
			s.log.Warn("ignored unreadable peer", "key", maskKeys(e.Key), "error", err)
			return nil
		}
		known[p.ID] = p
		if p.passing() && p.ID != self {
			until[p.ID] = e.Expires // zero: written before users could pass
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("load peers: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.self == self { // a reconnect: what is not written yet is newer; the rest another process may have written since
		for id := range s.wet {
			p := s.known[id]
			p.Met = p.Met || known[id].Met
			known[id] = p
			until[id] = s.until[id]
		}
	} else {
		s.wet, s.seen, s.borrowed = map[int64]bool{}, map[int64]presence{}, map[int64]bool{}
	}
	s.self, s.known, s.index, s.until = self, known, map[string]int64{}, until
	for _, p := range known {
		if until[p.ID].IsZero() {
			s.touch(p)
		}
		for _, key := range p.indexKeys() {
			s.index[key] = p.ID
		}
	}
	return nil
}

// set changes what is known of a user. s.mu is held.
func (s *peers) set(p Peer) {
	for _, key := range s.known[p.ID].indexKeys() {
		if s.index[key] == p.ID {
			delete(s.index, key)
		}
	}
	for _, key := range p.indexKeys() {
		s.index[key] = p.ID
	}
	s.known[p.ID] = p
	s.wet[p.ID] = true
}

// indexKeys are the ways to name the peer, but its id.
func (p Peer) indexKeys() []string {
	var keys []string
	for _, name := range p.names() {
		keys = append(keys, usernameKey(name))
	}
	if p.Phone != "" {
		keys = append(keys, p.Phone)
	}
	return keys
}

// usernameKey is what a username is remembered by: case does not matter, and it is no phone number.
func usernameKey(name string) string { return "@" + strings.ToLower(name) }

// names are the peer's usernames.
func (p Peer) names() []string {
	if p.Username == "" {
		return nil
	}
	return append([]string{p.Username}, strings.Fields(p.Aliases)...)
}

// called reports whether the peer has that username.
func (p Peer) called(name string) bool {
	return slices.ContainsFunc(p.names(), func(n string) bool { return strings.EqualFold(n, name) })
}

// find returns what is known of the user that a number means, as far as it can be said without asking.
func (s *peers) find(n routing.Number) (Peer, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, ok := n.UserID, true
	switch n.Kind {
	case routing.Username:
		id, ok = s.index[usernameKey(n.Username)]
	case routing.Phone:
		id, ok = s.index[n.Phone]
	}
	p, known := s.known[id]
	return p, ok && known
}

// flush writes what has changed, many at once; what fails is written the next time.
func (s *peers) flush(ctx context.Context) error {
	s.mu.Lock()
	values, ids := make(map[string]kept, len(s.wet)), make(map[string]int64, len(s.wet))
	self, prefix := s.self, s.prefix(s.self)
	for id := range s.wet {
		p := s.known[id]
		raw, err := json.Marshal(p)
		if err != nil { // nothing in a Peer can fail
			s.log.Error("a peer cannot be kept", "user", masked(id), "error", err)
			continue
		}
		key := prefix + strconv.FormatInt(id, 10)
		values[key], ids[key] = kept{raw, s.lifetime(p)}, id
	}
	s.wet = map[int64]bool{}
	s.mu.Unlock()
	s.tidy()
	written, err := s.keep.putAll(ctx, values)
	if err == nil {
		return nil
	}
	for _, key := range written {
		delete(ids, key)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		if _, known := s.known[id]; known && s.self == self {
			s.wet[id] = true
		}
	}
	return fmt.Errorf("keep peers: %w", err)
}

// remember takes the users that came with an update or an answer.
func (s *peers) remember(users []tg.UserClass) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range users {
		user, ok := u.(*tg.User)
		if !ok || s.self == 0 {
			continue
		}
		old := s.known[user.ID]
		p := merge(old, user)
		p.Contact = p.Contact && !s.borrowed[p.ID]
		if p != old {
			s.set(p)
		}
		s.touch(p)
		if !user.Min {
			s.lookLocked(user.ID, user.Status)
		}
	}
}

// merge takes what a user object says. A "min" object says little and its access hash is of another kind
// (core.telegram.org/api/min).
func merge(p Peer, u *tg.User) Peer {
	p.ID = u.ID
	if u.Min && p.AccessHash != 0 {
		return p
	}
	if hash, ok := u.GetAccessHash(); ok && !u.Min {
		p.AccessHash = hash
	}
	p.Username, p.Aliases = usernames(u)
	if phone, ok := u.GetPhone(); ok && phone != "" {
		p.Phone = "+" + strings.TrimPrefix(phone, "+")
	} else if !u.Min {
		p.Phone = ""
	}
	p.First, p.Last, p.Language = u.FirstName, u.LastName, u.LangCode
	p.Contact, p.Premium = u.Contact, u.Premium
	p.Person = !u.Bot && !u.Deleted
	return p
}

// usernames are the first active one and the others; where somebody has several they come in a list of their own.
func usernames(u *tg.User) (first, others string) {
	var all []string
	if u.Username != "" {
		all = append(all, u.Username)
	}
	for _, n := range u.Usernames {
		if n.Active {
			all = append(all, n.Username)
		}
	}
	if len(all) == 0 {
		return "", ""
	}
	return all[0], strings.Join(all[1:], " ")
}

// get returns what is known of a user.
func (s *peers) get(id int64) (Peer, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.known[id]
	return p, ok
}

// meet notes that there has been correspondence with a user, who is no stranger from now on.
func (s *peers) meet(id int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.known[id]; s.self != 0 && id != s.self && !p.Met {
		p.ID, p.Met = id, true
		s.set(p)
		s.touch(p)
	}
}

// disown forgets an access hash that Telegram refuses.
func (s *peers) disown(id int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p, ok := s.known[id]; ok && p.AccessHash != 0 {
		p.AccessHash = 0
		s.set(p)
	}
}

// SetUserAccessHash implements updates.UserAccessHasher; remember has it already.
func (s *peers) SetUserAccessHash(context.Context, int64, int64, int64) error { return nil }

// GetUserAccessHash implements updates.UserAccessHasher.
func (s *peers) GetUserAccessHash(_ context.Context, _, id int64) (int64, bool, error) {
	p, ok := s.get(id)
	return p.AccessHash, ok, nil
}

// usersOf finds the users in an answer of the API.
func usersOf(answer any) []tg.UserClass {
	switch a := answer.(type) {
	case interface{ GetUsers() []tg.UserClass }:
		return a.GetUsers()
	case *tg.UserClassVector:
		return a.Elems
	case *tg.UpdatesBox:
		return usersOf(a.Updates)
	case *tg.ContactsContactsBox:
		return usersOf(a.Contacts)
	case *tg.UpdatesDifferenceBox:
		return usersOf(a.Difference)
	case *tg.MessagesDialogsBox:
		return usersOf(a.Dialogs)
	}
	return nil
}

// memoryIn is how long a caller waits for the number memory: without it Telegram is asked.
const memoryIn = 500 * time.Millisecond

// number remembers which user a username or a phone number belongs to; id 0 says that it belongs to nobody.
type number struct {
	ID int64 `json:"id"`
}

func (s *peers) numberKey(what string) string {
	return s.keep.key(fmt.Sprintf("%d/number/%s", s.selfID(), what))
}

func (s *peers) selfID() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.self
}

// lookUp returns the user id that a username or a phone number was resolved to lately; false where it has to be asked.
func (s *peers) lookUp(ctx context.Context, what string) (int64, bool) {
	ctx, cancel := context.WithTimeout(ctx, memoryIn)
	defer cancel()
	e, err := s.keep.store.Get(ctx, s.numberKey(what))
	if err != nil {
		if !errors.Is(err, store.ErrNotFound) {
			s.log.Warn("number memory failed", "error", err)
		}
		return 0, false
	}
	var n number
	if err := json.Unmarshal(e.Value, &n); err != nil {
		return 0, false
	}
	return n.ID, true
}

// learn remembers whose a username or a phone number is; id 0 for nobody's.
func (s *peers) learn(ctx context.Context, what string, id int64) {
	ttl := s.lookups.Found
	if id == 0 {
		ttl = s.lookups.Missing
	}
	s.learnFor(ctx, what, id, ttl)
}

func (s *peers) learnFor(ctx context.Context, what string, id int64, ttl time.Duration) {
	raw, err := json.Marshal(number{ID: id})
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, memoryIn)
	defer cancel()
	if err := s.keep.put(ctx, s.numberKey(what), raw, ttl); err != nil {
		s.log.Warn("number memory failed", "error", err)
	}
}
