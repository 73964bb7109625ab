package telegram

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/tg"

	"github.com/tgtrunk/tgtrunk/store"
)

// excepting is an account whose owner lets contacts call but for some people, nobody else; and everybody invite it, some
// always.
type excepting struct {
	users []tg.UserClass // who comes with the answers
	sets  map[string][]tg.InputPrivacyRuleClass
}

func (e *excepting) Invoke(_ context.Context, in bin.Encoder, out bin.Decoder) error {
	switch q := in.(type) {
	case *tg.AccountGetPrivacyRequest:
		rules := []tg.PrivacyRuleClass{&tg.PrivacyValueAllowAll{}}
		switch q.Key.(type) {
		case *tg.InputPrivacyKeyPhoneCall:
			rules = []tg.PrivacyRuleClass{
				&tg.PrivacyValueDisallowUsers{Users: []int64{7, 8}}, &tg.PrivacyValueDisallowChatParticipants{Chats: []int64{70}}, &tg.PrivacyValueAllowContacts{},
			}
		case *tg.InputPrivacyKeyChatInvite:
			rules = []tg.PrivacyRuleClass{&tg.PrivacyValueAllowUsers{Users: []int64{9}}, &tg.PrivacyValueAllowAll{}}
		}
		*out.(*tg.AccountPrivacyRules) = tg.AccountPrivacyRules{Rules: rules, Users: e.users}
	case *tg.AccountSetPrivacyRequest:
		e.sets[q.Key.TypeName()] = q.Rules
		*out.(*tg.AccountPrivacyRules) = tg.AccountPrivacyRules{}
	default:
		return fmt.Errorf("%T is not expected", in)
	}
	return nil
}

func withHash(id int64) *tg.User {
	u := &tg.User{ID: id}
	u.SetAccessHash(10 * id)
	return u
}

// Whom the owner has made an exception stays one, whoever it is; a setting whose exceptions could not be written again is
// left alone, and that is said.
func TestPrivacyKeepsExceptions(t *testing.T) {
	k, _ := held(t)
	a, err := New(Options{Name: "office", APIID: 1, APIHash: "h", Store: k.store.(*store.File), Privacy: PrivacyGateway, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.peers.load(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	calls, invite := (&tg.InputPrivacyKeyPhoneCall{}).TypeName(), (&tg.InputPrivacyKeyChatInvite{}).TypeName()
	min := withHash(8)
	min.Min = true
	e := &excepting{users: []tg.UserClass{withHash(7), min, &tg.UserEmpty{ID: 9}}, sets: map[string][]tg.InputPrivacyRuleClass{}}
	done, err := a.applyPrivacy(t.Context(), tg.NewClient(e))
	if err == nil || len(e.sets) != 0 || len(done) != 1 {
		t.Fatalf("exceptions are lost: %v, done %v, error %v", e.sets, done, err)
	}
	for _, what := range []string{"calls from everybody", "no invitations to groups", "left alone", "set it in an app"} {
		if !strings.Contains(err.Error(), what) {
			t.Errorf("the error does not say %q: %v", what, err)
		}
	}
	if pause := a.privacyPause(t.Context(), tg.NewClient(e), err); pause != privacyEvery {
		t.Errorf("what only the owner can change is tried again in %v", pause)
	}

	a.peers.remember([]tg.UserClass{withHash(8)}) // the account can address that one
	if done, err = a.applyPrivacy(t.Context(), tg.NewClient(e)); err == nil || len(done) != 2 || len(e.sets) != 1 {
		t.Fatalf("done %v, set %v, error %v", done, e.sets, err)
	}
	want := []tg.InputPrivacyRuleClass{
		&tg.InputPrivacyValueDisallowUsers{Users: []tg.InputUserClass{&tg.InputUser{UserID: 7, AccessHash: 70}, &tg.InputUser{UserID: 8, AccessHash: 80}}},
		&tg.InputPrivacyValueDisallowChatParticipants{Chats: []int64{70}}, &tg.InputPrivacyValueAllowAll{},
	}
	if got := fmt.Sprint(e.sets[calls]); got != fmt.Sprint(want) {
		t.Errorf("calls are set to %v, want %v", got, want)
	}

	e.users = append(e.users, withHash(9))
	if done, err = a.applyPrivacy(t.Context(), tg.NewClient(e)); err != nil || len(done) != 3 {
		t.Fatalf("done %v, error %v", done, err)
	}
	want = []tg.InputPrivacyRuleClass{
		&tg.InputPrivacyValueAllowUsers{Users: []tg.InputUserClass{&tg.InputUser{UserID: 9, AccessHash: 90}}}, &tg.InputPrivacyValueDisallowAll{},
	}
	if got := fmt.Sprint(e.sets[invite]); got != fmt.Sprint(want) {
		t.Errorf("invitations are set to %v, want %v", got, want)
	}
}
