package esl

import (
	"context"
	"strings"
	"time"
)

// vigil is what who waits for an application has seen of its holder. Of a process that was killed FreeSWITCH knows at once:
// its WebSocket to mod_verto is closed. A holder that has one says so in the value, by the login; when it loses it and lives,
// it says that too, within timing.bereft. The process is taken for dead when the WebSocket that its last word names has
// gone and no other word follows. One that has none, or whose host falls silent, is waited for as long as timing.lease.
type vigil struct {
	value string    // that was seen last
	since time.Time // when it was seen first
	gone  time.Time // since when FreeSWITCH lists no WebSocket of who wrote it, though it names one; zero for not
	looks int       // that have found it gone, one after the other
}

// promptly is how long a FreeSWITCH may take to answer whose silence on a WebSocket means something.
const promptly = time.Second

// minLooks is how many looks in a row must find the WebSocket gone: a FreeSWITCH that answers us that slowly may not
// have heard the holder either.
const minLooks = 4

// look takes the value there is now.
func (s *vigil) look(value string) {
	if value != s.value {
		*s = vigil{value: value, since: time.Now()}
	}
}

// ask looks whether the holder's WebSocket is there. A FreeSWITCH that does not say counts as if it were.
func (s *vigil) ask(ctx context.Context, v verbs) {
	instance, login := witnessIn(s.value)
	if login == "" {
		return
	}
	if witnessOf(ctx, v, login, instance) != absent {
		s.gone, s.looks = time.Time{}, 0
		return
	}
	if s.looks++; s.gone.IsZero() {
		s.gone = time.Now()
	}
}

// over reports whether the holder is taken for dead.
func (s *vigil) over(t timing) bool {
	return time.Since(s.since) > t.lease || s.looks >= minLooks && time.Since(s.gone) >= t.bereft
}

// witnessIn returns the holder's instance and the login that its value names; an empty login for none.
func witnessIn(value string) (instance, login string) {
	parts := strings.Split(value, "/")
	if len(parts) != 5 || parts[0] == "" || !isLogin(parts[4]) {
		return "", ""
	}
	return parts[0], parts[4]
}

// isLogin reports whether a login of mod_verto can be part of a value, and the argument of a command.
func isLogin(login string) bool {
	user, domain, ok := strings.Cut(login, "@")
	return ok && user != "" && domain != "" &&
		onlyRunes(user+domain, func(r rune) bool { return isNameChar(r) || r == '_' || r == '+' })
}

// testimony is what mod_verto says of a WebSocket.
type testimony uint8

const (
	silent  testimony = iota // it does not say
	absent                   // there is none
	present                  // there is one
)

// witnessOf asks mod_verto for a WebSocket that is logged in as login and whose session (vertoSession.id) is one of the
// process whose ids begin with instance. The answer is "verto.rtc/u:SESSION,…", or says that the user is not registered
// (mod_verto.c, verto_get_dial_string). One that takes long to answer does not say.
func witnessOf(ctx context.Context, v verbs, login, instance string) testimony {
	ctx, cancel := context.WithTimeout(ctx, promptly)
	defer cancel()
	contacts, err := v.api(ctx, "verto_contact", login)
	switch {
	case err != nil:
		return silent
	case strings.Contains(contacts, "/u:"+instance):
		return present
	case strings.Contains(contacts, "/u:"), strings.TrimSpace(contacts) == "error/user_not_registered":
		return absent
	}
	return silent
}
