package telegram

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/gotd/td/tg"

	"github.com/tgtrunk/tgtrunk/store"
)

// PrivacyPreset says what an account's privacy settings are kept at.
type PrivacyPreset string

// The presets.
const (
	PrivacyKeep    PrivacyPreset = "keep"    // as the owner has set them
	PrivacyGateway PrivacyPreset = "gateway" // calls from everybody, P2P as P2PMode says, invitations to groups from nobody
)

const (
	privacyEvery  = 24 * time.Hour // owners change settings
	privacyRetry  = time.Hour
	privacyTooNew = 24*time.Hour + time.Minute // from the login on
	privacyIn     = 30 * time.Second
)

// setting is one privacy rule of the preset.
type setting struct {
	name      string
	key       tg.InputPrivacyKeyClass
	everybody bool // else nobody
}

// preset lists the rules (core.telegram.org/api/privacy).
func (a *Account) preset() []setting {
	return []setting{
		{"calls from everybody", &tg.InputPrivacyKeyPhoneCall{}, true},
		{"direct calls " + string(a.opts.Calls.P2P), &tg.InputPrivacyKeyPhoneP2P{}, a.opts.Calls.P2P != P2PNever},
		{"no invitations to groups", &tg.InputPrivacyKeyChatInvite{}, false},
	}
}

// PrivacyChange says what became of one rule of the preset.
type PrivacyChange struct {
	Name    string
	Changed bool // it was something else before
}

// ApplyPrivacy brings the account's privacy settings to the gateway's preset. What is so already is left alone, and so
// are the exceptions that the owner has made; a setting whose exceptions cannot be written again is left alone, which is an
// error once the others are done. ErrTooFresh is Telegram's refusal to a new login. It takes the account as
// Devices does.
func (a *Account) ApplyPrivacy(ctx context.Context) (done []PrivacyChange, err error) {
	err = a.visit(ctx, "privacy", func(ctx context.Context, api *tg.Client) error {
		done, err = a.applyPrivacy(ctx, api)
		return err
	})
	if err != nil {
		return done, fmt.Errorf("account %q: %w", a.opts.Name, err)
	}
	return done, nil
}

func (a *Account) applyPrivacy(ctx context.Context, api *tg.Client) (done []PrivacyChange, err error) {
	ctx, cancel := context.WithTimeout(ctx, privacyIn)
	defer cancel()
	var kept []error
	for _, s := range a.preset() {
		rules, err := api.AccountGetPrivacy(ctx, s.key)
		if err != nil {
			return done, fmt.Errorf("read privacy (%s): %w", s.name, err)
		}
		if s.holds(rules.Rules) {
			done = append(done, PrivacyChange{Name: s.name})
			continue
		}
		wanted, err := s.rules(rules, a.peers)
		if err != nil {
			kept = append(kept, fmt.Errorf("set privacy (%s): %w", s.name, err))
			continue
		}
		if _, err := api.AccountSetPrivacy(ctx, &tg.AccountSetPrivacyRequest{Key: s.key, Rules: wanted}); err != nil {
			return done, fmt.Errorf("set privacy (%s): %w", s.name, fresh(err))
		}
		done = append(done, PrivacyChange{s.name, true})
	}
	return done, errors.Join(kept...)
}

// errExceptions says that a setting was left alone: whom its owner has made exceptions cannot be named to Telegram, and
// would be none any more.
var errExceptions = errors.New("left alone, for people whom its owner has made exceptions are unknown: set it in an app")

// holds says whether the rules give everybody, or nobody, what the setting is about; exceptions do not count.
func (s setting) holds(rules []tg.PrivacyRuleClass) bool {
	all, contacts := false, false
	for _, r := range rules {
		switch r.(type) {
		case *tg.PrivacyValueAllowAll:
			all = true
		case *tg.PrivacyValueAllowContacts, *tg.PrivacyValueAllowCloseFriends, *tg.PrivacyValueAllowPremium, *tg.PrivacyValueAllowBots:
			contacts = true
		}
	}
	if s.everybody {
		return all
	}
	return !all && !contacts
}

