package ari

import (
	"log/slog"
	"testing"

	"github.com/tgtrunk/tgtrunk/routing"
)

// The caller's user-id has two names, which never differ.
func TestUserIDHasTwoNames(t *testing.T) {
	for want, given := range map[string]map[string]string{
		"5000201": {"TGTRUNK_USERID": "2"}, "1": {"TGTRUNK_USER_ID": "1", "TGTRUNK_USERID": "2"},
	} {
		out := &outbound{leg: &leg{id: "leg", log: slog.New(slog.DiscardHandler)},
			target: routing.Target{Caller: routing.Party{UserID: 5000201}, Variables: given}}
		if set := out.variables(); set["TGTRUNK_USER_ID"] != want || set["TGTRUNK_USERID"] != want {
			t.Errorf("%q and %q, want %s", set["TGTRUNK_USER_ID"], set["TGTRUNK_USERID"], want)
		}
	}
}
