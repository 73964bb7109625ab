package esl

import (
	"errors"
	"strings"
)

// Errors that callers may want to recognise.
var (
	// ErrNotConnected says that there is no connection to FreeSWITCH at the moment.
	ErrNotConnected = errors.New("not connected to freeswitch")
	// ErrChannelGone says that a channel vanished without notice, as after a restart of FreeSWITCH.
	ErrChannelGone = errors.New("channel vanished from freeswitch")
	// ErrRestarted says that FreeSWITCH is another process than before.
	ErrRestarted = errors.New("freeswitch was restarted")
	// ErrReplaced says that another process serves the application on this FreeSWITCH.
	ErrReplaced = errors.New("another process serves the application on this freeswitch")
	// ErrNoMedia says that there is no way for audio: neither mod_verto nor the fallback can be used.
	ErrNoMedia = errors.New("no way for audio to and from freeswitch")
)

// errPassword is what FreeSWITCH says to a wrong password.
var errPassword = errors.New("freeswitch refuses the password")

// CommandError is a command that FreeSWITCH refused.
type CommandError struct {
	Command string // its name, without arguments
	Answer  string // FreeSWITCH's own words
}

// Error says what was asked, and what FreeSWITCH answered.
func (e *CommandError) Error() string { return e.Command + ": " + e.Answer }

// isGone says whether FreeSWITCH refused a command because the channel does not exist.
func isGone(err error) bool {
	var refused *CommandError
	if !errors.As(err, &refused) {
		return false
	}
	answer := strings.ToLower(refused.Answer)
	if answer == "-error" { // uuid_answer's word for a channel that hangs up
		return true
	}
	for _, words := range []string{"no such channel", "invalid uuid", "invalid session", "cannot find", "no such session", "can't find", "cannot locate"} {
		if strings.Contains(answer, words) {
			return true
		}
	}
	return false
}
