package cloud

import (
	"github.com/gotd/td/bin"
	"github.com/gotd/td/tg"
)

func addAccount(m methods) {
	on(m, (*request).getAuthorizations)
	on(m, (*request).resetAuthorization)
	on(m, (*request).changeAuthorization)
	on(m, (*request).getPrivacy)
	on(m, (*request).setPrivacy)
	on(m, func(*request, *tg.AccountUpdateStatusRequest) (bin.Encoder, error) { return yes() })
	on(m, func(*request, *tg.AccountGetNotifySettingsRequest) (bin.Encoder, error) {
		return &tg.PeerNotifySettings{}, nil
	})
}

func (r *request) getAuthorizations(*tg.AccountGetAuthorizationsRequest) (bin.Encoder, error) {
	answer := &tg.AccountAuthorizations{AuthorizationTTLDays: 180}
	for _, d := range r.me.sortedDevices() {
		answer.Authorizations = append(answer.Authorizations, *r.authorization(d))
	}
	return answer, nil
}

func (r *request) resetAuthorization(q *tg.AccountResetAuthorizationRequest) (bin.Encoder, error) {
	for _, d := range r.me.sortedDevices() {
		if d != r.dev && d.rec.Login.Hash == q.Hash {
			r.logout(d)
			d.disconnect()
			return yes()
		}
	}
	return nil, fail(400, "HASH_INVALID")
}

// tooFresh is how old a login must be for what changes other logins (406 FRESH_RESET_AUTHORISATION_FORBIDDEN).
func (r *request) tooFresh() bool {
	return r.opts.Fresh > 0 && r.now().Sub(r.dev.rec.Login.Date) < r.opts.Fresh
}

// changeAuthorization says on which devices calls ring; hash 0 is the one that asks.
func (r *request) changeAuthorization(q *tg.AccountChangeAuthorizationSettingsRequest) (bin.Encoder, error) {
	if q.Hash != 0 && r.tooFresh() {
		return nil, fail(406, "FRESH_RESET_AUTHORISATION_FORBIDDEN")
	}
	for _, d := range r.me.sortedDevices() {
		if q.Hash == 0 && d == r.dev || q.Hash != 0 && d.rec.Login.Hash == q.Hash {
			if off, ok := q.GetCallRequestsDisabled(); ok {
				login := *d.rec.Login // what was saved is not changed
				login.NoCalls = off
				d.rec.Login = &login
				r.saveDevice(d)
			}
			return yes()
		}
	}
	return nil, fail(400, "HASH_INVALID")
}

// setting is the field of a privacy key; nil for keys that mean nothing here.
func (p *Privacy) setting(key tg.InputPrivacyKeyClass) *Audience {
	switch key.(type) {
	case *tg.InputPrivacyKeyPhoneCall:
		return &p.Calls
	case *tg.InputPrivacyKeyPhoneP2P:
		return &p.P2P
	case *tg.InputPrivacyKeyPhoneNumber:
		return &p.Phone
	case *tg.InputPrivacyKeyAddedByPhone:
		return &p.Lookup
	case *tg.InputPrivacyKeyChatInvite:
		return &p.Invite
	}
	return nil
}

func rulesOf(a Audience) *tg.AccountPrivacyRules {
	switch a {
	case Everybody:
		return &tg.AccountPrivacyRules{Rules: []tg.PrivacyRuleClass{&tg.PrivacyValueAllowAll{}}}
	case Contacts:
		return &tg.AccountPrivacyRules{Rules: []tg.PrivacyRuleClass{&tg.PrivacyValueAllowContacts{}, &tg.PrivacyValueDisallowAll{}}}
	}
	return &tg.AccountPrivacyRules{Rules: []tg.PrivacyRuleClass{&tg.PrivacyValueDisallowAll{}}}
}

func (r *request) getPrivacy(q *tg.AccountGetPrivacyRequest) (bin.Encoder, error) {
	setting := r.me.Privacy.setting(q.Key)
	if setting == nil {
		return rulesOf(Everybody), nil
	}
	return rulesOf(*setting), nil
}

// setPrivacy takes the first of the rules that says something about everybody or all contacts.
func (r *request) setPrivacy(q *tg.AccountSetPrivacyRequest) (bin.Encoder, error) {
	if r.tooFresh() {
		return nil, fail(406, "FRESH_RESET_AUTHORISATION_FORBIDDEN")
	}
	audience := Nobody
rules:
	for _, rule := range q.Rules {
		switch rule.(type) {
		case *tg.InputPrivacyValueAllowAll:
			audience = Everybody
			break rules
		case *tg.InputPrivacyValueAllowContacts:
			audience = Contacts
			break rules
		case *tg.InputPrivacyValueDisallowAll:
			break rules
		}
	}
	if setting := r.me.Privacy.setting(q.Key); setting != nil {
		*setting = audience
	}
	return rulesOf(audience), nil
}
