// Package calls is the phone.* side of every 1:1 call of one Telegram account, keyed by call id.
//
// It does: place, take, accept and discard calls; the Diffie-Hellman exchange with all of its checks; timers; the
// order of signalling packets, also of those that come before the call they belong to is known; and it starts and
// stops the media engine (package voip) of each call. A Line is the account's calls, a Call is one of them, owned by
// one goroutine.
//
// It does not: log in, receive updates by itself, remember peers, decide who may call whom, or know of a PBX. It
// never answers a call by itself and refuses none for being busy: that is its owner's choice.
//
// The flow was checked against core.telegram.org/api/end-to-end/voice-calls and the call code of TDLib (CallActor) and
// Telegram Desktop (calls_call.cpp).
package calls
