// Package telegram is the bridge.Trunk of one Telegram account.
//
// It does: log in by code, password or QR; keep the session, the update state and the peers of the account in a
// store; reconnect and recover missed updates; resolve user ids, usernames and phone numbers to users; pass every request
// through the account's guard; turn calls of package calls into legs; carry the messages that package chat reads and
// writes; look after the account's devices and privacy; and say what every failure means for the PBX.
//
// It does not: speak the calls' wire protocol (packages calls and voip), decide what a message means (package chat), know
// routes or a PBX, or count what the account may do (package guard).
package telegram
