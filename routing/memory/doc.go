// Package memory remembers which number a PBX was shown for which Telegram user, so that a call back finds the user
// although the PBX has changed the number on the way. Each PBX link has a memory of its own, kept in a store for 90 days.
//
// It does not decide whom a dialled text means (package routing does, with what is remembered as a fact of the request),
// and does not know accounts, trunks or calls.
package memory
