package telegram

import (
	"strings"

	"github.com/tgtrunk/tgtrunk/bridge"
)

// explain says for people what lies behind an end that puzzles those who test a trunk for the first time; "" where the
// reason speaks for itself.
func (a *Account) explain(r bridge.Reason, outgoing bool) string {
	switch {
	case r == bridge.Self:
		return "an account cannot call itself: make the test call from another Telegram account"
	case r == bridge.Elsewhere && !outgoing:
		return a.elsewhere()
	}
	return ""
}

// elsewhere names the devices that may have taken a call from us. Telegram does not say which one it was.
func (a *Account) elsewhere() string {
	const advice = "`tgtrunk account devices " // and the name
	others, known := a.ringing()
	switch {
	case !known:
		return "another device of the account has answered or declined; " + advice + a.opts.Name + "` lists them"
	case len(others) == 0:
		return "another device of the account has answered or declined, though none rang when they were last looked at; " +
			advice + a.opts.Name + "` lists them"
	}
	return "another device of the account has answered or declined, one of these: " + strings.Join(others, ", ") + "; " +
		advice + a.opts.Name + " --stop-calls` keeps calls for the PBX"
}
