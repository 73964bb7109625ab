// Package bridge is the core: what a trunk and a leg are (Trunk, Leg, Event, Cause), and the Exchange that takes the
// offers of all trunks, asks a Router where each goes, and runs every call as two legs owned by one goroutine.
//
// What a call does is decided by a pure function, step in machine.go; the call's goroutine in call.go feeds it the
// legs' events and carries out its actions. What remains of a call is its Record.
//
// It does not know Telegram, Asterisk or any protocol, does not touch audio (Options.Connect joins two flows), does
// not retry a failed trunk, and keeps nothing when it stops.
package bridge
