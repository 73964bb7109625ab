// Package chat decides what a Telegram account answers to the people who write to it, and what it tells them of calls.
//
// It does: read a message as DTMF digits, a wish to be called back, an internal extension, or a department with opening
// hours; choose the texts in the person's language; count messages and calls of each person and of the account; stay
// silent towards bots, other answering machines and whoever has had enough answers.
//
// It does not send, call, or keep anything: Desk is a set of pure functions of what it is handed, State included, and its
// answers are Actions for somebody else. It knows no MTProto, no PBX and no store. A person's words never become a place
// in the PBX: every place is the administrator's own text.
package chat
