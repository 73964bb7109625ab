package cloud

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"

	"github.com/gotd/td/tg"
	"github.com/gotd/td/tgerr"
)

// account is a user with all that belongs to it. Guarded by Server.mu.
type account struct {
	User
	password *verifier // nil: none
	devices  map[*device]bool
	contacts map[int64]contact
	blocked  map[int64]bool
	box      mailbox
	fate     fate
	busy     int64 // call that phone.receivedCall marked the account busy with; 0: none
}

// contact is an entry of a contact list: the names are the owner's.
type contact struct {
	first, last string
	phone       bool // the owner knows the number
}

// fate is what Control has in store for an account.
type fate struct {
	failures    []failure
	dropUpdates bool
	outdated    bool // calls to it fail with PARTICIPANT_VERSION_OUTDATED
	deaf        bool // its signalling is taken and lost
	holds       []*hold
	limited     bool // calls by it to strangers fail with PEER_FLOOD
	last        *tg.Updates
	queries     map[string]int // made by it, by method
	status      tg.UserStatusClass
}

type failure struct {
	method string // "" any
	err    *tgerr.Error
}

func newAccount(u User, base int) (*account, error) {
	if u.FirstName == "" {
		u.FirstName = cmp.Or(u.Username, "User "+strconv.FormatInt(u.ID, 10))
	}
	u.Phone = digits(u.Phone)
	u.Privacy = u.Privacy.withDefaults()
	a := &account{User: u, devices: map[*device]bool{}, contacts: map[int64]contact{}, blocked: map[int64]bool{}, box: newMailbox(base)}
	a.fate.queries, a.fate.status = map[string]int{}, &tg.UserStatusRecently{}
	if u.Password != "" {
		v, err := newVerifier(u.Password)
		if err != nil {
			return nil, err
		}
		a.password = v
	}
	return a, nil
}

func (a *account) bot() bool { return a.BotToken != "" }

// admits says whether audience, a setting of a, lets other in.
func (a *account) admits(audience Audience, other *account) bool {
	switch audience {
	case Everybody:
		return true
	case Contacts:
		_, known := a.contacts[other.ID]
		return known
	}
	return false
}

func (s *Server) addAccount(u User) error {
	a, err := newAccount(u, s.base)
	if err != nil {
		return err
	}
	s.accounts[u.ID] = a
	if a.Phone != "" {
		s.byPhone[a.Phone] = a
	}
	if a.Username != "" {
		s.byName[strings.ToLower(a.Username)] = a
	}
	return nil
}

// accessHash of target for viewer: the same for ever, also over restarts with the same key, and useless to anybody else.
func (s *Server) accessHash(viewer *account, target int64) int64 {
	return s.derive("access hash", viewer.ID, target)
}

func (s *Server) derive(what string, parts ...int64) int64 {
	mac := hmac.New(sha256.New, s.secret[:])
	mac.Write([]byte(what))
	for _, p := range parts {
		_ = binary.Write(mac, binary.BigEndian, p)
	}
	return int64(binary.BigEndian.Uint64(mac.Sum(nil))) | 1 // never 0
}

// userFor is target as viewer sees it: access hash, contact names, the phone number if it may be seen.
func (s *Server) userFor(viewer, target *account) *tg.User {
	u := &tg.User{
		ID: target.ID, AccessHash: s.accessHash(viewer, target.ID), Self: viewer == target, Username: target.Username,
		FirstName: target.FirstName, LastName: target.LastName, Status: target.fate.status,
	}
	if target.bot() {
		u.Bot, u.BotInfoVersion, u.Status = true, 1, nil
	}
	_, listed := target.contacts[viewer.ID]
	c, contact := viewer.contacts[target.ID]
	if contact {
		u.Contact, u.MutualContact, u.FirstName, u.LastName = true, listed, c.first, c.last
	}
	if viewer == target || c.phone || target.admits(target.Privacy.Phone, viewer) {
		u.Phone = target.Phone
	}
	return u
}

// usersFor are several users as viewer sees them, each once.
func (s *Server) usersFor(viewer *account, targets ...*account) []tg.UserClass {
	var users []tg.UserClass
	seen := map[*account]bool{}
	for _, t := range targets {
		if t != nil && !seen[t] {
			seen[t] = true
			users = append(users, s.userFor(viewer, t))
		}
	}
	return users
}

// resolve finds the account an InputUser means; nil when there is none, or viewer has no right to name it.
func (s *Server) resolve(viewer *account, in tg.InputUserClass) *account {
	switch u := in.(type) {
	case *tg.InputUserSelf:
		return viewer
	case *tg.InputUser:
		if u.AccessHash == s.accessHash(viewer, u.UserID) || u.UserID == viewer.ID {
			return s.accounts[u.UserID]
		}
	case *tg.InputUserFromMessage: // a user met in a message; only its peer can be
		peer := s.resolvePeer(viewer, u.Peer)
		if peer != nil && (peer.ID == u.UserID || viewer.ID == u.UserID) && viewer.box.message(u.MsgID) != nil {
			return s.accounts[u.UserID]
		}
	}
	return nil
}

func (s *Server) resolvePeer(viewer *account, in tg.InputPeerClass) *account {
	switch p := in.(type) {
	case *tg.InputPeerSelf:
		return viewer
	case *tg.InputPeerUser:
		return s.resolve(viewer, &tg.InputUser{UserID: p.UserID, AccessHash: p.AccessHash})
	case *tg.InputPeerUserFromMessage:
		return s.resolve(viewer, &tg.InputUserFromMessage{Peer: p.Peer, MsgID: p.MsgID, UserID: p.UserID})
	}
	return nil
}

// sortedDevices gives a stable order, oldest login first.
func (a *account) sortedDevices() []*device {
	all := make([]*device, 0, len(a.devices))
	for d := range a.devices {
		all = append(all, d)
	}
	slices.SortFunc(all, func(x, y *device) int { return x.rec.Login.Date.Compare(y.rec.Login.Date) })
	return all
}
