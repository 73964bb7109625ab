// Package pbx is what the legs of every PBX trunk are built on: which leg owns which of the PBX's channels (Registry),
// what a leg has to work off (Inbox), the events it gives its call (Outbox), how a caller hears ringing (Ringback), what the
// dialplan is told of the end (StatusOf), and how a lost connection is renewed (Redial).
//
// It does not know any PBX, run a leg or decide what an order or an event means.
package pbx