// rules are the setting with the exceptions that make sense with it: people and groups that are never, or always,
// allowed. It fails with errExceptions where one of them would be lost.
func (s setting) rules(now *tg.AccountPrivacyRules, known *peers) ([]tg.InputPrivacyRuleClass, error) {
	var rules []tg.InputPrivacyRuleClass
	for _, r := range now.Rules {
		switch r := r.(type) {
		case *tg.PrivacyValueDisallowUsers:
			if s.everybody {
				users, err := inputUsers(r.Users, now.Users, known)
				if err != nil {
					return nil, err
				}
				rules = append(rules, &tg.InputPrivacyValueDisallowUsers{Users: users})
			}
		case *tg.PrivacyValueDisallowChatParticipants:
			if s.everybody {
				rules = append(rules, &tg.InputPrivacyValueDisallowChatParticipants{Chats: r.Chats})
			}
		case *tg.PrivacyValueAllowUsers:
			if !s.everybody {
				users, err := inputUsers(r.Users, now.Users, known)
				if err != nil {
					return nil, err
				}
				rules = append(rules, &tg.InputPrivacyValueAllowUsers{Users: users})
			}
		case *tg.PrivacyValueAllowChatParticipants:
			if !s.everybody {
				rules = append(rules, &tg.InputPrivacyValueAllowChatParticipants{Chats: r.Chats})
			}
		}
	}
	if s.everybody {
		return append(rules, &tg.InputPrivacyValueAllowAll{}), nil
	}
	return append(rules, &tg.InputPrivacyValueDisallowAll{}), nil
}

// inputUsers names users to Telegram: as they come with its answer, or as the account knows them.
func inputUsers(ids []int64, told []tg.UserClass, known *peers) (out []tg.InputUserClass, err error) {
	for _, id := range ids {
		p, _ := known.get(id)
		for _, u := range told {
			if u, ok := u.(*tg.User); ok && u.ID == id {
				p = merge(p, u)
			}
		}
		if p.AccessHash == 0 {
			return nil, errExceptions
		}
		out = append(out, p.input())
	}
	return out, nil
}

// privacyState is what the store keeps, so that a restart does not ask what Telegram has just refused.
type privacyState struct {
	Next time.Time `json:"next"`          // nothing is asked before
	Why  string    `json:"why,omitempty"` // the last refusal
}

// keepPrivacy applies the preset at the start and every day; what Telegram refuses to a new login it tries again when that
// is a day old.
func (a *Account) keepPrivacy(ctx context.Context, s *session) {
	if a.opts.Privacy != PrivacyGateway {
		return
	}
	key := a.keep.key(fmt.Sprintf("%d/privacy", s.self.ID))
	state := a.loadPrivacy(ctx, key)
	for {
		if wait := time.Until(state.Next); wait > 0 && !sleep(ctx, wait) {
			return
		}
		done, err := a.applyPrivacy(ctx, s.api)
		if ctx.Err() != nil {
			return
		}
		for _, c := range done {
			if c.Changed {
				a.log.Info("privacy setting was changed", "now", c.Name)
			}
		}
		state = privacyState{Next: time.Now().Add(privacyEvery)}
		if err != nil {
			state.Why, state.Next = err.Error(), time.Now().Add(a.privacyPause(ctx, s.api, err))
			a.log.Warn("privacy settings are not what a gateway needs", "error", err, "again", state.Next.Round(time.Second))
		}
		a.savePrivacy(ctx, key, state)
	}
}

// privacyPause is how long to wait after an error.
func (a *Account) privacyPause(ctx context.Context, api *tg.Client, err error) time.Duration {
	switch {
	case errors.Is(err, ErrTooFresh): // see below
	case errors.Is(err, errExceptions):
		return privacyEvery
	default:
		return privacyRetry
	}
	devices, err := listDevices(ctx, api)
	if err == nil {
		for _, d := range devices {
			if left := time.Until(d.Created.Add(privacyTooNew)); d.Current && left > 0 {
				return left
			}
		}
	}
	return privacyRetry
}

func (a *Account) loadPrivacy(ctx context.Context, key string) (state privacyState) {
	e, err := a.opts.Store.Get(ctx, key)
	if err == nil {
		err = json.Unmarshal(e.Value, &state)
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		a.log.Warn("what is known of the privacy settings is lost", "error", err)
	}
	if time.Until(state.Next) > 2*privacyEvery {
		return privacyState{} // the clock has been set
	}
	if state.Why == "" {
		state.Next = time.Time{} // a start looks again
	}
	return state
}

func (a *Account) savePrivacy(ctx context.Context, key string, state privacyState) {
	value, err := json.Marshal(state)
	if err == nil {
		err = a.keep.put(ctx, key, value, 0)
	}
	if err != nil && ctx.Err() == nil {
		a.log.Warn("keeping what is known of the privacy settings failed", "error", err)
	}
}
