package telegram

import "github.com/tgtrunk/tgtrunk/routing"

// Knows reports whether the account has corresponded with the person that a number means, or has it in its contacts.
func (a *Account) Knows(n routing.Number) bool {
	p, ok := a.peers.find(n)
	return ok && !p.callee().Stranger
}
