package cloud

import (
	"strings"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/tg"
)

func addContacts(m methods) {
	on(m, (*request).getUsers)
	on(m, (*request).getFullUser)
	on(m, (*request).resolveUsername)
	on(m, (*request).resolvePhone)
	on(m, (*request).importContacts)
	on(m, (*request).addContact)
	on(m, (*request).deleteContacts)
	on(m, (*request).getContacts)
	on(m, func(r *request, q *tg.ContactsBlockRequest) (bin.Encoder, error) { return r.block(q.ID, true) })
	on(m, func(r *request, q *tg.ContactsUnblockRequest) (bin.Encoder, error) { return r.block(q.ID, false) })
	on(m, (*request).getBlocked)
	on(m, func(*request, *tg.ContactsGetTopPeersRequest) (bin.Encoder, error) {
		return &tg.ContactsTopPeersDisabled{}, nil
	})
	on(m, func(r *request, _ *tg.ContactsGetStatusesRequest) (bin.Encoder, error) {
		v := &tg.ContactStatusVector{}
		for id := range r.me.contacts {
			v.Elems = append(v.Elems, tg.ContactStatus{UserID: id, Status: &tg.UserStatusRecently{}})
		}
		return v, nil
	})
}

func (r *request) getUsers(q *tg.UsersGetUsersRequest) (bin.Encoder, error) {
	v := &tg.UserClassVector{}
	for _, in := range q.ID {
		if a := r.resolve(r.me, in); a != nil {
			v.Elems = append(v.Elems, r.userFor(r.me, a))
		}
	}
	return v, nil
}

func (r *request) getFullUser(q *tg.UsersGetFullUserRequest) (bin.Encoder, error) {
	a := r.resolve(r.me, q.ID)
	if a == nil {
		return nil, fail(400, "USER_ID_INVALID")
	}
	calls := !a.bot() && a != r.me && a.admits(a.Privacy.Calls, r.me) && !a.blocked[r.me.ID]
	return &tg.UsersUserFull{
		FullUser: tg.UserFull{
			ID: a.ID, Blocked: r.me.blocked[a.ID], PhoneCallsAvailable: !a.bot() && a != r.me, PhoneCallsPrivate: !calls, VideoCallsAvailable: calls,
		},
		Users: r.usersFor(r.me, a),
	}, nil
}

func (r *request) resolveUsername(q *tg.ContactsResolveUsernameRequest) (bin.Encoder, error) {
	if !usernamePattern.MatchString(q.Username) {
		return nil, fail(400, "USERNAME_INVALID")
	}
	a := r.byName[strings.ToLower(q.Username)]
	if a == nil {
		return nil, fail(400, "USERNAME_NOT_OCCUPIED")
	}
	return r.resolved(a), nil
}

func (r *request) resolved(a *account) *tg.ContactsResolvedPeer {
	return &tg.ContactsResolvedPeer{Peer: &tg.PeerUser{UserID: a.ID}, Users: r.usersFor(r.me, a)}
}

// byNumber finds a user by phone number, if the user lets itself be found by r.me.
func (r *request) byNumber(phone string) *account {
	a := r.byPhone[digits(phone)]
	if a == nil || a != r.me && !a.admits(a.Privacy.Lookup, r.me) {
		return nil
	}
	return a
}

func (r *request) resolvePhone(q *tg.ContactsResolvePhoneRequest) (bin.Encoder, error) {
	if !phonePattern.MatchString(digits(q.Phone)) {
		return nil, fail(400, "PHONE_NUMBER_INVALID")
	}
	a := r.byNumber(q.Phone)
	if a == nil {
		return nil, fail(400, "PHONE_NOT_OCCUPIED")
	}
	return r.resolved(a), nil
}

