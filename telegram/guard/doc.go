// Package guard keeps one Telegram account out of trouble.
//
// It does: sit through short flood waits, once a request; refuse at once what Telegram has asked the account to leave
// alone for longer; count the calls to strangers of any 24 hours, with less for a young account and a gap between two
// of them; stop calling strangers after PEER_FLOOD or after several of them have declined at once; remember who does
// not take calls. All of that is kept in a store, so that it holds over restarts and for every process that shares it.
//
// It does not: speak MTProto, place calls, know who is a stranger, or decide which account calls.
package guard