func (r *request) importContacts(q *tg.ContactsImportContactsRequest) (bin.Encoder, error) {
	answer := &tg.ContactsImportedContacts{}
	users := []*account{}
	for _, in := range q.Contacts {
		a := r.byNumber(in.Phone)
		if a == nil || a == r.me {
			continue
		}
		r.me.contacts[a.ID] = contact{first: in.FirstName, last: in.LastName, phone: true}
		answer.Imported = append(answer.Imported, tg.ImportedContact{UserID: a.ID, ClientID: in.ClientID})
		users = append(users, a)
	}
	answer.Users = r.usersFor(r.me, users...)
	return answer, nil
}

func (r *request) addContact(q *tg.ContactsAddContactRequest) (bin.Encoder, error) {
	a := r.resolve(r.me, q.ID)
	switch {
	case a == nil || a == r.me:
		return nil, fail(400, "CONTACT_ID_INVALID")
	case q.FirstName == "":
		return nil, fail(400, "CONTACT_NAME_EMPTY")
	}
	r.me.contacts[a.ID] = contact{first: q.FirstName, last: q.LastName, phone: digits(q.Phone) == a.Phone && a.Phone != ""}
	return r.contactNews(a), nil
}

// contactNews tells the other devices that a contact has changed and gives the result for this one.
func (r *request) contactNews(changed ...*account) *tg.Updates {
	u := &tg.Updates{Users: r.usersFor(r.me, changed...), Chats: []tg.ChatClass{}, Date: int(r.now().Unix())}
	for _, a := range changed {
		u.Updates = append(u.Updates, &tg.UpdatePeerSettings{Peer: &tg.PeerUser{UserID: a.ID}})
	}
	r.push(r.me, news{updates: u.Updates, users: changed, skip: r.dev})
	return u
}

func (r *request) deleteContacts(q *tg.ContactsDeleteContactsRequest) (bin.Encoder, error) {
	var gone []*account
	for _, in := range q.ID {
		a := r.resolve(r.me, in)
		if a == nil {
			return nil, fail(400, "USER_ID_INVALID")
		}
		if _, ok := r.me.contacts[a.ID]; ok {
			delete(r.me.contacts, a.ID)
			gone = append(gone, a)
		}
	}
	return r.contactNews(gone...), nil
}

func (r *request) getContacts(*tg.ContactsGetContactsRequest) (bin.Encoder, error) {
	answer := &tg.ContactsContacts{}
	var users []*account
	for id := range r.me.contacts {
		a := r.accounts[id]
		_, mutual := a.contacts[r.me.ID]
		answer.Contacts = append(answer.Contacts, tg.Contact{UserID: id, Mutual: mutual})
		users = append(users, a)
	}
	answer.Users = r.usersFor(r.me, users...)
	return answer, nil
}

func (r *request) block(in tg.InputPeerClass, on bool) (bin.Encoder, error) {
	a := r.resolvePeer(r.me, in)
	if a == nil || a == r.me {
		return nil, fail(400, "PEER_ID_INVALID")
	}
	r.setBlocked(r.me, a, on)
	return yes()
}

func (s *Server) setBlocked(who, whom *account, on bool) {
	if on {
		who.blocked[whom.ID] = true
	} else {
		delete(who.blocked, whom.ID)
	}
	s.push(who, news{updates: []tg.UpdateClass{&tg.UpdatePeerBlocked{Blocked: on, PeerID: &tg.PeerUser{UserID: whom.ID}}}, users: []*account{whom}, numbered: true})
}

func (r *request) getBlocked(*tg.ContactsGetBlockedRequest) (bin.Encoder, error) {
	answer := &tg.ContactsBlocked{}
	var users []*account
	for id := range r.me.blocked {
		answer.Blocked = append(answer.Blocked, tg.PeerBlocked{PeerID: &tg.PeerUser{UserID: id}, Date: int(r.now().Unix())})
		users = append(users, r.accounts[id])
	}
	answer.Users = r.usersFor(r.me, users...)
	return answer, nil
}
